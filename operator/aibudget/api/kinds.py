"""The kinds of the group: their names, their scope, what kubectl prints; and how to read an object."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from aibudget.api.budget import AIBudget, ClusterAIBudget
from aibudget.api.hold import Hold
from aibudget.api.meter import BUILT_IN, NAME_TAKEN, AIMeter
from aibudget.api.model import JsonObject, rule, subject
from aibudget.api.names import API_VERSION, GROUP
from aibudget.api.pricelist import AIPriceList
from aibudget.errors import FieldProblem, InvalidManifest


@dataclass(frozen=True, slots=True)
class Column:
    """One column of ``kubectl get``; a wide one shows with ``-o wide`` only."""

    name: str
    json_path: str
    description: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """How the API server serves one model."""

    model: type[AIBudget] | type[ClusterAIBudget] | type[AIPriceList] | type[AIMeter] | type[Hold]
    plural: str
    scope: Literal["Namespaced", "Cluster"]
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()
    rules: tuple[JsonObject, ...] = ()
    """What CEL checks of the whole object: names."""

    @property
    def name(self) -> str:
        """The kind, as in ``kind:``."""
        return self.model.__name__


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_READY: Final = Column("Ready", _condition("Ready", "status"), "Whether it is accepted and evaluated")
_AGE: Final = Column("Age", ".metadata.creationTimestamp", "Since when it exists", type="date")

_BUDGET_COLUMNS: Final = (
    Column("Limit", ".status.limit.amount", "How much may be spent in this period"),
    Column("Used", ".status.spend.amount", "What is known to be spent"),
    Column(
        "Used%",
        ".status.spend.usedPercent",
        "Of the limit, or of the cap in the lead",
        type="integer",
    ),
    Column("Forecast", ".status.forecast.amount", "What is foreseen to be spent when the period ends"),
    Column("State", _condition("WithinBudget", "reason"), "Where the budget stands"),
    _READY,
    Column("Currency", ".status.spend.currency", "Of limit and spend", wide=True),
    Column("As Of", ".status.spend.asOfTime", "How long ago usage is known up to", type="date", wide=True),
    Column("Measure", ".status.spend.measure", "What Used% speaks of; empty without caps", wide=True),
    Column("Period", ".status.period.id", "The current period", wide=True),
    # A date column prints <invalid> for times to come.
    Column("Resets", ".status.period.endTime", "When the next period begins", wide=True),
    Column("Holds", ".status.holds.active", "Workloads held back", type="integer", wide=True),
    _AGE,
)

KINDS: Final[tuple[Kind, ...]] = (
    Kind(AIBudget, "aibudgets", "Namespaced", ("aib",), _BUDGET_COLUMNS, (".spec.enforcement.mode",)),
    Kind(
        ClusterAIBudget,
        "clusteraibudgets",
        "Cluster",
        ("caib",),
        _BUDGET_COLUMNS,
        (".spec.enforcement.mode",),
    ),
    Kind(
        AIPriceList,
        "aipricelists",
        "Cluster",
        ("aipl",),
        (
            Column("Currency", ".spec.currency", "Of its prices"),
            Column("Priority", ".spec.priority", "The highest with a match wins", type="integer"),
            _READY,
            _AGE,
        ),
    ),
    Kind(
        AIMeter,
        "aimeters",
        "Cluster",
        (),  # its singular is what people type
        (
            Column("Unit", ".spec.unit", "What one is"),
            Column("Type", ".spec.type", "Counter or Gauge"),
            Column("Priced", ".spec.priced", "Whether rates may price it", type="boolean"),
            _READY,
            Column("Fresh", _condition("DataFresh", "status"), "Whether its usage is known up to now"),
            Column(
                "State", _condition("Ready", "reason"), "Why it is or is not ready, in one word", wide=True
            ),
            Column("Lines", ".status.lines", "In its newest quarter of an hour", type="integer", wide=True),
            _AGE,
        ),
        rules=(
            rule(
                f"!(self.metadata.name in {list(BUILT_IN)}) && self.metadata.name.size() <= 63"
                " && !self.metadata.name.contains('.')",
                f"metadata.name {NAME_TAKEN}",
            ),
        ),
    ),
    Kind(
        Hold,
        "holds",
        "Namespaced",
        (),  # its singular is as short as a short name can be
        (
            Column("Kind", ".spec.targetRef.kind", "The kind of what is held"),
            Column("Target", ".spec.targetRef.name", "What is held"),
            Column("Action", ".spec.action", "What is done to it"),
            Column("Applied", _condition("Applied", "status"), "Whether it is written to the target"),
            Column("Effective", _condition("Effective", "status"), "Whether the act has its effect"),
            Column("State", _condition("Applied", "reason"), "Where it stands in one word", wide=True),
            Column("Budget", ".spec.claims[0].name", "The first budget that wants it held", wide=True),
            _AGE,
        ),
        (".spec.targetRef.name", ".spec.targetRef.kind"),
    ),
)

_BY_NAME: Final = {kind.name: kind for kind in KINDS}


def kind_of(name: str) -> Kind:
    """The kind of that name; raises ``KeyError``."""
    return _BY_NAME[name]


def parse(obj: Mapping[str, Any]) -> AIBudget | ClusterAIBudget | AIPriceList | AIMeter | Hold:
    """The model of an object of our group, as JSON or YAML gives it; raises ``InvalidManifest``."""
    version, name = obj.get("apiVersion"), obj.get("kind")
    if version != API_VERSION:
        raise InvalidManifest(
            subject(obj), [FieldProblem("apiVersion", f"is {version!r}; write {API_VERSION}")]
        )
    kind = _BY_NAME.get(name) if isinstance(name, str) else None
    if kind is None:
        known = ", ".join(_BY_NAME)
        raise InvalidManifest(
            subject(obj), [FieldProblem("kind", f"{name!r} is no kind of {GROUP}; write {known}")]
        )
    return kind.model.read(obj)
