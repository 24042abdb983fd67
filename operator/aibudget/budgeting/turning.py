"""What becomes of a budget's periods as time passes: opened, settling, closed, and never gone back to. Pure.

The newest period that the ledger knows is the truth about how far time has come: a clock that says less is
refused, whether it is set back now or was ahead then, so that nothing is given back or begun twice. Where the
ledger knows nothing of a budget, its status is asked.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from aibudget.api.budget import Budget
from aibudget.api.budget import Period as PeriodSpec
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.limits import allowance
from aibudget.budgeting.memory import Memory, Remembered
from aibudget.budgeting.period import Period, current, preceding, steady
from aibudget.budgeting.share import Share
from aibudget.errors import Transient
from aibudget.ledger.periodrow import Owner, PeriodRow
from aibudget.pricing.charge import amount_of

SETTLING_SECONDS: Final = 24 * 3600
"""For how long after its end a period waits for what is not known of it yet."""
CLOCK_SECONDS: Final = 120
"""So far may a clock be behind a period that has begun without being called wrong."""
MOST_MISSED: Final = 12
"""Periods that passed while nobody looked and are written down afterwards, the newest."""


class ClockBehind(Transient):
    """The clock says that a period has not begun, or not ended, that has: nothing is judged by it."""

    def __init__(self, row: PeriodRow, seconds: int) -> None:
        self.seconds = seconds
        turned = "begun" if row.state == "Open" else "ended"
        super().__init__(
            "ClockBehind",
            f"The clock is {seconds} s behind period {row.id}, which has {turned} already: nothing is begun, "
            "stopped or given back until it is right. If it was ahead then and is right now, delete the "
            "budget and apply it again.",
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """Which period runs, and what of the ledger's rows is another thing now.

    `row` is that of the period, None where it has none: a Fixed one ahead, or over before anybody looked.
    `opened` says that it is new; `before` is the newest row until then.
    """

    period: Period
    row: PeriodRow | None
    changed: tuple[PeriodRow, ...] = ()
    opened: bool = False
    before: PeriodRow | None = None


def turned(budget: Budget, rows: Sequence[PeriodRow], memory: Memory, now: int) -> Turn:
    """By this clock, given the budget's rows in the order of time. Raises `ClockBehind`."""
    spec, newest = budget.spec.period, rows[-1] if rows else None
    if newest is None:
        period = steady(spec, now, memory.period_start)
        return _begun(budget, period, None, now)
    # What is over has its end behind it; what runs, its beginning.
    reached = newest.interval.start if newest.state == "Open" else newest.interval.end
    if reached - now > CLOCK_SECONDS:
        raise ClockBehind(newest, reached - now)
    period = current(spec, max(now, reached))
    if period.id != newest.id:
        return _begun(budget, period, newest, now)
    if period.standing == "Over" and newest.state == "Open":
        over = ended(newest, now)
        return Turn(period, over, (over,), before=newest)
    return Turn(period, newest, before=newest)


def _begun(budget: Budget, period: Period, newest: PeriodRow | None, now: int) -> Turn:
    if period.standing != "Running":
        return Turn(period, None, before=newest)
    row = _row(budget, period, now)
    if newest is None:
        return Turn(period, row, (row,), opened=True)
    over = (ended(newest, now),) if newest.state == "Open" else ()
    return Turn(period, row, (*over, *_missed(budget, period, newest, now), row), opened=True, before=newest)


def ended(row: PeriodRow, now: int) -> PeriodRow:
    """The same period when it is over; it waits from the moment that this is seen."""
    return replace(row, state="Settling", ended=now)


def closed(row: PeriodRow, share: Share | None, now: int) -> PeriodRow:
    """The same period for good, as it is known now; `share` None: there is nobody left to ask."""
    if share is None or share.currencies - {row.currency}:
        return replace(row, state="Closed", closed=now)
    coverage = share.coverage.percent if share.as_of is not None else 0
    spent = amount_of(share.units)
    return replace(row, state="Closed", closed=now, spent=spent, coverage_percent=coverage)


def is_known(row: PeriodRow, share: Share) -> bool:
    """Whether all of the period was read, by every meter that may count, and measured by those that do."""
    covered = share.coverage.covered_seconds >= share.coverage.total_seconds
    return share.complete and _is_read(row, share) and covered and not share.currencies - {row.currency}


def is_overdue(row: PeriodRow, share: Share, now: int, watched: int) -> bool:
    """Whether it has waited for long enough.

    What is still to be read waits for a day of the process that reads it, which has looked for `watched`
    seconds: an operator that was away must not close what it missed before it can have read it.
    """
    if row.ended is None:
        return False
    waited = now - row.ended
    return (waited if _is_read(row, share) else min(waited, watched)) >= SETTLING_SECONDS


def _is_read(row: PeriodRow, share: Share) -> bool:
    return share.reached is not None and share.reached >= row.interval.end


def recalled(turn: Turn, told: Memory) -> Memory:
    """What the budget remembers: by its status (`told`), unless that speaks of another time than its period.

    A status that was lost or put back to an old one begins nothing anew: the row knows where it stood.
    """
    row, before = turn.row, turn.before
    if row is None or told.period_id == row.id:
        return told
    if turn.opened:
        # Its status was lost in the period before: that one is known all the same.
        return told if told.period_id or before is None else _memory(before, told)
    return _memory(row, told) if row.told else told


def standing(row: PeriodRow, evaluation: Evaluation, told: Memory) -> PeriodRow:
    """The row with what is to be remembered of an evaluation; `told` is what the status said before it."""
    limit, left, generation = evaluation.limit, _fixed(evaluation), evaluation.generation
    stood = {state.threshold.name: (state.standing, state.crossed) for state in evaluation.thresholds}
    is_told = row.told or told.period_id == row.id
    known = (row.limit, row.rolled_over, row.generation, row.thresholds, row.told)
    if known == (limit, left, generation, stood, is_told):
        return row
    return replace(row, limit=limit, rolled_over=left, generation=generation, thresholds=stood, told=is_told)


def _fixed(evaluation: Evaluation) -> Decimal | None:
    """What was left of the period before, once that is closed: from then on it does not change."""
    rollover = None if evaluation.allowance is None else evaluation.allowance.rollover
    return None if rollover is None or rollover.provisional else rollover.left


def scope_of(budget: Budget, *, here: bool = False) -> str:
    """A digest of whose usage counts, or counts `here`, in each cluster by itself: what is counted again for
    another scope is no correction.
    """
    spec: dict[str, Any] = budget.spec.model_dump(mode="json", include={"scope"})
    if spec["scope"] and (here or not spec["scope"].get("clusters")):
        # A field that came later does not make another scope of one that has none of it.
        spec["scope"].pop("clusters", None)
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _memory(row: PeriodRow, told: Memory) -> Memory:
    # Only names that the status's own vocabulary has are written into a row.
    stood = {name: Remembered(was, since) for name, (was, since) in row.thresholds.items()}  # type: ignore[arg-type]
    evaluated = max(told.evaluated, row.opened)
    return Memory(row.generation, row.id, row.interval.start, stood, evaluated, limit=row.limit)


def _missed(budget: Budget, period: Period, newest: PeriodRow, now: int) -> list[PeriodRow]:
    """Periods that began and ended since then, the oldest first."""
    found: list[PeriodRow] = []
    spec: PeriodSpec = budget.spec.period
    one = preceding(spec, period)
    while one is not None and one.interval.start >= newest.interval.end and len(found) < MOST_MISSED:
        found.append(ended(_row(budget, one, now), now))
        one = preceding(spec, one)
    return found[::-1]


def _row(budget: Budget, period: Period, now: int) -> PeriodRow:
    money = allowance(budget.spec, period, now, None)
    return PeriodRow(
        owner=Owner(budget.kind, budget.namespace, budget.name, budget.uid),
        id=period.id,
        interval=period.interval,
        state="Open",
        currency=budget.spec.currency,
        opened=now,
        limit=None if money is None else money.amount,
        scope=scope_of(budget),
    )
