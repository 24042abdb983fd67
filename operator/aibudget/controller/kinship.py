"""What workloads are part of, asked of the API server between cycles where Prometheus does not tell.

One book of owners serves all meters; here its open ends are looked up, and what is learnt is kept in the
ledger, for objects go and bills stay. Nothing waits for it: it is for those who read, not for what is billed.
"""

from collections.abc import Collection
from typing import Protocol

from aibudget.controller.books import Books
from aibudget.inventory.climb import Climber
from aibudget.inventory.owners import Child, OwnerBook, OwnerLink
from aibudget.inventory.workload import Workload


class Keeper(Protocol):
    """Who keeps the one book of owners."""

    @property
    def owners(self) -> OwnerBook: ...

    def remember(self, links: Collection[OwnerLink], at: int) -> None: ...


class Kinship:
    """`ends` and `keep` are for the worker's thread, the rest for the loop's."""

    def __init__(self, climber: Climber, keeper: Keeper, books: Books) -> None:
        self.book = OwnerBook()
        self._workloads: frozenset[Workload] = frozenset()
        self._ends: frozenset[Child] = frozenset()
        self._climber = climber
        self._keeper = keeper
        self._books = books

    def ends(self) -> frozenset[Child]:
        """Where chains of what spends now end without it being known that nothing is above."""
        book, workloads = self._keeper.owners, self._books.workloads()
        if book is not self.book or workloads != self._workloads:
            self.book, self._workloads, self._ends = book, workloads, book.ends(workloads)
        return self._ends

    async def climb(self, ends: frozenset[Child]) -> tuple[OwnerLink, ...]:
        """What the API server tells of them; raises `Transient` where it cannot be reached."""
        return await self._climber.climb(ends) if ends else ()

    def keep(self, links: tuple[OwnerLink, ...], at: int) -> None:
        """Keep what was learnt, for good."""
        self._keeper.remember(links, at)
