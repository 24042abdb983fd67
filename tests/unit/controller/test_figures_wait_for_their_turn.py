"""With many budgets, what matters is written at once and moved figures in turn, the oldest first."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import Reason
from aibudget.budgeting.evaluation import BudgetKey, Evaluation, Spend
from aibudget.budgeting.gate import Gate
from aibudget.budgeting.period import Period
from aibudget.controller.cache import Seen, read
from aibudget.controller.judge import Judged
from aibudget.controller.measuring import Knowledge, Measured
from aibudget.controller.reporter import PART, QUIET_AT_MOST, Report, Reporter
from aibudget.controller.reports import Outcome, Teller, written
from aibudget.controller.turns import Turns
from aibudget.errors import Conflict
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.resource import AIBUDGETS, Resource
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage
from aibudget.reporting.facts import DataState

NOW = 1_795_000_000
FRESH = DataState(fresh=True, reason=Reason.FRESH, message="fresh")
MEASURED = Measured(
    NOW, "gpu", {"gpu": Knowledge(Gate(fresh=True), FRESH, Coverage(1, 1), 0)}, 0, {}, frozenset()
)
STANDS = Evaluation(
    budget=BudgetKey("AIBudget", "team", "b0", "u0000"),
    generation=1,
    period=Period("november", Interval(NOW - 900, NOW + 86_400)),
    limit=Decimal(5),
    currency="USD",
    spend=Spend(Decimal(1), 20, NOW - 30, 100, True, Decimal(0), ()),
    rate_per_hour=None,
    thresholds=(),
    changes=(),
    workloads=(),
    fresh=True,
    began=False,
    evaluated=NOW,
)


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


def test_thousands_of_statuses_are_made_part_by_part() -> None:
    """All at once they would take more memory than all else: a part is written before the next is made."""
    sink, made, ahead = Sink(), list[int](), list[int]()

    def reports() -> Iterator[Report]:
        for number in range(2 * PART + 1):
            ahead.append(len(made) - len(sink.patched))
            made.append(number)
            yield report(number, status("1.00", age=60), status("2.00", age=0, reason="ThresholdReached"))

    asyncio.run(Reporter(sink, "test").report(reports(), NOW))

    assert len(sink.patched) == 2 * PART + 1
    assert max(ahead) < PART


def test_what_may_not_be_said_yet_is_not_written() -> None:
    """Each part is shown before anything of it is said, for the outbox comes first."""
    sink, shown = Sink(), list[str]()

    async def all_but_one(some: Sequence[Report]) -> Sequence[Report]:
        shown.extend(one.seen.metadata.name for one in some)
        assert not set(shown[-len(some) :]) & set(sink.patched)
        return [one for one in some if one.seen.metadata.name != "b7"]

    many = [report(n, status("1.00", 60), status("2.00", 0, "ThresholdReached")) for n in range(PART + 9)]
    asyncio.run(Reporter(sink, "test").report(many, NOW, all_but_one))

    assert shown == [f"b{n}" for n in range(PART + 9)]
    assert set(shown) - set(sink.patched) == {"b7"}


def test_what_was_written_is_the_same_when_the_watch_tells_of_it() -> None:
    """It was read once: of thousands of budgets none is looked through anew for its own echo."""
    sink = Versioned()
    reporter, seen = Reporter(sink, "replica"), budget(1, status("1.00", 0))
    asyncio.run(reporter.report([report(1, status("1.00", 0), status("2.00", -60))], NOW + 60))
    remembered = reporter.memory(seen)
    echo = replace(
        budget(1, sink.stored), metadata=seen.metadata.model_copy(update={"resource_version": "2"})
    )
    assert reporter.memory(echo) is remembered


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


@pytest.mark.parametrize("reason", ["BelowThreshold", "ThresholdReached"])
def test_what_was_just_written_rests(reason: str) -> None:
    """It says what there is to say: made once more in the next cycle, it would only be thrown away."""
    told = replace(report(0, status("1.00", age=600), status("2.00", 0, reason)), outline=("as it is",))
    reporter = Reporter(Sink(), "test")
    reporter.turns = Turns(0)

    asyncio.run(reporter.report([told], NOW))

    assert set(reporter.resting([(told.seen, ("as it is",), 7)], NOW)) == {told.seen.uid}
    assert not reporter.resting([(told.seen, ("otherwise",), 7)], NOW)


def test_what_the_server_did_not_take_is_looked_at_again() -> None:
    """A field that it does not know yet is written as soon as it does."""

    class Older(Sink):
        async def patch(self, *given: Any, **more: Any) -> dict[str, Any]:
            stored = await super().patch(*given, **more)
            return stored | {"status": stored["status"] | {"spend": {}}}

    told = replace(report(0, status("1.00", age=600), status("2.00", 0)), outline=("as it is",))
    reporter = Reporter(Older(), "test")
    reporter.turns = Turns(0)

    asyncio.run(reporter.report([told], NOW))

    assert not reporter.resting([(told.seen, ("as it is",), 7)], NOW)


def test_a_budget_whose_status_has_just_told_its_news_rests() -> None:
    """Of thousands that begin in one cycle none is made once more in the next."""
    reporter, teller = Reporter(Quiet(), "test"), Teller(OwnerBook(), lambda _: None)
    reporter.turns = Turns(0)
    seen = budget(0, {})

    def told(began: bool, now: int) -> list[Report]:
        evaluation = replace(STANDS, began=began, evaluated=now)
        outcome = Outcome([Judged(seen, evaluation)], MEASURED, None, enforcement=True, now=now)
        found = list(written(outcome, reporter, teller, ()).others)
        asyncio.run(reporter.report(found, now))
        return found

    assert [len(told(True, NOW)), len(told(True, NOW + 60)), len(told(False, NOW + 120))] == [1, 1, 0]


class Quiet(Versioned):
    """Takes Events as well."""

    async def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None
    ) -> dict[str, Any]:
        return dict(body)
