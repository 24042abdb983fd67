"""What a leader does while the ledger cannot be used: it waits, and tells people why nothing moves.

Each budget's DataFresh says so, made without the ledger from the statuses as they stand: of these only that
condition changes, and all else stays what was last known. Knows neither kopf nor the ledger.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from aibudget.api.budget import AIBudget, ClusterAIBudget
from aibudget.api.conditions import Reason
from aibudget.controller.cache import Seen
from aibudget.controller.judge import Judged
from aibudget.controller.reporter import Report, Reporter
from aibudget.errors import Transient
from aibudget.reporting import events, status
from aibudget.reporting.facts import DataState

AWAY: Final = Reason.LEDGER_UNAVAILABLE.value
"""The reason of an error that passes when the ledger is back."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
"""Seconds from one try to open the ledger to the next; each pause is twice the one before."""
TURN_SECONDS: Final = 60.0
"""For how long a leader tries to open the ledger, before another replica has its turn."""
AWAY_SECONDS: Final = 600.0
"""For how long a leader leaves out cycles. The ledger may be away for its node alone."""

T = TypeVar("T")


class NotBegun(Transient):
    """The ledger could not be opened for a whole turn."""


class Outage:
    """What a leader at work bears: cycles without a ledger, for so long since it was last used.

    Instants are in seconds of a monotonic clock.
    """

    def __init__(self, used: float) -> None:
        self._used = used

    def over(self, now: float) -> None:
        """A cycle has ended: what comes is another outage."""
        self._used = now

    def bear(self, problem: Transient, now: float) -> None:
        """Go on, for another process would find the ledger away as well, most likely.

        Raises the problem where it has lasted for too long, or is another one: others have their turn.
        """
        if problem.reason != AWAY or now - self._used > AWAY_SECONDS:
            raise problem


async def opened(
    attempt: Callable[[], Awaitable[T]],
    away: Callable[[Transient], Awaitable[None]],
    *,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> T:
    """What the attempt gives, once it succeeds; `away` is told each time that the ledger is not there.

    Raises `NotBegun` after a turn, and whatever else goes wrong at once.
    """
    began, pause = monotonic(), FIRST_PAUSE
    while True:
        try:
            return await attempt()
        except Transient as error:
            if error.reason != AWAY:
                raise
            await away(error)
            if monotonic() - began >= TURN_SECONDS:
                raise NotBegun(error.reason, error.message) from error
        await sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def tell(budgets: Iterable[Seen], reporter: Reporter, problem: Transient, now: int) -> None:
    """Say it of every budget that can be read, at `now` in Unix seconds."""
    data = DataState(fresh=False, reason=Reason.LEDGER_UNAVAILABLE, message=problem.message)
    await reporter.report([_report(seen, reporter, data, now) for seen in budgets if _is_read(seen)], now)


def _is_read(seen: Seen) -> bool:
    return isinstance(seen.model, AIBudget | ClusterAIBudget)


def _report(seen: Seen, reporter: Reporter, data: DataState, now: int) -> Report:
    before = reporter.before(seen)
    told = events.data_changed(events.budget(Judged(seen).key), before, data)
    return Report(seen, status.unread(before, data, now), tuple(told))
