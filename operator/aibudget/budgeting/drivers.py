"""Why a budget's spend is another than in the same part of the period before: price, volume or mix.

What each SKU cost on both sides is split so that the parts add up to the difference exactly: price at the
quantity of now, volume and mix at the price of before, and SKUs that only one side knows as parts of their
own, for they have no second price. Quantities are compared within one meter only. Pure; what a scope takes is
for `baskets` to say.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Literal

from aibudget.inventory.workload import Workload
from aibudget.metering.usage import Sku
from aibudget.pricing.charge import Units
from aibudget.pricing.match import describe

LEAST_PERCENT: Final = 99
"""How much of both sides must be known: what is not must not be taken for a fall."""

Effect = Literal["price", "volume", "mix", "new", "gone"]

NOTHING: Final = Fraction(0)


@dataclass(slots=True)
class Cost:
    """What a SKU used, in its meter's smallest unit, and what that cost, in `UNITS`."""

    quantity: int = 0
    units: Units = 0


@dataclass(slots=True)
class Basket:
    """What a budget's scope spent in an interval, by SKU and by workload.

    `currencies` are those of what is left out for want of an exchange rate; `unlabelled` are labels that
    are not known of usage which the scope may select; `unpriced` are SKUs of which some has no price.
    """

    skus: dict[Sku, Cost] = field(default_factory=lambda: defaultdict(Cost))
    workloads: dict[Workload, Units] = field(default_factory=lambda: defaultdict(int))
    currencies: set[str] = field(default_factory=set)
    unlabelled: frozenset[str] = frozenset()
    unpriced: set[Sku] = field(default_factory=set)

    @property
    def units(self) -> Units:
        """What all of it cost."""
        return sum(self.workloads.values())

    @property
    def meters(self) -> frozenset[str]:
        """Those that it comes from."""
        return frozenset(sku.meter for sku in self.skus)


@dataclass(frozen=True, slots=True)
class Effects:
    """A difference in its parts, in `UNITS`; below zero it costs less.

    `price`: the same use has another price. `volume`: another quantity of the meter is used, in the mix of
    before. `mix`: it is used in other proportions. `new` and `gone`: SKUs that only one side knows.
    """

    price: Fraction = NOTHING
    volume: Fraction = NOTHING
    mix: Fraction = NOTHING
    new: Fraction = NOTHING
    gone: Fraction = NOTHING

    @property
    def parts(self) -> Mapping[Effect, Fraction]:
        """By name, in the order in which they are told."""
        return {
            "price": self.price,
            "volume": self.volume,
            "mix": self.mix,
            "new": self.new,
            "gone": self.gone,
        }

    @property
    def change(self) -> Fraction:
        """All of them together."""
        return self.price + self.volume + self.mix + self.new + self.gone

    @property
    def largest(self) -> Effect:
        """The part that says most."""
        parts = self.parts
        return max(parts, key=lambda name: abs(parts[name]))

    def __add__(self, other: "Effects") -> "Effects":
        return Effects(
            self.price + other.price,
            self.volume + other.volume,
            self.mix + other.mix,
            self.new + other.new,
            self.gone + other.gone,
        )


@dataclass(frozen=True, slots=True)
class Drivers:
    """What two baskets differ by: in all, and by SKU and workload, the largest difference first."""

    before: Units
    after: Units
    effects: Effects
    skus: tuple[tuple[Sku, Effects], ...]
    workloads: tuple[tuple[Workload, Fraction], ...]


@dataclass(frozen=True, slots=True)
class Side:
    """How much of one side of a comparison is known: seconds, by meter, of so many in all."""

    period: str
    seconds: int
    covered: Mapping[str, int]

    def percent(self, meter: str) -> int:
        """Rounded down."""
        return self.covered.get(meter, 0) * 100 // self.seconds


@dataclass(frozen=True, slots=True)
class Compared:
    """A period beside the one before it, by their ids, as far as `until` (Unix seconds) and the same part of
    the one before. `drivers` None is unknown, for the `reason` given in words.
    """

    period: str
    before: str
    until: int
    drivers: Drivers | None
    reason: str = ""


def drivers(before: Basket, after: Basket) -> Drivers:
    """The difference of two baskets, in parts that add up to it."""
    growth = _growth(before.skus, after.skus)
    by_sku = {
        sku: _effects(before.skus.get(sku), after.skus.get(sku), growth.get(sku.meter, NOTHING))
        for sku in before.skus.keys() | after.skus.keys()
    }
    moved = {
        workload: Fraction(after.workloads.get(workload, 0)) - before.workloads.get(workload, 0)
        for workload in before.workloads.keys() | after.workloads.keys()
    }
    return Drivers(
        before=before.units,
        after=after.units,
        effects=sum(by_sku.values(), Effects()),
        skus=tuple(sorted(by_sku.items(), key=lambda one: (-abs(one[1].change), one[0]))),
        workloads=tuple(sorted(moved.items(), key=lambda one: (-abs(one[1]), one[0]))),
    )


def unknown(sides: Iterable[Side], before: Basket, after: Basket, least: frozenset[str]) -> str:
    """Why two baskets cannot be compared, in words; "" where they can.

    `least` are the meters that must be known whatever was spent; the others are those of either basket.
    """
    if labels := before.unlabelled | after.unlabelled:
        return f"it is not known which workloads had label {', '.join(sorted(labels))}"
    if currencies := before.currencies | after.currencies:
        return f"there is no exchange rate for {', '.join(sorted(currencies))}"
    if skus := (before.unpriced | after.unpriced) & (before.skus.keys() | after.skus.keys()):
        return f"some of {describe(min(skus))} has no price"
    meters = least | before.meters | after.meters
    gaps = [(side.percent(meter), meter, side.period) for side in sides for meter in sorted(meters)]
    percent, meter, period = min(gaps)
    return "" if percent >= LEAST_PERCENT else f"only {percent} % of {meter} is known of {period}"


def apportioned(parts: Iterable[Units], total: int) -> tuple[int, ...]:
    """Whole numbers that add up to the total, each within one of its part.

    The total is less than one away from the sum of the parts. What rounding down leaves over goes to the
    largest remainders, so that a part that is nothing stays nothing.
    """
    exact = [Fraction(part) for part in parts]
    whole = [part.numerator // part.denominator for part in exact]
    order = sorted(range(len(exact)), key=lambda place: (whole[place] - exact[place], place))
    for place in order[: total - sum(whole)]:
        whole[place] += 1
    return tuple(whole)


def _growth(before: Mapping[Sku, Cost], after: Mapping[Sku, Cost]) -> dict[str, Fraction]:
    """By meter, how many times as much is used of what both sides know."""
    used: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for sku in before.keys() & after.keys():
        used[sku.meter][0] += before[sku].quantity
        used[sku.meter][1] += after[sku].quantity
    return {meter: Fraction(now, then) for meter, (then, now) in used.items()}


def _effects(before: Cost | None, after: Cost | None, growth: Fraction) -> Effects:
    if before is None:
        return Effects() if after is None else Effects(new=Fraction(after.units))
    if after is None:
        return Effects(gone=-Fraction(before.units))
    was = Fraction(before.units)
    at_old_price = was * after.quantity / before.quantity
    return Effects(
        price=after.units - at_old_price,
        volume=was * growth - was,
        mix=at_old_price - was * growth,
    )
