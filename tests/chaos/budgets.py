"""The budgets of a run, and what an evaluation of them would say now."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from aibudget.api.budget import AIBudget, ClusterAIBudget
from aibudget.api.kinds import parse
from aibudget.api.names import API_VERSION
from aibudget.budgeting.evaluation import BudgetKey, Evaluation, Spend, ThresholdState, WorkloadSpend
from aibudget.budgeting.period import Period
from aibudget.enforcement.claimant import Claimant
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval

PROTECTED_BY_BUDGET = "tier"
"""A label of workloads; the budgets protect what has "prod" there."""


@dataclass(slots=True)
class BudgetState:
    """One budget as people and the meters have it now. `uid` is "" while it does not exist."""

    kind: str
    name: str
    namespaces: tuple[str, ...]
    grace: timedelta
    uid: str = ""
    number: int = 0
    over: bool = True
    fresh: bool = True
    enforce: bool = True
    period: int = 1

    @property
    def namespace(self) -> str | None:
        return self.namespaces[0] if self.kind == "AIBudget" else None

    @property
    def period_id(self) -> str:
        return f"2026-{self.period:02d}@UTC"

    def manifest(self) -> Json:
        """As the API server has it."""
        scope = {} if self.namespace else {"scope": {"namespaces": list(self.namespaces)}}
        place = {"namespace": self.namespace} if self.namespace else {}
        actions = ["Freeze", "Block", "ScaleDown", "Annotate"]
        return {
            "apiVersion": API_VERSION,
            "kind": self.kind,
            "metadata": {"name": self.name, "uid": self.uid, **place},
            "spec": {
                "limit": {"amount": 100, "currency": "USD"},
                "thresholds": [{"name": "over", "percent": 100, "actions": actions}],
                "enforcement": {
                    "mode": "Enforce" if self.enforce else "Observe",
                    "gracePeriodSeconds": int(self.grace.total_seconds()),
                    "protect": {"matchLabels": {PROTECTED_BY_BUDGET: "prod"}},
                },
                **scope,
            },
        }

    def claimant(self, rates: dict[Workload, int]) -> Claimant:
        """What a cycle that begins now would be told of it."""
        budget = parse(self.manifest())
        assert isinstance(budget, AIBudget | ClusterAIBudget)
        percent = 110 if self.over else 50
        state = ThresholdState(
            budget.spec.effective_thresholds[0],
            "Active" if self.over else "Below",
            1 if self.over else None,
        )
        spends = tuple(
            WorkloadSpend(workload, Decimal(9), Decimal(rate), None)
            for workload, rate in sorted(rates.items())
            if workload.namespace in self.namespaces
        )
        evaluation = Evaluation(
            budget=BudgetKey(self.kind, self.namespace, self.name, self.uid),
            generation=1,
            period=Period(self.period_id, Interval(0, 900)),
            limit=Decimal(100),
            currency="USD",
            spend=Spend(Decimal(percent), percent, 900, 100, True, Decimal(0), ()),
            rate_per_hour=Decimal(4),
            thresholds=(state,),
            changes=(),
            workloads=spends,
            fresh=self.fresh,
            began=False,
            evaluated=900,
        )
        return Claimant(budget, evaluation)
