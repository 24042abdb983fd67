"""The decision log for whoever runs in the loop: written in the worker's thread, in the order given.

What must be written before it is done is the caller's to wait for. What is given back is not held up by a
ledger that cannot be written: it is kept here, and written with the next entries or at the next cycle.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Final

from aibudget.errors import Transient
from aibudget.ledger.decision import Decision, Head
from aibudget.ledger.register import Register

MOST_UNWRITTEN: Final = 10_000

log = logging.getLogger(__name__)


class Scribe:
    """One process's; `worker` is the thread that the register belongs to."""

    def __init__(self, register: Register, worker: Executor) -> None:
        self._register = register
        self._worker = worker
        self._unwritten: list[Decision] = []

    async def write(self, decisions: Sequence[Decision]) -> None:
        """All of it, and what was kept before; raises `AIBudgetError` where that cannot be."""
        wanted = [*self._unwritten, *decisions]
        loop = asyncio.get_running_loop()
        head, added = await loop.run_in_executor(self._worker, self._register.write, wanted)
        self._unwritten = []
        if added:
            tell(head, len(added))

    async def note(self, decisions: Sequence[Decision]) -> None:
        """All of it, at the latest when the ledger can be written again."""
        if not (decisions or self._unwritten):
            return
        try:
            await self.write(decisions)
        except Transient as error:
            log.warning("decisions wait to be written: %s", error.message, extra={"reason": error.reason})
            self._unwritten = [*self._unwritten, *decisions][:MOST_UNWRITTEN]


def tell(head: Head, added: int) -> None:
    """Say where the log ends now, out of reach of who can change it: what is cut off later is missed."""
    log.info(
        "the decision log has %d more entries; the last is %d", added, head.number, extra={"hash": head.hash}
    )
