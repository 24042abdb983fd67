"""Which of several rates wins, and how a SKU and a match are said in words.

The winner is found in this order: the highest priority; the most specific match (the number of dimensions it
names, and between equal numbers the one that names the instance type, since a machine has one kind of
device); the latest start; the name. So the answer never depends on the order in which lists were read. Pure.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Final

from aibudget.metering.usage import Sku
from aibudget.pricing.rate import Rate

DISCOUNTED_CAPACITY: Final = frozenset({"spot", "reserved", "capacity-block", "preemptible"})
"""Capacity types that cost less than the on-demand price, normalised as the catalogue does."""


def precedence(rate: Rate) -> tuple[tuple[int, int, bool], int, str, str, str]:
    """Sorts the best rate first."""
    return (_rank(rate), -rate.interval.start, rate.source, rate.name, rate.id)


def describe(sku: Sku) -> str:
    """A SKU in words: `gpu (gpuProduct NVIDIA-L4, instanceType g6.xlarge)`."""
    return f"{sku.meter} ({spelled(dict(sku.dimensions))})"


def spelled(dimensions: Mapping[str, str]) -> str:
    """A match in words: `gpuProduct NVIDIA-L4, region eu-west-1`."""
    return ", ".join(f"{key} {value}" for key, value in sorted(dimensions.items())) or "anything"


def assumption(sku: Sku, rate: Rate) -> str | None:
    """A sentence where a price stands in for one that nobody has stated: spot at the on-demand price."""
    capacity = sku.dimension("capacityType")
    if capacity not in DISCOUNTED_CAPACITY or "capacityType" in rate.match or not rate.unit_price:
        return None
    return (
        f"{describe(sku)} is charged at {rate.label}, which is not a price for {capacity} capacity and may "
        f"be too high; add a rate with capacityType: {capacity} to an AIPriceList"
    )


def ambiguities(rates: Iterable[Rate]) -> tuple[str, ...]:
    """Pairs of equally good rates that can price the same usage at the same time, as sentences.

    A rate with the same match and a later start is not one: that is how a list says that a price changed.
    """
    return tuple(
        f"{one.label} and {other.label} can match the same usage and neither is more specific; "
        f"{_tie(one, other)} Give one of them another field to match, an end, or a list of higher priority."
        for one, other in combinations(sorted(rates, key=precedence), 2)
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
