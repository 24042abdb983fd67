"""With many budgets, what matters is written at once and moved figures in turn, the oldest first."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.controller.cache import Seen, read
from aibudget.controller.reporter import QUIET_AT_MOST, Report, Reporter
from aibudget.inventory.resource import AIBUDGETS, Resource

NOW = 1_795_000_000


class Sink:
    """Stores what is patched; Events are not expected."""

    def __init__(self) -> None:
        self.patched: list[str] = []

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Mapping[str, Any],
        namespace: str | None = None,
        *,
        status: bool = False,
    ) -> dict[str, Any]:
        self.patched.append(name)
        return {"metadata": {"resourceVersion": "2"}, "status": patch["status"]}

    async def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None
    ) -> dict[str, Any]:
        raise AssertionError("no Event is due")


def budget(number: int, status: Mapping[str, Any]) -> Seen:
    seen = read(
        AIBUDGETS,
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": "AIBudget",
            "metadata": {
                "name": f"b{number}",
                "namespace": "team",
                "uid": f"u{number:04d}",
                "generation": 1,
                "resourceVersion": "1",
                "creationTimestamp": "2026-11-01T00:00:00Z",
            },
            "spec": {"limit": {"amount": 5, "currency": "USD"}},
            "status": status,
        },
    )
    assert isinstance(seen, Seen)
    return seen


def status(amount: str, age: int, reason: str = "BelowThreshold") -> dict[str, Any]:
    """A stored status of so many seconds ago."""
    at = datetime.fromtimestamp(NOW - age, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {
        "type": "WithinBudget",
        "status": "True",
        "reason": reason,
        "message": f"{amount} USD is spent.",
        "lastTransitionTime": "2026-11-01T00:00:00Z",
        "observedGeneration": 1,
    }
    spend = {"amount": amount, "usedPercent": 1, "asOfTime": at, "coveragePercent": 100}
    whole = {"observedGeneration": 1, "conditions": [condition], "spend": spend, "lastEvaluationTime": at}
    return BudgetStatus.model_validate(whole, by_alias=True, by_name=False).to_dict()


def report(number: int, before: Mapping[str, Any], after: Mapping[str, Any]) -> Report:
    return Report(budget(number, before), BudgetStatus.model_validate(after, by_alias=True, by_name=False))


def test_a_thousand_moved_figures_are_written_in_turns() -> None:
    """Each cycle writes the oldest few hundred; a budget whose state has changed never waits."""
    sink = Sink()
    many = [report(n, status("1.00", age=600 - n), status("2.00", age=0)) for n in range(QUIET_AT_MOST + 50)]
    changed = report(9_999, status("1.00", age=1), status("2.00", age=0, reason="ThresholdReached"))

    asyncio.run(Reporter(sink, "test").report([*many, changed], NOW))

    assert set(sink.patched) == {f"b{n}" for n in range(QUIET_AT_MOST)} | {"b9999"}


def test_those_left_out_come_next() -> None:
    """What was written is the newest then, so every budget has its turn."""
    sink = Sink()
    many = [report(n, status("1.00", age=600 - n), status("2.00", age=0)) for n in range(QUIET_AT_MOST + 50)]

    async def two_cycles() -> None:
        reporter = Reporter(sink, "test")
        await reporter.report(many, NOW)
        await reporter.report(many, NOW + 60)

    asyncio.run(two_cycles())
    assert {f"b{n}" for n in range(QUIET_AT_MOST, QUIET_AT_MOST + 50)} <= set(sink.patched)
