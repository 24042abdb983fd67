"""`Charge`: usage and the rate that prices it.

The cost is derived, not stored: quantity times price, exact. A charge without a rate has no cost at all,
which is not a cost of zero; whoever adds charges up must say how much of the usage had no price. What is in
the price of something else has a rate that costs nothing and says why.
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
        return None if self.rate is None else cost(self.usage.quantity, self.rate)

    @property
    def reason(self) -> str:
        """Why it costs nothing, in one word such as `Included`; "" where it costs what its rate says."""
        return "" if self.rate is None else self.rate.reason


PRICE_DIGITS: Final = 9
"""Digits after the point that a price, a limit or an exchange rate may have."""
PER_QUANTITY_MAX: Final = 1_000_000
"""The largest number of units that one price may be for; every other one divides it."""
UNITS: Final[int] = (
    10 ** (2 * PRICE_DIGITS)
    * PER_QUANTITY_MAX
    * lcm(*range(1, 17))
    * lcm(CUSTOM_SCALE, *(meter.scale for meter in METERS.values()))
)
"""How many of the smallest amounts of money there are in one of a currency.

Any quantity of any meter at any stated price, exchanged once, and shared by up to 16 devices, is a whole
number of them. What is not (a machine of 17 parts) is a fraction of them: slower, and just as exact.
"""

Units = int | Fraction
"""Money in `UNITS`. Sums over lines are exact and may be compared with a limit."""


def units_per_quantity(rate: Rate, currency: str | None = None) -> Units | None:
    """What the meter's smallest unit costs, in `UNITS` of a currency, the rate's own by default.

    None where there is no exchange rate between the two.
    """
    worth = rate.worth(currency or rate.currency)
    if worth is None:
        return None
    units = rate.unit_price * worth * UNITS / scale_of(rate.meter)
    return units.numerator if units.denominator == 1 else units


def amount_of(units: Units) -> Decimal:
    """`UNITS` as an amount of money, to the 28 digits of Decimal."""
    if isinstance(units, Fraction):
        return Decimal(units.numerator) / (units.denominator * UNITS)
    return Decimal(units) / UNITS


def share_of(units: Units, amount: Decimal) -> Fraction:
    """`UNITS` as a part of an amount of money, exact."""
    return Fraction(units, UNITS) / Fraction(amount)


def cost(quantity: int, rate: Rate) -> Decimal:
    """What a quantity of the meter's smallest unit costs, in the rate's currency."""
    return _times(quantity, rate.unit_price, rate.meter)


def list_cost(quantity: int, rate: Rate) -> Decimal:
    """What it would cost without a contract."""
    return _times(quantity, rate.unit_list_price, rate.meter)


def _times(quantity: int, price: Fraction, meter: str) -> Decimal:
    return Decimal(quantity * price.numerator) / (price.denominator * scale_of(meter))
