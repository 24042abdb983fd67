"""The meters, as data: what each one counts and in which unit.

A meter's smallest unit is what `Usage.quantity` counts; `scale` of them make one pricing unit, the unit that
rates are per and that people read (FOCUS spelling).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Meter:
    """`unit` is FOCUS's PricingUnit; `scale` is how many of `Usage.quantity` make one of it."""

    name: str
    unit: str
    scale: int


GPU = Meter(name="gpu", unit="GPU-Hours", scale=3_600_000)

METERS: Mapping[str, Meter] = MappingProxyType({GPU.name: GPU})
