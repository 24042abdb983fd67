"""What is told once: Events on the transitions of a budget, each under a name that only that transition has.

The name is a hash of the object, the reason and the transition, so a repeat after a crash or by a second
leader finds it taken and says nothing. kopf's poster is not used: it makes a new Event for every call.
Events are written before the status that remembers the transition, so that none is lost between the two.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import ConditionType, EventReason, find_condition
from aibudget.api.money import Money
from aibudget.api.names import API_VERSION
from aibudget.budgeting.evaluation import BudgetKey, Evaluation, ThresholdState
from aibudget.inventory.kubernetes import EVENTS, AlreadyExists, Resource
from aibudget.metering.slots import iso
from aibudget.reporting.status import DataState, shortened

REPORTER: Final = "aibudget"
_CLUSTER_SCOPED: Final = "default"

JsonObject = dict[str, Any]


class EventSink(Protocol):
    """What telling needs of the API server; `Cluster` has it."""

    async def create(self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None) -> Any:
        """Store the object; raises `AlreadyExists`."""


@dataclass(frozen=True, slots=True)
class Event:
    """`transition` tells this one from any other of the same reason on the same object; it holds no clock."""

    regarding: BudgetKey
    reason: EventReason
    action: str
    message: str
    transition: str

    @property
    def name(self) -> str:
        """A DNS name that is the same for whoever tells it, and whenever."""
        words = (self.regarding.uid, self.reason.value, self.transition)
        digest = hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
        return f"{self.regarding.name[:200].rstrip('.-')}.{digest}"


def transitions(
    before: BudgetStatus, evaluation: Evaluation, data: DataState, *, enforcing: bool
) -> tuple[Event, ...]:
    """What is new since `before`. `enforcing` says whether actions that hold workloads are really carried out."""
    return (
        *_new_period(before, evaluation),
        *(_threshold(state, evaluation, enforcing=enforcing) for state in evaluation.changes if _told(state)),
        *_data(before, evaluation, data),
        *_prices(before, evaluation),
    )


def invalid(key: BudgetKey, generation: int, message: str) -> Event:
    """A manifest that is left out, once for each generation."""
    return Event(key, EventReason.INVALID_SPEC, "Validate", message, str(generation))


def manifest(event: Event, now: int, instance: str) -> JsonObject:
    """The core/v1 Event, in the form that every version of kubectl shows."""
    regarding = event.regarding
    reference = {
        "apiVersion": API_VERSION,
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
            told += 1
        except AlreadyExists:
            continue
    return told


def _new_period(before: BudgetStatus, evaluation: Evaluation) -> Iterator[Event]:
    if before.period is None or before.period.id == evaluation.period.id:
        return
    limit = Money(evaluation.limit, evaluation.currency)
    yield Event(
        evaluation.budget,
        EventReason.PERIOD_STARTED,
        "StartPeriod",
        f"Period {evaluation.period.id} began with a limit of {limit}; it ends at {iso(evaluation.period.interval.end)}.",
        evaluation.period.id,
    )


def _told(state: ThresholdState) -> bool:
    return "Notify" in state.threshold.actions


def _threshold(state: ThresholdState, evaluation: Evaluation, *, enforcing: bool) -> Event:
    threshold = state.threshold
    standing = "Below" if state.standing == "Below" else "Crossed"
    transition = f"{evaluation.period.id}/{threshold.name}/{standing}/{evaluation.generation}"
    if standing == "Below":
        message = (
            f"{_where(evaluation)} Threshold {threshold.name} ({threshold.percent} %) is no longer crossed."
        )
        return Event(evaluation.budget, EventReason.BUDGET_RECOVERED, "Evaluate", message, transition)
    reason = EventReason.BUDGET_EXCEEDED if threshold.percent >= 100 else EventReason.BUDGET_THRESHOLD_REACHED
    next_step = _consequence(state, evaluation, enforcing=enforcing)
    message = (
        f"{_where(evaluation)} Threshold {threshold.name} ({threshold.percent} %) is crossed. {next_step}"
    )
    return Event(evaluation.budget, reason, "Evaluate", message, transition)


def _where(evaluation: Evaluation) -> str:
    spent = Money(evaluation.spend.amount, evaluation.currency)
    limit = Money(evaluation.limit, evaluation.currency)
    return f"{spent} of {limit} is spent ({evaluation.spend.used_percent} %) in {evaluation.period.id}."


def _consequence(state: ThresholdState, evaluation: Evaluation, *, enforcing: bool) -> str:
    if "ScaleDown" not in state.threshold.actions:
        return "Nothing is stopped."
    if state.standing == "Waiting":
        return "It was crossed before it could act: nothing is stopped in this period."
    if state.standing == "Crossed":
        return "Mode Observe: nothing is stopped; with mode Enforce its workloads would be scaled down."
    if not enforcing:
        return "Enforcement is off in this operator: nothing is stopped."
    return (
        "Its workloads are scaled down after the grace period; raise spec.limit.amount, protect a workload or "
        f"delete its Hold to keep it. They come back at {iso(evaluation.period.interval.end)}."
    )


def _data(before: BudgetStatus, evaluation: Evaluation, data: DataState) -> Iterator[Event]:
    stood = find_condition(before.conditions, ConditionType.DATA_FRESH)
    if stood is None or (stood.status == "True") == data.fresh:
        return
    since = stood.last_transition_time.isoformat()
    if data.fresh:
        message = "Usage is known again; what was missed is being read."
        yield Event(evaluation.budget, EventReason.DATA_RECOVERED, "Measure", message, since)
    else:
        message = f"{data.message} Spend stays what is known; nothing new is stopped and nothing is released for it."
        yield Event(evaluation.budget, EventReason.DATA_STALE, "Measure", message, since)


def _prices(before: BudgetStatus, evaluation: Evaluation) -> Iterator[Event]:
    unpriced = evaluation.spend.unpriced
    if not unpriced:
        return
    message = f"No price matches {', '.join(unpriced)}: its usage is counted and not charged. Add a rate to an AIPriceList."
    digest = hashlib.sha256("\0".join(unpriced).encode()).hexdigest()[:8]
    yield Event(
        evaluation.budget, EventReason.PRICE_MISSING, "Price", message, f"{evaluation.period.id}/{digest}"
    )
