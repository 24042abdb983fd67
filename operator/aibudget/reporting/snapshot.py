"""What can be scraped of the operator after a cycle, as values: budgets, the cycle itself, and counters."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aibudget.api.conditions import Condition
from aibudget.budgeting.evaluation import BudgetKey, Evaluation
from aibudget.metering.usage import Balance


@dataclass(frozen=True, slots=True)
class BudgetView:
    """One budget as metrics show it; `evaluation` is None while there is none."""

    key: BudgetKey
    conditions: tuple[Condition, ...]
    evaluation: Evaluation | None


@dataclass(frozen=True, slots=True)
class CycleView:
    """How the last cycle went. Times are Unix seconds or seconds; None is unknown and not shown."""

    finished: float | None = None
    seconds: float | None = None
    cpu: float | None = None
    phases: Mapping[str, float] = field(default_factory=dict)
    data_age: float | None = None
    coverage: Mapping[str, float] = field(default_factory=dict)
    unpriced: Mapping[str, float] = field(default_factory=dict)
    balances: Mapping[str, Balance] = field(default_factory=dict)
    lines: Mapping[str, float] = field(default_factory=dict)
    folded: Mapping[str, float] = field(default_factory=dict)
    sources: Mapping[str, bool] = field(default_factory=dict)
    clock_behind: float | None = None


@dataclass(frozen=True, slots=True)
class Counters:
    """What only grows in this process."""

    cycles: int = 0
    left_out: int = 0
    cycle_errors: Mapping[str, int] = field(default_factory=dict)
    queries: int = 0
    query_errors: Mapping[str, int] = field(default_factory=dict)
    status_writes: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """How notification stands: attempts by receiver, type and result; the rest by receiver, in seconds."""

    attempts: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    dead: Mapping[str, int] = field(default_factory=dict)
    oldest: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that can be scraped, at one moment; while the ledger is away, all but that as last known.

    `budgets` are their metrics, as `budgetmetrics.spelled` gives them.
    """

    leader: bool = False
    budgets: tuple[bytes, ...] = ()
    holds: Mapping[tuple[str, str], int] = field(default_factory=dict)
    backlog: Mapping[str, int] = field(default_factory=dict)
    cycle: CycleView = CycleView()
    ledger_away: bool = False
    counters: Counters = Counters()
    deliveries: DeliveryView = DeliveryView()
