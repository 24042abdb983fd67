"""The verdict on one budget: its share of the spend against its limits, given what it remembers.

Everything that people are told and that enforcement does begins with the `Evaluation` made here. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from aibudget.api.budget import Basis, Budget, Enforcement, Threshold
from aibudget.api.limit import MONEY
from aibudget.budgeting.ahead import states_ahead
from aibudget.budgeting.evaluation import BudgetKey, Evaluation, Spend, ThresholdState
from aibudget.budgeting.foreseen import UNFORESEEN, Foreseen
from aibudget.budgeting.gate import Gate
from aibudget.budgeting.limits import (
    Allowance,
    Measure,
    Rollover,
    allowance,
    cap_limit,
    counted_by,
    in_unit,
    leading,
)
from aibudget.budgeting.memory import Memory, Remembered
from aibudget.budgeting.period import Period
from aibudget.budgeting.share import Share
from aibudget.budgeting.threshold import Known, states
from aibudget.budgeting.unitcost import costings
from aibudget.budgeting.vigil import UNWATCHED, Watched
from aibudget.errors import Stalled
from aibudget.metering.usage import Coverage
from aibudget.pricing.charge import UNITS, amount_of

NOT_READ = Gate(fresh=False, reasons=("nothing has been read yet",))


@dataclass(frozen=True, slots=True)
class Moment:
    """When, and on what data, budgets are evaluated.

    `gate` is that of the meters which the money comes from, `gates` are those of each meter. `repriced` says
    that prices of posted usage, or what a meter counts, changed since the evaluation before: what that
    crosses is treated as the work of an edit, not of new usage. `rollover` is what came over from the period
    before, where it is known; `foreseen` where this one will end, `watched` what is unusual. `later` are
    limits that come into force later in it, each with its instant.
    """

    now: int
    gate: Gate
    repriced: bool = False
    gates: Mapping[str, Gate] = field(default_factory=dict)
    rollover: Rollover | None = None
    foreseen: Foreseen = UNFORESEEN
    watched: Watched = UNWATCHED
    later: tuple[tuple[int, Decimal], ...] = ()


def evaluate(budget: Budget, period: Period, share: Share, memory: Memory, moment: Moment) -> Evaluation:
    """Where the budget stands. Raises `Stalled` where spend lacks an exchange rate to the limit."""
    _check_currency(budget, share)
    spec = budget.spec
    money = allowance(spec, period, moment.now, moment.rollover)
    new_period, declared = period.id != memory.period_id, spec.effective_thresholds
    remembered = _rolled_over(memory, declared) if new_period else memory
    # An edit can cross nothing at the turn of a period, where spend begins at zero.
    edited = memory.generation != budget.metadata.generation and not (new_period and memory.period_id)
    measures = _measures(budget, share, money, moment)
    known = _known(measures, remembered, edited=edited or moment.repriced)
    enforcement = spec.enforcement if period.standing == "Running" else Enforcement(mode="Observe")
    looking = (moment.now, _is_judged_ahead(measures, moment, share))
    thresholds = in_order(
        declared,
        states(_of(declared, "Actual"), enforcement, known, remembered, moment.now),
        states_ahead(_of(declared, "Forecast"), enforcement, moment.foreseen, remembered, looking),
    )
    most = leading(measures)
    return Evaluation(
        budget=BudgetKey(budget.kind, budget.namespace, budget.name, budget.uid),
        generation=budget.metadata.generation,
        period=period,
        limit=None if money is None else money.amount,
        currency=spec.currency,
        spend=_spend(share, budget, period, 0 if most is None else most.percent or 0),
        rate_per_hour=None if share.hourly_units is None else amount_of(share.hourly_units),
        thresholds=thresholds,
        changes=tuple(s for s in thresholds if _changed(s, memory, new_period=new_period)),
        workloads=share.workloads,
        fresh=all(gate.fresh for gate in _gates(budget, share, moment)),
        began=new_period,
        evaluated=moment.now,
        uncharged=share.uncharged,
        extent=spec.enforcement.extent,
        allowance=money,
        measures=measures,
        judged_percents=_percents(measures, remembered, thresholds, edited=edited) if spec.caps else {},
        unit_costs=costings(spec.unit_costs or (), share.outputs, remembered.above),
        unlabelled=share.unlabelled,
        unmetered=share.unmetered,
        outside=share.outside,
        foreseen=moment.foreseen,
        watched=moment.watched,
        clusters=share.clusters,
        later=moment.later,
    )


def _is_judged_ahead(measures: Sequence[Measure], moment: Moment, share: Share) -> bool:
    """Whether that is known well enough of which most is foreseen to be used."""
    cap = moment.foreseen.leading_cap
    if cap is None:
        return moment.gate.fresh and share.complete
    return any(one.judged for one in measures if one.name == cap.name)


def _of(thresholds: Sequence[Threshold], basis: Basis) -> tuple[Threshold, ...]:
    return tuple(threshold for threshold in thresholds if threshold.basis == basis)


def in_order(
    thresholds: Sequence[Threshold], *several: Sequence[ThresholdState]
) -> tuple[ThresholdState, ...]:
    """The states of these thresholds, as they stand in the spec."""
    by_name = {state.threshold.name: state for states in several for state in states}
    return tuple(by_name[threshold.name] for threshold in thresholds)


def _gates(budget: Budget, share: Share, moment: Moment) -> list[Gate]:
    """Those of all measures of which anything is known."""
    caps = [cap for cap in budget.spec.caps or () if share.uses[counted_by(cap)].quantity is not None]
    gates = [moment.gates.get(cap.meter, NOT_READ) for cap in caps]
    return gates if budget.spec.limit is None and gates else [moment.gate, *gates]


def _measures(budget: Budget, share: Share, money: Allowance | None, moment: Moment) -> tuple[Measure, ...]:
    spec, found = budget.spec, []
    if money is not None:
        spent = Fraction(share.units, UNITS)
        ceiling = _ceiling(spent, share.coverage, complete=share.complete)
        limit, fresh = Fraction(money.amount), moment.gate.fresh
        found.append(Measure(MONEY, spec.currency, limit, spent, ceiling, fresh, share.complete))
    for cap in spec.caps or ():
        counted = counted_by(cap)
        use, gate = share.uses[counted], moment.gates.get(cap.meter, NOT_READ)
        used = None if use.quantity is None else in_unit(counted, use.quantity)
        ceiling = None if used is None else _ceiling(used, use.coverage, complete=use.complete)
        limit = cap_limit(cap, spec.holdback_percent or 0)
        found.append(Measure(cap.name, cap.unit, limit, used, ceiling, gate.fresh, use.complete))
    return tuple(found)


def _ceiling(used: Fraction, coverage: Coverage, *, complete: bool) -> Fraction | None:
    """What would be used if uncovered time were like covered time; None where nothing can be said."""
    if coverage.total_seconds == 0:
        return used if complete else None
    if coverage.covered_seconds == 0:
        return None
    if coverage.covered_seconds == coverage.total_seconds:
        return used
    return used * coverage.total_seconds / coverage.covered_seconds


def _known(measures: Sequence[Measure], memory: Memory, *, edited: bool) -> tuple[Known, ...]:
    several = len(measures) > 1
    return tuple(_known_of(one, memory, edited=edited, several=several) for one in measures)


def _known_of(one: Measure, memory: Memory, *, edited: bool, several: bool) -> Known:
    # Exact division is the dearest part of an evaluation: what is the same is worked out once.
    share, ceiling = one.share, one.ceiling
    if ceiling is not None:
        ceiling = share if ceiling == one.used else ceiling / one.limit
    return Known(
        used=share,
        ceiling=ceiling,
        judged=one.judged,
        edited=edited,
        by_usage=_by_usage(one, share, memory),
        before=memory.percents.get(one.name),
        fresh=one.fresh if several else None,
    )


def _by_usage(measure: Measure, share: Fraction | None, memory: Memory) -> Fraction | None:
    """The share under the limit of before, where that was higher: what a limit does is not usage."""
    if measure.used is None or not measure.is_money or memory.limit is None:
        return share
    before = Fraction(memory.limit)
    return measure.used / before if before > measure.limit else share


def _percents(
    measures: Sequence[Measure], memory: Memory, thresholds: Sequence[ThresholdState], *, edited: bool
) -> dict[str, int]:
    """What was used when it was last judged; while it is not, that does not fall, and an edit forgets it.

    But for what holds: as long as nobody can judge, an edit must not forget which measure it was, or a cap
    that nothing tells of keeps it to the period's end. It stands above all thresholds then, so that none of
    them takes for usage what the edit may have crossed.
    """
    found: dict[str, int] = {}
    actual = [state for state in thresholds if state.threshold.basis == "Actual"]
    held = [state.threshold.percent for state in actual if state.standing not in ("Below", "Unknown")]
    highest = max((state.threshold.percent for state in actual), default=0)
    for one in measures:
        percent, before = one.percent, memory.percents.get(one.name)
        if one.judged and percent is not None:
            found[one.name] = percent
        elif before is not None and not edited:
            found[one.name] = max(before, percent or 0)
        elif before is not None and held and before >= min(held):
            found[one.name] = max(before, highest)
    return found


def _spend(share: Share, budget: Budget, period: Period, used_percent: int) -> Spend:
    # Before the first reading of a new period nothing of it is known, though nothing of it is missing either.
    early = share.as_of is not None and share.as_of < period.interval.start and period.standing == "Running"
    return Spend(
        amount=amount_of(share.units),
        used_percent=used_percent,
        as_of=share.as_of,
        coverage_percent=0 if share.as_of is None or early else share.coverage.percent,
        complete=share.complete,
        estimated=amount_of(share.estimated_units),
        unpriced=(
            *share.unpriced,
            *(f"{other} without an exchange rate to USD" for other in _foreign(budget, share)),
        ),
        assumed=share.assumed,
    )


def _rolled_over(memory: Memory, thresholds: tuple[Threshold, ...]) -> Memory:
    """A new period begins with nothing crossed; a budget that has no memory yet begins with nothing known."""
    if memory.period_id is None:
        return memory
    return Memory(
        memory.generation,
        thresholds={t.name: Remembered("Below") for t in thresholds},
        percents=dict.fromkeys(memory.percents, 0),
    )


def _changed(state: ThresholdState, memory: Memory, *, new_period: bool) -> bool:
    before = memory.thresholds.get(state.threshold.name)
    was = before.standing if before else "Below"
    uncrossed = ("Below", "Unknown")
    if state.standing in uncrossed and was in uncrossed:
        return False
    return state.standing != was or new_period


def _foreign(budget: Budget, share: Share) -> list[str]:
    return sorted(share.currencies - {budget.spec.currency})


def _check_currency(budget: Budget, share: Share) -> None:
    """Money that is not limited stops no budget of caps alone: it is told as having no price."""
    currency, others = budget.spec.currency, _foreign(budget, share)
    if others and budget.spec.limit is not None:
        raise Stalled(
            "CurrencyMismatch",
            f"{budget} has its limit in {currency}, but some of its usage is priced in {', '.join(others)} "
            f"at a time without an exchange rate. Add one to an AIPriceList (exchangeRates: from "
            f"{others[0]}, to {currency}, its rate, and validFrom not after the period's start), or give "
            f"that usage a price in {currency}.",
        )
