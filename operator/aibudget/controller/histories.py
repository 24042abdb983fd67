"""Counts what each budget spent in each hour, a little in each cycle, for the worker's thread.

An hour is counted when all meters have posted it, and again whenever what is posted of it changes. A budget
that is new, or has another scope, is counted from the newest hour backwards, as far as the ledger goes. The
share of an hour is taken by the code that takes the share of a period, so that both are the same money.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aibudget.api.budget import AIBudget, Budget
from aibudget.budgeting.gate import LEAST_PERCENT
from aibudget.budgeting.share import Share, Shares
from aibudget.budgeting.turning import scope_of
from aibudget.controller.books import Books
from aibudget.inventory.owners import OwnerBook
from aibudget.ledger.hours import HOUR, Amount, Counted, HourBook, Recount
from aibudget.ledger.spend import Statement
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.charge import UNITS, Units
from aibudget.pricing.tiers import month_of

BILLIONTHS: Final = 10**9
KEPT_SECONDS: Final = 25 * 31 * 86_400
"""Two years and a month: a year is judged by the one before (ADR 0052)."""
LATE_SECONDS: Final = 86_400
"""For how long an hour waits for a meter that is behind the first."""
AT_ONCE: Final = 250
"""How many budgets are counted in one turn: thousands would keep a cycle waiting."""
MANY_HOURS: Final = 48
"""What changed more hours than this is counted like a new budget, backwards and in turns."""
CHUNK, WIDE_CHUNK = 6 * HOUR, 24 * HOUR
"""How much is counted in one turn: of all namespaces, and of a few."""
FEW_NAMESPACES: Final = 50

_NOTHING: Final = Statement((), Coverage(0, 0), None, complete=False)


@dataclass(frozen=True, slots=True)
class Counting:
    """A budget that is counted, and the meters that its spend comes from now."""

    budget: Budget
    meters: frozenset[str]

    @property
    def uid(self) -> str:
        return self.budget.uid


@dataclass(frozen=True, slots=True)
class _Turn:
    """Budgets that need the same hours counted, and how far they are counted then."""

    group: Sequence[Counting]
    hours: Sequence[int]
    revision: int
    since: int


class Histories:
    """`monotonic` is the clock of deadlines; `owners` know what workloads are part of."""

    def __init__(
        self, books: Books, hours: HourBook, epoch: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._books = books
        self._hours = hours
        self._epoch = epoch
        self._monotonic = monotonic
        self._counted: dict[str, Counted] | None = None
        self._digests: dict[str, tuple[int, str]] = {}
        self._anew: set[str] = set()
        self._forgotten = 0
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

    def counted(self, uid: str) -> Counted | None:
        """How far a budget is counted; None where it is not, or not wholly yet."""
        counted = None if self._counted is None else self._counted.get(uid)
        return None if counted is None or counted.since > 0 or uid in self._anew else counted

    def read(self, uid: str, since: int) -> Mapping[int, Amount]:
        """What a budget spent by the hour, in billionths; None where that is not known."""
        return self._hours.read(uid, since)

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
            digest, known = self._digest(one.budget), self._counted.get(one.uid)
            if known is None or known.scope != digest:
                newest = self._hours.newest(settled) if newest is None else newest
                self._counted[one.uid] = Counted(digest, newest, settled)
                self._anew.add(one.uid)
        return self._counted

    def _digest(self, budget: Budget) -> str:
        """Of all that decides which lines are the budget's; its namespace and its currency never change."""
        generation, known = budget.metadata.generation, self._digests.get(budget.uid)
        if known is None or known[0] != generation:
            known = self._digests[budget.uid] = generation, scope_of(budget)
        return known[1]

    def _turn(
        self, counting: Sequence[Counting], counted: Mapping[str, Counted], settled: int
    ) -> _Turn | None:
        oldest = min(counted[one.uid].revision for one in counting)
        changes = self._hours.changed(oldest, settled)
        newest = max(changes.values(), default=oldest)
        if oldest < newest:
            return _renewed(
                _alike(counting, counted, lambda known: -known.revision), counted, changes, newest
            )
        group = _alike(counting, counted, lambda known: known.since)
        since, first = counted[group[0].uid].since, self._hours.first()
        if since == 0 or first is None:
            return None
        floor = max(first, settled - KEPT_SECONDS)
        start = max(floor, since - (CHUNK if _namespaces(group) is None else WIDE_CHUNK))
        return _Turn(group, range(start, since, HOUR), newest, 0 if start <= floor else start)

    def _take(self, turn: _Turn, counted: dict[str, Counted]) -> None:
        amounts = self._amounts(turn.group, turn.hours)
        recounts = {
            one.uid: Recount(
                replace(counted[one.uid], revision=turn.revision, since=turn.since),
                amounts.get(one.uid, {}),
                anew=one.uid in self._anew,
            )
            for one in turn.group
        }
        self._hours.write(recounts, self._epoch)
        for uid, recount in recounts.items():
            counted[uid] = recount.counted
            self._anew.discard(uid)

    def _amounts(self, group: Sequence[Counting], hours: Sequence[int]) -> Mapping[str, dict[int, Amount]]:
        found: dict[str, dict[int, Amount]] = defaultdict(dict)
        namespaces = _namespaces(group)
        for part in _runs(hours, CHUNK if namespaces is None else WIDE_CHUNK):
            kept = self._books.kept()
            begins = {meter: accounts.posted().begins or 0 for meter, accounts in kept.items()}
            stated = {meter: accounts.hourly(part, namespaces) for meter, accounts in kept.items()}
            for hour in range(part.start, part.end, HOUR):
                # What a meter has not begun to count is no gap of it.
                statements = {
                    meter: by_hour.get(hour, _NOTHING)
                    for meter, by_hour in stated.items()
                    if begins[meter] <= hour or meter == self._books.first.meter
                }
                shares: dict[str, Shares] = {}
                for one in group:
                    currency = one.budget.spec.currency
                    if currency not in shares:
                        shares[currency] = Shares(statements, {}, frozenset(), currency, self.owners)
                    share = shares[currency].of(one.budget)
                    found[one.uid][hour] = amount(share, one.meters, statements)
        return found


def amount(share: Share, used: Collection[str], statements: Mapping[str, Statement]) -> Amount:
    """What was spent in an hour, in billionths; None where a meter that matters does not know it.

    Those are the meters that the hour's spend comes from, and those that the budget's comes from (`used`):
    of them, one that is silent has not seen nothing.
    """
    if share.currencies or share.unlabelled or share.unmetered:
        return None
    for meter in (share.meters | set(used)) & statements.keys():
        covered = statements[meter].coverage
        if not statements[meter].complete or covered.covered_seconds * 100 < (
            LEAST_PERCENT * covered.total_seconds
        ):
            return None
    return billionths(share.units)


def billionths(units: Units) -> int:
    """Money in whole billionths, half to even: an hour is rounded once, as a whole."""
    return round(units * BILLIONTHS / UNITS) if not isinstance(units, int) else _rounded(units)


def _rounded(units: int) -> int:
    whole, rest = divmod(units * BILLIONTHS, UNITS)
    return whole + (2 * rest > UNITS or (2 * rest == UNITS and whole % 2 == 1))


def _renewed(
    group: Sequence[Counting], counted: Mapping[str, Counted], changes: Mapping[int, int], newest: int
) -> _Turn:
    known = counted[group[0].uid]
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
    lead = max((counted[one.uid] for one in counting), key=first)
    place = (lead.revision, lead.since)
    found = [one for one in counting if (counted[one.uid].revision, counted[one.uid].since) == place]
    return found[:AT_ONCE]


def _namespaces(group: Sequence[Counting]) -> frozenset[str] | None:
    """The namespaces that these budgets are all about; None where that is all, or too many to list."""
    if not all(isinstance(one.budget, AIBudget) for one in group):
        return None
    found = frozenset(one.budget.namespace or "" for one in group)
    return found if len(found) <= FEW_NAMESPACES else None


def _runs(hours: Sequence[int], most: int) -> Iterator[Interval]:
    """Neighbouring hours as intervals of at most so many seconds."""
    start = None
    for place, hour in enumerate(hours):
        start = hour if start is None else start
        following = hours[place + 1] if place + 1 < len(hours) else None
        if following != hour + HOUR or following - start >= most:
            yield Interval(start, hour + HOUR)
            start = None
