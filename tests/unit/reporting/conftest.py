"""Evaluations and facts as values, with what a test cares about as arguments."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from aibudget.api.budget import Threshold
from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import Reason
from aibudget.budgeting.evaluation import BudgetKey, Evaluation, Spend, ThresholdState, WorkloadSpend
from aibudget.budgeting.period import Period
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from aibudget.reporting.facts import DataState, Facts

NOW = 1_795_255_200
NOVEMBER = Period("2026-11@UTC", Interval(1_793_491_200, 1_796_083_200))
WARN = Threshold(name="warn", percent=80, actions=("Notify", "Annotate"))
FULL = Threshold(name="full", percent=100, actions=("Notify", "ScaleDown"))

EvaluationMaker = Callable[..., Evaluation]
FactsMaker = Callable[..., Facts]


def make_evaluation(
    amount: str = "10",
    limit: str = "100",
    *,
    warn: Any = "Below",
    full: Any = "Below",
    namespace: str | None = "team",
    workloads: int = 1,
    changed: bool = False,
    **changes: Any,
) -> Evaluation:
    """A budget `b` in team at NOW, in November; `changed` says that both thresholds are news."""
    states = tuple(
        ThresholdState(threshold, standing, None if standing in ("Below", "Unknown") else NOW)
        for threshold, standing in ((WARN, warn), (FULL, full))
    )
    spent = Decimal(amount)
    spend = Spend(
        amount=spent,
        used_percent=int(spent * 100 / Decimal(limit)),
        as_of=changes.pop("as_of", NOW - 30),
        coverage_percent=100,
        complete=changes.pop("complete", True),
        estimated=Decimal(0),
        unpriced=changes.pop("unpriced", ()),
    )
    evaluation = Evaluation(
        budget=BudgetKey("AIBudget" if namespace else "ClusterAIBudget", namespace, "b", "uid-b"),
        generation=1,
        period=NOVEMBER,
        limit=Decimal(limit),
        currency="USD",
        spend=spend,
        rate_per_hour=Decimal("1.5"),
        thresholds=states,
        changes=states if changed else (),
        workloads=tuple(
            WorkloadSpend(Workload("team", "Deployment", f"llm-{n}"), spent / workloads, Decimal(1), None)
            for n in range(workloads)
        ),
        fresh=True,
        began=False,
        evaluated=NOW,
    )
    return replace(evaluation, **changes)


FRESH = DataState(fresh=True, reason=Reason.FRESH, message="Usage of the last 30 minutes is known.")
STALE = DataState(fresh=False, reason=Reason.USAGE_SOURCE_UNAVAILABLE, message="Prometheus is away.")


def make_facts(evaluation: Evaluation | None = None, **changes: Any) -> Facts:
    """All is well, unless a change says otherwise."""
    facts = Facts(generation=1, before=BudgetStatus(), now=NOW, evaluation=evaluation, data=FRESH)
    return replace(facts, **changes)


@pytest.fixture
def evaluation() -> EvaluationMaker:
    return make_evaluation


@pytest.fixture
def facts() -> FactsMaker:
    return make_facts


@pytest.fixture
def stale() -> DataState:
    return STALE


@pytest.fixture
def fresh() -> DataState:
    return FRESH
