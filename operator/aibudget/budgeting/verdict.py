"""The verdict on one budget: its share of the spend against its limit, given what it remembers.

Everything that people are told and that enforcement does begins with the `Evaluation` made here. Pure.
"""

from dataclasses import dataclass
from typing import Final

from aibudget.api.budget import Budget, Enforcement, Threshold
from aibudget.budgeting.evaluation import BudgetKey, Evaluation, Spend, ThresholdState
from aibudget.budgeting.gate import Gate
from aibudget.budgeting.memory import Memory, Remembered
from aibudget.budgeting.period import Period
from aibudget.budgeting.share import Share
from aibudget.budgeting.threshold import Known, states
from aibudget.errors import Stalled
from aibudget.pricing.charge import amount_of, share_of

PERCENT_MAX: Final = 2**31 - 1
"""The largest percentage that a status can hold; thresholds compare the exact amount."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When, and on what data, budgets are evaluated.

    `repriced` says that prices of posted usage changed since the evaluation before: what that crosses is
    treated as the work of an edit, not of new spending.
    """

    now: int
    gate: Gate
    repriced: bool = False


def evaluate(budget: Budget, period: Period, share: Share, memory: Memory, moment: Moment) -> Evaluation:
    """Where the budget stands. Raises `Stalled` where spend lacks an exchange rate to the limit."""
    limit = budget.spec.limit
    _check_currency(budget, share)
    new_period = period.id != memory.period_id
    remembered = _rolled_over(memory, budget.spec.effective_thresholds) if new_period else memory
    # An edit can cross nothing at the turn of a period, where spend begins at zero.
    edited = memory.generation != budget.metadata.generation and not (new_period and memory.period_id)
    judged = moment.gate.fresh and share.complete
    known = _known(share, budget, judged=judged, edited=edited or moment.repriced)
    enforcement = budget.spec.enforcement if period.standing == "Running" else Enforcement(mode="Observe")
    thresholds = states(budget.spec.effective_thresholds, enforcement, known, remembered, moment.now)
    return Evaluation(
        budget=BudgetKey(budget.kind, budget.namespace, budget.name, budget.uid),
        generation=budget.metadata.generation,
        period=period,
        limit=limit.amount,
        currency=limit.currency,
        spend=_spend(share, period, min(int(known.used * 100), PERCENT_MAX)),
        rate_per_hour=None if share.hourly_units is None else amount_of(share.hourly_units),
        thresholds=thresholds,
        changes=tuple(s for s in thresholds if _changed(s, memory, new_period=new_period)),
        workloads=share.workloads,
        fresh=moment.gate.fresh,
        began=new_period,
        evaluated=moment.now,
        uncharged=share.uncharged,
        extent=budget.spec.enforcement.extent,
        unlabelled=share.unlabelled,
        unmetered=share.unmetered,
        outside=share.outside,
    )


def _known(share: Share, budget: Budget, *, judged: bool, edited: bool) -> Known:
    limit, coverage = budget.spec.limit.amount, share.coverage
    used = share_of(share.units, limit)
    if coverage.total_seconds == 0:
        ceiling = used if share.complete else None
    elif coverage.covered_seconds == 0:
        ceiling = None
    else:
        ceiling = used * coverage.total_seconds / coverage.covered_seconds
    return Known(used=used, ceiling=ceiling, judged=judged, edited=edited)


def _spend(share: Share, period: Period, used_percent: int) -> Spend:
    # Before the first reading of a new period nothing of it is known, though nothing of it is missing either.
    early = share.as_of is not None and share.as_of < period.interval.start and period.standing == "Running"
    return Spend(
        amount=amount_of(share.units),
        used_percent=used_percent,
        as_of=share.as_of,
        coverage_percent=0 if share.as_of is None or early else share.coverage.percent,
        complete=share.complete,
        estimated=amount_of(share.estimated_units),
        unpriced=share.unpriced,
        assumed=share.assumed,
    )


def _rolled_over(memory: Memory, thresholds: tuple[Threshold, ...]) -> Memory:
    """A new period begins with nothing crossed; a budget that has no memory yet begins with nothing known."""
    if memory.period_id is None:
        return memory
    return Memory(memory.generation, thresholds={t.name: Remembered("Below") for t in thresholds})


def _changed(state: ThresholdState, memory: Memory, *, new_period: bool) -> bool:
    before = memory.thresholds.get(state.threshold.name)
    was = before.standing if before else "Below"
    uncrossed = ("Below", "Unknown")
    if state.standing in uncrossed and was in uncrossed:
        return False
    return state.standing != was or new_period


def _check_currency(budget: Budget, share: Share) -> None:
    currency = budget.spec.limit.currency
    if others := sorted(share.currencies - {currency}):
        raise Stalled(
            "CurrencyMismatch",
            f"{budget} has its limit in {currency}, but some of its usage is priced in {', '.join(others)} "
            f"at a time without an exchange rate. Add one to an AIPriceList (exchangeRates: from "
            f"{others[0]}, to {currency}, its rate, and validFrom not after the period's start), or give "
            f"that usage a price in {currency}.",
        )
