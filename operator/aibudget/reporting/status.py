"""The only maker of a budget's status and conditions: facts of all rooms in, one whole status out. Pure.

``Ready`` says that the spec is accepted and was evaluated at this generation; nothing that happens outside the
object moves it. An outage shows in ``DataFresh``, spend in ``WithinBudget``, held workloads in ``Enforced``.
A status is also the memory of its budget: `render` carries over what the next evaluation needs, and what it
is told nothing new about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from aibudget.api.budgetstatus import (
    BudgetStatus,
    HoldCounts,
    LimitStatus,
    PastPeriod,
    PeriodStatus,
    Rate,
    Spend,
    ThresholdStatus,
    TopWorkload,
)
from aibudget.api.conditions import Condition, ConditionType, Reason, Status, drop_condition, set_condition
from aibudget.api.money import Money
from aibudget.api.pricelist import PriceListStatus
from aibudget.budgeting.evaluation import Evaluation, ThresholdState, WorkloadSpend
from aibudget.errors import AIBudgetError, Stalled
from aibudget.metering.slots import iso

TOP_WORKLOADS: Final = 5
HISTORY: Final = 12
MESSAGE_LENGTH: Final = 512
"""Keeps a whole status under 8 KiB, whatever an error has to say."""
HEARTBEAT_SECONDS: Final = 300
"""How old the times in a status may grow while nothing else in it changes."""

JsonObject = dict[str, Any]
Fact = tuple[Status, Reason, str]

_REASONS: Final = {reason.value: reason for reason in Reason}
_SYNONYMS: Final = {"CurrencyMismatch": "MixedCurrencies", "SeveralClusters": "AmbiguousCluster"}
"""How the room that found a problem calls it."""


@dataclass(frozen=True, slots=True)
class DataState:
    """Whether usage is known well enough to act on; the reason is one of those of ``DataFresh``."""

    fresh: bool
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Enforcing:
    """What enforcement does for one budget. `failures` are sentences; `next_act` is the end of the next notice."""

    active: int = 0
    pending: int = 0
    paused: bool = False
    failures: tuple[str, ...] = ()
    next_act: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a status is made of. `before` is the status as it stands; `evaluation` is None where there is none.

    `problem` kept the evaluation from happening. `backfill` says in a sentence what of the period's past is
    still to be read; None when nothing is.
    """

    generation: int
    before: BudgetStatus
    now: int
    evaluation: Evaluation | None
    data: DataState
    enforcing: Enforcing = Enforcing()
    problem: AIBudgetError | None = None
    backfill: str | None = None
    history: tuple[PastPeriod, ...] = ()


def render(facts: Facts) -> BudgetStatus:
    """The whole status at `facts.now`."""
    evaluation = facts.evaluation
    if evaluation is None:
        # Spend stays what was known; only the words about it change.
        update: JsonObject = {}
    else:
        update = _figures(evaluation) | {
            "history": facts.history[:HISTORY],
            "last_evaluation_time": _moment(evaluation.evaluated),
        }
    update["holds"] = HoldCounts(active=facts.enforcing.active, pending=facts.enforcing.pending)
    update["conditions"] = _conditions(facts)
    update["observed_generation"] = facts.generation
    return facts.before.model_copy(update=update)


def price_list(
    before: PriceListStatus, generation: int, problem: AIBudgetError | None, remarks: Sequence[str], now: int
) -> PriceListStatus:
    """The status of an AIPriceList: Ready, and Stalled while it is left out; remarks do not keep it out."""
    conditions, moment = before.conditions, _moment(now)
    if problem is None:
        conditions = drop_condition(conditions, ConditionType.STALLED)
        said = " ".join(["The prices are in use.", *remarks])
        facts: list[tuple[ConditionType, Fact]] = [(ConditionType.READY, ("True", Reason.RECONCILED, said))]
    else:
        why = reason_of(problem)
        facts = [
            (ConditionType.READY, ("False", why, problem.message)),
            (ConditionType.STALLED, ("True", why, problem.message)),
        ]
    for kind, fact in facts:
        conditions = set_condition(conditions, _condition(kind, fact, moment, generation), moment)
    return PriceListStatus(observed_generation=generation, conditions=conditions)


def patch(before: Mapping[str, Any], after: BudgetStatus | PriceListStatus, now: int) -> JsonObject | None:
    """The merge patch that makes the stored status equal to `after`; None where it is not worth a write."""
    wanted = after.to_dict()
    difference = merge_patch(before, wanted)
    if not difference:
        return None
    if _only_times(difference) and now - _written(before) < HEARTBEAT_SECONDS:
        return None
    return difference


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> JsonObject:
    """RFC 7386: what to send so that `before` becomes `after`; lists go whole, absent fields as null."""
    difference: JsonObject = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if nested := merge_patch(old, value):
                difference[key] = nested
        elif key not in before or old != value:
            difference[key] = value
    return difference


def state_of(evaluation: Evaluation) -> Fact:
    """Status, reason and message of ``WithinBudget``."""
    spend, currency = evaluation.spend, evaluation.currency
    if spend.as_of is None:
        return "Unknown", Reason.NO_DATA, "No usage is known yet; spend is unknown, not zero."
    known = Money(spend.amount, currency)
    limit = Money(evaluation.limit, currency)
    said = f"{known} of {limit} is spent ({spend.used_percent} %) in {evaluation.period.id}"
    if not spend.complete:
        said += "; a lower bound, part of the period is not known"
    if spend.amount >= evaluation.limit:
        return "False", Reason.LIMIT_EXCEEDED, f"{said}."
    reached = _highest_crossed(evaluation.thresholds)
    if reached is not None:
        name, percent = reached.threshold.name, reached.threshold.percent
        return "True", Reason.THRESHOLD_REACHED, f"{said}; threshold {name} ({percent} %) is crossed."
    return "True", Reason.BELOW_THRESHOLD, f"{said}."


def past_period(period_id: str, limit: Decimal, spent: Decimal) -> PastPeriod:
    """How a period ended, rounded for display."""
    percent = int((spent * 100 / limit).to_integral_value(ROUND_FLOOR)) if limit else 0
    return PastPeriod(id=period_id, limit=limit, spent=_cents(spent), used_percent=percent)


def _figures(evaluation: Evaluation) -> JsonObject:
    spend, period = evaluation.spend, evaluation.period
    known = spend.as_of is not None
    total = spend.amount
    return {
        "period": PeriodStatus(
            id=period.id,
            start_time=_moment(period.interval.start),
            end_time=_moment(period.interval.end),
        ),
        "limit": LimitStatus(amount=evaluation.limit, currency=evaluation.currency),
        "spend": Spend(
            amount=_cents(total) if known else None,
            used_percent=spend.used_percent if known else None,
            as_of_time=_moment(spend.as_of) if spend.as_of is not None else None,
            coverage_percent=spend.coverage_percent if known else None,
        ),
        "rate": None if evaluation.rate_per_hour is None else Rate(per_hour=_cents(evaluation.rate_per_hour)),
        # What is not known of a threshold is absent, as everywhere in a status.
        "thresholds": tuple(
            ThresholdStatus(
                name=state.threshold.name,
                state=state.standing,
                crossed_time=None if state.crossed is None else _moment(state.crossed),
            )
            for state in evaluation.thresholds
            if state.standing != "Unknown"
        ),
        "top_workloads": _top(evaluation.workloads, total, evaluation.budget.namespace),
    }


def _top(workloads: Sequence[WorkloadSpend], total: Decimal, own: str | None) -> tuple[TopWorkload, ...]:
    order = sorted(workloads, key=lambda spent: (-spent.amount, spent.workload))
    return tuple(
        TopWorkload(
            namespace=None if own else spent.workload.namespace,
            kind=spent.workload.kind,
            name=spent.workload.name,
            amount=_cents(spent.amount),
            percent=int(spent.amount * 100 / total) if total else 0,
            idle_percent=spent.idle_percent,
        )
        for spent in order[:TOP_WORKLOADS]
        if spent.amount > 0
    )


def _conditions(facts: Facts) -> tuple[Condition, ...]:
    found: dict[ConditionType, Fact | None] = {
        ConditionType.READY: _ready(facts),
        ConditionType.RECONCILING: _reconciling(facts),
        ConditionType.STALLED: _stalled(facts.problem),
        ConditionType.WITHIN_BUDGET: _within_budget(facts),
        ConditionType.DATA_FRESH: (
            "True" if facts.data.fresh else "False",
            facts.data.reason,
            facts.data.message,
        ),
        ConditionType.ENFORCED: _enforced(facts.enforcing),
    }
    moment = _moment(facts.now)
    conditions = facts.before.conditions
    for kind, fact in found.items():
        if fact is None:
            conditions = drop_condition(conditions, kind)
            continue
        condition = _condition(kind, fact, moment, facts.generation)
        conditions = set_condition(conditions, condition, moment)
    order = [kind.value for kind in found]
    return tuple(sorted((c for c in conditions if c.type in order), key=lambda c: order.index(c.type)))


def _condition(kind: ConditionType, fact: Fact, moment: datetime, generation: int) -> Condition:
    status, reason, message = fact
    return Condition(
        type=kind.value,
        status=status,
        reason=reason.value,
        message=shortened(message),
        last_transition_time=moment,
        observed_generation=generation,
    )


def _ready(facts: Facts) -> Fact:
    problem = facts.problem
    if isinstance(problem, Stalled):
        return "False", reason_of(problem), problem.message
    if facts.evaluation is not None:
        return "True", Reason.RECONCILED, "The budget is accepted and evaluated."
    was_ready = any(
        condition.type == ConditionType.READY
        and condition.status == "True"
        and condition.observed_generation == facts.generation
        for condition in facts.before.conditions
    )
    if was_ready:
        return "True", Reason.RECONCILED, "The budget is accepted and evaluated."
    return "Unknown", Reason.PROGRESSING, "The budget is not evaluated yet."


def _reconciling(facts: Facts) -> Fact | None:
    if isinstance(facts.problem, Stalled):
        return None
    if facts.problem is not None:
        return "True", Reason.PROGRESSING_WITH_RETRY, facts.problem.message
    if facts.evaluation is None:
        return "True", Reason.PROGRESSING, "The first evaluation is still to come."
    return None if facts.backfill is None else ("True", Reason.PROGRESSING, facts.backfill)


def _stalled(problem: AIBudgetError | None) -> Fact | None:
    return ("True", reason_of(problem), problem.message) if isinstance(problem, Stalled) else None


def _within_budget(facts: Facts) -> Fact:
    if facts.evaluation is not None:
        return state_of(facts.evaluation)
    stands = next((c for c in facts.before.conditions if c.type == ConditionType.WITHIN_BUDGET), None)
    if stands is not None:
        return stands.status, _REASONS.get(stands.reason, Reason.NO_DATA), stands.message
    return "Unknown", Reason.NO_DATA, "No usage is known yet; spend is unknown, not zero."


def _enforced(enforcing: Enforcing) -> Fact | None:
    if enforcing.failures:
        return "True", Reason.ENFORCEMENT_FAILED, " ".join(enforcing.failures)
    held = f"{enforcing.active} workload{'s' if enforcing.active != 1 else ''} held back"
    if enforcing.active:
        return "True", Reason.WORKLOADS_HELD, f"{held}, {enforcing.pending} on notice."
    if enforcing.pending and not enforcing.paused:
        until = "" if enforcing.next_act is None else f" until {iso(enforcing.next_act)}"
        return "True", Reason.GRACE_PERIOD, f"{enforcing.pending} on notice{until}; delete the Hold to veto."
    return None


def reason_of(problem: AIBudgetError) -> Reason:
    """The reason of an error in the vocabulary of conditions."""
    otherwise = Reason.INTERNAL_ERROR if isinstance(problem, Stalled) else Reason.PROGRESSING_WITH_RETRY
    return _REASONS.get(_SYNONYMS.get(problem.reason, problem.reason), otherwise)


def shortened(message: str) -> str:
    """A message short enough for a status, cut where it must be."""
    return message if len(message) <= MESSAGE_LENGTH else message[: MESSAGE_LENGTH - 1] + "…"


def _highest_crossed(thresholds: Sequence[ThresholdState]) -> ThresholdState | None:
    crossed = [state for state in thresholds if state.standing not in ("Below", "Unknown")]
    return max(crossed, key=lambda state: state.threshold.percent, default=None)


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def _moment(instant: int) -> datetime:
    return datetime.fromtimestamp(instant, UTC)


def _only_times(difference: Mapping[str, Any]) -> bool:
    rest = {key: value for key, value in difference.items() if key != "lastEvaluationTime"}
    return not rest or (rest.keys() == {"spend"} and set(rest["spend"] or ()) == {"asOfTime"})


def _written(before: Mapping[str, Any]) -> int:
    text = before.get("lastEvaluationTime")
    if not isinstance(text, str):
        return 0
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return 0
