"""Budgets, spend lines and evaluations, each in one short call."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from aibudget.api.budget import AIBudget, Budget, ClusterAIBudget
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.gate import Gate
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import current
from aibudget.budgeting.share import Shares
from aibudget.budgeting.verdict import Moment, evaluate
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage, sku
from aibudget.pricing.rate import FAR_FUTURE, Rate

NOVEMBER = 1_793_491_200
NOON = NOVEMBER + 20 * 86_400 + 43_200
HOUR = 3_600_000


def rate(price: str = "1", currency: str = "USD") -> Rate:
    """A price for every GPU."""
    amount = Decimal(price)
    return Rate("list", "any", "gpu", {}, currency, "GPU-Hours", amount, amount, 10, Interval(0, FAR_FUTURE))


@pytest.fixture
def make_budget() -> Callable[..., Budget]:
    """A budget in `team`; spec fields as in YAML. With a scope of namespaces it is a ClusterAIBudget."""

    def make(
        amount: str = "100", generation: int = 1, enforcement: dict[str, Any] | None = None, **spec: Any
    ) -> Budget:
        of_many = {"namespaces", "namespaceSelector", "teams"} & set(spec.get("scope", ()))
        kind: type[Budget] = ClusterAIBudget if of_many else AIBudget
        metadata = {"name": "b", "uid": "u", "generation": generation}
        if kind is AIBudget:
            metadata["namespace"] = "team"
        return kind.read(
            {
                "apiVersion": "aibudget.io/v1alpha1",
                "kind": kind.__name__,
                "metadata": metadata,
                "spec": {"limit": {"amount": amount, "currency": "USD"}, "enforcement": enforcement or {}}
                | spec,
            }
        )

    return make


@pytest.fixture
def make_line() -> Callable[..., SpendLine]:
    """GPU-hours of one workload, a dollar each."""

    def make(hours: str | int, name: str = "llm", namespace: str = "team", **more: Any) -> SpendLine:
        given: dict[str, Any] = {
            "namespace_labels": {},
            "rate": rate(),
            "sku": sku("gpu", {"gpuProduct": "H100"}),
        } | more
        return SpendLine(
            workload=Workload(namespace, "Deployment", name), quantity=int(Decimal(hours) * HOUR), **given
        )

    return make


@pytest.fixture
def make_statement() -> Callable[..., Statement]:
    """A statement of these lines, wholly known unless said otherwise."""

    def make(*lines: SpendLine, covered: int = 100, complete: bool = True) -> Statement:
        return Statement(lines, Coverage(covered * 900, 90_000), NOON, complete)

    return make


@pytest.fixture
def judge(
    make_line: Callable[..., SpendLine], make_statement: Callable[..., Statement]
) -> Callable[..., Evaluation]:
    """Evaluate a budget after so many dollars, given what status remembers of the evaluation before."""

    def do(
        budget: Budget,
        dollars: str | int,
        before: Evaluation | None = None,
        now: int = NOON,
        fresh: bool = True,
        repriced: bool = False,
        **known: Any,
    ) -> Evaluation:
        shares = Shares({"gpu": make_statement(make_line(dollars), **known)}, {}, frozenset({"gpu"}))
        memory = Memory.of(before) if before else Memory()
        period = current(budget.spec.period, now)
        return evaluate(budget, period, shares.of(budget), memory, Moment(now, Gate(fresh), repriced))

    return do
