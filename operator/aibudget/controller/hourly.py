"""What budgets used in each of some hours, by the code that takes the share of a period: the same numbers.

An hour is one whole number: billionths of money, the smallest unit of a meter that a cap counts, milligrams
of what was emitted. It is None where a meter that matters does not know it. Reads what is posted, and keeps
nothing. For the worker's thread.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from aibudget.api.budget import AIBudget, Budget
from aibudget.api.limit import CARBON
from aibudget.budgeting import caps
from aibudget.budgeting.caps import Counting as Line
from aibudget.budgeting.gate import LEAST_PERCENT
from aibudget.budgeting.limits import Counted, counted_by, in_unit
from aibudget.budgeting.share import Share, Shares
from aibudget.budgeting.turning import scope_of
from aibudget.controller.books import Books
from aibudget.inventory.owners import OwnerBook
from aibudget.ledger.hours import HOUR, Amount, series
from aibudget.ledger.spend import Statement
from aibudget.metering.catalogue import ENERGY
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.carbon import Carbon
from aibudget.pricing.charge import UNITS, Units

BILLIONTHS: Final = 10**9
MILLIGRAMS: Final = 1000
"""In a gram."""
CHUNK, WIDE_CHUNK = 6 * HOUR, 24 * HOUR
"""How much is counted in one turn: of all namespaces, and of a few."""
FEW_NAMESPACES: Final = 50

_NOTHING: Final = Statement((), Coverage(0, 0), None, complete=False)


@dataclass(frozen=True, slots=True)
class Counting:
    """A budget whose money is counted, and the meters that its spend comes from now; or, where `capped` says
    so, what its caps count.
    """

    budget: Budget
    meters: frozenset[str]
    capped: Counted | None = None

    @property
    def series(self) -> str:
        """What its hours are called."""
        return series_of(self.budget, self.capped)

    def of(self, uid: str) -> str:
        """What the hours of the same are called for the budget of this uid."""
        return series(uid, measure_of(self.capped))


def countings(budget: Budget, meters: frozenset[str]) -> tuple[Counting, ...]:
    """All that is counted of a budget: its money, and what each of its caps counts."""
    capped = dict.fromkeys(map(counted_by, budget.spec.caps or ()))
    return (Counting(budget, meters), *(Counting(budget, meters, one) for one in capped))


def series_of(budget: Budget, capped: Counted | None = None) -> str:
    """What the hours of a budget's money are called, or of what a cap counts."""
    return series(budget.uid, measure_of(capped))


def measure_of(capped: Counted | None) -> str:
    """What a cap counts, in a word; "" is money."""
    return "" if capped is None else "/".join(filter(None, capped))


def in_hours(capped: Counted | None, amount: int) -> float:
    """An hour's number as an amount of money, or in the unit of the cap."""
    if capped is None:
        return amount / BILLIONTHS
    return float(in_unit(capped, Fraction(amount, MILLIGRAMS) if capped[1] == CARBON else amount))


class Hourly:
    """`carbon` knows what electricity emitted."""

    def __init__(self, books: Books, carbon: Carbon) -> None:
        self._books = books
        self._carbon = carbon

    def digest(self, one: Counting) -> str:
        """Of all that decides what counts."""
        # Hours are those of this cluster: with which others they are added up decides nothing about them.
        scope = scope_of(one.budget, here=True)
        if one.capped is None or one.capped[1] != CARBON:
            return scope
        return hashlib.sha256(f"{scope}/{self._carbon.digest}".encode()).hexdigest()

    def amounts(
        self, group: Sequence[Counting], hours: Sequence[int], owners: OwnerBook
    ) -> Mapping[str, dict[int, Amount]]:
        """By series, each of these hours; `owners` know what workloads are part of."""
        found: dict[str, dict[int, Amount]] = defaultdict(dict)
        namespaces = _namespaces(group)
        capped = frozenset(one.capped for one in group if one.capped is not None)
        for part in _runs(hours, chunk_of(group)):
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
                lines = tuple(self._lines(capped, statements, hour))
                shares: dict[str, Shares] = {}
                shared: dict[str, Share] = {}
                for one in group:
                    currency, uid = one.budget.spec.currency, one.budget.uid
                    if currency not in shares:
                        shares[currency] = Shares(statements, {}, frozenset(), currency, owners, lines)
                    if uid not in shared:
                        shared[uid] = shares[currency].of(one.budget)
                    found[one.series][hour] = _amount(one, shared[uid], statements)
        return found

    def _lines(
        self, capped: frozenset[Counted], statements: Mapping[str, Statement], hour: int
    ) -> Iterator[Line]:
        """What caps count of an hour."""

        def energy(part: Interval) -> Statement | None:
            accounts = self._books.kept().get(ENERGY.name)
            return None if accounts is None else accounts.passing(part)

        return caps.countings(capped, statements, self._carbon, energy, Interval(hour, hour + HOUR))


def chunk_of(group: Sequence[Counting]) -> int:
    """How many seconds of these are counted in one turn."""
    return CHUNK if _namespaces(group) is None else WIDE_CHUNK


def billionths(units: Units) -> int:
    """Money in whole billionths, half to even: an hour is rounded once, as a whole."""
    return round(units * BILLIONTHS / UNITS) if not isinstance(units, int) else _rounded(units)


def _amount(one: Counting, share: Share, statements: Mapping[str, Statement]) -> Amount:
    return _spent(share, one.meters, statements) if one.capped is None else _used(share, one.capped)


def _spent(share: Share, used: Collection[str], statements: Mapping[str, Statement]) -> Amount:
    """What was spent in an hour, in billionths; None where a meter that matters does not know it.

    Those are the meters that the hour's spend comes from, and those that the budget's comes from (`used`):
    of them, one that is silent has not seen nothing.
    """
    if share.currencies or share.unlabelled or share.unmetered:
        return None
    meters = (share.meters | set(used)) & statements.keys()
    if not all(statements[one].complete and _is_covered(statements[one].coverage) for one in meters):
        return None
    return billionths(share.units)


def _used(share: Share, capped: Counted) -> Amount:
    """What of what a cap counts; None where its meter does not know it."""
    use = share.uses.get(capped)
    if use is None or use.quantity is None or not use.complete or not _is_covered(use.coverage):
        return None
    return round(use.quantity * (MILLIGRAMS if capped[1] == CARBON else 1))


def _is_covered(coverage: Coverage) -> bool:
    return coverage.covered_seconds * 100 >= LEAST_PERCENT * coverage.total_seconds


def _rounded(units: int) -> int:
    whole, rest = divmod(units * BILLIONTHS, UNITS)
    return whole + (2 * rest > UNITS or (2 * rest == UNITS and whole % 2 == 1))


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
