"""What a budget remembers between two evaluations, all of it in its status where people can read it.

A restart, another leader or a rebuilt operator reads it back and goes on. A status that was lost is made from
the ledger's row of the period (`turning.py`). Where both are gone the budget is a new one: then what is
crossed already waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.budgeting.evaluation import Evaluation, ThresholdStanding
from aibudget.budgeting.vigil import Anomaly, remembered


@dataclass(frozen=True, slots=True)
class Remembered:
    """How a threshold stood, and since when it is crossed (Unix seconds)."""

    standing: ThresholdStanding
    crossed: int | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """`generation` is -1 and `period_id` None for a budget that was never evaluated.

    `evaluated` is when it was, as far as its status tells: a cycle may have told nobody. `limit` is the
    money that percents counted against; `percents` what was used of each measure when it was last judged, for
    budgets with caps. `above` names the unit costs that were above their ceilings.
    """

    generation: int = -1
    period_id: str | None = None
    period_start: int | None = None
    thresholds: Mapping[str, Remembered] = field(default_factory=dict)
    evaluated: int = 0
    limit: Decimal | None = None
    percents: Mapping[str, int] = field(default_factory=dict)
    above: frozenset[str] = frozenset()
    anomalies: tuple[Anomaly, ...] = ()

    @classmethod
    def from_status(cls, status: BudgetStatus) -> "Memory":
        """What the status says: observedGeneration, period, thresholds."""
        at = status.last_evaluation_time
        evaluated = 0 if at is None else int(at.timestamp())
        if status.period is None:
            return cls(status.observed_generation, evaluated=evaluated)
        return cls(
            generation=status.observed_generation,
            period_id=status.period.id,
            period_start=int(status.period.start_time.timestamp()),
            thresholds={
                threshold.name: Remembered(
                    threshold.state,
                    int(threshold.crossed_time.timestamp()) if threshold.crossed_time else None,
                )
                for threshold in status.thresholds
            },
            evaluated=evaluated,
            limit=None if status.limit is None else status.limit.amount,
            percents={one.name: one.used_percent for one in status.measures if one.used_percent is not None},
            above=frozenset(one.name for one in status.unit_costs if one.state == "Above"),
            anomalies=remembered(status.anomalies),
        )

    @classmethod
    def of(cls, evaluation: Evaluation) -> "Memory":
        """What status will say after this evaluation: for whoever evaluates again before reading it."""
        return cls(
            generation=evaluation.generation,
            period_id=evaluation.period.id,
            period_start=evaluation.period.interval.start,
            thresholds={
                state.threshold.name: Remembered(state.standing, state.crossed)
                for state in evaluation.thresholds
            },
            evaluated=evaluation.evaluated,
            limit=evaluation.limit,
            percents=evaluation.judged_percents,
            above=frozenset(one.spec.name for one in evaluation.unit_costs if one.state == "Above"),
            anomalies=evaluation.watched.anomalies,
        )
