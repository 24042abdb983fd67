"""Whatever is interrupted, whoever writes in between: a workload is what its owner asked for, or is held."""

import asyncio
import json
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.api.names import FIELD_MANAGER, HOLD_LABEL
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.release import release_all
from aibudget.inventory.resource import AIBUDGETS, DEPLOYMENTS, HOLDS
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.fake_api import FakeAPI, with_namespace

OVER = make_claimant("llm")
BELOW = make_claimant("llm", standing="Below")
STALE = make_claimant("llm", fresh=False)
NEXT_PERIOD = make_claimant("llm", standing="Below", fresh=False, period="2026-12@UTC")


class Crash(BaseException):
    """The process is killed: nothing in the code under test may catch it."""


class World:
    """A cluster with one Deployment of 6; `asked` is what its owner last asked for."""

    def __init__(self) -> None:
        self.api = FakeAPI()
        self.asked = 6
        self.minutes = 0
        with_namespace(self.api, "team")
        with_namespace(self.api, "aibudget-system")
        self.api.deployment("llm", "team", 6)
        self.api.seed(AIBUDGETS, "b-1", "team", metadata={"uid": "b-1"})

    def cycle(self, *claimants: Claimant, crash_at: int | None = None) -> Report | None:
        """A cycle of a new process, killed right before its `crash_at`-th write."""
        writes = 0

        def count() -> None:
            nonlocal writes
            writes += 1
            if writes == crash_at:
                raise Crash

        self.minutes += 1
        self.api.before_write = count
        enforcer = Enforcer(self.api, Limits("aibudget-system"), lambda: True)
        try:
            return asyncio.run(enforcer.run(claimants, NOW + timedelta(minutes=self.minutes)))
        except Crash:
            return None
        finally:
            self.api.before_write = lambda: None

    @property
    def workload(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.objects[DEPLOYMENTS.plural, "team", "llm"]
        return found

    @property
    def replicas(self) -> int:
        return int(self.workload["spec"]["replicas"])

    @property
    def holds(self) -> list[dict[str, Any]]:
        return [obj for (plural, *_), obj in self.api.objects.items() if plural == HOLDS.plural]

    def scale(self, replicas: int) -> None:
        self.asked = replicas
        self.api.scale("llm", "team", replicas)

    def delete_holds(self) -> None:
        for hold in self.holds:
            self.api.remove(HOLDS, hold["metadata"]["name"], "team")

    def check(self) -> None:
        """The invariant, true between any two writes."""
        if self.replicas == self.asked:
            return
        assert self.replicas == 0
        mark = json.loads(self.workload["metadata"]["annotations"]["aibudget.io/original"])
        assert mark["json"] == str(self.asked)
        assert HOLD_LABEL in self.workload["metadata"]["labels"]
        for hold in self.holds:
            if hold["metadata"]["uid"] == mark["hold"]:
                assert hold["spec"]["original"] == [{"path": "/spec/replicas", "json": str(self.asked)}]

    def check_free(self) -> None:
        """Nothing of ours is left."""
        assert self.replicas == self.asked
        assert self.holds == []
        assert HOLD_LABEL not in self.workload["metadata"].get("labels", {})
        assert FIELD_MANAGER not in {e.get("manager") for e in self.workload["metadata"]["managedFields"]}


def writes_of(*cycles: Claimant) -> int:
    world = World()
    for claimant in cycles:
        world.cycle(claimant)
    return len(world.api.written)


def test_killed_before_any_write() -> None:
    """Killed before each write of a hold and of a release, the next process completes both."""
    for last in (BELOW, NEXT_PERIOD):
        for crash_at in range(1, writes_of(OVER, last) + 1):
            world = World()
            world.cycle(OVER, crash_at=crash_at)
            world.check()
            world.cycle(OVER)
            world.check()
            assert world.replicas == 0
            world.cycle(last, crash_at=crash_at)
            world.check()
            world.cycle(last)
            world.check_free()


def test_killed_while_vetoed() -> None:
    """A person deletes the Hold, the operator is killed while it gives the workload back: it stays so."""
    for crash_at in range(1, 6):
        world = World()
        world.cycle(OVER)
        world.delete_holds()
        world.cycle(OVER, crash_at=crash_at)
        world.check()
        world.cycle(OVER)
        world.check_free()


crashes = st.none() | st.integers(1, 9)
cycles = st.tuples(st.just("cycle"), st.sampled_from([OVER, OVER, OVER, BELOW, STALE, NEXT_PERIOD]), crashes)
scales = st.tuples(st.just("scale"), st.sampled_from([0, 0, 1, 2, 6]))
others = st.sampled_from([("delete holds",), ("release all",)])


@settings(max_examples=100, deadline=None)
@given(st.lists(cycles | cycles | scales | scales | others, max_size=10))
def test_any_interleaving(story: list[tuple[Any, ...]]) -> None:
    """Any order of cycles, kills, owners' writes, deletions: no original is lost, and the end is as asked."""
    world = World()
    world.cycle(OVER)
    for event in story:
        match event:
            case ("cycle", claimant, crash_at):
                world.cycle(claimant, crash_at=crash_at)
            case ("scale", replicas):
                world.scale(replicas)
            case ("delete holds",):
                world.delete_holds()
            case _:
                asyncio.run(release_all(world.api, "aibudget-system", NOW))
                world.api.remove_kill_switch()
        world.check()
    world.cycle(BELOW)
    world.cycle(BELOW)
    world.check_free()


def test_unreadable_lists_release_nothing() -> None:
    """Without a single evaluation (an empty ledger, an empty cache) nothing is given back."""
    world = World()
    world.cycle(OVER)
    world.cycle()
    world.cycle(STALE)
    assert world.replicas == 0
    world.cycle(NEXT_PERIOD)
    world.check_free()
