"""The price book: every rate that is known, and which of them prices a SKU at an instant.

A rate applies to every value of a dimension that its match does not name. An on-demand price therefore also
prices spot and reserved capacity until a list says what that costs: a known upper bound, told as an
assumption, rather than usage that has no price and trips no budget. Which rate wins is decided in `match`,
what is in the price of something else in `included`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise, starmap
from typing import Final

from aibudget.metering.slots import SLOT_SECONDS, Interval, iso
from aibudget.metering.usage import Sku, Usage
from aibudget.pricing import included
from aibudget.pricing.charge import Charge
from aibudget.pricing.exchange import Exchange, ExchangeRate
from aibudget.pricing.match import assumption, describe, precedence, spelled
from aibudget.pricing.rate import Rate
from aibudget.pricing.tiers import Before, tiered

PRICED_AS: Final = {"gpu-idle": "gpu"}
"""Meters that have no rates of their own, and whose rates are theirs."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which rate prices a SKU, and why, in one sentence. `assumed` says what was taken for granted."""

    rate: Rate | None
    reason: str
    assumed: str | None = None


class PriceBook:
    """Immutable; answers are remembered per SKU, so pricing 100,000 usages costs as many look-ups."""

    def __init__(self, rates: Iterable[Rate], exchange: Iterable[ExchangeRate] = ()) -> None:
        self.rates = tuple(sorted(set(rates), key=precedence))
        self.exchange = Exchange(exchange)
        self._by_meter: Mapping[str, list[Rate]] = _by_meter(self.rates)
        self._candidates: dict[Sku, tuple[Rate, ...]] = {}
        self._payers: dict[Sku, tuple[Rate, ...]] = {}
        self._answers: dict[tuple[Sku, int], Rate | None] = {}

    @property
    def ids(self) -> frozenset[str]:
        """The hashes of all that is in it: two books with the same ids price alike."""
        entries = (sha256(repr(entry).encode()).hexdigest() for entry in self.exchange.entries)
        return frozenset((*(rate.id for rate in self.rates), *entries))

    @property
    def digest(self) -> str:
        """A hash over all of it."""
        return sha256("\n".join(sorted(self.ids)).encode()).hexdigest()

    @property
    def meters(self) -> frozenset[str]:
        """The meters that have some rate: only of these can usage lack a price."""
        alike = (meter for meter, other in PRICED_AS.items() if other in self._by_meter)
        return frozenset((*self._by_meter, *alike))

    @property
    def has_tiers(self) -> bool:
        """Whether a price depends on how much was used before."""
        return any(rate.tiers for rate in self.rates)

    def rate(self, sku: Sku, at: int) -> Rate | None:
        """The rate that prices the SKU at an instant (Unix seconds); None where there is none.

        One that has tiers is for the first of them.
        """
        key = (sku, at)
        if key not in self._answers:
            if len(self._answers) >= ANSWERS_KEPT:
                self._answers.clear()
            self._answers[key] = self._rate(sku, at)
        return self._answers[key]

    def charges(self, usages: Iterable[Usage], before: Before | None = None) -> tuple[Charge, ...]:
        """One charge per usage, in the same order, each at the rate of its slot.

        `before` tells what tiers depend on; without it what is given here is all that was used.
        """
        charges = tuple(Charge(usage, self.rate(usage.sku, usage.slot)) for usage in usages)
        return tiered(charges, before or _nothing) if self.has_tiers else charges

    def candidates(self, sku: Sku) -> tuple[Rate, ...]:
        """Every rate that matches at some time, best first.

        A SKU whose share is unknown can only be priced per instance.
        """
        found = self._candidates.get(sku)
        if found is None:
            meter = PRICED_AS.get(sku.meter, sku.meter)
            like = replace(sku, meter=meter) if meter != sku.meter else sku
            matching = (rate for rate in self._by_meter.get(meter, ()) if rate.matches(like))
            share = sku.dimension("share")
            found = tuple(_for_share(r, share) for r in matching if r.per_instance or share != "unknown")
            self._candidates[sku] = found
        return found

    def segments(self, sku: Sku, interval: Interval) -> Iterator[tuple[Interval, Rate | None]]:
        """The interval, cut where the SKU's rate may change."""
        concerned = (*self.candidates(sku), *self._payers_of(sku))
        edges = {interval.start, interval.end}
        for rate in concerned:
            edges.update(t for t in (rate.interval.start, rate.interval.end) if t in interval)
        for currency in {rate.currency for rate in concerned}:
            edges.update(t for t in self.exchange.edges(currency) if t in interval)
        for start, end in pairwise(sorted(edges)):
            yield Interval(start, end), self.rate(sku, start)

    def parts(self, interval: Interval) -> Iterator[Interval]:
        """The interval, cut at the slots from which on some SKU may have another rate."""
        ends = {end for rate in self.rates for end in (rate.interval.start, rate.interval.end)}
        slots = {-(-end // SLOT_SECONDS) * SLOT_SECONDS for end in ends}
        edges = {interval.start, interval.end, *(slot for slot in slots if slot in interval)}
        return starmap(Interval, pairwise(sorted(edges)))

    def explain(self, sku: Sku, at: int) -> Explanation:
        """Why this SKU has the price it has, or none."""
        name, best = describe(sku), self.rate(sku, at)
        if best is None and sku.dimension("share") == "unknown":
            return Explanation(None, f"{name}: how much of a device one unit is, is unknown; it has no price")
        if best is None:
            return Explanation(
                None, f"no rate matches {name} at {iso(at)}; add one to an AIPriceList to give it a price"
            )
        if best.reason:
            return Explanation(best, f"{name} costs nothing: {_WHY[best.reason]} ({best.label})")
        others = [rate.label for rate in self.candidates(sku) if at in rate.interval][1:]
        over = f"; preferred to {', '.join(others)}" if others else ""
        reason = f"{best} (priority {best.priority}, matches {spelled(best.match)}){over}"
        return Explanation(best, reason, assumption(sku, best))

    def _rate(self, sku: Sku, at: int) -> Rate | None:
        if included.own_tokens(sku):
            return included.OWN_TOKENS
        paid = _valid(self._payers_of(sku), at)
        if paid is not None and sku.meter == "saas-spend":
            return included.included(paid, sku, included.BY_TOKENS)
        if paid is not None and sku.meter in paid.includes:
            return included.included(paid, sku)
        best = _valid(self.candidates(sku), at)
        if best is None:
            return None
        worth = self.exchange.worth(best.currency, at)
        return replace(best, exchange=worth) if worth else best

    def _payers_of(self, sku: Sku) -> tuple[Rate, ...]:
        """The rates of another meter in whose price this may be, best first."""
        found = self._payers.get(sku)
        if found is None:
            if sku.meter in included.HOST_METERS:
                found = tuple(r for r in self._by_meter.get("gpu", ()) if included.hosts(r, sku))
            elif sku.meter == "saas-spend":
                found = tuple(r for r in self._by_meter.get("tokens", ()) if included.tells_tokens(r, sku))
            else:
                found = ()
            self._payers[sku] = found
        return found


ANSWERS_KEPT: Final = 100_000
"""How many SKUs by slot are remembered: beyond them they are found anew."""

_WHY: Final = {
    included.INCLUDED: "it is in the price of the machine's devices",
    included.SELF_HOSTED: "these tokens are paid with the devices they are made on",
    included.BY_TOKENS: "the tokens themselves have a price",
}


def _for_share(rate: Rate, share: str | None) -> Rate:
    """A price per instance, for a quantity that is counted in devices."""
    if not rate.per_instance or share in (None, "unknown"):
        return rate
    return replace(rate, portion=rate.portion / Fraction(share or "1"))


def _valid(rates: Iterable[Rate], at: int) -> Rate | None:
    return next((rate for rate in rates if at in rate.interval), None)


def _by_meter(rates: Iterable[Rate]) -> Mapping[str, list[Rate]]:
    grouped: dict[str, list[Rate]] = defaultdict(list)
    for rate in rates:
        grouped[rate.meter].append(rate)
    return grouped


def _nothing(_rate: Rate, _slot: int) -> int:
    return 0
