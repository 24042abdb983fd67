"""AIMeter: something that is used, counted by a query of the user's own and, if rates name it, charged.

The built-in meters are written in the same shape, in `metering/catalogue.yaml`. Here is only what a meter
says of itself; how it is asked and counted is for ``metering``.
"""

import re
from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from aibudget.api.conditions import Conditions
from aibudget.api.fields import NAME_PATTERN, Generation, Integer, Name, PositiveDecimal, Text
from aibudget.api.model import (
    LIST_BY_NAME,
    Metadata,
    Observed,
    Resource,
    Value,
    celed,
    once_each_by,
    rule,
)
from aibudget.api.query import read

BUILT_IN: Final = (
    *("gpu", "gpu-idle", "cpu", "memory"),
    *("tokens", "requests", "saas-spend", "energy", "node"),
)
"""What rates name already. No AIMeter may be called so: two things of one name would be charged as one."""

NAME_TAKEN: Final = "is that of a built-in meter, or no DNS label of at most 63 characters: choose another"

MeterType = Literal["Counter", "Gauge"]
Exporter = Literal["KubeStateMetrics", "DCGM"]
FirstValue = Literal["WhenNew", "Never"]

Label = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
"""A label of Prometheus."""
Dimension = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z][a-zA-Z0-9]*$")]
"""A dimension of what is priced, such as model."""


def _readable(query: str) -> str:
    read(query)
    return query


Query = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_readable)]

_ONE_OWNER: Final = (
    "name team alone, namespace alone, namespace with pod, or namespace with workloadKind and workload"
)
_ONE_SOURCE: Final = "a dimension is in dimensions or in fixed, not in both"
_COUNTERS_ONLY: Final = (
    "$delta, maxPerSecond and firstValue are for type Counter, $held is for type Gauge: "
    "remove them, or change type"
)


class Attribution(Value):
    """The labels that say who used it."""

    model_config = celed(
        rule(
            "has(self.team) ? !has(self.namespace) && !has(self.pod) && !has(self.workload)"
            " && !has(self.workloadKind) : has(self.namespace)"
            " && has(self.workload) == has(self.workloadKind) && !(has(self.pod) && has(self.workload))",
            _ONE_OWNER,
        )
    )

    namespace: Label | None = None
    """The label with the namespace."""
    pod: Label | None = None
    """The label with the pod, whose workload AIBudget then finds."""
    workload_kind: Label | None = None
    """The label with the workload's kind, such as Deployment."""
    workload: Label | None = None
    """The label with the workload's name."""
    team: Label | None = None
    """The label with a team, where there is no namespace: a gateway's series."""

    @model_validator(mode="after")
    def _one_owner(self) -> Self:
        others = (self.namespace, self.pod, self.workload_kind, self.workload)
        if self.team is not None:
            valid = others == (None, None, None, None)
        else:
            whole = (self.workload is None) == (self.workload_kind is None)
            valid = self.namespace is not None and whole and not (self.pod and self.workload)
        if not valid:
            raise ValueError(_ONE_OWNER)
        return self


class MeterSource(Value):
    """One query and how to read what it returns."""

    model_config = celed(
        rule(
            "!has(self.dimensions) || !has(self.fixed) || self.dimensions.all(name, !(name in self.fixed))",
            _ONE_SOURCE,
            ".fixed",
        )
    )

    name: Name
    """Names it within the meter."""
    query: Query
    """PromQL at one instant. A Counter's returns levels that only grow, a Gauge's what is held then."""
    exporter: Exporter | None = None
    """The exporter whose configured matchers go into every selector, besides the cluster's."""
    attribution: Attribution | None = None
    """Who used it. Absent: by the labels namespace and pod, workload_kind and workload, as far as they are
    there.
    """
    dimensions: Annotated[dict[Dimension, Label], Field(max_length=16)] = Field(default_factory=dict)
    """What is told apart: each dimension with its label. All other labels are summed away."""
    fixed: Annotated[dict[Dimension, Text], Field(max_length=16)] = Field(default_factory=dict)
    """Dimensions that have one value in all of this source."""
    divisor: PositiveDecimal = Decimal(1)
    """How many of what the query counts make one unit: 3600000000 where it counts mJ and the unit is kWh."""
    max_per_second: PositiveDecimal | None = None
    """The most by which one series can grow in a second, as the query counts; more is dropped and told."""
    first_value: FirstValue | None = None
    """WhenNew, the default, counts a series' first value if its process began then; Never if it is older."""

    @model_validator(mode="after")
    def _one_source_each(self) -> Self:
        if self.dimensions.keys() & self.fixed.keys():
            raise ValueError(_ONE_SOURCE)
        return self


class MeterSpec(Value):
    """What is counted, in which unit, and by which queries."""

    model_config = celed(
        rule(
            "self.type == 'Counter' ? self.sources.all(one, !one.query.contains('$held'))"
            " : self.sources.all(one, !one.query.contains('$delta') && !has(one.maxPerSecond)"
            " && !has(one.firstValue))",
            _COUNTERS_ONLY,
            ".type",
        )
    )

    unit: Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z][A-Za-z0-9-]*$")]
    """What one is: Images for a Counter; for a Gauge, whose value is added up over time, Seat-Hours."""
    type: MeterType
    """Counter: its growth is added up, resets survived. Gauge: what is held, times the hours it is held."""
    priced: bool = True
    """Whether rates may price it; false for what only divides cost, such as customers."""
    max_lines: Annotated[Integer, Field(ge=1, le=10_000, json_schema_extra={"format": "int32"})] = 1000
    """How many lines (workload and dimensions) a quarter of an hour may have; the smallest beyond are folded
    into one.
    """
    sources: Annotated[
        tuple[MeterSource, ...],
        Field(min_length=1, max_length=16, json_schema_extra=LIST_BY_NAME),
        AfterValidator(once_each_by("name")),
    ]
    """Where it is read: all of them are added up."""

    @model_validator(mode="after")
    def _only_what_counts(self) -> Self:
        for one in self.sources:
            if self.type == "Counter":
                valid = "$held" not in one.query
            else:
                valid = "$delta" not in one.query and one.max_per_second is None and one.first_value is None
            if not valid:
                raise ValueError(_COUNTERS_ONLY)
        return self


class MeterStatus(Observed):
    """Whether the meter is read, and how much of it there is. Written by the operator."""

    observed_generation: Generation = -1
    """The generation of the spec that this status speaks of; -1 until the operator has seen it."""
    conditions: Conditions = ()
    """Ready and DataFresh; Reconciling and Stalled only while they are true."""
    lines: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] | None = None
    """How many lines its newest reading had in one quarter of an hour, at most."""
    folded_lines: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] | None = None
    """How many of them were folded into others, because of maxLines."""


def _free(name: str) -> str:
    if name in BUILT_IN or not re.fullmatch(NAME_PATTERN.strip("^$"), name) or len(name) > 63:
        raise ValueError(f"{name!r} {NAME_TAKEN}")
    return name


class MeterMetadata(Metadata):
    """The metadata of a meter, whose name rates use."""

    name: Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_free)]


class AIMeter(Resource):
    """Something that is used, counted by queries of your own, and charged where a rate names it."""

    kind: Literal["AIMeter"]
    metadata: MeterMetadata
    spec: MeterSpec
    status: MeterStatus = MeterStatus()
