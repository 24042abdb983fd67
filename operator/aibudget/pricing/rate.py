"""A dated unit price, as a price list states it.

A rate is immutable: a corrected price is another rate. Unit prices are Decimal and quantities integers, so a
cost is exact until someone prints it. What a rate matches is compared letter by letter with the dimensions of
a SKU; a dimension that a SKU lacks is unknown and matches nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import sha256
from typing import Final

from aibudget.metering.slots import Interval, iso
from aibudget.metering.usage import Sku

FAR_FUTURE: Final = 253_402_300_800
"""The end of a rate that has none: year 10000, a whole number of slots."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`price` is the contracted unit price, `list_price` the public one (equal where there is no contract).

    `interval.end` is `FAR_FUTURE` for a rate without an end. `source` names the price list, and `source/name`
    identifies the rate for people; `id` is a hash of everything in it.
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
    id: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", sha256(self.to_json().encode()).hexdigest()[:32])

    @property
    def label(self) -> str:
        """The rate's name for people: `company/h100-reserved`."""
        return f"{self.source}/{self.name}"

    def matches(self, sku: Sku) -> bool:
        return sku.meter == self.meter and all(sku.dimension(k) == v for k, v in self.match.items())

    def to_json(self) -> str:
        """Everything in the rate, in one spelling: equal rates give equal text."""
        content = {
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
        )

    def __str__(self) -> str:
        return f"{self.label}: {self.price} {self.currency} per {self.unit} from {iso(self.interval.start)}"


def _plain(amount: Decimal) -> str:
    """`3.50` and `3.5` are one price; neither is written as `3.5E+0`."""
    return format(amount.normalize(), "f")
