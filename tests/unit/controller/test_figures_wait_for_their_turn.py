"""With many budgets, what matters is written at once and moved figures in turn, the oldest first."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.controller.cache import Seen, read
from aibudget.controller.reporter import QUIET_AT_MOST, Report, Reporter
from aibudget.errors import Conflict
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


@pytest.mark.parametrize(("spends", "writes"), [(False, 12), (True, 60)])
def test_a_budget_of_which_nothing_changes_is_written_twelve_times_an_hour(spends: bool, writes: int) -> None:
    """Only the times are, so that they are never older than five minutes; moved figures at each cycle."""
    sink = Versioned()
    reporter, seen = Reporter(sink, "replica"), budget(1, status("1.00", 0))
    for minute in range(1, 61):
        now = NOW + 60 * minute
        whole = status(f"1.{minute:02}" if spends else "1.00", -60 * minute)
        after = BudgetStatus.model_validate(whole, by_alias=True, by_name=False)
        asyncio.run(reporter.report([Report(seen, after)], now))
    assert len(sink.patched) == writes


class Versioned(Sink):
    """A sink that merges what it is sent, and gives each write a version of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, Any] = dict(status("1.00", 0))

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Mapping[str, Any],
        namespace: str | None = None,
        *,
        status: bool = False,
    ) -> dict[str, Any]:
        await super().patch(resource, name, patch, namespace, status=status)
        for key, value in patch["status"].items():
            kept = self.stored.get(key)
            self.stored[key] = kept | value if isinstance(kept, dict) else value
        return {"metadata": {"resourceVersion": str(len(self.patched) + 1)}, "status": self.stored}


def test_a_status_is_written_over_the_object_that_it_was_made_from() -> None:
    """A leader that was paused must not put an old memory over a newer one; the refusal is no error."""

    class Moved(Sink):
        async def patch(self, *_: Any, **__: Any) -> dict[str, Any]:
            raise Conflict("Conflict", "it has changed")

    sink = Recording()
    reporter = Reporter(sink, "replica")
    asyncio.run(reporter.report([report(1, status("1.00", 60), status("2.00", 0))], NOW))
    assert sink.versions == ["1"]
    moved = Reporter(Moved(), "replica")
    asyncio.run(moved.report([report(1, status("1.00", 60), status("2.00", 0))], NOW))
    assert (moved.writes, moved.errors) == (0, {})


class Recording(Sink):
    """Notes the version that each patch was made for."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: list[str] = []

    async def patch(
        self, resource: Resource, name: str, patch: Mapping[str, Any], *rest: Any, **more: Any
    ) -> dict[str, Any]:
        self.versions.append(patch["metadata"]["resourceVersion"])
        return await super().patch(resource, name, patch, *rest, **more)
