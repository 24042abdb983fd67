"""What a budget limits: money, dated amounts of it, what carries over; and caps, which are not money.

A cap counts one meter. The unit is written beside the quantity, so that nobody reads tokens for millions of
them; it is that of the meter or, on energy, kilograms of CO2 equivalent. Units of users' meters are theirs
and can be checked only in the cluster.
"""

from collections.abc import Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from aibudget.api.fields import Currency, Integer, LimitAmount, Name, PositiveDecimal, SlotInstant
from aibudget.api.model import LIST_ATOMIC, JsonObject, Value, celed, rule
from aibudget.api.money import Money

MONEY: Final = "limit"
"""The name of the measure that is money; no cap may have it."""
CARBON: Final = "kgCO2e"
"""The unit of a cap on energy that counts what its electricity emitted."""

UNITS: Final = MappingProxyType(
    {
        "gpu": ("GPU-Hours",),
        "cpu": ("vCPU-Hours",),
        "memory": ("GiB-Hours",),
        "tokens": ("Tokens",),
        "requests": ("Requests",),
        "saas-spend": ("USD",),
        "energy": ("kWh", CARBON),
    }
)
"""The units of caps on built-in meters; gpu-idle is nobody's use and has no caps."""

_UNIT_FITS: Final = "unit must be that of the meter: " + ", ".join(
    f"{' or '.join(units)} with {meter}" for meter, units in UNITS.items()
)
_CEL_UNITS: Final = str({meter: list(units) for meter, units in UNITS.items()})
"""A map of CEL is written like one of Python."""
_NO_CAP: Final = "gpu-idle is used by nobody; cap gpu, or share idle cost"
_TAKEN: Final = f"{MONEY} is the name of the limit in money; give the cap another one"
_IN_ORDER: Final = "must be in the order of from, each instant once"
IN_ORDER: Final[JsonObject] = LIST_ATOMIC | {
    "x-kubernetes-validations": [
        rule(
            "self.map(one, one.from).isSorted() && self.all(one, self.exists_one(two, one.from == two.from))",
            _IN_ORDER,
        )
    ]
}


class Limit(Value):
    """How much may be spent in one period."""

    model_config = celed(
        rule(
            "self.currency == oldSelf.currency",
            "currency is immutable; make a new budget",
            ".currency",
            reason="FieldValueForbidden",
        )
    )

    amount: LimitAmount
    """More than 0: an integer, or a quoted decimal such as "12000.50"."""
    currency: Currency
    """ISO 4217 code, such as USD. Cannot be changed later."""

    @property
    def money(self) -> Money:
        """The limit as money."""
        return Money(self.amount, self.currency)


class DatedAmount(Value):
    """An amount of the limit that is in force from an instant on."""

    valid_from: Annotated[SlotInstant, Field(alias="from")]
    """The first instant at which it is in force, on a quarter of an hour."""
    amount: LimitAmount
    """In place of limit.amount, in the limit's currency."""


def in_order(entries: Any) -> Any:
    """Validator: strictly ascending instants; None passes."""
    instants: Sequence[DatedAmount] = entries or ()
    if any(one.valid_from >= two.valid_from for one, two in pairwise(instants)):
        raise ValueError(_IN_ORDER)
    return entries


class Rollover(Value):
    """How much of what is left carries over."""

    max_percent: Annotated[Integer, Field(ge=1, le=100, json_schema_extra={"format": "int32"})]
    """The most that carries over, in percent of the limit of the period that it is carried into."""


class Cap(Value):
    """A limit on what one meter counts in a period."""

    model_config = celed(
        rule(f"self.name != '{MONEY}'", _TAKEN, ".name"),
        rule("self.meter != 'gpu-idle'", _NO_CAP, ".meter"),
        rule(f"!(self.meter in {_CEL_UNITS}) || self.unit in {_CEL_UNITS}[self.meter]", _UNIT_FITS, ".unit"),
    )

    name: Name
    """Names it within the budget, beside the limit, whose name is limit."""
    meter: Name
    """What is counted: a built-in meter or the name of an AIMeter."""
    quantity: PositiveDecimal
    """How much of it may be used in one period: an integer, or a quoted decimal such as "0.5"."""
    unit: Annotated[str, Field(min_length=1, max_length=63)]
    """The unit of the quantity: the meter's, such as GPU-Hours or Tokens; on energy kWh or kgCO2e."""

    @model_validator(mode="after")
    def _counts_its_meter(self) -> Self:
        if self.name == MONEY:
            raise ValueError(_TAKEN)
        if self.meter == "gpu-idle":
            raise ValueError(_NO_CAP)
        if self.meter in UNITS and self.unit not in UNITS[self.meter]:
            raise ValueError(_UNIT_FITS)
        return self

    @property
    def is_carbon(self) -> bool:
        """Whether it counts what the meter's electricity emitted."""
        return self.unit == CARBON and self.meter == "energy"
