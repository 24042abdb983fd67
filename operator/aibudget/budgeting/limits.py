"""What a budget may use in a period: the money and the caps that percents count against, and their measures.

The amount in force is the last dated one that has begun, else `limit.amount`. What is held back of it does
not count; what was left of the period before comes on top, up to a percent of the amount, and is provisional
until that period is closed. Each limit makes one `Measure`, exact: money in `UNITS`, caps in the meter's
smallest unit. What a meter has not told is None and never 0. Pure; knows no thresholds and no ledger.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Final

from aibudget.api.budget import CommonSpec
from aibudget.api.limit import CARBON, MONEY, UNITS, Cap
from aibudget.budgeting.period import Period
from aibudget.errors import Stalled
from aibudget.metering.catalogue import scale_of

PERCENT_MAX: Final = 2**31 - 1
"""The largest percentage that a status can hold; thresholds compare the exact share."""
_CENT: Final = Decimal("0.01")

Counted = tuple[str, str]
"""What a cap counts: a meter, and "" or `CARBON`."""


@dataclass(frozen=True, slots=True)
class Rollover:
    """What came over from the period before, to the cent; provisional until that period is closed.

    `left` is what was left of it, of which `amount` is the part that may come over.
    """

    amount: Decimal
    left: Decimal
    provisional: bool


@dataclass(frozen=True, slots=True)
class Allowance:
    """The money of a period: `base` is in force by the spec, `held_back` a part of it that does not count."""

    base: Decimal
    held_back: Decimal = Decimal(0)
    rollover: Rollover | None = None

    @property
    def amount(self) -> Decimal:
        """What percents count against."""
        carried = Decimal(0) if self.rollover is None else self.rollover.amount
        return self.base - self.held_back + carried


@dataclass(frozen=True, slots=True)
class Measure:
    """One limit and what is used of it, in `unit`: the currency of money, or the unit of a cap.

    `used` is a lower bound and None where nothing is known. `ceiling` is the same with uncovered time at the
    average of covered time, None where nothing can be said. `fresh` is the gate of its meters, `complete`
    says that they are known from the period's start on.
    """

    name: str
    unit: str
    limit: Fraction
    used: Fraction | None
    ceiling: Fraction | None
    fresh: bool
    complete: bool

    @property
    def share(self) -> Fraction | None:
        """How much of the limit is used; None where that is unknown."""
        return None if self.used is None else self.used / self.limit

    @property
    def percent(self) -> int | None:
        """The share in percent, rounded down."""
        if self.used is None:
            return None
        used, limit = self.used.as_integer_ratio(), self.limit.as_integer_ratio()
        return min(100 * used[0] * limit[1] // (used[1] * limit[0]), PERCENT_MAX)

    @property
    def judged(self) -> bool:
        """Whether it is known well enough to say that something is not crossed."""
        return self.used is not None and self.fresh and self.complete

    @property
    def is_money(self) -> bool:
        """Whether it is the limit, and no cap."""
        return self.name == MONEY


def allowance(spec: CommonSpec, period: Period, now: int, rollover: Rollover | None) -> Allowance | None:
    """The money of the period as it is in force now, or was at the end of a period that is over.

    None for a budget of caps alone.
    """
    if spec.limit is None:
        return None
    base = amount_at(spec, _within(period, now))
    return Allowance(base, base * (spec.holdback_percent or 0) / 100, rollover)


def allowances_ahead(
    spec: CommonSpec, period: Period, now: int, rollover: Rollover | None
) -> tuple[tuple[int, Allowance], ...]:
    """What comes into force later in the period, each with its instant (Unix seconds), in their order."""
    starts = [int(one.valid_from.timestamp()) for one in spec.amounts or ()]
    found = []
    for start in starts:
        if not now < start < period.interval.end:
            continue
        # What may come over is a part of the amount that is in force.
        over = rollover and rolled_over(spec, period, start, rollover.left, provisional=rollover.provisional)
        money = allowance(spec, period, start, over)
        assert money is not None, "only a limit has amounts"
        found.append((start, money))
    return tuple(found)


def amount_at(spec: CommonSpec, instant: int) -> Decimal:
    """The amount in force at an instant (Unix seconds), before anything is held back or carried over."""
    assert spec.limit is not None, "only a limit has an amount"
    begun = [one.amount for one in spec.amounts or () if one.valid_from.timestamp() <= instant]
    return begun[-1] if begun else spec.limit.amount


def rolled_over(spec: CommonSpec, period: Period, now: int, left: Decimal, *, provisional: bool) -> Rollover:
    """What comes over into a period, by the amount that is in force in it now."""
    return Rollover(left_over(spec, amount_at(spec, _within(period, now)), left), left, provisional)


def left_over(spec: CommonSpec, base: Decimal, left: Decimal) -> Decimal:
    """What of that which is left of a period carries over into one with this amount, down to the cent."""
    if spec.rollover is None or left <= 0:
        return Decimal(0)
    most = base * spec.rollover.max_percent / 100
    return min(left, most).quantize(_CENT, ROUND_FLOOR)


def _within(period: Period, now: int) -> int:
    return min(max(now, period.interval.start), period.interval.end - 1)


def counted_by(cap: Cap) -> Counted:
    """What the cap counts."""
    return cap.meter, CARBON if cap.is_carbon else ""


def cap_limit(cap: Cap, holdback_percent: int) -> Fraction:
    """What percents of the cap count against, in its unit."""
    return Fraction(cap.quantity) * (100 - holdback_percent) / 100


def in_unit(counted: Counted, quantity: int | Fraction) -> Fraction:
    """A quantity as caps count it (the meter's smallest unit, or grams) in the unit of its caps."""
    meter, kind = counted
    return Fraction(quantity) / (1000 if kind == CARBON else scale_of(meter))


def check_meters(caps: Iterable[Cap], units: Mapping[str, str]) -> None:
    """Raises `Stalled` where a cap is on a meter that nobody defines, or in another unit than the meter's.

    `units` are those of users' meters, by name.
    """
    for cap in caps:
        if cap.meter in UNITS:
            continue
        unit = units.get(cap.meter)
        if unit is None:
            known = ", ".join((*UNITS, *sorted(units)))
            raise Stalled(
                "UnknownMeter",
                f"Cap {cap.name} is on meter {cap.meter}, which nobody defines. Correct spec.caps, or apply "
                f"an AIMeter of that name; the meters are {known}.",
            )
        if cap.unit != unit:
            raise Stalled(
                "UnitMismatch",
                f"Cap {cap.name} is in {cap.unit}, but its meter {cap.meter} counts {unit}. Write unit: "
                f"{unit}, and the quantity in it.",
            )


def leading(measures: Iterable[Measure]) -> Measure | None:
    """The measure of which most is used; of equals the first. None where nothing is known of any."""
    known = [one for one in measures if one.used is not None]
    # Most budgets have one: a thousand of them need not be divided to be compared with nothing.
    if len(known) <= 1:
        return known[0] if known else None
    return max(known, key=lambda one: one.share or Fraction(0))


def hundredths(quantity: Fraction) -> Decimal:
    """A quantity for display, rounded down to hundredths, without zeros that say nothing."""
    whole, cents = divmod(int(quantity * 100), 100)
    return Decimal(f"{whole}.{cents:02}") if cents else Decimal(whole)
