"""The price lists of the cluster as one book, and what is to be said of each list.

A list that has become invalid keeps its last valid rates while this process lives: prices that jump to the
public ones because of a typing error would push budgets over their limits. Knows no I/O.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from aibudget.api.pricelist import AIPriceList
from aibudget.controller.cache import Seen
from aibudget.errors import InvalidManifest
from aibudget.pricing.book import PriceBook
from aibudget.pricing.exchange import ExchangeRate
from aibudget.pricing.listing import exchange_of, rates_of
from aibudget.pricing.match import ambiguities
from aibudget.pricing.public import public_rates
from aibudget.pricing.rate import Rate


@dataclass(frozen=True, slots=True)
class Listed:
    """One list: the problem that keeps it out, or remarks on it while it is in use."""

    seen: Seen
    problem: InvalidManifest | None
    remarks: tuple[str, ...]


class Shelf:
    """Makes a new book only when a list has changed, for a book remembers the answers it gave."""

    def __init__(self) -> None:
        self._rates: dict[str, tuple[Rate, ...]] = {}
        self._exchange: dict[str, tuple[ExchangeRate, ...]] = {}
        self._versions: tuple[dict[str, int], frozenset[str]] | None = None
        self.book = PriceBook(public_rates())
        self.lists: tuple[Listed, ...] = ()

    def arrange(self, price_lists: Iterable[Seen], unpriced: frozenset[str] = frozenset()) -> PriceBook:
        """The book of these lists over the built-in one, without rates for meters that have no price."""
        seen = tuple(price_lists)
        versions = {one.uid: one.metadata.generation for one in seen}, unpriced
        if versions != self._versions:
            self._versions = versions
            self._rates = {one.uid: self._rates_of(one) for one in seen}
            self._exchange = {one.uid: self._exchange_of(one) for one in seen}
            self.book = PriceBook(
                [rate for rate in chain(public_rates(), *self._rates.values()) if rate.meter not in unpriced],
                chain.from_iterable(self._exchange.values()),
            )
            self.lists = tuple(self._listed(one, unpriced) for one in seen)
        else:
            # The same prices, but their objects carry newer statuses.
            newer = {one.uid: one for one in seen}
            self.lists = tuple(Listed(newer[old.seen.uid], old.problem, old.remarks) for old in self.lists)
        return self.book

    def _rates_of(self, seen: Seen) -> tuple[Rate, ...]:
        if isinstance(seen.model, AIPriceList):
            return rates_of(seen.model)
        return self._rates.get(seen.uid, ())

    def _exchange_of(self, seen: Seen) -> tuple[ExchangeRate, ...]:
        if isinstance(seen.model, AIPriceList):
            return exchange_of(seen.model)
        return self._exchange.get(seen.uid, ())

    def _listed(self, seen: Seen, unpriced: frozenset[str]) -> Listed:
        if isinstance(seen.model, InvalidManifest):
            return Listed(seen, seen.model, ())
        rates = self._rates[seen.uid]
        idle = (
            f"Rate {rate.name} is left out, for {rate.meter} has no price: set priced in the AIMeter, or "
            "remove the rate."
            for rate in rates
            if rate.meter in unpriced
        )
        return Listed(seen, None, (*ambiguities(rates), *idle))
