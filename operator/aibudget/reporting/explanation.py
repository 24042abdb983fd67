"""Why a workload is held, or why not: from its Hold, itself and the budgets' own statuses. Pure.

Nothing is computed anew that the operator has decided: a budget's status says where its thresholds stand and
whom it spares. What is read from the workload itself (a protection, a veto) is true now, also where the
operator has not looked yet. Knows nothing of the API server; the command reads, this explains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from aibudget.api.budget import Budget, ClusterAIBudget
from aibudget.api.conditions import ConditionType, find_condition
from aibudget.api.fields import format_instant
from aibudget.api.hold import Claim, Hold
from aibudget.api.limit import MONEY
from aibudget.api.money import Money
from aibudget.budgeting.selection import selection_of
from aibudget.enforcement.claims import is_closed
from aibudget.enforcement.facts import NamespaceFacts
from aibudget.enforcement.hold import is_true, way_back, way_to_decide
from aibudget.enforcement.live import Live, is_protected, is_vetoed
from aibudget.enforcement.sparing import unfit
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import Workload

State = Literal["Held", "OnNotice", "WaitingForApproval", "Contested", "HoldGone", "Free"]

_OF_CLAIMS = {"Approved": "OnNotice", "Pending": "AsksApproval", "Vetoed": "Vetoed", "Expired": "NotApproved"}


@dataclass(frozen=True, slots=True)
class Word:
    """What one budget has to do with the workload: `verdict` in one word, `message` in sentences.

    `until` is the end of its period. `place` is why the workload was chosen and where it stood. `unusual` is
    what it has to do with unusual spend that lasts, `changed` how much more or less it costs than in the
    period before.
    """

    kind: str
    name: str
    verdict: str
    message: str
    threshold: str | None = None
    period_id: str | None = None
    notice_time: datetime | None = None
    until: datetime | None = None
    place: str | None = None
    rank: int | None = None
    unusual: str | None = None
    changed: str | None = None


@dataclass(frozen=True, slots=True)
class Fence:
    """A Freeze or Block of the workload's namespace: it stops nothing, but keeps new pods from starting."""

    action: str
    hold: str
    in_force: bool
    budgets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """What was read of the workload; `namespace` is None where it could not be read.

    `fences` are the Holds on its namespace, `pod_labels` those that its pods get now, None where unknown.
    """

    live: Live
    namespace: NamespaceFacts | None
    hold: Hold | None
    fences: tuple[Hold, ...] = ()
    pod_labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole answer. `puts_back` are paths with JSON text, None for what was absent; `currency` is that of
    the cost, where the budgets that hold it agree on one.
    """

    namespace: str
    kind: str
    name: str
    state: State
    since: datetime | None
    hold: str | None
    puts_back: tuple[tuple[str, str | None], ...]
    avoided_cost_per_hour: Decimal | None
    currency: str | None
    budgets: tuple[Word, ...]
    fences: tuple[Fence, ...]
    way_back: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As `-o json` prints it: camelCase, times in RFC 3339, money as text, nothing that is unknown."""
        found = asdict(self)
        found["puts_back"] = [_known({"path": path, "json": json}) for path, json in self.puts_back]
        for key in ("budgets", "fences"):
            found[key] = [_known(one) for one in found[key]]
        return _known(found)


def explain(subject: Subject, budgets: Sequence[Budget], now: datetime) -> Explanation:
    """Of the budgets, those that cover the workload or claim it, each with its word."""
    hold, workload = subject.hold, subject.live.workload
    state = state_of(subject)
    open_claims = () if hold is None else tuple(c for c in hold.spec.claims if not is_closed(c))
    noticed = min((claim.notice_time for claim in open_claims if claim.notice_time), default=None)
    found = [(budget, word_of(budget, subject, now)) for budget in budgets]
    words = [
        replace(word, unusual=unusual_of(budget, workload), changed=changed_of(budget, workload))
        for budget, word in found
        if word is not None
    ]
    known = {budget.uid for budget in budgets}
    words += [_claims(claim, hold, None) for claim in open_claims if hold and claim.uid not in known]
    return Explanation(
        namespace=workload.namespace,
        kind=workload.kind,
        name=workload.name,
        state=state,
        since=None if hold is None or state == "Free" else hold.status.enforced_time or noticed,
        hold=None if hold is None else hold.name,
        puts_back=() if hold is None else tuple((o.path, o.json_value) for o in hold.spec.original or ()),
        avoided_cost_per_hour=None if hold is None else hold.status.avoided_cost_per_hour,
        currency=_currency(open_claims, budgets),
        budgets=tuple(words),
        fences=tuple(_fence(fence) for fence in subject.fences),
        way_back=_ways(hold, state),
    )


def _currency(claims: Sequence[Claim], budgets: Sequence[Budget]) -> str | None:
    uids = {claim.uid for claim in claims}
    found = {budget.spec.currency for budget in budgets if budget.uid in uids}
    return found.pop() if len(found) == 1 else None


def _fence(hold: Hold) -> Fence:
    budgets = tuple(f"{claim.kind} {claim.name}" for claim in hold.spec.claims if not is_closed(claim))
    return Fence(hold.spec.action, hold.name, is_true(hold, ConditionType.APPLIED), budgets)


def _ways(hold: Hold | None, state: State) -> tuple[str, ...]:
    if hold is None or state == "Free":
        return ()
    return (way_to_decide(hold),) if state == "WaitingForApproval" else way_back(hold)


def state_of(subject: Subject) -> State:
    """Where the workload stands; a Hold whose claims are all closed does nothing."""
    hold = subject.hold
    if hold is None:
        return "Free" if subject.live.hold_label is None else "HoldGone"
    if all(map(is_closed, hold.spec.claims)) and not is_true(hold, ConditionType.APPLIED):
        return "Free"
    if is_true(hold, ConditionType.CONTESTED):
        return "Contested"
    if is_true(hold, ConditionType.APPLIED):
        return "Held"
    approved = any(claim.decision == "Approved" for claim in hold.spec.claims)
    return "OnNotice" if approved else "WaitingForApproval"


def word_of(budget: Budget, subject: Subject, now: datetime) -> Word | None:
    """What the budget has to do with the workload; None where it does not cover it."""
    hold = subject.hold
    claim = next((c for c in hold.spec.claims if c.uid == budget.uid), None) if hold else None
    if claim is not None and hold is not None:
        return _claims(claim, hold, budget)
    covered = _covers(budget, subject)
    if covered is None:
        return Word(budget.kind, budget.name, "Unknown", _unknown(subject))
    return _leaves(budget, subject, now) if covered else None


def _unknown(subject: Subject) -> str:
    if subject.namespace is None:
        return f"Namespace {subject.live.workload.namespace} could not be read: its scope may cover it."
    return (
        "Its scope selects workloads of the namespace by the labels that their pods had, or by what they are "
        "part of: it may cover it. Whom it counts is in its status."
    )


def _covers(budget: Budget, subject: Subject) -> bool | None:
    if not (inside := _is_inside(budget, subject)):
        return inside
    selection, workload = selection_of(budget), subject.live.workload
    if selection.takes_all_workloads:
        return True
    told = [(one.namespace, one.kind, one.name) for one in budget.status.top_workloads]
    told += [(one.namespace, one.kind, one.name) for one in budget.status.spared]
    namespace = None if budget.namespace else workload.namespace
    if (namespace, workload.kind, workload.name) in told:
        return True
    known = subject.pod_labels
    labels = {} if known is None else {key: known.get(key, "") for key in selection.keys}
    taken = selection.takes(workload, labels, OwnerBook())
    # By name it may take what the workload is part of, which is not known here.
    return taken if taken or selection.workloads is None else None


def _is_inside(budget: Budget, subject: Subject) -> bool | None:
    namespace = subject.live.workload.namespace
    if not isinstance(budget, ClusterAIBudget):
        return budget.namespace == namespace
    if subject.namespace is not None:
        return budget.spec.scope.covers(namespace, dict(subject.namespace.labels))
    if namespace in (budget.spec.scope.namespaces or ()):
        return True
    return None if budget.spec.scope.asks_labels else False


def _claims(claim: Claim, hold: Hold, budget: Budget | None) -> Word:
    held = claim.decision == "Approved" and is_true(hold, ConditionType.APPLIED)
    period = None if budget is None else budget.status.period
    decided = f"; {claim.decision} by {claim.decided_by}" if claim.decided_by else ""
    if not decided and claim.decision != "Approved":
        decided = f"; {claim.decision}"
    message = f"Threshold {claim.threshold} is crossed{decided}."
    if budget is not None:
        message += f" {_used(budget)}{_unless_known(budget) if held else ''}"
    return Word(
        claim.kind,
        claim.name,
        "Holds" if held else _OF_CLAIMS[claim.decision],
        message,
        threshold=claim.threshold,
        period_id=claim.period_id,
        notice_time=claim.notice_time,
        until=period.end_time if period is not None and period.id == claim.period_id else None,
        place=claim.reason,
        rank=claim.rank,
    )


def _unless_known(budget: Budget) -> str:
    fresh = find_condition(budget.status.conditions, ConditionType.DATA_FRESH)
    if fresh is None or fresh.status == "True":
        return ""
    return f" Within the period it gives back on fresh data alone, and there is none: {fresh.message}"


def _leaves(budget: Budget, subject: Subject, now: datetime) -> Word:
    """Why a budget that covers the workload does not claim it."""
    verdict, said = _why_not(budget, subject, now)
    return Word(budget.kind, budget.name, verdict, f"{said} {_used(budget)}")


def _why_not(budget: Budget, subject: Subject, now: datetime) -> tuple[str, str]:
    acting = [t for t in budget.spec.effective_thresholds if "ScaleDown" in t.actions]
    if not acting:
        return "StopsNothing", "It stops nothing: no threshold of it lists ScaleDown."
    if budget.spec.enforcement.mode == "Observe":
        return "Observes", "Mode Observe: it stops nothing."
    states = {threshold.name: threshold.state for threshold in budget.status.thresholds}
    found = [states.get(threshold.name) for threshold in acting]
    if "Active" in found:
        return _spares(budget, subject, now)
    if "Waiting" in found:
        return (
            "Waiting",
            "A threshold was crossed by an edit, not by new spend: it acts from the next period on.",
        )
    if None in found:
        return "NotEvaluated", "It is not evaluated yet."
    percent = min(threshold.percent for threshold in acting)
    return "BelowThreshold", f"No threshold that scales down is crossed; the first is at {percent} %."


def _spares(budget: Budget, subject: Subject, now: datetime) -> tuple[str, str]:
    live, workload = subject.live, subject.live.workload
    for one in budget.status.spared:
        named = (one.namespace or budget.namespace, one.kind, one.name)
        if named == (workload.namespace, workload.kind, workload.name):
            return "Spares", f"It spares it ({one.reason}): {one.message}."
    if subject.namespace and is_protected(subject.namespace.labels, subject.namespace.annotations, now):
        return "Spares", "It spares it: its namespace is protected."
    tenant = not isinstance(budget, ClusterAIBudget)
    if tenant and is_protected(live.labels, live.annotations, now):
        return "Spares", "It spares it: it is protected."
    period = budget.status.period
    if tenant and period is not None and is_vetoed(live, budget.uid, period.id):
        return "Spares", "It spares it: somebody had it back in this period."
    selector = budget.spec.enforcement.protect
    if selector is not None and selector.matches(live.labels):
        return "Spares", "It spares it: its enforcement.protect selects it."
    if (why := unfit(live, heard=tenant)) is not None:
        return "Spares", f"It spares it ({why[0]}): {why[1]}."
    return _not_yet(budget)


def _not_yet(budget: Budget) -> tuple[str, str]:
    fresh = find_condition(budget.status.conditions, ConditionType.DATA_FRESH)
    if fresh is not None and fresh.status != "True":
        return "DataStale", f"Usage is not known well enough to stop anything: {fresh.message}"
    said = (
        "A threshold that scales down is crossed, and no Hold asks for this workload: it was not seen to "
        "spend in this budget, or the kill switch is set, or the next cycle takes it."
    )
    return "NotChosen", said


def unusual_of(budget: Budget, workload: Workload) -> str | None:
    """Its part of what lasts and is unusual in the budget; None where it has none."""
    for anomaly in budget.status.anomalies:
        for one in anomaly.workloads if anomaly.end_time is None else ():
            if (one.namespace or budget.namespace, one.kind, one.name) == (
                workload.namespace,
                workload.kind,
                workload.name,
            ):
                amount = Money(abs(one.amount), budget.spec.currency)
                side = "more" if one.amount > 0 else "less"
                span = f"from {format_instant(anomaly.start_time)} to {format_instant(anomaly.detected_time)}"
                said = f"Unusual: it cost {amount} {side} {span} than in such hours of the weeks before"
                return f"{said} ({one.change})." if one.change else f"{said}."
    return None


def changed_of(budget: Budget, workload: Workload) -> str | None:
    """Its part of why the budget's period costs more or less than the one before; None where it has none."""
    for drivers in budget.status.drivers[:1]:
        for one in drivers.workloads:
            if (one.namespace or budget.namespace, one.kind, one.name) == (
                workload.namespace,
                workload.kind,
                workload.name,
            ):
                amount = Money(abs(one.amount), budget.spec.currency)
                side = "more" if one.amount > 0 else "less"
                return f"It cost {amount} {side} than in the period before. {drivers.message}"
    return None


def _used(budget: Budget) -> str:
    spend = budget.status.spend
    if spend is None or spend.used_percent is None:
        return f"What is spent of {_limit(budget, None)} is not known."
    at = f" at {format_instant(spend.as_of_time)}" if spend.as_of_time else ""
    ahead = _foreseen(budget)
    done = "spent" if spend.measure in (None, MONEY) else "used"
    return f"{spend.used_percent} % of {_limit(budget, spend.measure)} was {done}{at}.{ahead}"


def _foreseen(budget: Budget) -> str:
    """Where the budget is foreseen to end, as its condition says it."""
    found = find_condition(budget.status.conditions, ConditionType.FORECAST_WITHIN_BUDGET)
    known = (budget.status.forecast, *(one.forecast for one in budget.status.measures))
    return "" if found is None or not any(known) else f" {found.message}"


def _limit(budget: Budget, measure: str | None) -> str:
    """The limit in force: the money, or the cap of which most is used."""
    status, spec = budget.status, budget.spec
    if measure not in (None, MONEY) or spec.limit is None:
        caps = [f"cap {cap.name} ({cap.quantity} {cap.unit})" for cap in spec.caps or ()]
        found = [one for one in status.measures if one.name == measure]
        return f"cap {found[0].name} ({found[0].limit} {found[0].unit})" if found else " and ".join(caps)
    return str(
        spec.limit.money if status.limit is None else Money(status.limit.amount, status.limit.currency)
    )


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {_camel(key): _plain(value) for key, value in values.items() if value is not None}


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(map(str.capitalize, rest))


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return format_instant(value)
        case Decimal():
            return format(value, "f")
        case tuple():
            return list(value)
    return value
