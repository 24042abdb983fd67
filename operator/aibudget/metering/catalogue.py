"""The meters, as data: what each one counts and in which unit.

A meter's smallest unit is what `Usage.quantity` counts; `scale` of them make one pricing unit, the unit that
rates are per and that people read (FOCUS spelling). Meters of users all have one scale, so that no sum and no
price needs their definition.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Meter:
    """`unit` is FOCUS's PricingUnit; `scale` is how many of `Usage.quantity` make one of it."""

    name: str
    unit: str
    scale: int


GPU: Final = Meter(name="gpu", unit="GPU-Hours", scale=3_600_000)
CPU: Final = Meter(name="cpu", unit="vCPU-Hours", scale=3_600_000)
# KiB-seconds: whole numbers of bytes would not fit a month of a large node in 64 bits.
MEMORY: Final = Meter(name="memory", unit="GiB-Hours", scale=1_048_576 * 3_600)
TOKENS: Final = Meter(name="tokens", unit="Tokens", scale=1)
REQUESTS: Final = Meter(name="requests", unit="Requests", scale=1)
SAAS_SPEND: Final = Meter(name="saas-spend", unit="USD", scale=1_000_000_000)
ENERGY: Final = Meter(name="energy", unit="kWh", scale=3_600_000_000)
GPU_IDLE: Final = Meter(name="gpu-idle", unit="GPU-Hours", scale=3_600_000)

METERS: Final[Mapping[str, Meter]] = MappingProxyType(
    {meter.name: meter for meter in (GPU, CPU, MEMORY, TOKENS, REQUESTS, SAAS_SPEND, ENERGY, GPU_IDLE)}
)

COUNTED: Final = (TOKENS.name, REQUESTS.name, SAAS_SPEND.name, ENERGY.name)
"""Meters whose sources are counters, and read as soon as there are any."""

CUSTOM_SCALE: Final = 3_600_000
"""Of every meter that is not built in: unit-hours in milliseconds, and three decimals of anything counted."""


def scale_of(meter: str) -> int:
    """How many of the meter's smallest unit make one pricing unit."""
    known = METERS.get(meter)
    return CUSTOM_SCALE if known is None else known.scale


def unit_of(meter: str, custom: str = "Units") -> str:
    """The pricing unit of the meter; `custom` where it is not built in."""
    known = METERS.get(meter)
    return custom if known is None else known.unit


def kept_as(meter: str, generation: str) -> str:
    """The name by which the ledger keeps a generation of a meter; built-in meters have but one, ""."""
    return f"{meter}/{generation}" if generation else meter


def meter_of(kept: str) -> str:
    """The meter of a name in the ledger: what rates and people call it."""
    return kept.partition("/")[0]


def generation_of(kept: str) -> str:
    """The generation of a name in the ledger."""
    return kept.partition("/")[2]
