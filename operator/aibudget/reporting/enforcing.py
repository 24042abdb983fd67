"""What enforcement did, put into the words of statuses, Events and metrics. Pure.

An act concerns a workload, and is told of it and of each budget that claims it. A notice is known by its
time, a stop by its Hold and all else by the claims' notices, so that the same act is told once, whoever comes
to claim the workload or lets it go meanwhile, and a later one anew.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from aibudget.api.conditions import Condition, ConditionType, EventReason, Reason, find_condition
from aibudget.api.hold import Hold
from aibudget.api.names import API_VERSION
from aibudget.budgeting.evaluation import BudgetKey
from aibudget.enforcement.claims import is_closed
from aibudget.enforcement.cluster import Report
from aibudget.enforcement.fences import ACTIONS
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.notice import Act
from aibudget.enforcement.sparing import Spared
from aibudget.inventory.resource import NAMESPACES
from aibudget.reporting.events import Event, Subject, budget
from aibudget.reporting.facts import Enforcing

_RESOURCES: Final = {NAMESPACES.kind: NAMESPACES} | {kind.name: kind.resource for kind in KINDS.values()}
_REPEAT_SECONDS: Final = 3600
"""How often a failure that lasts is told again."""


def by_budget(report: Report | None) -> Mapping[str, Enforcing]:
    """What each budget, by its uid, is told of its Holds."""
    if report is None:
        return {}
    active: Counter[str] = Counter()
    pending: Counter[str] = Counter()
    waiting: Counter[str] = Counter()
    fences: Counter[str] = Counter()
    returning: Counter[str] = Counter()
    failures: defaultdict[str, list[str]] = defaultdict(list)
    for hold in report.holds:
        if state_of(hold) == "releasing":
            returning.update(claim.uid for claim in hold.spec.claims)
            continue
        counts = active if state_of(hold) == "active" else pending
        approved = [claim.uid for claim in hold.spec.claims if claim.decision == "Approved"]
        counts.update(approved)
        if counts is active and hold.spec.action in ACTIONS:
            fences.update(approved)
        asked = [claim.uid for claim in hold.spec.claims if claim.decision == "Pending"]
        pending.update(asked)
        waiting.update(asked)
    for act in report.acts:
        if act.reason is EventReason.ENFORCEMENT_FAILED:
            for claim in act.claims:
                failures[claim.uid].append(f"{act.workload.kind} {act.workload.name}: {act.message}")
    spared: defaultdict[str, list[Spared]] = defaultdict(list)
    for one in report.spared:
        spared[one.budget.uid].append(one)
    queued = Counter(claim.uid for wish in report.queued for claim in wish.claims)
    return {
        uid: Enforcing(
            active=active[uid],
            fences=fences[uid],
            pending=pending[uid],
            waiting=waiting[uid],
            paused=report.paused,
            failures=tuple(failures[uid]),
            queued=queued[uid],
            returning=returning[uid],
            rails=report.rails,
            spared=tuple(spared[uid]),
        )
        for uid in {*active, *pending, *failures, *queued, *spared, *returning}
    }


def told(
    report: Report | None,
    now: int,
    budgets: Mapping[str, BudgetKey] = MappingProxyType({}),
    stood: Callable[[str], Condition | None] = lambda _: None,
) -> Iterator[Event]:
    """The Events of all acts: of the workload, and of each budget that claims it, or did so until now.

    `budgets` are those that there are, by uid; `stood` is the stored `Enforced` of each: what lasts is told
    as it begins.
    """
    for act in () if report is None else report.acts:
        if act.claims and all(_lasts(act, stood(claim.uid)) for claim in act.claims):
            continue
        workload, resource = act.workload, _RESOURCES.get(act.workload.kind)
        if resource is not None and act.uid:
            # An Event about a namespace is kept in it, where its people look.
            subject = Subject(resource.api_version, workload.kind, workload.namespace, workload.name, act.uid)
            yield Event(subject, act.reason, "Enforce", act.message, _transition(act, now))
        for claim in act.claims:
            namespace = workload.namespace if claim.kind == "AIBudget" else None
            subject = Subject(API_VERSION, claim.kind, namespace, claim.name, claim.uid)
            message = f"{workload.kind} {workload.namespace}/{workload.name}: {act.message}"
            # Of a budget, by its own notice: others may claim the same workload later.
            own = replace(act, claims=(claim,))
            yield Event(subject, act.reason, "Enforce", message, _transition(own, now), workload)
        for former in act.formerly:
            key = budgets.get(former.uid)
            # What a workload's annotation says is not to reach a budget of another namespace.
            if key is not None and key.namespace in (None, workload.namespace):
                message = f"{workload.kind} {workload.namespace}/{workload.name}: {act.message}"
                yield Event(budget(key), act.reason, "Enforce", message, _transition(act, now), workload)
    if report is not None:
        yield from _paced(report, now, stood)


def _lasts(act: Act, stood: Condition | None) -> bool:
    """Whether it is a failure that the stored status of a budget speaks of, as far as there was room."""
    if act.reason is not EventReason.ENFORCEMENT_FAILED or stood is None:
        return False
    spoken = f"{act.workload.kind} {act.workload.name}:" in stood.message or stood.message.endswith("…")
    return stood.reason == Reason.ENFORCEMENT_FAILED and spoken


def _paced(report: Report, now: int, stood: Callable[[str], Condition | None]) -> Iterator[Event]:
    """As stops begin to wait, of each budget that is to wait."""
    budgets = {claim.uid: (claim, wish.workload) for wish in report.queued for claim in wish.claims}
    counts = Counter(claim.uid for wish in report.queued for claim in wish.claims)
    for uid, (claim, workload) in budgets.items():
        before = stood(uid)
        if before is not None and before.reason == Reason.STOPS_PACED:
            continue
        namespace = workload.namespace if claim.kind == "AIBudget" else None
        subject = Subject(API_VERSION, claim.kind, namespace, claim.name, uid)
        message = (
            f"{counts[uid]} of its workloads are to be stopped and wait for their turn: {report.rails}. If "
            "that many are a mistake, set the kill switch now."
        )
        yield Event(subject, EventReason.STOPS_PACED, "Enforce", message, str(now // _REPEAT_SECONDS))


def states(report: Report | None) -> Mapping[tuple[str, str], int]:
    """How many Holds of each action are in each state; one whose claims are all closed asks for nothing."""
    holds = () if report is None else report.holds
    found: Counter[tuple[str, str]] = Counter(
        (hold.spec.action, state_of(hold)) for hold in holds if not _asks_nothing(hold)
    )
    actions, known = (*ACTIONS, "ScaleDown"), ("pending", "active", "contested", "releasing")
    return {(action, state): found[action, state] for action in actions for state in known}


def backlog(report: Report | None) -> Mapping[str, int]:
    """How many workloads wait for their turn, by what is to be done to them."""
    stops = () if report is None else report.queued
    restores = () if report is None else report.returning
    return {"stop": len(stops), "restore": len(restores)}


def _asks_nothing(hold: Hold) -> bool:
    return bool(hold.spec.claims) and all(map(is_closed, hold.spec.claims))


def state_of(hold: Hold) -> str:
    """In one word: pending until it is written to its target, contested when another manager won,
    releasing while it comes back in a wave.
    """
    for kind, state in (
        (ConditionType.RELEASING, "releasing"),
        (ConditionType.CONTESTED, "contested"),
        (ConditionType.APPLIED, "active"),
    ):
        condition = find_condition(hold.status.conditions, kind)
        if condition is not None and condition.status == "True":
            return state
    return "pending"


def _transition(act: Act, now: int) -> str:
    # What `untold` finds again has a name without words and without budgets: it may know others of both.
    if act.reason is EventReason.WORKLOAD_SCALED_DOWN and act.hold:
        return f"{act.uid}/{act.hold}"
    if act.reason is EventReason.SCALE_DOWN_NOTICE:
        return f"{act.uid}/{min(str(claim.notice_time) for claim in act.claims)}"
    notices = sorted(f"{claim.uid}@{claim.notice_time}" for claim in act.claims)
    # Without a claim, or for a failure that lasts, nothing but the hour tells one time from the next.
    lasting = act.reason is EventReason.ENFORCEMENT_FAILED or not notices
    again = str(now // _REPEAT_SECONDS) if lasting else ""
    return "/".join((act.uid or str(act.workload), *notices, act.message, again))
