"""Exact money: an amount is a ``Decimal``, and two currencies never meet without an exchange rate.

Amounts come from manifests as integers or decimal strings. Floats are refused at the door, since
``12345678901234567.89`` is already another number by the time it is a float; so is everything that
``Decimal`` would take but no person means as money ("1_000", "1e3", "NaN", "١٢").
Rounding happens at display only, half-even.
"""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import total_ordering
from typing import Final

AMOUNT_PATTERN: Final = r"^(0|[1-9][0-9]{0,11})(\.[0-9]{1,9})?$"
"""Up to 12 digits before the point and 9 after it, no sign, no exponent, ASCII only."""
AMOUNT_MAX_LENGTH: Final = 22
AMOUNT_MAX: Final = 999_999_999_999
"""The largest integer amount; the same twelve digits that the pattern allows."""

_AMOUNT = re.compile(AMOUNT_PATTERN.removesuffix("$"))
_CENT = Decimal("0.01")


def parse_amount(value: object) -> Decimal:
    """Read an amount of money exactly as written.

    Takes an int from 0 to ``AMOUNT_MAX`` or a string in the shape of ``AMOUNT_PATTERN``; keeps its digits
    ("12000.00" stays ``Decimal("12000.00")``). Raises ``ValueError`` in words that say what to write instead.
    """
    if isinstance(value, float):
        raise ValueError(f'must be an integer or a quoted decimal such as "{value:.2f}", not a float')
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('must be an integer or a quoted decimal such as "12000.50"')
    text = str(value)
    if text.startswith("-"):
        raise ValueError("must not be negative")
    if not _AMOUNT.fullmatch(text):
        raise ValueError(
            f"{text[:40]!r} is not an amount: write digits with at most 12 before the point and 9 after it, "
            'such as "12000.50", without separators, signs, exponents or units'
        )
    return Decimal(text)


@total_ordering
@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency (ISO 4217 code). Arithmetic across currencies raises ``ValueError``."""

    amount: Decimal
    currency: str

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.amount - self._same(other), self.currency)

    def __mul__(self, factor: Decimal | int) -> "Money":
        return Money(self.amount * factor, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.amount < self._same(other)

    def __str__(self) -> str:
        return f"{self.display()} {self.currency}"

    def display(self) -> str:
        """The amount rounded half-even to cents, as a plain decimal: ``"978.75"``."""
        return str(self.amount.quantize(_CENT, ROUND_HALF_EVEN))

    def _same(self, other: "Money") -> Decimal:
        if other.currency != self.currency:
            raise ValueError(f"cannot mix {self.currency} and {other.currency} without a dated exchange rate")
        return other.amount
