"""`Outcome`: what comes of one cycle while it comes in; each object is worked on in its own guard.

Whatever goes wrong with one object is told in the outcome, and the others go on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from aibudget.api.conditions import EventReason
from aibudget.api.hold import Claim
from aibudget.enforcement.intents import Intents
from aibudget.enforcement.notice import Act
from aibudget.enforcement.port import Site
from aibudget.errors import AIBudgetError
from aibudget.inventory.workload import Workload

_LOG = logging.getLogger(__name__)
_IN_FLIGHT: Final = 16

T = TypeVar("T")
R = TypeVar("R")


@dataclass(slots=True)
class Outcome:
    """The acts of one cycle, failures included."""

    site: Site
    acts: list[Act] = field(default_factory=list)

    async def guard(self, workload: Workload, work: Awaitable[R], claims: tuple[Claim, ...] = ()) -> R | None:
        """The result, or None and a failure in the report: one object never stops the others."""
        try:
            return await work
        except AIBudgetError as error:
            paused = error.reason == EventReason.ENFORCEMENT_PAUSED
            _LOG.warning("%s", error.message, extra={"reason": error.reason, "workload": str(workload)})
            self.fail(workload, error.message, claims, paused=paused)
        except Exception as error:  # noqa: BLE001 - one poisonous object must not end the cycle for all
            _LOG.exception("enforcement failed", extra={"workload": str(workload)})
            self.fail(workload, f"{type(error).__name__}: {error}; the operator's log has its trace.", claims)
        return None

    def fail(
        self, workload: Workload, message: str, claims: tuple[Claim, ...] = (), *, paused: bool = False
    ) -> None:
        """Note a failure, or that the kill switch came in between."""
        reason = EventReason.ENFORCEMENT_PAUSED if paused else EventReason.ENFORCEMENT_FAILED
        self.acts.append(Act(workload, reason, message, claims))

    async def written(self, intents: Sequence[Intents]) -> AIBudgetError | None:
        """Write down what is intended; what kept stops from being written, which then must not be done.

        What is given back waits for nothing.
        """
        stops = [one for intent in intents for one in intent.stops]
        others = [one for intent in intents for one in intent.others]
        try:
            if self.site.journal is not None and stops:
                await self.site.journal.write([*others, *stops])
                return None
        except AIBudgetError as error:
            _LOG.warning("nothing is stopped: %s", error.message, extra={"reason": error.reason})
            await self.site.note(others)
            return error
        await self.site.note(others)
        return None


async def each(
    items: Iterable[T],
    work: Callable[[T], Awaitable[R]],
    before: Callable[[T], Awaitable[None]] | None = None,
) -> list[R]:
    """All of them, a few at a time, in the order given; each not before `before` it is over."""
    gate = asyncio.Semaphore(_IN_FLIGHT)

    async def one(item: T) -> R:
        if before is not None:
            await before(item)
        async with gate:
            return await work(item)

    return list(await asyncio.gather(*(one(item) for item in items)))
