"""The only maker of statuses: facts in, one whole status out, and the patch that writes it. Pure.

A status is also the memory of its budget: `render` carries over what the next evaluation needs, and what it
is told nothing new about. Absent fields are unknown; money is rounded here and nowhere before.
"""

from collections.abc import Hashable, Mapping, Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any, Final

from aibudget.api.budgetstatus import (
    BudgetStatus,
    Forecast,
    HoldCounts,
    LimitStatus,
    MeasureStatus,
    PastPeriod,
    PeriodStatus,
    Rate,
    SharedCost,
    SparedWorkload,
    Spend,
    ThresholdStatus,
    TopWorkload,
)
from aibudget.api.conditions import ConditionType, Reason, Status, set_condition
from aibudget.api.meter import MeterStatus
from aibudget.api.pricelist import PriceListStatus
from aibudget.budgeting import forecast as foreseen
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.limits import PERCENT_MAX, Measure, hundredths, leading
from aibudget.enforcement.sparing import Spared
from aibudget.errors import AIBudgetError
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import Workload
from aibudget.ledger.periodrow import PeriodState
from aibudget.reporting import driving, unusual
from aibudget.reporting.conditions import (
    Fact,
    condition_of,
    conditions_of,
    conditions_of_meter,
    conditions_of_prices,
    foreseen_state,
    moment_of,
    money_of,
    state_of,
)
from aibudget.reporting.facts import DataState, Enforcing, Facts, MeterFacts
from aibudget.reporting.room import fitted
from aibudget.reporting.scoping import binding_of, clusters_of, unit_costs_of

TOP_WORKLOADS: Final = 5
HISTORY: Final = 12
SPARED: Final = 10
_SENTENCE: Final = 512

JsonObject = dict[str, Any]
Outline = tuple[Hashable, ...]

_NOTHING: Final = Enforcing()


def render(facts: Facts) -> BudgetStatus:
    """The whole status at `facts.now`."""
    evaluation = facts.evaluation
    if evaluation is None:
        # Spend stays what was known; only the words about it change. An edit that could not be evaluated yet
        # must be remembered as one: a threshold that stood below is unknown until it is.
        edited = facts.before.observed_generation != facts.generation
        kept = tuple(t for t in facts.before.thresholds if not edited or t.state != "Below")
        update: JsonObject = {"thresholds": kept}
    else:
        update = _figures(evaluation, facts.owners) | {
            "measures": _measures(evaluation, facts.before),
            "history": facts.before.history if facts.history is None else facts.history[:HISTORY],
            "last_evaluation_time": moment_of(evaluation.evaluated),
            "forecast": _forecast(evaluation, facts.before),
            "drivers": driving.statuses(evaluation, facts.before),
        }
    enforcing = facts.enforcing
    update["holds"] = HoldCounts(active=enforcing.active, pending=enforcing.pending)
    update["binding"] = binding_of(facts.place)
    update["spared"] = tuple(map(_spared, enforcing.spared[:SPARED]))
    update["conditions"] = conditions_of(facts)
    update["observed_generation"] = facts.generation
    return fitted(facts.before.model_copy(update=update), _left_out(facts))


def unread(before: BudgetStatus, data: DataState, now: int) -> BudgetStatus:
    """The status as it stands, of which only is said why nothing newer is known."""
    moment, generation = moment_of(now), max(0, before.observed_generation)
    condition = condition_of(
        ConditionType.DATA_FRESH, ("False", data.reason, data.message), moment, generation
    )
    conditions = set_condition(before.conditions, condition, moment)
    omitted = {} if before.omitted is None else before.omitted.model_dump(exclude_none=True)
    return fitted(before.model_copy(update={"conditions": conditions}), omitted)


def _left_out(facts: Facts) -> Mapping[str, int]:
    """How many entries of each list are known and not in the status, before it is made to fit."""
    left_out = {"spared": max(0, len(facts.enforcing.spared) - SPARED)}
    carried = ["top_workloads", "history", "drivers"] if facts.evaluation is None else []
    if facts.evaluation is not None:
        spending = sum(1 for spent in facts.evaluation.workloads if spent.amount > 0)
        left_out["top_workloads"] = max(0, spending - TOP_WORKLOADS)
        carried = ["history"] if facts.history is None else []
        carried += [] if facts.evaluation.drivers else ["drivers"]
    return left_out | {field: getattr(facts.before.omitted, field, None) or 0 for field in carried}


def has_news(facts: Facts) -> bool:
    """Whether something happened that is told once, whatever the status says already."""
    evaluation = facts.evaluation
    return evaluation is not None and (evaluation.began or bool(evaluation.changes))


def outline(facts: Facts) -> Outline | None:
    """All that the status of a budget says beside its figures, told from the facts without making it.

    None where something is the matter with the budget. Where one status is stored and another has the same
    outline, their difference is quiet, and without news there are no Events to tell. `facts.before` does not
    matter.
    """
    evaluation = facts.evaluation
    if evaluation is None or facts.problem is not None or not facts.data.fresh:
        return None
    crossed = any(state.standing not in ("Below", "Unknown") for state in evaluation.thresholds)
    if evaluation.spend.unpriced or crossed or facts.enforcing != _NOTHING:
        return None
    status, reason, _ = state_of(evaluation)
    return (
        facts.generation,
        evaluation.period.id,
        evaluation.limit,
        None if evaluation.allowance is None else evaluation.allowance.rollover,
        evaluation.unknown_caps,
        _leading(evaluation),
        evaluation.currency,
        tuple((state.threshold.name, state.standing) for state in evaluation.thresholds),
        _known(foreseen_state(evaluation)),
        (_known(unusual.condition(evaluation)), evaluation.watched.anomalies),
        (status, reason, facts.data.reason, facts.backfill is None, facts.unknown_receivers),
        (evaluation.unlabelled, evaluation.unmetered, facts.place),
        tuple(one.state for one in evaluation.unit_costs),
        facts.history,
    )


def price_list(
    before: PriceListStatus, generation: int, problem: AIBudgetError | None, remarks: Sequence[str], now: int
) -> PriceListStatus:
    """The status of an AIPriceList: Ready, and Stalled while it is left out; remarks do not keep it out."""
    conditions = conditions_of_prices(before.conditions, generation, problem, remarks, now)
    return PriceListStatus(observed_generation=generation, conditions=conditions)


def meter(before: MeterStatus, told: MeterFacts, now: int) -> MeterStatus:
    """The status of an AIMeter."""
    return MeterStatus(
        observed_generation=told.generation,
        conditions=conditions_of_meter(before.conditions, told, now),
        lines=told.lines,
        folded_lines=told.folded,
    )


def past_period(
    period_id: str, limit: Decimal, spent: Decimal, *, state: PeriodState, corrected: Decimal | None
) -> PastPeriod:
    """How a period ended, rounded for display; `corrected` is what it is known to have cost since."""
    percent = int((spent * 100 / limit).to_integral_value(ROUND_FLOOR)) if limit else 0
    told = None if corrected is None or _cents(corrected) == _cents(spent) else _cents(corrected)
    return PastPeriod(
        id=period_id,
        state="Closed" if state == "Closed" else "Settling",
        limit=limit,
        spent=_cents(spent),
        used_percent=percent,
        corrected=told,
    )


def _figures(evaluation: Evaluation, owners: OwnerBook) -> JsonObject:
    spend, period = evaluation.spend, evaluation.period
    known = spend.as_of is not None
    total = spend.amount
    return {
        "period": PeriodStatus(
            id=period.id,
            start_time=moment_of(period.interval.start),
            end_time=moment_of(period.interval.end),
        ),
        "limit": _limit(evaluation),
        "spend": Spend(
            amount=_cents(total) if known else None,
            currency=evaluation.currency if known else None,
            used_percent=spend.used_percent if evaluation.is_known else None,
            measure=_leading(evaluation),
            as_of_time=moment_of(spend.as_of) if spend.as_of is not None else None,
            coverage_percent=spend.coverage_percent if known else None,
        ),
        "rate": None if evaluation.rate_per_hour is None else Rate(per_hour=_cents(evaluation.rate_per_hour)),
        "shared": None if evaluation.shared is None else SharedCost(amount=_cents(evaluation.shared)),
        # What is not known of a threshold is absent, as everywhere in a status.
        "thresholds": tuple(
            ThresholdStatus(
                name=state.threshold.name,
                state=state.standing,
                crossed_time=None if state.crossed is None else moment_of(state.crossed),
            )
            for state in evaluation.thresholds
            if state.standing != "Unknown"
        ),
        "unit_costs": unit_costs_of(evaluation),
        "clusters": clusters_of(evaluation),
        "top_workloads": _top(evaluation, owners),
        "anomalies": unusual.statuses(evaluation),
    }


def _limit(evaluation: Evaluation) -> LimitStatus | None:
    if evaluation.limit is None:
        return None
    status = LimitStatus(amount=evaluation.limit, currency=evaluation.currency)
    money = evaluation.allowance
    if money is None or (money.amount == money.base and money.rollover is None and not money.held_back):
        return status
    rollover = money.rollover
    parts: JsonObject = {
        "base": money.base,
        "held_back": money.held_back or None,
        "rolled_over": None if rollover is None else rollover.amount,
        "provisional": None if rollover is None else rollover.provisional,
    }
    return status.model_copy(update=parts)


def _measures(evaluation: Evaluation, before: BudgetStatus) -> tuple[MeasureStatus, ...]:
    if all(one.is_money for one in evaluation.measures):
        return ()
    stood = {one.name: one.forecast for one in before.measures} if _waits(evaluation, before) else {}
    found = {one.name: _foreseen(one.forecast, one.share) for one in evaluation.foreseen.caps}
    return tuple(
        MeasureStatus(
            name=one.name,
            unit=one.unit,
            limit=hundredths(one.limit),
            used=_used(one, evaluation),
            used_percent=evaluation.judged_percents.get(one.name),
            forecast=found.get(one.name, stood.get(one.name)),
        )
        for one in evaluation.measures
    )


def _used(measure: Measure, evaluation: Evaluation) -> Decimal | None:
    unknown = measure.used is None or (measure.is_money and evaluation.spend.as_of is None)
    return None if unknown else hundredths(measure.used or Fraction(0))


def _leading(evaluation: Evaluation) -> str | None:
    if all(one.is_money for one in evaluation.measures):
        return None
    found = leading(evaluation.measures)
    return None if found is None else found.name


def _forecast(evaluation: Evaluation, before: BudgetStatus) -> Forecast | None:
    found = evaluation.foreseen.forecast
    if found is None:
        return before.forecast if _waits(evaluation, before) else None
    return _foreseen(found, evaluation.foreseen.share)


def _waits(evaluation: Evaluation, before: BudgetStatus) -> bool:
    """Whether nothing is foreseen by this process yet, and what the one before it foresaw still stands."""
    same = before.period is not None and before.period.id == evaluation.period.id
    return same and evaluation.foreseen.reason == "HistoryIncomplete"


def _foreseen(found: foreseen.Forecast, share: Fraction | None) -> Forecast:
    return Forecast(
        amount=money_of(found.amount),
        low=None if found.low is None else money_of(found.low),
        high=None if found.high is None else money_of(found.high),
        exhausted_time=None if found.exhausted is None else moment_of(found.exhausted),
        used_percent=None if share is None else min(int(share * 100), PERCENT_MAX),
        error_percent=None if found.error_percent is None else round(found.error_percent),
    )


def _top(evaluation: Evaluation, owners: OwnerBook) -> tuple[TopWorkload, ...]:
    total, own = evaluation.spend.amount, evaluation.budget.namespace
    order = sorted(evaluation.workloads, key=lambda spent: (-spent.amount, spent.workload))
    return tuple(
        TopWorkload(
            namespace=None if own else spent.workload.namespace,
            kind=spent.workload.kind,
            name=spent.workload.name,
            part_of=_part_of(spent.workload, owners),
            amount=_cents(spent.amount),
            percent=int(spent.amount * 100 / total) if total else 0,
            idle_percent=spent.idle_percent,
        )
        for spent in order[:TOP_WORKLOADS]
        if spent.amount > 0
    )


def _part_of(workload: Workload, owners: OwnerBook) -> str | None:
    top = owners.top(workload)
    return None if top == workload else f"{top.kind}/{top.name}"


def _spared(one: Spared) -> SparedWorkload:
    return SparedWorkload(
        namespace=None if one.budget.namespace else one.workload.namespace,
        kind=one.workload.kind,
        name=one.workload.name,
        reason=one.reason,
        message=one.message[:_SENTENCE],
    )


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def _known(fact: Fact | None) -> tuple[Status, Reason] | None:
    """What a condition says that is not known for weeks, without its words; None until it is known."""
    return None if fact is None or fact[0] == "Unknown" else fact[:2]
