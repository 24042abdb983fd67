"""Whatever is interrupted, whoever writes in between: a workload is what its owner asked for, or is held."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.api.names import ALLOW_STOP, FIELD_MANAGER, HOLD_LABEL
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.pointer import value_at
from aibudget.enforcement.release import release_all
from aibudget.inventory.resource import AIBUDGETS, HOLDS
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.fake_api import FakeAPI, with_namespace

KIND_NAMES = [kind.name for kind in KINDS.values() if kind.stop is not None]


def over(kind: str = "Deployment", **how: Any) -> Claimant:
    return make_claimant("llm", workload_kind=kind, **how)


def below(kind: str) -> Claimant:
    return over(kind, standing="Below")


def next_period(kind: str) -> Claimant:
    return over(kind, standing="Below", fresh=False, period="2026-12@UTC")


class Crash(BaseException):
    """The process is killed: nothing in the code under test may catch it."""


class World:
    """A cluster with one workload, a CronJob with a Job; `asked` is what its owner last asked for (JSON)."""

    def __init__(self, kind: str = "Deployment") -> None:
        self.api = FakeAPI()
        self.kind = KINDS[kind]
        self.minutes = 0
        with_namespace(self.api, "team")
        with_namespace(self.api, "aibudget-system")
        self.asked: dict[tuple[str, str], str | None] = {}
        self.make(kind, "llm")
        if kind == "CronJob":
            cron_job = self.api.objects["cronjobs", "team", "llm"]["metadata"]["uid"]
            owner = {"kind": "CronJob", "name": "llm", "uid": cron_job, "controller": True}
            self.make("Job", "llm-1", ownerReferences=[owner])
        self.api.seed(AIBUDGETS, "b-1", "team", metadata={"uid": "b-1"})

    def make(self, kind: str, name: str, **metadata: Any) -> None:
        spec: dict[str, Any] = {"replicas": 6} if is_count(kind) else {"template": {"spec": {}}}
        metadata["annotations"] = {ALLOW_STOP: "true"} if kind == "DaemonSet" else {}
        self.api.seed(KINDS[kind].resource, name, "team", metadata=metadata, spec=spec)
        self.asked[kind, name] = self.value(kind, name)

    def value(self, kind: str, name: str) -> str | None:
        stop = KINDS[kind].stop
        assert stop is not None
        return value_at(self.workload(kind, name), stop.path)

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

    def workload(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.objects[KINDS[kind].resource.plural, "team", name]
        return found

    @property
    def stopped(self) -> bool:
        return all(self.value(*one) == stop_json(one[0]) for one in self.asked)

    @property
    def holds(self) -> list[dict[str, Any]]:
        return [obj for (plural, *_), obj in self.api.objects.items() if plural == HOLDS.plural]

    def ask(self, value: str | None) -> None:
        self.asked[self.kind.name, "llm"] = value
        self.api.ask(self.kind, "llm", "team", value)

    def delete_holds(self) -> None:
        for hold in self.holds:
            self.api.remove(HOLDS, hold["metadata"]["name"], "team")

    def check(self) -> None:
        """The invariant, true between any two writes."""
        for (kind, name), asked in self.asked.items():
            if self.value(kind, name) == asked:
                continue
            assert self.value(kind, name) == stop_json(kind)
            metadata = self.workload(kind, name)["metadata"]
            mark = json.loads(metadata["annotations"]["aibudget.io/original"])
            assert mark.get("json") == asked
            assert HOLD_LABEL in metadata["labels"]
            for hold in self.holds:
                if hold["metadata"]["uid"] == mark["hold"]:
                    assert [one.get("json") for one in hold["spec"]["original"]] == [asked]

    def check_free(self) -> None:
        """Nothing of ours is left."""
        assert self.holds == []
        for (kind, name), asked in self.asked.items():
            assert self.value(kind, name) == asked
            metadata = self.workload(kind, name)["metadata"]
            assert HOLD_LABEL not in metadata.get("labels", {})
            assert FIELD_MANAGER not in {entry.get("manager") for entry in metadata["managedFields"]}


def stop_json(kind: str) -> str:
    stop = KINDS[kind].stop
    assert stop is not None
    return stop.stopped_json


def is_count(kind: str) -> bool:
    stop = KINDS[kind].stop
    return stop is not None and stop.is_count


def writes_of(kind: str, *cycles: Claimant) -> int:
    world = World(kind)
    for claimant in cycles:
        world.cycle(claimant)
    return len(world.api.written)


@pytest.mark.parametrize("kind", ["Deployment", "CronJob", "DaemonSet"])
def test_killed_before_any_write(kind: str) -> None:
    """Killed before each write of a hold and of a release, the next process completes both."""
    for last in (below(kind), next_period(kind)):
        for crash_at in range(1, writes_of(kind, over(kind), last) + 1):
            world = World(kind)
            world.cycle(over(kind), crash_at=crash_at)
            world.check()
            world.cycle(over(kind))
            world.check()
            assert world.stopped
            world.cycle(last, crash_at=crash_at)
            world.check()
            world.cycle(last)
            world.check_free()


@pytest.mark.parametrize("kind", ["Deployment", "CronJob", "DaemonSet"])
def test_killed_while_vetoed(kind: str) -> None:
    """A person deletes the Hold, the operator is killed while it gives the workload back: it stays so."""
    for crash_at in range(1, 6):
        world = World(kind)
        world.cycle(over(kind))
        world.delete_holds()
        world.cycle(over(kind), crash_at=crash_at)
        world.check()
        world.cycle(over(kind))
        world.check_free()


crashes = st.none() | st.integers(1, 9)
makers = (over, over, over, below, lambda kind: over(kind, fresh=False), next_period)
cycles = st.tuples(st.just("cycle"), st.sampled_from(makers), crashes)
asks = st.tuples(st.just("ask"), st.integers(0, 4))
others = st.sampled_from([("delete holds",), ("release all",)])
ASKED = {"DaemonSet": (None,), "Job": ("true", "true", "false"), "CronJob": ("true", "false", "false")}
REPLICAS = ("0", "0", "1", "2", "6")


@settings(max_examples=100)
@given(st.sampled_from(KIND_NAMES), st.lists(cycles | cycles | asks | asks | others, max_size=10))
def test_any_interleaving(kind: str, story: list[tuple[Any, ...]]) -> None:
    """Any order of cycles, kills, owners' writes, deletions: no original is lost, and the end is as asked."""
    world = World(kind)
    world.cycle(over(kind))
    for event in story:
        match event:
            case ("cycle", maker, crash_at):
                world.cycle(maker(kind), crash_at=crash_at)
            case ("ask", number):
                values = ASKED.get(kind, REPLICAS)
                world.ask(values[number % len(values)])
            case ("delete holds",):
                world.delete_holds()
            case _:
                asyncio.run(release_all(world.api, "aibudget-system", NOW))
                world.api.remove_kill_switch()
        world.check()
    world.cycle(below(kind))
    world.cycle(below(kind))
    world.check_free()


def test_unreadable_lists_release_nothing() -> None:
    """Without a single evaluation (an empty ledger, an empty cache) nothing is given back."""
    world = World()
    world.cycle(over())
    world.cycle()
    world.cycle(over(fresh=False))
    assert world.stopped
    world.cycle(next_period("Deployment"))
    world.check_free()
