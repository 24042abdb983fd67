"""One rate of an AIPriceList: what it prices, when, at how much and for how many units.

A price is kept as it is written (price, perQuantity, a machine's split and what it has), so that what it
comes to for one unit is exact and anybody can check it. Each rule stands twice: in CEL and for all others.
"""

import re
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from aibudget.api.fields import (
    ExtendedResource,
    Integer,
    Name,
    Price,
    SlotInstant,
    Text,
)
from aibudget.api.model import (
    LIST_SET,
    Value,
    celed,
    list_by,
    once_each,
    once_each_by,
    rule,
)

UNITS: Final = {
    "gpu": "GPU-Hours",
    "cpu": "vCPU-Hours",
    "memory": "GiB-Hours",
    "tokens": "Tokens",
    "requests": "Requests",
    "saas-spend": "USD",
    "energy": "kWh",
    "node": "Node-Hours",
}
"""The unit of each built-in meter that can have a price; a test holds them to the catalogue."""
IDLE: Final = "gpu-idle"
_NODE: Final = ("gpuProduct", "instanceType", "region", "capacityType", "nodePool")
_DEVICE: Final = (*_NODE, "resource", "share", "migProfile")
_CALL: Final = ("hosting", "model", "provider")
TOLD_APART: Final = {
    "gpu": _DEVICE,
    "node": _DEVICE,
    "cpu": _NODE,
    "memory": _NODE,
    "tokens": (*_CALL, "tokenType"),
    "requests": _CALL,
    "saas-spend": _CALL,
    "energy": (*_NODE, "component"),
}
"""The dimensions that usage of each built-in meter can have; the same test holds them to the catalogue."""

Included = Literal["cpu", "memory", "energy"]
Dimension = Annotated[str, Field(max_length=63, pattern=r"^[a-z]([A-Za-z0-9_]*[A-Za-z0-9])?$")]


def _weight(value: object) -> Decimal:
    if isinstance(value, int) and not isinstance(value, bool) and value in (0, 1):
        return Decimal(value)
    if isinstance(value, str) and re.fullmatch(WEIGHT_PATTERN.strip("^$"), value):
        return Decimal(value)
    raise ValueError('must be 0, 1 or a quoted decimal between them such as "0.95"')


WEIGHT_PATTERN: Final = r"^(0(\.[0-9]{1,4})?|1(\.0{1,4})?)$"
Weight = Annotated[
    Decimal,
    BeforeValidator(_weight),
    PlainSerializer(lambda weight: format(weight, "f"), when_used="json"),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 6,
            "pattern": WEIGHT_PATTERN,
            "x-kubernetes-validations": [
                {"rule": "type(self) == string || self == 0 || self == 1", "message": "must be from 0 to 1"}
            ],
        }
    ),
]
"""A part of a price, from 0 to 1, with up to four digits after the point."""


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
    node_pool: Text | None = None
    """The node's pool, as Karpenter, GKE, AKS or EKS names it."""
    resource: ExtendedResource | None = None
    """The extended resource as pods request it, such as nvidia.com/gpu."""
    mig_profile: Text | None = None
    """The MIG profile of a part of a device, such as 1g.10gb."""
    hosting: Literal["external"] | None = None
    """Tokens of a provider; those of servers in the cluster are paid with their GPUs."""
    provider: Text | None = None
    """Who serves a model, such as openai."""
    model: Text | None = None
    """The model as the gateway names it."""
    token_type: Text | None = None
    """input, output, cachedInput and so on."""
    component: Text | None = None
    """What used energy: gpu, cpu, memory or other."""
    dimensions: Annotated[dict[Dimension, Text], Field(max_length=8)] | None = None
    """Dimensions of an AIMeter, by their names."""

    def flat(self) -> dict[str, str]:
        """Every dimension that is matched, by its name."""
        named = self.model_dump(by_alias=True, exclude_none=True)
        return {**named.pop("dimensions", {}), **named}


class Split(Value):
    """How a machine's price is shared by its parts: weights that add up to 1."""

    model_config = celed(
        rule(
            "(has(self.gpu) ? quantity(string(self.gpu)) : quantity('0'))"
            ".add(has(self.cpu) ? quantity(string(self.cpu)) : quantity('0'))"
            ".add(has(self.memory) ? quantity(string(self.memory)) : quantity('0'))"
            ".compareTo(quantity('1')) == 0",
            "weights must add up to 1",
        )
    )

    gpu: Weight | None = None
    """The devices' part."""
    cpu: Weight | None = None
    """The processors' part; in the price of the devices if absent."""
    memory: Weight | None = None
    """The memory's part; in the price of the devices if absent."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(weight or Decimal(0) for weight in (self.gpu, self.cpu, self.memory)) != 1:
            raise ValueError("weights must add up to 1")
        return self


Count = Annotated[Integer, Field(ge=1, le=100_000, json_schema_extra={"format": "int32"})]


class Capacity(Value):
    """How much of each part one machine has."""

    devices: Count | None = None
    """Whole accelerators."""
    vcpus: Count | None = None
    """Processors, as Kubernetes counts them."""
    memory_gib: Annotated[Count | None, Field(alias="memoryGiB")] = None
    """Memory in GiB."""


class Tier(Value):
    """The price of what a calendar month uses beyond a volume."""

    over: Annotated[Integer, Field(ge=1, le=10**15, json_schema_extra={"format": "int64"})]
    """How many units the month has used, by all together, before this price holds."""
    price: Price
    """What is paid from there on, for as many units as the rate's price."""


def _fits(unit: str, meter: str) -> bool:
    return UNITS.get(meter, unit) == unit


_UNIT_RULE: Final = " && ".join(
    f"(self.meter != '{meter}' || self.unit == '{unit}')" for meter, unit in UNITS.items()
)
_UNIT_SAID: Final = "must be the meter's own unit: " + ", ".join(
    f"{unit} of {meter}" for meter, unit in UNITS.items()
)


def _tells(meter: str) -> str:
    """CEL: a rate of this meter names no dimension that its usage never has."""
    told = TOLD_APART[meter]
    foreign = " || ".join(
        f"has(self.match.{field.alias})"
        for name, field in Match.model_fields.items()
        if name != "dimensions" and field.alias not in told
    )
    named = f"has(self.match.dimensions) && !self.match.dimensions.all(name, name in {list(told)})"
    return f"(self.meter != '{meter}' || !has(self.match) || !({foreign} || {named}))"


_MATCH_RULE: Final = " && ".join(map(_tells, TOLD_APART))
_MATCH_SAID: Final = "must name what the meter's usage is told apart by, or nothing would ever match: " + (
    "; ".join(f"{meter} by {', '.join(told)}" for meter, told in TOLD_APART.items())
)


class ListedRate(Value):
    """One price, from one instant to another."""

    model_config = celed(
        rule("!has(self.to) || self.from < self.to", "to must be after from", ".to"),
        rule(f"!has(self.unit) || ({_UNIT_RULE})", _UNIT_SAID, ".unit"),
        rule(_MATCH_RULE, _MATCH_SAID, ".match"),
        rule(f"self.meter != '{IDLE}'", "idle devices are priced by the rates of gpu", ".meter"),
        rule("self.per != 'Instance' || self.meter == 'gpu'", "only gpu is priced per Instance", ".per"),
        rule(
            "!has(self.includes) || self.meter in ['gpu', 'node']",
            "only the price of devices or of a machine includes something",
            ".includes",
        ),
        rule(
            "has(self.split) == (self.meter == 'node') && has(self.capacity) == (self.meter == 'node')",
            "the price of a machine (meter node) needs split and capacity, and no other price has them",
        ),
        rule(
            "!has(self.split) || !has(self.capacity) || ("
            "(!has(self.split.gpu) || has(self.capacity.devices)) && "
            "(!has(self.split.cpu) || has(self.capacity.vcpus)) && "
            "(!has(self.split.memory) || has(self.capacity.memoryGiB)))",
            "capacity must say how many devices, vcpus and memoryGiB there are of what has a weight",
        ),
        rule(
            "self.meter != 'node' || (!has(self.tiers) && self.perQuantity == 1)",
            "the price of a machine has no tiers and is for one machine",
        ),
    )

    name: Name
    """Names it within the list."""
    meter: Name
    """What is priced: gpu (physical device time), node (a whole machine), cpu, memory, tokens, requests,
    saas-spend, energy, or the name of an AIMeter.
    """
    match: Match = Match()
    """Which usage it prices; all of the meter's if absent."""
    unit: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """What one price buys; the meter's unit if absent, such as GPU-Hours: an hour of one whole device."""
    per_quantity: Annotated[Literal[1, 1000, 1000000], Field(json_schema_extra={"format": "int32"})] = 1
    """How many units one price buys: 1000000 for a price per million tokens."""
    per: Literal["Device", "Instance"] = "Device"
    """Instance: the price is for one unit of the resource, whatever part of a device, such as a MIG slice."""
    list_price: Price | None = None
    """The public price; the price if absent."""
    price: Price
    """What is really paid: an integer or a quoted decimal; 0 means free."""
    tiers: Annotated[
        tuple[Tier, ...],
        Field(max_length=8, json_schema_extra=list_by("over")),
        AfterValidator(once_each_by("over")),
    ] = ()
    """Prices from a volume on, counted for this rate in each calendar month (UTC)."""
    split: Split | None = None
    """How the price of a machine is shared by its parts."""
    capacity: Capacity | None = None
    """What the machine has, so that a part of it has a price."""
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

    @model_validator(mode="after")
    def _suits_the_meter(self) -> Self:
        if self.meter == IDLE:
            raise ValueError("idle devices are priced by the rates of gpu; leave this rate out")
        if self.unit is not None and not _fits(self.unit, self.meter):
            raise ValueError(f"unit must be {UNITS[self.meter]}, the unit of {self.meter}")
        if self.per == "Instance" and self.meter != "gpu":
            raise ValueError("only gpu is priced per Instance; write meter: gpu")
        if self.includes and self.meter not in ("gpu", "node"):
            raise ValueError("only the price of devices or of a machine includes something")
        return self

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        told = TOLD_APART.get(self.meter)
        foreign = sorted(self.match.flat().keys() - set(told)) if told else []
        if told and foreign:
            raise ValueError(
                f"match names {' and '.join(foreign)}, which usage of {self.meter} never has: it would price "
                f"nothing; usage of {self.meter} is told apart by {', '.join(told)}"
            )
        return self

    @model_validator(mode="after")
    def _machines_are_split(self) -> Self:
        machine = self.meter == "node"
        if (self.split is not None) != machine or (self.capacity is not None) != machine:
            raise ValueError(
                "the price of a machine (meter node) needs split and capacity, and no other price has them"
            )
        if machine and (self.tiers or self.per_quantity != 1):
            raise ValueError("the price of a machine has no tiers and is for one machine")
        if self.split is not None and self.capacity is not None:
            _check_counts(self.split, self.capacity)
        return self


def _check_counts(split: Split, capacity: Capacity) -> None:
    needed: tuple[tuple[Any, Any], ...] = (
        (split.gpu, capacity.devices),
        (split.cpu, capacity.vcpus),
        (split.memory, capacity.memory_gib),
    )
    if any(weight is not None and count is None for weight, count in needed):
        raise ValueError(
            "capacity must say how many devices, vcpus and memoryGiB there are of what has a weight"
        )
