"""The price lists of the cluster as one book, and what is to be said of each list.

A list that has become invalid keeps its last valid rates while this process lives: prices that jump to the
public ones because of a typing error would push budgets over their limits. Knows no I/O.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from types import MappingProxyType
from typing import Final, NamedTuple

from aibudget.api.meter import BUILT_IN, MeterSpec
from aibudget.api.pricelist import AIPriceList
from aibudget.controller.cache import Seen
from aibudget.errors import InvalidManifest
from aibudget.metering.catalogue import unit_of
from aibudget.pricing.book import PriceBook
from aibudget.pricing.exchange import ExchangeRate
from aibudget.pricing.listing import exchange_of, rates_of
from aibudget.pricing.match import ambiguities
from aibudget.pricing.public import public_rates
from aibudget.pricing.rate import Rate

NO_METERS: Final[Mapping[str, MeterSpec]] = MappingProxyType({})


class Priced(NamedTuple):
    """What prices need to know of a user's meter."""

    unit: str
    priced: bool


@dataclass(frozen=True, slots=True)
class Listed:
    """One list: the problem that keeps it out, or remarks on it while it is in use."""

    seen: Seen
    problem: InvalidManifest | None
    remarks: tuple[str, ...]
    meters: frozenset[str] = frozenset()


class Shelf:
    """Makes a new book only when a list has changed, for a book remembers the answers it gave."""

    def __init__(self) -> None:
        self._rates: dict[str, tuple[Rate, ...]] = {}
        self._exchange: dict[str, tuple[ExchangeRate, ...]] = {}
        self._versions: tuple[dict[str, int], dict[str, Priced], tuple[Rate, ...]] | None = None
        self.book = PriceBook(public_rates())
        self.lists: tuple[Listed, ...] = ()

    def arrange(
        self,
        price_lists: Iterable[Seen],
        meters: Mapping[str, MeterSpec] = NO_METERS,
        live: tuple[Rate, ...] = (),
    ) -> PriceBook:
        """The book of these lists over live and built-in prices; `meters` are those of users, by name.

        Rates for meters that are to have no price are left out.
        """
        seen, own = tuple(price_lists), {name: Priced(one.unit, one.priced) for name, one in meters.items()}
        unpriced = {name for name, one in own.items() if not one.priced}
        versions = {one.uid: one.metadata.generation for one in seen}, own, live
        if versions != self._versions:
            self._versions = versions
            self._rates = {one.uid: self._rates_of(one) for one in seen}
            self._exchange = {one.uid: self._exchange_of(one) for one in seen}
            self.book = PriceBook(
                [
                    rate
                    for rate in chain(public_rates(), live, *self._rates.values())
                    if rate.meter not in unpriced
                ],
                chain.from_iterable(self._exchange.values()),
            )
            self.lists = tuple(self._listed(one, own) for one in seen)
        else:
            # The same prices, but their objects carry newer statuses.
            newer = {one.uid: one for one in seen}
            self.lists = tuple(replace(old, seen=newer[old.seen.uid]) for old in self.lists)
        return self.book

    def _rates_of(self, seen: Seen) -> tuple[Rate, ...]:
        if isinstance(seen.model, AIPriceList):
            return rates_of(seen.model)
        return self._rates.get(seen.uid, ())

    def _exchange_of(self, seen: Seen) -> tuple[ExchangeRate, ...]:
        if isinstance(seen.model, AIPriceList):
            return exchange_of(seen.model)
        return self._exchange.get(seen.uid, ())

    def _listed(self, seen: Seen, meters: Mapping[str, Priced]) -> Listed:
        if isinstance(seen.model, InvalidManifest):
            return Listed(seen, seen.model, ())
        rates = self._rates[seen.uid]
        remarks = (*ambiguities(rates), *_pointless(rates, meters))
        return Listed(seen, None, remarks, frozenset(rate.meter for rate in rates))


def _pointless(rates: Iterable[Rate], meters: Mapping[str, Priced]) -> Iterator[str]:
    """Rates that price nothing, or not what they seem to."""
    for rate in rates:
        meter = meters.get(rate.meter)
        if meter is None:
            if rate.meter not in BUILT_IN:
                yield f"Rate {rate.name} prices nothing: there is no AIMeter {rate.meter}."
        elif not meter.priced:
            yield (
                f"Rate {rate.name} prices nothing, for the AIMeter {rate.meter} is not priced: set priced "
                "there, or remove the rate."
            )
        elif rate.unit not in (meter.unit, unit_of(rate.meter)):
            yield (
                f"Rate {rate.name} is per {rate.unit}, but {rate.meter} counts {meter.unit}: correct one of "
                "them."
            )
