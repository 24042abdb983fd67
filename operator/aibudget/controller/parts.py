"""What cycles are made of: put together by `assembly`, used by `cycle` and, between two of them, by `upkeep`.

What is None, or left as it is by default, does nothing: a test has the parts that it is about.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TypeVar

from aibudget.budgeting.sharing import Sharing
from aibudget.controller.books import Books
from aibudget.controller.cache import Cache
from aibudget.controller.calendar import Calendar
from aibudget.controller.comparisons import Comparisons
from aibudget.controller.fleet import Fleet
from aibudget.controller.foresight import Foresight
from aibudget.controller.keeping import Keeping
from aibudget.controller.kinship import Kinship
from aibudget.controller.lookout import Lookout
from aibudget.controller.meters import Meters
from aibudget.controller.notifier import Notifier
from aibudget.controller.reporter import Reporter
from aibudget.controller.scribe import Scribe
from aibudget.controller.tariffs import LivePrices
from aibudget.enforcement.cluster import Enforcer
from aibudget.inventory.changes import Changes
from aibudget.pricing.carbon import Carbon

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a cycle is made of. `worker` is the one thread that books are used in."""

    cache: Cache
    books: Books
    enforcer: Enforcer
    reporter: Reporter
    worker: Executor
    queries: Callable[[], int] = lambda: 0
    notifier: Notifier = field(default_factory=Notifier)
    kinship: Kinship | None = None
    live: LivePrices | None = None
    meters: Meters | None = None
    sharing: Sharing = field(default_factory=Sharing)
    carbon: Carbon = field(default_factory=lambda: Carbon(()))
    calendar: Calendar = field(default_factory=Calendar)
    select: Callable[[Mapping[str, frozenset[str]]], None] = lambda _: None
    foresight: Foresight | None = None
    keeping: Keeping | None = None
    scribe: Scribe | None = None
    lookout: Lookout | None = None
    comparisons: Comparisons | None = None
    changes: Changes | None = None
    fleet: Fleet = field(default_factory=Fleet)

    async def work(self, work: Callable[..., T], *given: object) -> T:
        """Do it in the worker's thread."""
        return await asyncio.get_running_loop().run_in_executor(self.worker, work, *given)
