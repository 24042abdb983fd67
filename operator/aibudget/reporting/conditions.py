"""The conditions of a budget, a price list and a meter, by kstatus's rules. Pure; used by `status` alone.

``Ready`` says that the spec is accepted and was evaluated at this generation; nothing that happens outside
the object moves it. An outage shows in ``DataFresh``, spend in ``WithinBudget``, held workloads in
``Enforced``. Abnormal-true conditions are there only while they are true.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Final

from aibudget.api.budget import Threshold
from aibudget.api.conditions import (
    Condition,
    ConditionType,
    Reason,
    Status,
    drop_condition,
    find_condition,
    set_condition,
)
from aibudget.api.money import Money
from aibudget.budgeting.evaluation import Evaluation, ThresholdState
from aibudget.budgeting.forecast import Forecast
from aibudget.budgeting.foreseen import Capped
from aibudget.errors import AIBudgetError, Stalled
from aibudget.metering.slots import iso
from aibudget.reporting import unusual
from aibudget.reporting.facts import Enforcing, Facts, MeterFacts
from aibudget.reporting.figures import used_of
from aibudget.reporting.scoping import overcommitted, scope_unclear, unit_costs_within

MESSAGE_LENGTH: Final = 512
"""Keeps a whole status under 8 KiB, whatever an error has to say."""

MOST_NAMED: Final = 5

Fact = tuple[Status, Reason, str]

_REASONS: Final = {reason.value: reason for reason in Reason}
_SYNONYMS: Final = {"CurrencyMismatch": "MixedCurrencies"}
"""How `budgeting` calls a problem, and the API."""


def conditions_of(facts: Facts) -> tuple[Condition, ...]:
    """All conditions of a budget, in the order in which people look for them."""
    found: dict[ConditionType, Fact | None] = {
        ConditionType.READY: _ready(facts),
        ConditionType.RECONCILING: _reconciling(facts),
        ConditionType.STALLED: _stalled(facts.problem),
        ConditionType.WITHIN_BUDGET: _within_budget(facts),
        ConditionType.FORECAST_WITHIN_BUDGET: _forecast_within(facts),
        ConditionType.DATA_FRESH: (
            "True" if facts.data.fresh else "False",
            facts.data.reason,
            facts.data.message,
        ),
        ConditionType.ENFORCED: _enforced(facts.enforcing),
        ConditionType.SPEND_AS_USUAL: _as_usual(facts),
        ConditionType.RECEIVERS_RESOLVED: _receivers(facts.unknown_receivers),
        ConditionType.SCOPE_UNCLEAR: scope_unclear(facts.evaluation),
        ConditionType.UNIT_COSTS_WITHIN: unit_costs_within(facts.evaluation),
        ConditionType.OVERCOMMITTED: overcommitted(facts.evaluation, facts.place),
        ConditionType.UNPRICED: _unpriced(facts),
    }
    moment = moment_of(facts.now)
    conditions = facts.before.conditions
    for kind, fact in found.items():
        if fact is None:
            conditions = drop_condition(conditions, kind)
            continue
        condition = condition_of(kind, fact, moment, facts.generation)
        conditions = set_condition(conditions, condition, moment)
    order = [kind.value for kind in found]
    return tuple(sorted((c for c in conditions if c.type in order), key=lambda c: order.index(c.type)))


def conditions_of_prices(
    before: Sequence[Condition],
    generation: int,
    problem: AIBudgetError | None,
    remarks: Sequence[str],
    now: int,
) -> tuple[Condition, ...]:
    """A price list is Ready while it is used and Stalled while it is left out; remarks do not keep it out."""
    said = " ".join(["The prices are in use.", *remarks])
    facts: dict[ConditionType, Fact | None] = {
        ConditionType.READY: ("True", Reason.RECONCILED, said),
        ConditionType.STALLED: None,
    }
    if problem is not None:
        why = reason_of(problem)
        facts = {
            ConditionType.READY: ("False", why, problem.message),
            ConditionType.STALLED: ("True", why, problem.message),
        }
    return _changed(before, facts, generation, now)


def conditions_of_meter(before: Sequence[Condition], told: MeterFacts, now: int) -> tuple[Condition, ...]:
    """A meter is Ready once its queries are accepted; whether its usage is known now is DataFresh."""
    generation, problem, data = told.generation, told.problem, told.data
    accepted: Fact = "True", Reason.RECONCILED, " ".join(["The meter is counted.", *told.remarks])
    facts: dict[ConditionType, Fact | None] = {
        ConditionType.READY: accepted,
        ConditionType.RECONCILING: None,
        ConditionType.STALLED: None,
    }
    if isinstance(problem, Stalled):
        why = reason_of(problem)
        facts[ConditionType.READY] = "False", why, problem.message
        facts[ConditionType.STALLED] = "True", why, problem.message
    elif problem is not None:
        was = find_condition(before, ConditionType.READY)
        ready = was is not None and was.status == "True" and was.observed_generation == generation
        waiting: Fact = "Unknown", Reason.PROGRESSING, "Its queries are not tried yet."
        facts[ConditionType.READY] = accepted if ready else waiting
        facts[ConditionType.RECONCILING] = "True", Reason.PROGRESSING_WITH_RETRY, problem.message
    if data is not None:
        fresh: Status = "True" if data.fresh else "False"
        facts[ConditionType.DATA_FRESH] = fresh, data.reason, data.message
    return _changed(before, facts, generation, now)


def _changed(
    before: Sequence[Condition], facts: Mapping[ConditionType, Fact | None], generation: int, now: int
) -> tuple[Condition, ...]:
    moment, conditions = moment_of(now), tuple(before)
    for kind, fact in facts.items():
        if fact is None:
            conditions = drop_condition(conditions, kind)
        else:
            conditions = set_condition(conditions, condition_of(kind, fact, moment, generation), moment)
    return conditions


def condition_of(kind: ConditionType, fact: Fact, moment: datetime, generation: int) -> Condition:
    """One condition; its transition time is set by who puts it in its place."""
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
        return "True", reason_of(facts.problem), facts.problem.message
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
    if facts.problem is not None:
        return "Unknown", reason_of(facts.problem), facts.problem.message
    return "Unknown", Reason.NO_DATA, "No usage is known yet; spend is unknown, not zero."


def _forecast_within(facts: Facts) -> Fact | None:
    stands = find_condition(facts.before.conditions, ConditionType.FORECAST_WITHIN_BUDGET)
    kept = None
    if stands is not None:
        kept = stands.status, _REASONS.get(stands.reason, Reason.HISTORY_INCOMPLETE), stands.message
    evaluation = facts.evaluation
    if evaluation is None:
        return kept
    before = facts.before.period
    waits = evaluation.foreseen.reason == "HistoryIncomplete"
    if waits and kept is not None and before is not None and before.id == evaluation.period.id:
        # A process that has just begun foresees in one of its first cycles.
        return kept
    return foreseen_state(evaluation)


def _enforced(enforcing: Enforcing) -> Fact | None:
    if enforcing.failures:
        return "True", Reason.ENFORCEMENT_FAILED, " ".join(enforcing.failures)
    if enforcing.queued:
        waits = "waits for its" if enforcing.queued == 1 else "wait for their"
        said = f"{enforcing.active} held back, {enforcing.queued} more {waits} turn: {enforcing.rails}."
        return "True", Reason.STOPS_PACED, said
    workloads = enforcing.active - enforcing.fences
    held = f"{workloads} workload{'s' if workloads != 1 else ''} held back"
    if enforcing.fences:
        held += f", {enforcing.fences} Freeze or Block in force"
    asked = f"{enforcing.waiting} waiting for approval"
    noticed = enforcing.pending - enforcing.waiting
    if enforcing.active:
        waiting = f", {asked}" if enforcing.waiting else ""
        reason = Reason.WORKLOADS_HELD if workloads else Reason.NAMESPACES_FENCED
        return "True", reason, f"{held}, {noticed} on notice{waiting}."
    if enforcing.waiting and not noticed:
        return "True", Reason.AWAITING_APPROVAL, f"{asked}: kubectl aibudget holds."
    if enforcing.pending and not enforcing.paused:
        until = "" if enforcing.next_act is None else f" until {iso(enforcing.next_act)}"
        waiting = f", {asked}" if enforcing.waiting else ""
        said = f"{noticed} on notice{until}{waiting}; delete the Hold to veto."
        return "True", Reason.GRACE_PERIOD, said
    if enforcing.returning:
        return "True", Reason.RELEASING, f"{enforcing.returning} on their way back, in waves."
    return None


def _as_usual(facts: Facts) -> Fact | None:
    evaluation = facts.evaluation
    found = None if evaluation is None else unusual.condition(evaluation)
    if found is not None or (evaluation is not None and evaluation.clusters):
        # Of a budget over several clusters nothing is told: what stood was of one that it is no more.
        return found
    # Until the first look of this process stands what the one before it saw.
    stood = find_condition(facts.before.conditions, ConditionType.SPEND_AS_USUAL)
    return None if stood is None else (stood.status, _REASONS[stood.reason], stood.message)


def _receivers(unknown: Sequence[str] | None) -> Fact | None:
    if unknown is None:
        return None
    if not unknown:
        return "True", Reason.RECEIVERS_FOUND, "All receivers in spec.notify are told."
    names = ", ".join(unknown)
    said = "no receiver of that name is configured for this budget"
    return "False", Reason.RECEIVER_UNKNOWN, f"{names}: {said}. Correct spec.notify, or have it configured."


def _unpriced(facts: Facts) -> Fact | None:
    if facts.evaluation is not None:
        return unpriced(facts.evaluation)
    stands = find_condition(facts.before.conditions, ConditionType.UNPRICED)
    return None if stands is None else ("True", Reason.PRICE_MISSING, stands.message)


def unpriced(evaluation: Evaluation) -> Fact | None:
    """What of the usage has no price; None where all of it has one."""
    found = evaluation.spend.unpriced
    if not found:
        return None
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    names = "; ".join(found[:MOST_NAMED])
    said = f"No price matches {names}{more}: it is counted and not charged. Add a rate to an AIPriceList."
    return "True", Reason.PRICE_MISSING, said


def reason_of(problem: AIBudgetError) -> Reason:
    """The reason of an error in the vocabulary of conditions."""
    otherwise = Reason.INTERNAL_ERROR if isinstance(problem, Stalled) else Reason.PROGRESSING_WITH_RETRY
    return _REASONS.get(_SYNONYMS.get(problem.reason, problem.reason), otherwise)


def state_of(evaluation: Evaluation) -> Fact:
    """Status, reason and message of ``WithinBudget``."""
    spend = evaluation.spend
    unknown = evaluation.unknown_caps
    silent = f"; of cap {', '.join(unknown)} nothing is known: nothing tells of its meter" if unknown else ""
    if not evaluation.is_known:
        return "Unknown", Reason.NO_DATA, f"No usage is known yet; spend is unknown, not zero{silent}."
    said = used_of(evaluation) + silent
    if not spend.complete or spend.coverage_percent < 100:
        said += "; a lower bound, for part of the period is not known"
    money_out = evaluation.limit is not None and spend.amount >= evaluation.limit
    if money_out or any(one.used is not None and one.used >= one.limit for one in evaluation.measures):
        return "False", Reason.LIMIT_EXCEEDED, f"{said}."
    reached = _highest_crossed(evaluation.thresholds)
    if reached is not None:
        return "True", Reason.THRESHOLD_REACHED, f"{said}; {_reached(reached.threshold, evaluation)}."
    return "True", Reason.BELOW_THRESHOLD, f"{said}."


def foreseen_state(evaluation: Evaluation) -> Fact:
    """Status, reason and message of ``ForecastWithinBudget``: of what is foreseen to be used most."""
    foreseen, limit = evaluation.foreseen, evaluation.limit
    found, cap = foreseen.forecast, foreseen.leading_cap
    if cap is not None:
        return _ahead(cap.forecast, cap.share, evaluation, cap)
    if found is None or limit is None:
        reason = _REASONS.get(foreseen.reason, Reason.HISTORY_INCOMPLETE)
        return "Unknown", reason, f"Nothing is foreseen: {reason.meaning}."
    return _ahead(found, foreseen.share or Fraction(found.amount) / Fraction(limit), evaluation)


def _ahead(found: Forecast, share: Fraction, evaluation: Evaluation, cap: Capped | None = None) -> Fact:
    """Of the money, or of a cap."""
    amount, percent, period = money_of(found.amount), int(share * 100), evaluation.period.id
    if cap is None:
        said = [f"{Money(amount, evaluation.currency)} is foreseen for {period}", f"{percent} % of the limit"]
        limit, passed = "limit", evaluation.limit is not None and evaluation.spend.amount >= evaluation.limit
    else:
        said = [f"{amount} {cap.unit} are foreseen for {period}", f"{percent} % of cap {cap.name}"]
        limit = "cap"
        passed = any((one.share or 0) >= 1 for one in evaluation.measures if one.name == cap.name)
    if found.low is not None and found.high is not None:
        said.append(f"four times in five between {money_of(found.low)} and {money_of(found.high)}")
    if found.exhausted is not None:
        at = f"is reached at {iso(found.exhausted)}"
        said.append(f"the {limit} {'is passed' if passed else at}")
    if found.error_percent is not None:
        said.append(f"as long before an end, forecasts were {round(found.error_percent)} % off in the mean")
    if caps := evaluation.unforeseen_caps:
        said.append(f"nothing is foreseen of cap {', '.join(caps)}")
    exceeds = share >= 1
    reason = Reason.FORECAST_EXCEEDS if exceeds else Reason.FORECAST_FITS
    return "False" if exceeds else "True", reason, f"{'; '.join(said)}."


def money_of(foreseen: float) -> Decimal:
    """What is foreseen as an amount of money, or of a cap: it has no more digits than cents."""
    return Decimal(foreseen).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def shortened(message: str) -> str:
    """A message short enough for a status, cut where it must be."""
    return message if len(message) <= MESSAGE_LENGTH else message[: MESSAGE_LENGTH - 1] + "…"


def moment_of(instant: int) -> datetime:
    """An instant as the API's models have it."""
    return datetime.fromtimestamp(instant, UTC)


def _highest_crossed(thresholds: Sequence[ThresholdState]) -> ThresholdState | None:
    crossed = [state for state in thresholds if state.standing not in ("Below", "Unknown")]
    return max(crossed, key=lambda state: state.threshold.percent, default=None)


def _reached(threshold: Threshold, evaluation: Evaluation) -> str:
    if threshold.basis == "Forecast":
        return f"threshold {threshold.name} (forecast {threshold.percent} %) is crossed"
    cap = evaluation.leading_cap
    used = evaluation.spend.used_percent if cap is None else cap.percent
    below = used is not None and used < threshold.percent
    # A raised limit lifts nothing while usage is unknown, and whoever raised it should read why.
    stands = "stays in force until usage is known again" if below else "is crossed"
    return f"threshold {threshold.name} ({threshold.percent} %) {stands}"
