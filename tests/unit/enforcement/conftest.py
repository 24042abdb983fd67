"""Budgets and evaluations as values, with what a test cares about as arguments."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from aibudget.api.budget import AIBudget, ClusterAIBudget
from aibudget.api.kinds import parse
from aibudget.api.names import API_VERSION
from aibudget.budgeting.evaluation import BudgetKey, Evaluation, Spend, ThresholdState, WorkloadSpend
from aibudget.budgeting.period import Period
from aibudget.enforcement.claimant import Claimant
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
NOVEMBER = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
DECEMBER = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())

ClaimantMaker = Callable[..., Claimant]


@pytest.fixture
def claimant() -> ClaimantMaker:
    return make_claimant


def make_claimant(
    *names: str,
    kind: str = "AIBudget",
    namespace: str = "team",
    uid: str = "b-1",
    rates: dict[str, int] | None = None,
    standing: Any = "Active",
    fresh: bool = True,
    period: str = "2026-11@UTC",
    percent: int = 110,
    workload_kind: str = "Deployment",
    thresholds: tuple[str, ...] = ("over",),
    **enforcement: Any,
) -> Claimant:
    """A budget over its thresholds, 10 % apart, with these workloads spending 4 per hour each."""
    scope = {} if kind == "AIBudget" else {"scope": {"namespaces": [namespace]}}
    budget = parse(
        {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": uid, "uid": uid, **({"namespace": namespace} if kind == "AIBudget" else {})},
            "spec": {
                "limit": {"amount": 100, "currency": "USD"},
                "thresholds": [
                    {"name": name, "percent": 100 + 10 * place, "actions": ["ScaleDown", "Annotate"]}
                    for place, name in enumerate(thresholds)
                ],
                "enforcement": {"mode": "Enforce", "gracePeriodSeconds": 0, **enforcement},
                **scope,
            },
        }
    )
    assert isinstance(budget, AIBudget | ClusterAIBudget)
    crossed = 1 if standing != "Below" else None
    states = tuple(ThresholdState(one, standing, crossed) for one in budget.spec.effective_thresholds)
    spends = tuple(
        WorkloadSpend(
            Workload(namespace, workload_kind, name), Decimal(9), Decimal((rates or {}).get(name, 4)), None
        )
        for name in names
    )
    evaluation = Evaluation(
        budget=BudgetKey(kind, budget.namespace, budget.name, uid),
        generation=1,
        period=Period(period, Interval(NOVEMBER, DECEMBER)),
        limit=Decimal(100),
        currency="USD",
        spend=Spend(Decimal(percent), percent, 900, 100, True, Decimal(0), ()),
        rate_per_hour=Decimal(4),
        thresholds=states,
        changes=(),
        workloads=spends,
        fresh=fresh,
        began=False,
        evaluated=900,
    )
    return Claimant(budget, evaluation)
