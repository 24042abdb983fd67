"""A dated unit price, as a price list states it or as `book` derives it for one SKU and time.

A rate is immutable: a corrected price is another rate. Prices stay as they were written and are put together
as fractions, and quantities are integers, so a cost is exact until someone prints it. What a rate matches is
compared letter by letter with the dimensions of a SKU; a dimension that a SKU lacks is unknown and matches
nothing. Knows no price lists and no choice among rates.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from typing import Any, Final, NamedTuple

from aibudget.metering.slots import Interval, iso
from aibudget.metering.usage import Sku

FAR_FUTURE: Final = 253_402_300_800
"""The end of a rate that has none: year 10000, a whole number of slots."""
WHOLE: Final = Fraction(1)
NO_CURRENCY: Final = "XXX"
"""ISO 4217's code for no currency at all: of what costs nothing in any."""


class Tier(NamedTuple):
    """`price` holds for what a calendar month has used beyond `over` pricing units."""

    over: int
    price: Decimal


class Draw(NamedTuple):
    """So much of a slot's quantity at this price."""

    price: Decimal
    quantity: int


@dataclass(frozen=True, slots=True)
class Rate:
    """`price` is the contracted price, `list_price` the public one (equal where there is no contract).

    Both are for `per_quantity` pricing units, and `portion` of them is what those units cost: less than 1
    where a machine's price is split among its devices, more where one unit of an instance is a part of a
    device. `interval.end` is `FAR_FUTURE` for a rate without an end. `source` names the price list, and
    `source/name` identifies the rate for people; `id` is a hash of everything in it.
    `draws` say at which of its tiers a slot was charged, `exchange` what one of its currency was worth then,
    `reason` why it costs nothing.
    """

    source: str
    name: str
    meter: str
    match: Mapping[str, str] = field(hash=False)
    currency: str
    unit: str
    price: Decimal
    list_price: Decimal
    priority: int
    interval: Interval
    includes: tuple[str, ...] = ()
    per_quantity: int = 1
    per_instance: bool = False
    portion: Fraction = WHOLE
    tiers: tuple[Tier, ...] = ()
    draws: tuple[Draw, ...] = ()
    exchange: tuple[tuple[str, Fraction], ...] = ()
    reason: str = ""
    id: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", sha256(self.to_json().encode()).hexdigest()[:32])

    @property
    def label(self) -> str:
        """The rate's name for people: `company/h100-reserved`."""
        return f"{self.source}/{self.name}"

    @property
    def unit_price(self) -> Fraction:
        """What one pricing unit costs, exact."""
        if not self.draws:
            return self._of(self.price)
        drawn = sum((Fraction(draw.price) * draw.quantity for draw in self.draws), Fraction(0))
        return drawn / sum(draw.quantity for draw in self.draws) * self.portion / self.per_quantity

    @property
    def unit_list_price(self) -> Fraction:
        """What one pricing unit would cost without a contract, exact."""
        return self._of(self.list_price)

    def worth(self, currency: str) -> Fraction | None:
        """How much of another currency one of the rate's own was; None where nobody said."""
        if currency == self.currency or not self.unit_price:
            return WHOLE
        return next((worth for code, worth in self.exchange if code == currency), None)

    def undrawn(self) -> "Rate":
        """The same rate before its tiers are known."""
        return replace(self, draws=()) if self.draws else self

    def matches(self, sku: Sku) -> bool:
        return sku.meter == self.meter and all(sku.dimension(k) == v for k, v in self.match.items())

    def to_json(self) -> str:
        """Everything in the rate, in one spelling: equal rates give equal text."""
        content: dict[str, Any] = {
            "source": self.source,
            "name": self.name,
            "meter": self.meter,
            "match": dict(self.match),
            "currency": self.currency,
            "unit": self.unit,
            "price": _plain(self.price),
            "listPrice": _plain(self.list_price),
            "priority": self.priority,
            "start": self.interval.start,
            "end": self.interval.end,
            "includes": list(self.includes),
        }
        # What a rate does not have is not in its text: it keeps the id that older versions gave it.
        rare: dict[str, Any] = {
            "perQuantity": self.per_quantity if self.per_quantity != 1 else None,
            "perInstance": self.per_instance,
            "portion": str(self.portion) if self.portion != 1 else None,
            "tiers": [[tier.over, _plain(tier.price)] for tier in self.tiers],
            "draws": [[_plain(draw.price), draw.quantity] for draw in self.draws],
            "exchange": {code: str(worth) for code, worth in self.exchange},
            "reason": self.reason,
        }
        content |= {key: value for key, value in rare.items() if value}
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Rate":
        """The rate that `to_json` wrote down."""
        content = json.loads(text)
        return cls(
            source=content["source"],
            name=content["name"],
            meter=content["meter"],
            match=content["match"],
            currency=content["currency"],
            unit=content["unit"],
            price=Decimal(content["price"]),
            list_price=Decimal(content["listPrice"]),
            priority=content["priority"],
            interval=Interval(content["start"], content["end"]),
            includes=tuple(content["includes"]),
            per_quantity=content.get("perQuantity", 1),
            per_instance=content.get("perInstance", False),
            portion=Fraction(content.get("portion", "1")),
            tiers=tuple(Tier(over, Decimal(price)) for over, price in content.get("tiers", ())),
            draws=tuple(Draw(Decimal(price), quantity) for price, quantity in content.get("draws", ())),
            exchange=tuple(
                (code, Fraction(worth)) for code, worth in sorted(content.get("exchange", {}).items())
            ),
            reason=content.get("reason", ""),
        )

    def __str__(self) -> str:
        if self.reason:
            return f"{self.label}: {self.reason}"
        per = self.unit if self.per_quantity == 1 else f"{self.per_quantity} {self.unit}"
        return f"{self.label}: {self.price} {self.currency} per {per} from {iso(self.interval.start)}"

    def _of(self, price: Decimal) -> Fraction:
        return Fraction(price) * self.portion / self.per_quantity


def _plain(amount: Decimal) -> str:
    """`3.50` and `3.5` are one price; neither is written as `3.5E+0`."""
    return format(amount.normalize(), "f")
