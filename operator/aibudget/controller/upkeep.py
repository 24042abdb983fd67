"""What is done between two cycles, step by step: no cycle waits for it, and a process may end amid it.

The past is read on, owners are asked for, the hours of budgets counted, unusual ones looked into, periods
compared, what nothing needs any more is let go, and closed days are packed. While the ledger is away nothing
of that is done.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from aibudget.api.hold import Hold
from aibudget.budgeting.evaluation import Evaluation
from aibudget.controller.head import Labels
from aibudget.controller.lookout import look_out
from aibudget.controller.measuring import Measuring
from aibudget.controller.parts import Parts
from aibudget.errors import AIBudgetError, Transient
from aibudget.pricing.book import PriceBook

T = TypeVar("T")

log = logging.getLogger(__name__)


class Past(NamedTuple):
    """What of the past is to be read: from `wanted` (Unix seconds) on, priced by a book, with the labels that
    namespaces have now.
    """

    wanted: int
    book: PriceBook
    labels: Labels


class Upkeep:
    """One process's. `errors` are counted by their reasons, with those of the cycles."""

    def __init__(self, parts: Parts, measuring: Measuring, errors: Counter[str]) -> None:
        self._parts = parts
        self._measuring = measuring
        self._errors = errors

    async def go_on(self, past: Past, needed: int, now: int, deadline: float) -> bool:
        """Until the deadline by the monotonic clock, or one step; whether there is more to be done.

        `needed` is since when usage is needed by any budget: what is older may be let go.
        """
        parts = self._parts
        await self._climb(now)
        more = await parts.work(self._measuring.fill, *past, deadline)
        more = await parts.work(self._count_hours, deadline) or more
        more = more or await look_out(parts.lookout, parts.changes, parts.work, deadline)
        more = more or await parts.work(self._compare, deadline)
        more = more or await parts.work(self._expire, needed, now, deadline)
        if not more:
            await parts.work(self._roll_up, needed, now)
        return more

    def note(self, evaluations: Sequence[Evaluation], holds: Sequence[Hold], now: int) -> None:
        """Remember what is held now, for the hours that it is held teach a forecast nothing."""
        if self._parts.foresight is not None:
            self._remembering(self._parts.foresight.note, evaluations, holds, now)

    async def _climb(self, now: int) -> None:
        kinship = self._parts.kinship
        if kinship is None:
            return
        try:
            links = await kinship.climb(await self._parts.work(kinship.ends))
            await self._parts.work(kinship.keep, links, now)
        except AIBudgetError as error:
            log.info("owners are not looked up: %s", error.message, extra={"reason": error.reason})
            self._errors[error.reason] += 1

    def _count_hours(self, deadline: float) -> bool:
        foresight = self._parts.foresight
        return foresight is not None and bool(self._remembering(foresight.count, deadline))

    def _compare(self, deadline: float) -> bool:
        comparisons = self._parts.comparisons
        return comparisons is not None and bool(self._remembering(comparisons.work, deadline))

    def _expire(self, needed: int, now: int, deadline: float) -> bool:
        keeping = self._parts.keeping
        return keeping is not None and bool(self._remembering(keeping.expire, needed, now, deadline))

    def _roll_up(self, needed: int, now: int) -> None:
        if self._parts.keeping is not None:
            self._remembering(self._parts.keeping.roll_up, needed, now)

    def _remembering(self, work: Callable[..., T], *given: object) -> T | None:
        """Do it, unless the ledger cannot be used for the moment."""
        try:
            return work(*given)
        except Transient as error:
            log.warning("the past is not kept up: %s", error.message, extra={"reason": error.reason})
            self._errors[error.reason] += 1
            return None
