"""What is told once: Events on the transitions of a budget, each under a name that only that transition has.

The name is a hash of the object, the reason and the transition, so a repeat after a crash or by a second
leader finds it taken and says nothing. kopf's poster is not used: it makes a new Event for every call.
Events are written before the status that remembers the transition, so that none is lost between the two.
"""

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import Condition, ConditionType, EventReason, Reason, find_condition
from aibudget.api.names import API_VERSION
from aibudget.budgeting.evaluation import BudgetKey, Evaluation, ThresholdState
from aibudget.budgeting.hierarchy import Place
from aibudget.inventory.kubernetes import AlreadyExists
from aibudget.inventory.resource import EVENTS, Resource
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import iso
from aibudget.reporting import unusual
from aibudget.reporting.conditions import MOST_NAMED, foreseen_state, shortened, unpriced
from aibudget.reporting.facts import DataState
from aibudget.reporting.figures import limits_of, used_of
from aibudget.reporting.scoping import costly, over

REPORTER: Final = "aibudget"
_DAY: Final = 86_400
_CLUSTER_SCOPED: Final = "default"
_WOULD: Final = {
    "Freeze": EventReason.WOULD_FREEZE,
    "Block": EventReason.WOULD_BLOCK,
    "ScaleDown": EventReason.WOULD_SCALE_DOWN,
}
_DONE: Final = {"Freeze": "frozen", "Block": "blocked", "ScaleDown": "scaled down"}
_MEANS: Final = {
    "Freeze": "Use of accelerators may not grow from now on.",
    "Block": "New pods with accelerators are refused from now on.",
}

JsonObject = dict[str, Any]

_Acting = Literal["acting", "asking", "off"]
"""Whether actions that hold something are carried out, each of them if a person approves it, or none."""

log = logging.getLogger(__name__)


class EventSink(Protocol):
    """What telling needs of the API server; `Cluster` has it."""

    async def create(self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None) -> Any:
        """Store the object; raises `AlreadyExists`."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that an Event is about, as a reference names it."""

    api_version: str
    kind: str
    namespace: str | None
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def budget(key: BudgetKey) -> Subject:
    """A budget as a subject."""
    return Subject(API_VERSION, key.kind, key.namespace, key.name, key.uid)


@dataclass(frozen=True, slots=True)
class Event:
    """`transition` tells this one from any other of the same reason on the same object; it holds no clock.

    `related` is the workload that an Event on a budget is about.
    """

    regarding: Subject
    reason: EventReason
    action: str
    message: str
    transition: str
    related: Workload | None = None

    @property
    def name(self) -> str:
        """A DNS name that is the same for whoever tells it, and whenever."""
        words = (self.regarding.uid, self.reason.value, self.transition)
        digest = hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
        return f"{self.regarding.name[:200].rstrip('.-')}.{digest}"


def transitions(
    before: BudgetStatus, evaluation: Evaluation, data: DataState, *, enforcing: bool, asking: bool = False
) -> tuple[Event, ...]:
    """What is new since `before`. `enforcing`: whether actions that hold workloads are really carried out;
    `asking`: whether a person approves each of them before.
    """
    subject = budget(evaluation.budget)
    told = [state for state in evaluation.changes if "Notify" in state.threshold.actions]
    acting: _Acting = ("asking" if asking else "acting") if enforcing else "off"
    return (
        *_new_period(subject, before, evaluation),
        *(event for state in told for event in _threshold(subject, state, evaluation, acting)),
        *data_changed(subject, before, data),
        *_prices(subject, before, evaluation),
        *_unusual(subject, before, evaluation),
    )


def unit_costs(before: BudgetStatus, evaluation: Evaluation) -> tuple[Event, ...]:
    """Unit costs that have come above their ceilings, each at most once an hour."""
    stood = {one.name for one in before.unit_costs if one.state == "Above"}
    hour = evaluation.evaluated // 3600
    return tuple(
        Event(
            budget(evaluation.budget),
            EventReason.UNIT_COST_EXCEEDED,
            "Evaluate",
            f"{costly(one, evaluation.currency)} Nothing is stopped for that.",
            f"{evaluation.period.id}/{one.spec.name}/{hour}",
        )
        for one in evaluation.unit_costs
        if one.state == "Above" and one.spec.name not in stood
    )


def overcommitted(before: BudgetStatus, evaluation: Evaluation, place: Place) -> tuple[Event, ...]:
    """That limits inside the budget have come to add up to more than its own."""
    stood = find_condition(before.conditions, ConditionType.OVERCOMMITTED)
    if place.committed is None or stood is not None:
        return ()
    transition = f"{evaluation.limit}/{place.children}/{place.committed}"
    reason = EventReason.BUDGET_OVERCOMMITTED
    return (Event(budget(evaluation.budget), reason, "Evaluate", over(evaluation, place), transition),)


def invalid(
    subject: Subject, before: Sequence[Condition], generation: int, message: str
) -> tuple[Event, ...]:
    """A manifest that is left out, once for each generation."""
    stood = find_condition(before, ConditionType.STALLED)
    if stood is not None and (stood.reason, stood.observed_generation) == (Reason.INVALID_SPEC, generation):
        return ()
    return (Event(subject, EventReason.INVALID_SPEC, "Validate", message, str(generation)),)


def standing(subject: Subject, before: Sequence[Condition], after: Sequence[Condition]) -> Iterator[Event]:
    """What becomes of an AIMeter or an AIPriceList: left out, for another reason, or used again."""
    stood, stands = (find_condition(known, ConditionType.STALLED) for known in (before, after))
    if stands is not None:
        known = None if stood is None else (stood.reason, stood.observed_generation)
        if known != (stands.reason, stands.observed_generation):
            ready = find_condition(before, ConditionType.READY)
            since = stood or ready
            transition = (
                f"{stands.observed_generation}/{stands.reason}/{since and since.last_transition_time}"
            )
            yield Event(subject, EventReason.STALLED, "Validate", stands.message, transition)
    elif stood is not None:
        message = "It is in use again."
        yield Event(subject, EventReason.RECOVERED, "Validate", message, f"{stood.last_transition_time}")


def undelivered(subject: Subject, receiver: str, reason: str, transition: str) -> Event:
    """A receiver that was not told. Why is for whoever runs the operator, and stands in its log."""
    message = (
        f"Receiver {receiver} could not be told of {reason}: ask whoever runs the operator, or see its log."
    )
    return Event(subject, EventReason.DELIVERY_FAILED, "Notify", message, f"{receiver}/{transition}")


def manifest(event: Event, now: int, instance: str) -> JsonObject:
    """The core/v1 Event, in the form that every version of kubectl shows."""
    regarding = event.regarding
    reference = {
        "apiVersion": regarding.api_version,
        "kind": regarding.kind,
        "name": regarding.name,
        "uid": regarding.uid,
    } | ({"namespace": regarding.namespace} if regarding.namespace else {})
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": event.name, "namespace": regarding.namespace or _CLUSTER_SCOPED},
        "involvedObject": reference,
        "reason": event.reason.value,
        "type": event.reason.kind,
        "message": shortened(event.message),
        "action": event.action,
        "count": 1,
        "firstTimestamp": iso(now),
        "lastTimestamp": iso(now),
        "reportingComponent": REPORTER,
        "reportingInstance": instance,
        "source": {"component": REPORTER},
    }


async def tell(sink: EventSink, events: Iterable[Event], now: int, instance: str) -> int:
    """Write the Events that nobody has written yet; how many that were. API errors are the caller's."""
    told = 0
    for event in events:
        try:
            body = manifest(event, now, instance)
            await sink.create(EVENTS, body, body["metadata"]["namespace"])
            log.info(
                "%s", event.message, extra={"reason": event.reason.value, "object": str(event.regarding)}
            )
            told += 1
        except AlreadyExists:
            continue
    return told


def _new_period(subject: Subject, before: BudgetStatus, evaluation: Evaluation) -> Iterator[Event]:
    period = evaluation.period
    # A status that was put back to an old one speaks of another period, and this one began long ago.
    if before.period is None or before.period.id == period.id or not evaluation.began:
        return
    began = f"Period {period.id} began with a limit of {limits_of(evaluation)}"
    message = f"{began}; it ends at {iso(period.interval.end)}."
    yield Event(subject, EventReason.PERIOD_STARTED, "StartPeriod", message, period.id)


def _threshold(
    subject: Subject, state: ThresholdState, evaluation: Evaluation, acting: _Acting
) -> Iterator[Event]:
    threshold = state.threshold
    crossed = state.standing not in ("Below", "Unknown")
    transition = f"{evaluation.period.id}/{threshold.name}/{crossed}/{evaluation.generation}"
    percent = f"{threshold.percent} %"
    if threshold.basis == "Forecast":
        # What is foreseen falls as well as it rises: another day's crossing is told again.
        transition += f"/{evaluation.evaluated // _DAY}"
        percent = f"forecast {percent}"
    what = f"{_where(evaluation)} Threshold {threshold.name} ({percent})"
    if not crossed:
        message = f"{what} is no longer crossed."
        yield Event(subject, EventReason.BUDGET_RECOVERED, "Evaluate", message, transition)
        return
    over = threshold.percent >= 100
    reason = EventReason.BUDGET_EXCEEDED if over else EventReason.BUDGET_THRESHOLD_REACHED
    if threshold.basis == "Forecast":
        reason, what = EventReason.BUDGET_FORECAST_EXCEEDED, f"{foreseen_state(evaluation)[2]} {what}"
    message = f"{what} is crossed. {_consequence(state, evaluation, acting)}"
    yield Event(subject, reason, "Evaluate", message, transition)
    undone = [(_WOULD[action], f"{_DONE[action]}: {_to_whom(action, evaluation)}") for action in _acts(state)]
    if state.standing == "Crossed":
        for reason, done in undone:
            message = f"Mode Observe: in another mode this would be {done}."
            yield Event(subject, reason, "Evaluate", message, transition)
    elif state.standing == "Active" and acting == "off" and undone:
        all_of_it = "; ".join(done for _, done in undone)
        message = f"Enforcement is switched off, else this would be {all_of_it}."
        yield Event(subject, EventReason.ENFORCEMENT_PAUSED, "Enforce", message, transition)


def _acts(state: ThresholdState) -> list[str]:
    """The actions of its threshold that hold something, in the order in which they are taken."""
    return [action for action in _WOULD if action in state.threshold.actions]


def _where(evaluation: Evaluation) -> str:
    return f"{used_of(evaluation)}."


def _consequence(state: ThresholdState, evaluation: Evaluation, acting: _Acting) -> str:
    acts = _acts(state)
    if not acts:
        return "Nothing is stopped for it."
    match state.standing:
        case "Waiting":
            return "No new usage crossed it, but an edit or a new limit: nothing is stopped in this period."
        case "Crossed":
            return "Mode Observe: nothing is stopped."
    if acting == "off":
        return "Enforcement is switched off: nothing is stopped."
    asked = "Each waits for a person (kubectl aibudget holds). " if acting == "asking" else ""
    return (
        f"{' '.join(_means(action, evaluation) for action in acts)} {asked}"
        f"Raise {_way(state, evaluation)}, protect a workload or delete its Hold to keep it; "
        f"all comes back at {iso(evaluation.period.interval.end)}."
    )


def _way(state: ThresholdState, evaluation: Evaluation) -> str:
    ahead = state.threshold.basis == "Forecast"
    cap = evaluation.foreseen.leading_cap if ahead else evaluation.leading_cap
    return "spec.limit.amount" if cap is None else f"the quantity of spec.caps {cap.name}"


def _means(action: str, evaluation: Evaluation) -> str:
    if action != "ScaleDown":
        return _MEANS[action]
    extent = "What spends in it" if evaluation.stops_everything else "As much of it as the forecast asks for"
    return f"{extent} is scaled down after the grace period."


def _to_whom(action: str, evaluation: Evaluation) -> str:
    if action == "ScaleDown":
        return _spenders(evaluation)
    own = evaluation.budget.namespace
    spending = {spend.workload.namespace for spend in evaluation.workloads}
    names = [own] if own else sorted(spending)
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"namespace {', '.join(names[:MOST_NAMED])}{more}" if names else "no namespace that spends"


def _spenders(evaluation: Evaluation) -> str:
    names = [
        f"{spend.workload.kind} {spend.workload.namespace}/{spend.workload.name}"
        for spend in evaluation.workloads
        if spend.rate_per_hour > 0
    ]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    told = ", ".join(names[:MOST_NAMED]) + more or "nothing that spends now"
    return told if evaluation.stops_everything else f"as much as the forecast asks for, of {told}"


def data_changed(subject: Subject, before: BudgetStatus, data: DataState) -> Iterator[Event]:
    """That usage is not known well enough any more, or is again."""
    stood = find_condition(before.conditions, ConditionType.DATA_FRESH)
    if stood is None or (stood.status == "True") == data.fresh:
        return
    # Once an hour at most: a source that comes and goes must not fill the namespace with Events.
    hour = f"{stood.last_transition_time:%Y-%m-%dT%H}"
    if data.fresh:
        message = "Usage is known again; what was missed is being read."
        yield Event(subject, EventReason.DATA_RECOVERED, "Measure", message, hour)
    else:
        message = (
            f"{data.message} Spend stays what is known; nothing new is stopped, nothing released for it."
        )
        yield Event(subject, EventReason.DATA_STALE, "Measure", message, hour)


def _unusual(subject: Subject, before: BudgetStatus, evaluation: Evaluation) -> Iterator[Event]:
    told = {int(one.detected_time.timestamp()) for one in before.anomalies}
    for one in evaluation.watched.anomalies:
        if one.told not in told:
            message = unusual.sentence(one, evaluation)
            yield Event(subject, EventReason.UNUSUAL_SPEND, "Evaluate", message, str(one.told))


def _prices(subject: Subject, before: BudgetStatus, evaluation: Evaluation) -> Iterator[Event]:
    fact = unpriced(evaluation)
    if fact is None or says(find_condition(before.conditions, ConditionType.UNPRICED), fact[2]):
        return
    digest = hashlib.sha256("\0".join(evaluation.spend.unpriced).encode()).hexdigest()[:8]
    transition = f"{evaluation.period.id}/{digest}"
    yield Event(subject, EventReason.PRICE_MISSING, "Price", fact[2], transition)


def says(condition: Condition | None, message: str) -> bool:
    """Whether a condition that is stored has this message, as far as there was room for it."""
    return condition is not None and message.startswith(condition.message.removesuffix("…"))
