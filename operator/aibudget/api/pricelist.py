"""AIPriceList: what a company really pays, laid over the built-in public prices.

Only keys that pricing can match are in ``match``; an empty match prices every device. Which of several rates
wins is for ``pricing`` to decide; here only their shape is checked.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from aibudget.api.conditions import Conditions
from aibudget.api.fields import (
    Currency,
    ExtendedResource,
    Generation,
    Integer,
    Name,
    Price,
    SlotInstant,
    Text,
)
from aibudget.api.model import (
    LIST_BY_NAME,
    LIST_SET,
    Observed,
    Resource,
    Value,
    celed,
    once_each,
    once_each_by,
    rule,
)

Meter = Literal["gpu"]
Unit = Literal["GPU-Hours"]
Included = Literal["cpu", "memory", "energy"]


class Match(Value):
    """Which usage a rate prices: every given field must be equal."""

    gpu_product: Text | None = None
    """The product as the device plug-in or DCGM names it, such as NVIDIA-H100-80GB-HBM3."""
    instance_type: Text | None = None
    """The node's node.kubernetes.io/instance-type."""
    capacity_type: Text | None = None
    """How the node is bought, such as on-demand, spot or reserved."""
    region: Text | None = None
    """The node's topology.kubernetes.io/region."""
    resource: ExtendedResource | None = None
    """The extended resource as pods request it, such as nvidia.com/gpu."""


class ListedRate(Value):
    """One price, from one instant to another."""

    model_config = celed(rule("!has(self.to) || self.from < self.to", "to must be after from", ".to"))

    name: Name
    """Names it within the list."""
    meter: Meter
    """What is priced: gpu is physical device time."""
    match: Match = Match()
    """Which usage it prices; all of the meter's if absent."""
    unit: Unit
    """What one price buys: an hour of one whole device."""
    list_price: Price | None = None
    """The public price per unit; the price if absent."""
    price: Price
    """What is really paid per unit: an integer or a quoted decimal; 0 means free."""
    includes: Annotated[
        tuple[Included, ...], Field(max_length=3, json_schema_extra=LIST_SET), AfterValidator(once_each)
    ] = ()
    """What of the host is in this price and is not to be charged again."""
    valid_from: Annotated[SlotInstant, Field(alias="from")]
    """The first instant it applies to, on a quarter of an hour."""
    valid_to: Annotated[SlotInstant | None, Field(alias="to")] = None
    """The instant it no longer applies, on a quarter of an hour; open if absent."""

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.valid_to is not None and self.valid_to <= self.valid_from:
            raise ValueError("to must be after from")
        return self


class PriceListSpec(Value):
    """Prices in one currency."""

    currency: Currency
    """ISO 4217 code, such as USD."""
    priority: Annotated[Integer, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})] = 10
    """The highest priority with a matching rate wins; the built-in public prices have 0."""
    rates: Annotated[
        tuple[ListedRate, ...],
        Field(
            min_length=1,
            max_length=256,
            json_schema_extra=LIST_BY_NAME,
        ),
        AfterValidator(once_each_by("name")),
    ]
    """The prices."""


class PriceListStatus(Observed):
    """Whether the list is in use. Written by the operator."""

    observed_generation: Generation = -1
    """The generation of the spec that this status speaks of; -1 until the operator has seen it."""
    conditions: Conditions = ()
    """Ready; Reconciling and Stalled only while they are true."""


class AIPriceList(Resource):
    """What accelerators really cost here, laid over the built-in public prices."""

    kind: Literal["AIPriceList"]
    spec: PriceListSpec
    status: PriceListStatus = PriceListStatus()
