"""Anomalies in a status, in a condition and in words: one wording for Events, messages and people. Pure."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from aibudget.api.budgetstatus import Anomaly as AnomalyStatus
from aibudget.api.budgetstatus import AnomalyWorkload
from aibudget.api.conditions import Reason, Status
from aibudget.api.money import Money
from aibudget.budgeting.evaluation import BudgetKey, Evaluation
from aibudget.budgeting.vigil import HOUR, Anomaly, Cause, Standing
from aibudget.metering.slots import iso

_CHANGE: Final = 128
_SAID: Final[dict[Standing, tuple[Status, Reason, str]]] = {
    "AsUsual": ("True", Reason.AS_USUAL, "The last hours cost about what such hours usually do."),
    "Learning": (
        "Unknown",
        Reason.LEARNING,
        "Fewer than four weeks of hours are known: too few to say what is usual.",
    ),
    "Unknown": (
        "Unknown",
        Reason.HOUR_UNKNOWN,
        "The newest hour was not measured, or something was held in it: nothing is said of it.",
    ),
    "Planned": (
        "Unknown",
        Reason.SPEND_PLANNED,
        "The newest hour lies in one of spec.plannedWindows: nothing is said of it.",
    ),
}


def condition(evaluation: Evaluation) -> tuple[Status, Reason, str] | None:
    """Status, reason and message of ``SpendAsUsual``; None before the first look."""
    watched = evaluation.watched
    if watched.standing is None:
        return None
    if watched.lasting is not None:
        return "False", Reason.UNUSUAL_SPEND, sentence(watched.lasting, evaluation)
    return _SAID[watched.standing]


def sentence(one: Anomaly, evaluation: Evaluation) -> str:
    """What was unusual, by how much, and where it comes from."""
    currency, hours = evaluation.currency, (one.told - one.start) // HOUR
    span = "The hour" if hours == 1 else f"The {hours} hours"
    said = (
        f"{span} up to {iso(one.told)} cost {_money(one.actual, currency)}, where "
        f"{_money(one.expected, currency)} is usual: {_difference(one.impact, currency)}."
    )
    return " ".join([said, *(_cause(cause, evaluation) for cause in one.causes)])


def statuses(evaluation: Evaluation) -> tuple[AnomalyStatus, ...]:
    """As a status says them."""
    return tuple(
        AnomalyStatus(
            start_time=_time(one.start),
            detected_time=_time(one.told),
            amount=_cents(one.actual),
            expected=_cents(one.expected),
            end_time=None if one.ended is None else _time(one.ended),
            workloads=tuple(_workload(cause, evaluation.budget) for cause in one.causes),
        )
        for one in evaluation.watched.anomalies
    )


def _workload(cause: Cause, budget: BudgetKey) -> AnomalyWorkload:
    return AnomalyWorkload(
        namespace=None if budget.namespace else cause.workload.namespace,
        kind=cause.workload.kind,
        name=cause.workload.name,
        amount=_cents(cause.amount),
        change=cause.change[:_CHANGE],
    )


def _cause(cause: Cause, evaluation: Evaluation) -> str:
    named, currency = cause.workload, evaluation.currency
    place = named.name if evaluation.budget.namespace else f"{named.namespace}/{named.name}"
    change = f" ({cause.change})" if cause.change else ""
    return f"{named.kind} {place}{change}: {_difference(cause.amount, currency)}."


def _difference(amount: float, currency: str) -> str:
    return f"{_money(abs(amount), currency)} {'more' if amount > 0 else 'less'}"


def _time(instant: int) -> datetime:
    return datetime.fromtimestamp(instant, UTC)


def _money(amount: float, currency: str) -> str:
    return str(Money(_cents(amount), currency))


def _cents(amount: float) -> Decimal:
    return Decimal(amount).quantize(Decimal("0.01"), ROUND_HALF_EVEN)
