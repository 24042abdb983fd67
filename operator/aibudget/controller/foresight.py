"""Foresees where each budget will end, once an hour and spread over its cycles. For the worker's thread.

Forecasts are kept in memory alone: after a restart each is made again in one of the first cycles. A budget
that counts well enough gets a new one when another hour of it is counted, or its limit is another one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from aibudget.api.budget import Budget
from aibudget.api.hold import Hold
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.forecast import Forecast, Spent, forecast
from aibudget.budgeting.foreseen import UNFORESEEN, Foreseen, runs, share_of
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import Period
from aibudget.budgeting.share import Share
from aibudget.controller.heldhours import Holding
from aibudget.controller.histories import BILLIONTHS, KEPT_SECONDS, Counting, Histories
from aibudget.inventory.owners import OwnerBook
from aibudget.ledger.hours import HOUR, Amount, Counted
from aibudget.pricing.charge import amount_of

AT_ONCE: Final = 50
"""How many forecasts are made in one cycle at least, where so many are due."""
OFTEN_SECONDS: Final = 900
"""A forecast stands for so long at least, unless the budget is another one."""


Later = tuple[tuple[int, Decimal], ...]
"""Limits with the instants (Unix seconds) from which on they are in force, in their order."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A forecast, and what it was made of."""

    period: str
    generation: int
    limit: Decimal
    revision: int
    foreseen: Foreseen


@dataclass(frozen=True, slots=True)
class Seeing:
    """When a budget is looked at, when posted usage last got another price (Unix seconds), and the money of
    its period; None where it has caps alone. `later` is what comes into force later in it.
    """

    now: int
    repriced: int
    limit: Decimal | None
    later: Later = ()


class Foresight:
    """One process's. `at_once` forecasts are made in one cycle at least, where so many are due."""

    def __init__(self, histories: Histories, at_once: int = AT_ONCE) -> None:
        self._histories = histories
        self._at_once = at_once
        self._kept: dict[str, _Kept] = {}
        self._counting: dict[str, Counting] = {}
        self._holding = Holding()
        self._left = 0

    def begin(self, uids: Sequence[str], owners: OwnerBook | None) -> None:
        """Another cycle, with these budgets; `owners` know what workloads are part of."""
        self._histories.owners = owners or self._histories.owners
        self._left = max(self._at_once, len(uids) // 30)
        present = set(uids)
        for known in (self._kept, self._counting):
            for uid in known.keys() - present:
                del known[uid]

    def note(self, evaluations: Iterable[Evaluation], holds: Sequence[Hold], now: int) -> None:
        """Remember in which hours something was held that these budgets count: it teaches nothing."""
        hours = self._holding.hours(evaluations, holds, now)
        if hours:
            self._histories.held(hours)

    def count(self, deadline: float) -> bool:
        """Count hours of the budgets that were looked at until the deadline; whether there are more."""
        return self._histories.count(tuple(self._counting.values()), deadline)

    def look(self, budget: Budget, period: Period, share: Share, memory: Memory, seeing: Seeing) -> Foreseen:
        """What is foreseen of the period that the budget is in."""
        self._counting[budget.uid] = Counting(budget, share.meters)
        limit = seeing.limit
        if limit is None or period.standing != "Running":
            return Foreseen(reason="NoLimit" if limit is None else "NotRunning")
        kept = self._kept.get(budget.uid)
        if kept is not None and kept.period != period.id:
            kept = None
        counted = self._histories.counted(budget.uid)
        known = counted is not None and share.as_of is not None and share.as_of >= period.interval.start
        due = kept is None or _is_due(kept, budget, counted, seeing)
        if counted is None or not known or not due or self._left <= 0:
            return UNFORESEEN if kept is None else kept.foreseen
        self._left -= 1
        edited = _is_edited(budget, period, memory, kept, seeing)
        before = {} if kept is None or edited else kept.foreseen.runs
        found = self._forecast(budget, period, share, (limit, seeing.later))
        made = Foreseen(reason="HistoryTooShort", made=seeing.now)
        if found is not None:
            share_of_limit = share_of(found, limit, (amount for _, amount in seeing.later))
            running = runs(budget.spec.effective_thresholds, share_of_limit, before)
            made = Foreseen(found, "", seeing.now, running, edited, share_of_limit)
        generation = budget.metadata.generation
        self._kept[budget.uid] = _Kept(period.id, generation, limit, counted.revision, made)
        return made

    def _forecast(
        self, budget: Budget, period: Period, share: Share, limits: tuple[Decimal, Later]
    ) -> Forecast | None:
        assert share.as_of is not None, "only what is known is carried on"
        end = share.as_of // HOUR * HOUR
        known = self._histories.read(budget.uid, end - KEPT_SECONDS)
        spent = Spent(
            amount=float(amount_of(share.units)),
            at=share.as_of,
            period_end=period.interval.end,
            limit=float(limits[0]),
            later=tuple((start, float(amount)) for start, amount in limits[1]),
        )
        return forecast(sequence(known, end), end, spent)


def sequence(known: Mapping[int, Amount], end: int) -> list[float | None]:
    """The hours up to an instant, from the first that anything is known of; amounts of money."""
    begin = min((hour for hour, amount in known.items() if amount is not None), default=end)
    amounts = (known.get(hour) for hour in range(begin, end, HOUR))
    return [None if amount is None else amount / BILLIONTHS for amount in amounts]


def _is_due(kept: _Kept, budget: Budget, counted: Counted | None, seeing: Seeing) -> bool:
    if kept.generation != budget.metadata.generation or kept.limit != seeing.limit:
        return True
    age = seeing.now - kept.foreseen.made
    return age >= HOUR or (age >= OFTEN_SECONDS and counted is not None and counted.revision != kept.revision)


def _is_edited(budget: Budget, period: Period, memory: Memory, kept: _Kept | None, seeing: Seeing) -> bool:
    """Whether spec, limit or prices changed since the last forecast of the period, or the status of it."""
    generation = budget.metadata.generation
    if kept is not None:
        moved = kept.generation != generation or kept.limit != seeing.limit
        return moved or seeing.repriced > kept.foreseen.made
    if memory.period_id != period.id:
        return False
    return memory.generation != generation or seeing.repriced > memory.evaluated
