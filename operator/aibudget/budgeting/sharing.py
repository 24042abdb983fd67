"""Shared cost: what nobody held, and what serves everybody, divided among namespaces and teams by policy.

A policy belongs to a node pool. What comes of it are lines of their own beside direct spend. They count
towards no threshold and stop nobody, for else stopping one team would move its part to the next. The lines of
a pool add up to what was shared, to the last unit: what a policy gives to nobody stays a line without a
recipient. Capacity of which nobody saw whether it was held is never given to anybody. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from aibudget.api.budget import Budget, ClusterAIBudget
from aibudget.api.fields import Name
from aibudget.api.model import Value, once_each, once_each_by, problems
from aibudget.errors import FieldProblem, Stalled
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.catalogue import CPU, ENERGY, GPU, GPU_IDLE, MEMORY
from aibudget.pricing.charge import Units, units_per_quantity

PolicyName = Literal["Unallocated", "Proportional", "Even", "Fixed"]
SHARED_STATES: Final = frozenset({"idle", "unhealthy"})
OF_NODES: Final = frozenset({GPU.name, CPU.name, MEMORY.name, ENERGY.name})
"""Meters of what is used of a node: their cost is what Proportional goes by, and who has it is in Even."""


class Recipient(NamedTuple):
    """Whom a part is given to: a Namespace or a Team."""

    kind: str
    name: str


class FixedShare(Value):
    """One recipient's part, in proportion to the weights of the others."""

    namespace: Name | None = None
    team: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    weight: Annotated[int, Field(ge=1, le=1_000_000)]

    @model_validator(mode="after")
    def _one_recipient(self) -> Self:
        if (self.namespace is None) == (self.team is None):
            raise ValueError("give namespace or team, and not both")
        return self

    @property
    def recipient(self) -> Recipient:
        """Whose part it is."""
        return Recipient("Team", self.team) if self.team else Recipient("Namespace", self.namespace or "")


def _each_once(shares: tuple[FixedShare, ...]) -> tuple[FixedShare, ...]:
    once_each(tuple(share.recipient for share in shares))
    return shares


class Policy(Value):
    """How the shared cost of a pool is divided: not at all, by direct cost, evenly, or by fixed weights."""

    policy: PolicyName = "Unallocated"
    shares: Annotated[tuple[FixedShare, ...], Field(max_length=256), AfterValidator(_each_once)] = ()

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if (self.policy == "Fixed") != bool(self.shares):
            raise ValueError("shares are needed with policy Fixed, and must be absent otherwise")
        return self


class PoolPolicy(Policy):
    """The policy of one node pool."""

    name: Annotated[str, Field(min_length=1, max_length=253)]


class Sharing(Value):
    """The whole file: a policy for all node pools, others for some, and the namespaces that serve everybody,
    whose usage is shared as idle capacity is.
    """

    default: Policy = Policy()
    node_pools: Annotated[
        tuple[PoolPolicy, ...], Field(max_length=256), AfterValidator(once_each_by("name"))
    ] = ()
    system_namespaces: Annotated[tuple[Name, ...], Field(max_length=256), AfterValidator(once_each)] = ()

    @property
    def divides(self) -> bool:
        """Whether any policy gives anything to anybody."""
        return any(one.policy != "Unallocated" for one in (self.default, *self.node_pools))

    def of(self, pool: str) -> Policy:
        """The policy of this node pool."""
        return next((one for one in self.node_pools if one.name == pool), self.default)


class InvalidSharing(Stalled):
    """The policies cannot be used; the message names the file and every field at fault."""

    def __init__(self, file: str, faults: Iterable[FieldProblem]) -> None:
        said = "; ".join(map(str, faults))
        super().__init__("InvalidSharedCost", f"{file}: {said}. Correct it and start again.")


def parse(file: str, document: Any) -> Sharing:
    """The policies of a document; `file` is its name in messages. Raises `InvalidSharing`."""
    try:
        return Sharing.model_validate({} if document is None else document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidSharing(file, problems(error)) from None


@dataclass(frozen=True, slots=True)
class SharedLine:
    """A part of a pool's shared cost. `recipient` is None where it was given to nobody; `source` is what it
    was: idle, unhealthy or unknown capacity, or the name of a system namespace. `quantity` is of the meter;
    `units` are None where it has no price.
    """

    pool: str
    source: str
    meter: str
    recipient: Recipient | None
    quantity: int
    units: Units | None


@dataclass(slots=True)
class _Pot:
    """What is to be divided."""

    quantity: int = 0
    units: Units = 0


def allocated(lines: Iterable[SpendLine], sharing: Sharing, currency: str) -> tuple[SharedLine, ...]:
    """The shared cost in a statement's lines, in `UNITS` of the currency, divided by policy.

    What costs something in a currency without an exchange rate to this one is told like what has no price.
    """
    pots: dict[tuple[str, str, str, bool], _Pot] = defaultdict(_Pot)
    direct: dict[str, dict[Recipient, Units]] = defaultdict(lambda: defaultdict(int))
    prices: dict[str, Units | None] = {}
    for line in lines:
        pool = line.sku.dimension("nodePool") or ""
        price = _price(line, currency, prices)
        units = line.quantity * (price or 0)
        source = _source(line, sharing)
        if source is None:
            if line.workload.namespace and line.sku.meter in OF_NODES:
                direct[pool][Recipient("Namespace", line.workload.namespace)] += units
        else:
            pot = pots[pool, source, line.sku.meter, price is not None]
            pot.quantity += line.quantity
            pot.units += units
    return tuple(
        part
        for (pool, source, meter, priced), pot in sorted(pots.items(), key=lambda item: item[0])
        for part in _divided(
            SharedLine(pool, source, meter, None, pot.quantity, pot.units if priced else None),
            sharing,
            direct,
        )
    )


class Allotments:
    """What the policies give to namespaces of one interval's statements, in `UNITS` of a currency: asked once
    for all budgets of that interval and currency.
    """

    def __init__(self, statements: Iterable[Statement], sharing: Sharing, currency: str) -> None:
        lines = [line for statement in statements for line in statement.lines]
        self._units: dict[str, Units] = defaultdict(int)
        for part in allocated(lines, sharing, currency):
            if part.recipient is not None and part.recipient.kind == "Namespace":
                self._units[part.recipient.name] += part.units or 0
        # A namespace that was given a fixed share and used nothing has no labels here.
        self._labels: dict[str, list[Mapping[str, str]]] = {name: [] for name in self._units}
        for line in lines:
            versions = self._labels.get(line.workload.namespace)
            if versions is not None and line.namespace_labels not in versions:
                versions.append(line.namespace_labels)

    def of(self, budget: Budget) -> Units:
        """What is given to the namespaces of the budget's scope."""
        if not isinstance(budget, ClusterAIBudget):
            return self._units.get(budget.namespace or "", 0)
        covers = budget.spec.scope.covers
        total: Units = 0
        for name, units in self._units.items():
            if any(covers(name, dict(labels)) for labels in self._labels[name] or ({},)):
                total += units
        return total


def apportioned(total: int, weights: Sequence[Units]) -> list[int]:
    """A whole number in parts of these weights that add up to it: each part is rounded down, and what is left
    goes to the largest remainders, of equal ones to the first. ValueError where all weights are 0.
    """
    whole = sum(weights)
    if not whole or min(weights) < 0:
        raise ValueError("nothing can be divided by weights of which none is above 0")
    exact = [Fraction(total) * weight / whole for weight in weights]
    parts = [part.numerator // part.denominator for part in exact]
    order = sorted(range(len(parts)), key=lambda at: (parts[at] - exact[at], at))
    for at in order[: total - sum(parts)]:
        parts[at] += 1
    return parts


def _source(line: SpendLine, sharing: Sharing) -> str | None:
    """What a line is to be shared as; None for direct spend."""
    if line.sku.meter == GPU_IDLE.name:
        return line.sku.dimension("state") or "unknown"
    namespace = line.workload.namespace
    return namespace if namespace in sharing.system_namespaces else None


def _price(line: SpendLine, currency: str, known: dict[str, Units | None]) -> Units | None:
    if line.rate is None:
        return None
    if line.rate.id not in known:
        known[line.rate.id] = units_per_quantity(line.rate, currency)
    return known[line.rate.id]


def _divided(
    whole: SharedLine, sharing: Sharing, direct: Mapping[str, Mapping[Recipient, Units]]
) -> Iterable[SharedLine]:
    policy = sharing.of(whole.pool)
    is_shared = whole.source in SHARED_STATES or whole.source in sharing.system_namespaces
    weights = _weights(policy, direct.get(whole.pool, {})) if is_shared else {}
    weights = {recipient: weight for recipient, weight in weights.items() if weight > 0}
    if not weights:
        return [whole]
    by = list(weights.values())
    quantities = apportioned(whole.quantity, by)
    money = [None] * len(by) if whole.units is None else _parts(whole.units, by)
    return [
        replace(whole, recipient=recipient, quantity=quantity, units=units)
        for recipient, quantity, units in zip(weights, quantities, money, strict=True)
    ]


def _parts(units: Units, by: Sequence[Units]) -> Sequence[Units]:
    """A fraction of a unit is divided as finely as it is itself."""
    whole, finest = units.numerator, units.denominator
    parts = apportioned(whole, by)
    return parts if finest == 1 else [Fraction(part, finest) for part in parts]


def _weights(policy: Policy, direct: Mapping[Recipient, Units]) -> dict[Recipient, Units]:
    match policy.policy:
        case "Proportional":
            return dict(sorted(direct.items()))
        case "Even":
            return dict.fromkeys(sorted(direct), 1)
        case "Fixed":
            return {share.recipient: share.weight for share in policy.shares}
        case "Unallocated":
            return {}
