"""Dated exchange rates: what one of a currency was worth in another, from an instant on.

Price lists state them; the list of the highest priority wins, then the latest start. An entry serves both
ways, its reverse as an exact fraction, where nobody states the other way. There is no way over a third
currency: who bills in it says what it costs. Pure.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction


@dataclass(frozen=True, slots=True, order=True)
class ExchangeRate:
    """From `start` (Unix seconds) on, one of `sold` is worth `rate` of `bought`."""

    start: int
    priority: int
    source: str
    sold: str
    bought: str
    rate: Decimal


class Exchange:
    """All entries that are known."""

    def __init__(self, entries: Iterable[ExchangeRate] = ()) -> None:
        self.entries = tuple(sorted(set(entries)))
        self._starts: dict[str, list[int]] = {}
        for entry in self.entries:
            for currency in (entry.sold, entry.bought):
                self._starts.setdefault(currency, []).append(entry.start)
        self._known: dict[tuple[str, int], tuple[tuple[str, Fraction], ...]] = {}

    def edges(self, currency: str) -> tuple[int, ...]:
        """The instants at which the worth of a currency may change."""
        return tuple(dict.fromkeys(self._starts.get(currency, ())))

    def worth(self, currency: str, at: int) -> tuple[tuple[str, Fraction], ...]:
        """What one of the currency is worth at an instant, by the other currency's code, sorted."""
        place = bisect_right(self._starts.get(currency, []), at)
        if not place:
            return ()
        found = self._known.get((currency, place))
        if found is None:
            found = self._known[currency, place] = self._worth(currency, at)
        return found

    def _worth(self, currency: str, at: int) -> tuple[tuple[str, Fraction], ...]:
        stated: dict[str, list[ExchangeRate]] = defaultdict(list)
        reversed_: dict[str, list[ExchangeRate]] = defaultdict(list)
        for entry in self.entries:
            if entry.start <= at and entry.sold == currency:
                stated[entry.bought].append(entry)
            elif entry.start <= at and entry.bought == currency:
                reversed_[entry.sold].append(entry)
        worth = {code: 1 / Fraction(_best(entries).rate) for code, entries in reversed_.items()}
        worth |= {code: Fraction(_best(entries).rate) for code, entries in stated.items()}
        return tuple(sorted(worth.items()))


def _best(entries: Iterable[ExchangeRate]) -> ExchangeRate:
    # Between lists of one priority the first name wins, as among rates.
    first = sorted(entries, key=lambda entry: entry.source)
    return max(first, key=lambda entry: (entry.priority, entry.start))
