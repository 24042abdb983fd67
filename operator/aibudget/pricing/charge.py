"""`Charge`: usage and the rate that prices it.

The cost is derived, not stored: quantity times price, exact. A charge without a rate has no cost at all,
which is not a cost of zero; whoever adds charges up must say how much of the usage had no price.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import lcm
from typing import Final

from aibudget.metering.catalogue import CUSTOM_SCALE, METERS, scale_of
from aibudget.metering.usage import Usage
from aibudget.pricing.rate import Rate


@dataclass(frozen=True, slots=True)
class Charge:
    """`rate` is None where no price list has a price for the usage's SKU at its time."""

    usage: Usage
    rate: Rate | None

    @property
    def cost(self) -> Decimal | None:
        """In the rate's currency, unrounded; None where no rate matched."""
        return None if self.rate is None else cost(self.usage.sku.meter, self.usage.quantity, self.rate.price)


PRICE_DIGITS: Final = 9
"""Digits after the point that a price or a limit may have."""
UNITS: Final = 10**PRICE_DIGITS * lcm(CUSTOM_SCALE, *(meter.scale for meter in METERS.values()))
"""How many of the smallest amounts of money there are in one of a currency: any quantity of any meter at any
price is a whole number of them, so that sums over lines are exact and may be compared with a limit."""


def units_per_quantity(rate: Rate) -> int:
    """What the meter's smallest unit costs, in `UNITS`."""
    return int(rate.price.scaleb(PRICE_DIGITS)) * (UNITS // (10**PRICE_DIGITS * scale_of(rate.meter)))


def amount_of(units: int) -> Decimal:
    """`UNITS` as an amount of money, to the 28 digits of Decimal."""
    return Decimal(units) / UNITS


def share_of(units: int, amount: Decimal) -> Fraction:
    """`UNITS` as a part of an amount of money, exact."""
    return Fraction(units, UNITS) / Fraction(amount)


def cost(meter: str, quantity: int, price: Decimal) -> Decimal:
    """A quantity of the meter's smallest unit at a price per the meter's pricing unit (GPU-Hours, …)."""
    return Decimal(quantity) * price / scale_of(meter)
