"""Whose spend a budget counts: parts of one namespace, or of many.

An AIBudget begins with all of its namespace, a ClusterAIBudget with the namespaces that it names. Both may
take of that only some workloads, by the labels that their pods had at the time of use or by name, and of
these only some meters. What a line of the ledger says of this is asked in ``budgeting.selection``; here is
only what people write.
"""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from aibudget.api.fields import Name, Text
from aibudget.api.model import LIST_ATOMIC, LIST_SET, Value, celed, once_each, rule
from aibudget.api.names import TEAM_LABEL
from aibudget.api.selector import LabelSelector, LabelValue

_SAYS_WHOM: Final = (
    "give namespaceSelector, namespaces or teams; an empty namespaceSelector {} covers every namespace"
)
_FENCE_RULE: Final = (
    "!has(self.scope) || !(%s) || !has(self.thresholds) || "
    "self.thresholds.all(t, !t.actions.exists(a, a == 'Freeze' || a == 'Block'))"
)
ONE_CLUSTER: Final = (
    "scope.clusters counts and foresees money and caps: what acts by a forecast, and what work costs, is of "
    "one cluster alone; leave out unitCosts, basis Forecast and extent UntilForecastFits, or clusters"
)
COUNTS_MONEY_ELSEWHERE: Final = rule(
    "!has(self.scope.clusters) || !has(self.unitCosts) && "
    "(!has(self.thresholds) || self.thresholds.all(t, t.basis != 'Forecast')) && "
    "(!has(self.enforcement) || self.enforcement.extent != 'UntilForecastFits')",
    ONE_CLUSTER,
)
"""For a spec whose scope may count in several clusters."""
NO_FENCE: Final = (
    "Freeze and Block act on whole namespaces, and the scope selects workloads in them: use ScaleDown, "
    "or put them into a budget without workloadSelector and workloads"
)
_SELECTOR: Final = "has(self.scope.workloadSelector)"
FENCES_NEED_WHOLE_NAMESPACES: Final = rule(_FENCE_RULE % _SELECTOR, NO_FENCE, ".thresholds")
"""For a spec whose scope selects workloads by their labels alone."""
FENCES_NEED_THE_WHOLE_NAMESPACE: Final = rule(
    _FENCE_RULE % f"{_SELECTOR} || has(self.scope.workloads)", NO_FENCE, ".thresholds"
)
"""For a spec whose scope selects workloads by labels or by name."""

MeterNames = Annotated[
    tuple[Name, ...] | None,
    Field(min_length=1, max_length=32, json_schema_extra=LIST_SET),
    AfterValidator(once_each),
]


class WorkloadReference(Value):
    """A workload, or what workloads are part of, such as a CronJob or an InferenceService."""

    api_version: Annotated[
        str,
        Field(
            min_length=1, max_length=253, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9][a-z0-9]{0,15}$"
        ),
    ]
    """Its group and version, such as apps/v1. The group tells kinds of one name apart; any version does."""
    kind: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    """Its kind, such as Deployment."""
    name: Text
    """Its name."""

    @property
    def group(self) -> str:
        """The group of its kind; "" for those of the core, such as Pod."""
        return self.api_version.rpartition("/")[0]


class WorkloadScope(Value):
    """What an AIBudget counts of its namespace: the union of workloadSelector and workloads, and of that only
    these meters. Without the first two it is all workloads, without the last all meters."""

    workload_selector: LabelSelector | None = None
    """Workloads by the labels that their pods had at the time of use."""
    workloads: Annotated[
        tuple[WorkloadReference, ...] | None,
        Field(min_length=1, max_length=64, json_schema_extra=LIST_ATOMIC),
        AfterValidator(once_each),
    ] = None
    """Workloads by name, also by the name of what they are part of."""
    meters: MeterNames = None
    """The meters whose cost counts, such as gpu; all if absent."""


class Scope(Value):
    """What a ClusterAIBudget counts: the namespaces of the union of namespaceSelector, namespaces and teams,
    of these only the workloads that workloadSelector selects, and of that only these meters."""

    model_config = celed(
        rule("has(self.namespaceSelector) || has(self.namespaces) || has(self.teams)", _SAYS_WHOM)
    )

    namespace_selector: LabelSelector | None = None
    """Namespaces by their labels; an empty selector covers all."""
    namespaces: Annotated[
        tuple[Name, ...] | None,
        Field(min_length=1, max_length=256, json_schema_extra=LIST_SET),
        AfterValidator(once_each),
    ] = None
    """Namespaces by name."""
    teams: Annotated[
        tuple[Annotated[LabelValue, Field(min_length=1)], ...] | None,
        Field(min_length=1, max_length=64, json_schema_extra=LIST_SET),
        AfterValidator(once_each),
    ] = None
    """Namespaces by their team, the label aibudget.io/team that they had at the time of use; and what is
    charged to these teams without a namespace, as tokens of a gateway are."""
    workload_selector: LabelSelector | None = None
    """Only workloads whose pods had such labels at the time of use; all if absent."""
    meters: MeterNames = None
    """The meters whose cost counts, such as gpu; all if absent."""
    clusters: Annotated[
        tuple[Name, ...] | None,
        Field(min_length=1, max_length=8, json_schema_extra=LIST_SET),
        AfterValidator(once_each),
    ] = None
    """Other clusters in which this scope counts, too, by their names in the ledger that they share with this
    one (--cluster). Workloads are held in this cluster alone."""

    @model_validator(mode="after")
    def _covers_something(self) -> Self:
        if self.namespace_selector is None and self.namespaces is None and self.teams is None:
            raise ValueError(_SAYS_WHOM)
        return self

    def covers(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether a namespace with this name and these labels belongs to the scope."""
        if namespace in (self.namespaces or ()) or labels.get(TEAM_LABEL) in (self.teams or ()):
            return True
        return self.namespace_selector is not None and self.namespace_selector.matches(labels)

    @property
    def asks_labels(self) -> bool:
        """Whether a namespace's labels matter, besides its name."""
        return self.namespace_selector is not None or self.teams is not None
