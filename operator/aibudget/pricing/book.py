"""The price book: every rate that is known, and which of them prices a SKU at an instant.

The winner is found in this order: the highest priority; the most specific match (the number of dimensions it
names, and between equal numbers the one that names the instance type, since a machine has one kind of
device); the latest start; the name. So the answer never depends on the order in which lists were read.

A rate applies to every value of a dimension that its match does not name. An on-demand price therefore also
prices spot and reserved capacity until a list says what that costs: a known upper bound, told as an
assumption, rather than usage that has no price and trips no budget.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, pairwise
from typing import Final

from aibudget.api.pricelist import AIPriceList, ListedRate
from aibudget.metering.slots import Interval, iso
from aibudget.metering.usage import Sku, Usage
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import FAR_FUTURE, Rate

DISCOUNTED_CAPACITY: Final = frozenset({"spot", "reserved", "capacity-block", "preemptible"})
"""Capacity types that cost less than the on-demand price, normalised as the catalogue does."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which rate prices a SKU, and why, in one sentence. `assumed` says what was taken for granted."""

    rate: Rate | None
    reason: str
    assumed: str | None = None


class PriceBook:
    """Immutable; answers are remembered per SKU, so pricing 100,000 usages costs as many look-ups."""

    def __init__(self, rates: Iterable[Rate]) -> None:
        self.rates = tuple(sorted(set(rates), key=_precedence))
        self._by_meter: Mapping[str, list[Rate]] = _by_meter(self.rates)
        self._candidates: dict[Sku, tuple[Rate, ...]] = {}

    @property
    def ids(self) -> frozenset[str]:
        """The hashes of all rates: two books with the same ids price alike."""
        return frozenset(rate.id for rate in self.rates)

    @property
    def meters(self) -> frozenset[str]:
        """The meters that have any rate: what else is counted is not missing a price."""
        return frozenset(self._by_meter)

    def rate(self, sku: Sku, at: int) -> Rate | None:
        """The rate that prices the SKU at an instant (Unix seconds); None where there is none."""
        return next((rate for rate in self.candidates(sku) if at in rate.interval), None)

    def charges(self, usages: Iterable[Usage]) -> tuple[Charge, ...]:
        """One charge per usage, in the same order, each at the rate of its slot."""
        return tuple(Charge(usage, self.rate(usage.sku, usage.slot)) for usage in usages)

    def candidates(self, sku: Sku) -> tuple[Rate, ...]:
        """Every rate that matches at some time, best first. A SKU whose share is unknown matches none."""
        found = self._candidates.get(sku)
        if found is None:
            known = sku.dimension("share") != "unknown"
            rates = self._by_meter.get(sku.meter, ()) if known else ()
            found = self._candidates[sku] = tuple(rate for rate in rates if rate.matches(sku))
        return found

    def segments(self, sku: Sku, interval: Interval) -> Iterator[tuple[Interval, Rate | None]]:
        """The interval, cut where the SKU's rate may change."""
        edges = {interval.start, interval.end}
        for rate in self.candidates(sku):
            edges.update(t for t in (rate.interval.start, rate.interval.end) if t in interval)
        for start, end in pairwise(sorted(edges)):
            yield Interval(start, end), self.rate(sku, start)

    def explain(self, sku: Sku, at: int) -> Explanation:
        """Why this SKU has the price it has, or none."""
        name = describe(sku)
        if sku.dimension("share") == "unknown":
            return Explanation(None, f"{name}: how much of a device one unit is, is unknown; it has no price")
        matching = [rate for rate in self.candidates(sku) if at in rate.interval]
        if not matching:
            return Explanation(
                None, f"no rate matches {name} at {iso(at)}; add one to an AIPriceList to give it a price"
            )
        best, *others = matching
        over = f"; preferred to {', '.join(rate.label for rate in others)}" if others else ""
        reason = f"{best} (priority {best.priority}, matches {_spelled(best.match)}){over}"
        return Explanation(best, reason, assumption(sku, best))


def assumption(sku: Sku, rate: Rate) -> str | None:
    """A sentence where a price stands in for one that nobody has stated: spot at the on-demand price."""
    capacity = sku.dimension("capacityType")
    if capacity not in DISCOUNTED_CAPACITY or "capacityType" in rate.match:
        return None
    return (
        f"{describe(sku)} is charged at {rate.label}, which is not a price for {capacity} capacity and may "
        f"be too high; add a rate with capacityType: {capacity} to an AIPriceList"
    )


def describe(sku: Sku) -> str:
    """A SKU in words: `gpu (gpuProduct NVIDIA-L4, instanceType g6.xlarge)`."""
    return f"{sku.meter} ({_spelled(dict(sku.dimensions))})"


def rates_of(pricelist: AIPriceList, priority: int | None = None) -> tuple[Rate, ...]:
    """The rates of one list, in its order. `priority` replaces the list's own: the built-in list has 0."""
    spec = pricelist.spec
    return tuple(
        Rate(
            source=pricelist.name,
            name=listed.name,
            meter=listed.meter,
            match=listed.match.model_dump(by_alias=True, exclude_none=True),
            currency=spec.currency,
            unit=listed.unit,
            price=listed.price,
            list_price=listed.price if listed.list_price is None else listed.list_price,
            priority=spec.priority if priority is None else priority,
            interval=_validity(listed),
            includes=tuple(sorted(listed.includes)),
        )
        for listed in spec.rates
    )


def ambiguities(rates: Iterable[Rate]) -> tuple[str, ...]:
    """Pairs of equally good rates that can price the same usage at the same time, as sentences.

    A rate with the same match and a later start is not one: that is how a list says that a price changed.
    """
    return tuple(
        f"{one.label} and {other.label} can match the same usage and neither is more specific; "
        f"{_tie(one, other)} Give one of them another field to match, an end, or a list of higher priority."
        for one, other in combinations(sorted(rates, key=_precedence), 2)
        if _ambiguous(one, other)
    )


def _ambiguous(one: Rate, other: Rate) -> bool:
    if one.meter != other.meter or _rank(one) != _rank(other):
        return False
    if any(one.match[key] != other.match[key] for key in one.match.keys() & other.match.keys()):
        return False
    superseded = one.match == other.match and one.interval.start != other.interval.start
    return not superseded and one.interval.intersection(other.interval) is not None


def _tie(one: Rate, other: Rate) -> str:
    by = "later start" if one.interval.start != other.interval.start else "name"
    return f"{one.name} wins by its {by}."


def _rank(rate: Rate) -> tuple[int, int, bool]:
    return (-rate.priority, -len(rate.match), "instanceType" not in rate.match)


def _precedence(rate: Rate) -> tuple[tuple[int, int, bool], int, str, str, str]:
    return (_rank(rate), -rate.interval.start, rate.source, rate.name, rate.id)


def _by_meter(rates: Iterable[Rate]) -> Mapping[str, list[Rate]]:
    grouped: dict[str, list[Rate]] = defaultdict(list)
    for rate in rates:
        grouped[rate.meter].append(rate)
    return grouped


def _spelled(dimensions: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(dimensions.items())) or "anything"


def _validity(listed: ListedRate) -> Interval:
    end = FAR_FUTURE if listed.valid_to is None else _seconds(listed.valid_to)
    return Interval(_seconds(listed.valid_from), end)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
