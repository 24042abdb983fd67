"""Counts what each budget used in each hour, a little in each cycle, for the worker's thread.

An hour is counted when all meters have posted it, and again whenever what is posted of it changes. What is
new, or has another scope, is counted from the newest hour backwards, as far as the ledger goes. What an hour
comes to is for `hourly` to say.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aibudget.controller.books import Books
from aibudget.controller.hourly import Counting, Hourly, chunk_of
from aibudget.inventory.owners import OwnerBook
from aibudget.ledger.hours import HOUR, Amount, Counted, HourBook, Recount
from aibudget.pricing.carbon import Carbon
from aibudget.pricing.tiers import month_of

KEPT_SECONDS: Final = 25 * 31 * 86_400
"""Two years and a month: a year is judged by the one before (ADR 0052)."""
LATE_SECONDS: Final = 86_400
"""For how long an hour waits for a meter that is behind the first."""
AT_ONCE: Final = 250
"""How many series are counted in one turn: thousands would keep a cycle waiting."""
MANY_HOURS: Final = 48
"""What changed more hours than this is counted like what is new, backwards and in turns."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """Series that need the same hours counted, and how far they are counted then."""

    group: Sequence[Counting]
    hours: Sequence[int]
    revision: int
    since: int


class Histories:
    """`monotonic` is the clock of deadlines; `owners` know what workloads are part of, `carbon` what
    electricity emitted.
    """

    def __init__(
        self,
        books: Books,
        hours: HourBook,
        epoch: int,
        monotonic: Callable[[], float] = time.monotonic,
        carbon: Carbon | None = None,
    ) -> None:
        self._books = books
        self._hours = hours
        self._epoch = epoch
        self._monotonic = monotonic
        self._counted: dict[str, Counted] | None = None
        self._digests: dict[str, tuple[int, str]] = {}
        self._anew: set[str] = set()
        self._forgotten = 0
        self._hourly = Hourly(books, carbon or Carbon(()))
        self.owners = OwnerBook()

    def count(self, counting: Sequence[Counting], deadline: float) -> bool:
        """Count what there is to count until the deadline, or one turn of it; whether there is more."""
        settled = self.settled()
        if settled is None or not counting:
            return False
        self._forget(settled)
        counted = self._begun(counting, settled)
        while (turn := self._turn(counting, counted, settled)) is not None:
            self._take(turn, counted)
            if self._monotonic() >= deadline:
                return True
        return False

    def counted(self, series: str) -> Counted | None:
        """How far a series is counted; None where it is not, or not wholly yet."""
        counted = None if self._counted is None else self._counted.get(series)
        return None if counted is None or counted.since > 0 or series in self._anew else counted

    def read(self, series: str, since: int) -> Mapping[int, Amount]:
        """What a budget spent, in billionths, or used by the hour; None where that is not known."""
        return self._hours.read(series, since)

    def held(self, hours: Mapping[str, Collection[int]]) -> None:
        """In these hours something was held that these budgets count."""
        self._hours.hold(hours, self._epoch)

    def settled(self) -> int | None:
        """The end of the hours that all meters have posted; one that is far behind is not waited for."""
        ends = {meter: accounts.posted().watermark for meter, accounts in self._books.kept().items()}
        first = ends[self._books.first.meter]
        if first is None:
            return None
        settled = min(max(end or 0, first - LATE_SECONDS) for end in ends.values())
        return min(settled, first) // HOUR * HOUR

    def _forget(self, settled: int) -> None:
        month = month_of(settled - KEPT_SECONDS)
        if month > self._forgotten:
            self._hours.forget(month, self._epoch)
            self._forgotten = month

    def _begun(self, counting: Sequence[Counting], settled: int) -> dict[str, Counted]:
        if self._counted is None:
            self._counted = self._hours.counted()
        newest = None
        for one in counting:
            digest, known = self._digest(one), self._counted.get(one.series)
            if known is None or known.scope != digest:
                newest = self._hours.newest(settled) if newest is None else newest
                self._counted[one.series] = Counted(digest, newest, settled)
                self._anew.add(one.series)
        return self._counted

    def _digest(self, one: Counting) -> str:
        """Of all that decides what counts; a budget's namespace and its currency never change."""
        generation, known = one.budget.metadata.generation, self._digests.get(one.series)
        if known is None or known[0] != generation:
            known = self._digests[one.series] = generation, self._hourly.digest(one)
        return known[1]

    def _turn(
        self, counting: Sequence[Counting], counted: Mapping[str, Counted], settled: int
    ) -> _Turn | None:
        oldest = min(counted[one.series].revision for one in counting)
        changes = self._hours.changed(oldest, settled)
        newest = max(changes.values(), default=oldest)
        if oldest < newest:
            return _renewed(
                _alike(counting, counted, lambda known: -known.revision), counted, changes, newest
            )
        group = _alike(counting, counted, lambda known: known.since)
        since, first = counted[group[0].series].since, self._hours.first()
        if since == 0 or first is None:
            return None
        floor = max(first, settled - KEPT_SECONDS)
        start = max(floor, since - chunk_of(group))
        return _Turn(group, range(start, since, HOUR), newest, 0 if start <= floor else start)

    def _take(self, turn: _Turn, counted: dict[str, Counted]) -> None:
        amounts = self._hourly.amounts(turn.group, turn.hours, self.owners)
        recounts = {
            one.series: Recount(
                replace(counted[one.series], revision=turn.revision, since=turn.since),
                amounts.get(one.series, {}),
                anew=one.series in self._anew,
            )
            for one in turn.group
        }
        self._hours.write(recounts, self._epoch)
        for series, recount in recounts.items():
            counted[series] = recount.counted
            self._anew.discard(series)


def _renewed(
    group: Sequence[Counting], counted: Mapping[str, Counted], changes: Mapping[int, int], newest: int
) -> _Turn:
    known = counted[group[0].series]
    hours = sorted(
        hour for hour, revision in changes.items() if revision > known.revision and hour >= known.since
    )
    if len(hours) > MANY_HOURS:
        return _Turn(group, (), newest, hours[-1] + HOUR)
    return _Turn(group, hours, newest, known.since)


def _alike(
    counting: Sequence[Counting], counted: Mapping[str, Counted], first: Callable[[Counted], int]
) -> Sequence[Counting]:
    """Some of those that come first and are counted equally far."""
    lead = max((counted[one.series] for one in counting), key=first)
    place = (lead.revision, lead.since)
    found = [one for one in counting if (counted[one.series].revision, counted[one.series].since) == place]
    return found[:AT_ONCE]
