"""`Evaluation`: where one budget stands at one moment, and what changed since it was last looked at.

Everything that people are told and everything that enforcement does derives from this value. Pure: spend,
budget, its own remembered thresholds and `now` go in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from aibudget.api.budget import Basis, Extent, Threshold
from aibudget.budgeting.drivers import Compared
from aibudget.budgeting.foreseen import UNFORESEEN, Foreseen
from aibudget.budgeting.limits import Allowance, Measure, leading
from aibudget.budgeting.period import Period
from aibudget.budgeting.unitcost import UnitCosting
from aibudget.budgeting.vigil import UNWATCHED, Watched
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

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class ThresholdState:
    """`crossed` is the moment (Unix seconds) of the evaluation that first saw it crossed in this period.

    `fresh` says whether the data gate of a measure that crosses it is open; None where the whole evaluation's
    says it.
    """

    threshold: Threshold
    standing: ThresholdStanding
    crossed: int | None
    fresh: bool | None = None


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
class ClusterSpend:
    """One of several clusters' part of a budget's spend; `amount` and `as_of` are None where that is unknown.

    Here is the cluster of this operator, in which alone workloads are held. Told is one whose own operator
    has posted lately, Silent one whose has not, Unknown one of which the ledger has nothing.
    """

    name: str
    amount: Decimal | None
    as_of: int | None
    standing: Literal["Here", "Told", "Silent", "Unknown"]


@dataclass(frozen=True, slots=True)
class Spend:
    """`amount` counts priced usage only and is a lower bound unless `complete` and wholly covered.

    `used_percent` is that of the measure of which most is used, money or a cap. `as_of` is None where nothing
    is known; `amount` is then 0 and says nothing. `estimated` is the part of `amount` that short gaps were
    filled with. `unpriced` names what had no price, `assumed` says in sentences where a price stands in for
    another, such as an on-demand price for spot.
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
    """`fresh` is the data gate: False forbids any release but the period's end, and new acts but for those of
    thresholds that another measure crosses.

    `limit` is the money that percents count against, None for a budget of caps alone; `allowance` is how it
    comes about, and `later` are limits that come into force later in the period, each with its instant.
    `measures` are the limit and the caps; `judged_percents` what was used of each when it was last judged
    since an edit: the memory of which were below a threshold, of budgets with caps.

    `began` is True on the first evaluation of a period. `changes` are the thresholds whose standing differs
    from what was remembered, in the order of their percent; what was never crossed is no change.
    `workloads` are those with priced usage in the period, the most expensive first; `uncharged` those that
    use right now what has no price. `rate_per_hour` is None while nothing recent is known. `shared` is the
    idle and shared cost that policies give to the scope beside its spend: no threshold looks at it, and None
    is where no policy gives anything to anybody. `unlabelled`, `unmetered` and `outside` are those of its
    share. `unit_costs` stop nothing. `foreseen` is where the period will end, `watched` what is unusual,
    `drivers` why it costs more or less than the period before. `clusters` are the parts of several clusters,
    this one first; none where only this one counts.
    """

    budget: BudgetKey
    generation: int
    period: Period
    limit: Decimal | None
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
    unit_costs: tuple[UnitCosting, ...] = ()
    unlabelled: tuple[str, ...] = ()
    unmetered: tuple[str, ...] = ()
    outside: frozenset[Workload] = frozenset()
    allowance: Allowance | None = None
    measures: tuple[Measure, ...] = ()
    judged_percents: Mapping[str, int] = field(default_factory=dict)
    foreseen: Foreseen = UNFORESEEN
    watched: Watched = UNWATCHED
    drivers: tuple[Compared, ...] = ()
    clusters: tuple[ClusterSpend, ...] = ()
    later: tuple[tuple[int, Decimal], ...] = ()

    @property
    def stops_everything(self) -> bool:
        """Whether a ScaleDown takes all that spends: by the budget's word, or since the limit is passed.

        A cap that crosses such a threshold takes all, too: nobody forecasts what each will use of it.
        """
        passed = self.limit is not None and self.spend.amount > self.limit
        return self.extent == "Everything" or passed or self._caps_stop

    @property
    def _caps_stop(self) -> bool:
        caps = (one.share for one in self.measures if not one.is_money and one.share is not None)
        ahead = (one.share for one in self.foreseen.caps)
        return self._stop("Actual", caps) or self._stop("Forecast", ahead)

    def _stop(self, basis: Basis, shares: Iterable[Fraction]) -> bool:
        """Whether one of these shares crosses a threshold in force that scales down by this basis."""
        percent = min((state.threshold.percent for state in self._stopping(basis)), default=None)
        return percent is not None and any(share * 100 >= percent for share in shares)

    def _stopping(self, basis: Basis) -> list[ThresholdState]:
        active = [one for one in self.thresholds if one.standing == "Active"]
        return [
            one for one in active if "ScaleDown" in one.threshold.actions and one.threshold.basis == basis
        ]

    @property
    def caps_may_stop(self) -> bool:
        """Whether a threshold that looks ahead is in force and a cap may have crossed it.

        What is foreseen of a cap falls as well as it rises, and nobody is let go by that alone.
        """
        return bool(self._stopping("Forecast")) and any(not one.is_money for one in self.measures)

    @property
    def leading_cap(self) -> Measure | None:
        """The cap of which more is used than of anything else; None where that is the money."""
        found = leading(self.measures)
        return None if found is None or found.is_money else found

    @property
    def unknown_caps(self) -> tuple[str, ...]:
        """The caps of which nothing is known."""
        return tuple(one.name for one in self.measures if one.used is None and not one.is_money)

    @property
    def unforeseen_caps(self) -> tuple[str, ...]:
        """The caps of which something is known, but nothing foreseen."""
        foreseen = {one.name for one in self.foreseen.caps}
        known = (one.name for one in self.measures if one.used is not None and not one.is_money)
        return tuple(name for name in known if name not in foreseen)

    @property
    def is_known(self) -> bool:
        """Whether anything is known of what is limited."""
        caps = any(one.used is not None for one in self.measures if not one.is_money)
        return caps or (self.limit is not None and self.spend.as_of is not None)

    def active(self, action: str) -> ThresholdState | None:
        """The highest threshold in force that lists the action, or None."""
        found = [s for s in self.thresholds if s.standing == "Active" and action in s.threshold.actions]
        return max(found, key=lambda s: s.threshold.percent, default=None)

    def may_act(self, action: str) -> bool:
        """Whether a threshold in force lists the action and is crossed by what is known well enough."""
        return any(
            state.standing == "Active"
            and action in state.threshold.actions
            and (self.fresh if state.fresh is None else state.fresh)
            for state in self.thresholds
        )
