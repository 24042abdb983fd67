"""`Evaluation`: where one budget stands at one moment, and what changed since it was last looked at.

Everything that people are told and everything that enforcement does derives from this value. Pure: spend,
budget, its own remembered thresholds and `now` go in.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from aibudget.api.budget import Extent, Threshold
from aibudget.budgeting.period import Period
from aibudget.inventory.workload import Workload

# Unknown: new or edited, and the data does not reach far enough to say whether it was crossed before.
# Below:   not crossed in this period.
# Crossed: crossed; the budget observes, so its actions are only told.
# Active:  crossed and its actions are in force until the limit, prices or scope change it or the period ends.
# Waiting: it was crossed already when the budget was created, cut or switched to Enforce; acts next period.
ThresholdStanding = Literal["Unknown", "Below", "Crossed", "Active", "Waiting"]


@dataclass(frozen=True, slots=True)
class BudgetKey:
    """Which budget. `namespace` is None for a ClusterAIBudget."""

    kind: str
    namespace: str | None
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class ThresholdState:
    """`crossed` is the moment (Unix seconds) of the evaluation that first saw it crossed in this period."""

    threshold: Threshold
    standing: ThresholdStanding
    crossed: int | None


@dataclass(frozen=True, slots=True)
class WorkloadSpend:
    """A workload's part of a budget's spend, priced usage only.

    `rate_per_hour` is what it costs right now: 0 when it has stopped, and while nothing recent is known (the
    evaluation is then not `fresh`). `idle_percent` speaks of the period, None under 80 % observed device
    time; `idle` of the last half hour: True where no device of it did anything, None where one may not have
    been seen. `assumed` says in sentences where its price stands in for another.
    """

    workload: Workload
    amount: Decimal
    rate_per_hour: Decimal
    idle_percent: int | None
    idle: bool | None = None
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Uncharged:
    """A workload that uses right now what has no price; `used` names that."""

    workload: Workload
    used: str


@dataclass(frozen=True, slots=True)
class Spend:
    """`amount` counts priced usage only and is a lower bound unless `complete` and wholly covered.

    `as_of` is None where nothing is known; `amount` is then 0 and says nothing. `estimated` is the part of
    `amount` that short gaps were filled with. `unpriced` names what had no price, `assumed` says in sentences
    where a price stands in for another, such as an on-demand price for spot.
    """

    amount: Decimal
    used_percent: int
    as_of: int | None
    coverage_percent: int
    complete: bool
    estimated: Decimal
    unpriced: tuple[str, ...]
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`fresh` is the data gate: False forbids new acts and any release but the period's end.

    `began` is True on the first evaluation of a period. `changes` are the thresholds whose standing differs
    from what was remembered, in the order of their percent; what was never crossed is no change.
    `workloads` are those with priced usage in the period, the most expensive first; `uncharged` those that
    use right now what has no price. `rate_per_hour` is None while nothing recent is known. `shared` is the
    idle and shared cost that policies give to the scope beside its spend: no threshold looks at it, and None
    is where no policy gives anything to anybody. `unlabelled`, `unmetered` and `outside` are those of its
    share.
    """

    budget: BudgetKey
    generation: int
    period: Period
    limit: Decimal
    currency: str
    spend: Spend
    rate_per_hour: Decimal | None
    thresholds: tuple[ThresholdState, ...]
    changes: tuple[ThresholdState, ...]
    workloads: tuple[WorkloadSpend, ...]
    fresh: bool
    began: bool
    evaluated: int
    uncharged: tuple[Uncharged, ...] = ()
    extent: Extent = "Everything"
    shared: Decimal | None = None
    unlabelled: tuple[str, ...] = ()
    unmetered: tuple[str, ...] = ()
    outside: frozenset[Workload] = frozenset()

    @property
    def stops_everything(self) -> bool:
        """Whether a ScaleDown takes all that spends: by the budget's word, or since the limit is passed."""
        return self.extent == "Everything" or self.spend.amount > self.limit

    def active(self, action: str) -> ThresholdState | None:
        """The highest threshold in force that lists the action, or None."""
        found = [s for s in self.thresholds if s.standing == "Active" and action in s.threshold.actions]
        return max(found, key=lambda s: s.threshold.percent, default=None)
