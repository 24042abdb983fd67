"""What enforcement did, put into the words of statuses, Events and metrics. Pure.

An act concerns a workload, and is told of it and of each budget that claims it. Its transition is known by the
claims' notices, so that the same act is told once, and a later one anew.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from aibudget.api.conditions import ConditionType, EventReason, find_condition
from aibudget.api.hold import Claim, Hold
from aibudget.budgeting.evaluation import BudgetKey
from aibudget.enforcement.act import Act
from aibudget.enforcement.cluster import Report
from aibudget.reporting.events import Event
from aibudget.reporting.status import Enforcing

_REPEAT_SECONDS: Final = 3600
"""How often a failure that lasts is told again."""


def by_budget(report: Report | None, now: int) -> Mapping[str, Enforcing]:
    """What each budget, by its uid, is told of its Holds."""
    if report is None:
        return {}
    active: Counter[str] = Counter()
    pending: Counter[str] = Counter()
    failures: defaultdict[str, list[str]] = defaultdict(list)
    for hold in report.holds:
        counts = active if state_of(hold) == "active" else pending
        counts.update(claim.uid for claim in hold.spec.claims if claim.decision != "Vetoed")
    for act in report.acts:
        if act.reason is EventReason.ENFORCEMENT_FAILED:
            for claim in act.claims:
                failures[claim.uid].append(f"{act.workload.kind} {act.workload.name}: {act.message}")
    return {
        uid: Enforcing(active[uid], pending[uid], paused=report.paused, failures=tuple(failures[uid]))
        for uid in {*active, *pending, *failures}
    }


def told(report: Report | None, now: int) -> Iterator[Event]:
    """The Events of all acts, of the budgets that claim them."""
    for act in () if report is None else report.acts:
        for claim in act.claims:
            namespace = act.workload.namespace if claim.kind == "AIBudget" else None
            workload = f"{act.workload.kind} {act.workload.namespace}/{act.workload.name}"
            yield Event(
                BudgetKey(claim.kind, namespace, claim.name, claim.uid),
                act.reason,
                "Enforce",
                f"{workload}: {act.message}",
                _transition(act, claim, now),
            )


def states(report: Report | None) -> Mapping[str, int]:
    """How many Holds there are in each state."""
    found = Counter(map(state_of, () if report is None else report.holds))
    return {state: found[state] for state in ("pending", "active", "contested")}


def state_of(hold: Hold) -> str:
    """In one word: pending until it is written to its target, contested when another manager won."""
    for kind, state in ((ConditionType.CONTESTED, "contested"), (ConditionType.APPLIED, "active")):
        condition = find_condition(hold.status.conditions, kind)
        if condition is not None and condition.status == "True":
            return state
    return "pending"


def _transition(act: Act, claim: Claim, now: int) -> str:
    notice = claim.notice_time.isoformat() if claim.notice_time else ""
    again = str(now // _REPEAT_SECONDS) if act.reason is EventReason.ENFORCEMENT_FAILED else ""
    return "/".join((act.uid or str(act.workload), claim.period_id, notice, act.message, again))
