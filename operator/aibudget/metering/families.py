"""`Family`: one source of a meter that counts, ready to be asked and understood.

Made from the source's definition, be it built in or a user's. The series that its query returns are the
counters: their labels are who they are. Values only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from aibudget.api.meter import Attribution, MeterSource, MeterSpec
from aibudget.api.query import read
from aibudget.metering.catalogue import scale_of
from aibudget.metering.macros import STEP, Scope, expanded
from aibudget.metering.scene import MeterSettings

DEVICE: Final = "UUID"
"""The label of a device's own counter: one that every pod on the device is told with."""
NODE: Final = ("node_name", "node", "hostname", "Hostname")
"""Labels that name a node, best first."""
TARGETS: Final = ("node_name", "instance")
"""Labels of who is scraped, best first."""


class Shape(StrEnum):
    """What a value is: a counter's level, what was counted in the step before, or how much there is."""

    LEVEL = "Level"
    INCREMENT = "Increment"
    HELD = "Held"


@dataclass(frozen=True, slots=True)
class Family:
    """`factor` turns a value into the meter's smallest unit; `cap` is the most that one counter can count in
    a second, in that unit, None where it is not known. `is_new_counted` says whether a first value may count.
    """

    name: str
    query: str
    shape: Shape = Shape.LEVEL
    factor: float = 1
    cap: float | None = None
    is_new_counted: bool = True
    attribution: Attribution | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_gateway(self) -> bool:
        """Whether it tells of what passes through it, and not of what it does itself."""
        return self.fixed.get("hosting") == "external"


def families(meter: str, spec: MeterSpec, settings: MeterSettings) -> dict[str, Family]:
    """The sources of a meter, by name, as this Prometheus is asked for them."""
    return {source.name: _family(meter, spec, source, settings) for source in spec.sources}


def _family(meter: str, spec: MeterSpec, source: MeterSource, settings: MeterSettings) -> Family:
    queries, query = settings.queries, read(source.query)
    exporter = {"KubeStateMetrics": settings.kube_state_metrics, "DCGM": settings.dcgm}
    is_new_counted = source.first_value != "Never"
    scope = Scope(queries, settings.cluster, exporter.get(source.exporter or "", ()), first=is_new_counted)
    # What is asked for by the step is no level.
    shape = Shape.LEVEL if query.macros.isdisjoint(("delta", "step")) else Shape.INCREMENT
    factor = float(scale_of(meter) / source.divisor)
    if spec.type == "Gauge":
        # Units are named for hours; a value stands for one step.
        shape, factor = Shape.HELD, factor * STEP / 3600
    cap = None if source.max_per_second is None else float(source.max_per_second) * factor
    return Family(
        name=source.name,
        query=expanded(query, scope),
        shape=shape,
        factor=factor,
        cap=cap,
        is_new_counted=is_new_counted,
        attribution=source.attribution,
        dimensions=source.dimensions,
        fixed=source.fixed,
    )
