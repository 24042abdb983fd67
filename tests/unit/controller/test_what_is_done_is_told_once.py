"""One Event for each notice and each stop, whoever claims the workload afterwards and whoever leads then."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aibudget.inventory.kubernetes import Json, Unavailable
from aibudget.inventory.resource import EVENTS, HOLDS, Resource
from unit.controller.world import (
    ENFORCE,
    STOP,
    FakeCluster,
    World,
    one_gpu,
)

AT_ONCE: dict[str, Any] = {"thresholds": STOP, "enforcement": {**ENFORCE, "onAlreadyCrossed": "Enforce"}}
STOPPED = ["ScaleDownNotice", "WorkloadScaledDown"]


class Faltering(FakeCluster):
    """An API server that does not answer who writes an Event: `refuses` says whether it has stored it."""

    refuses: bool | None = None

    async def create(self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None) -> Json:
        """As the API server does."""
        if resource is not EVENTS or self.refuses is None:
            return await super().create(resource, body, namespace)
        if not self.refuses:
            await super().create(resource, body, namespace)
        raise Unavailable("APIServerUnreachable", "it did not answer. See whether it is up.")


@dataclass
class Shaken(World):
    """With such an API server."""

    cluster: FakeCluster = field(default_factory=Faltering)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Budget `b` is over its limit, and has had its workload stopped."""
    with one_gpu(tmp_path, Shaken) as made:
        made.budget("b", 10, **AT_ONCE)
        yield made


def claimed_by(world: World) -> set[str]:
    """The budgets that claim what is held."""
    (hold,) = (obj for key, obj in world.cluster.objects.items() if key[0] == HOLDS.plural)
    return {claim["name"] for claim in hold["spec"]["claims"]}


def test_who_joins_a_stop_has_not_made_it(world: World) -> None:
    """Another budget comes to claim what is held: its next leader tells neither of them of a second stop."""
    world.pass_time(cycles=3)
    assert world.events("llm") == STOPPED
    world.budget("late", 10, **AT_ONCE)
    world.pass_time(cycles=2)
    assert claimed_by(world) == {"b", "late"}
    world.start()
    world.pass_time(cycles=2)
    assert world.events("llm") == STOPPED
    assert "WorkloadScaledDown" not in world.events("late")


def test_who_lets_go_of_a_stop_leaves_it_told(world: World) -> None:
    """Of two budgets that had it stopped one lets go: the stop of the other is no other one."""
    world.budget("second", 20, **AT_ONCE)
    world.pass_time(cycles=3)
    told = world.events("llm")
    assert sorted(set(told)) == sorted(told) == STOPPED
    world.budget("b", 1_000_000)
    world.pass_time(cycles=2)
    assert claimed_by(world) == {"second"}
    world.start()
    world.pass_time(cycles=2)
    assert world.events("llm") == told


def test_a_second_stop_is_told(world: World) -> None:
    """Given back and stopped again it has been stopped twice."""
    world.pass_time(cycles=3)
    world.budget("b", 1_000_000)
    world.pass_time(cycles=2)
    assert world.replicas("llm") == 1
    world.budget("b", 10)
    world.pass_time(cycles=2)
    assert [one for one in world.events("llm") if one in STOPPED] == STOPPED * 2


@pytest.mark.parametrize("refuses", [True, False])
def test_what_the_api_server_did_not_take_is_told_when_it_answers(world: World, *, refuses: bool) -> None:
    """Whether it had stored the Event before its answer was lost, or not: there is one in the end."""
    assert isinstance(world.cluster, Faltering)
    world.cluster.refuses = refuses
    world.pass_time(cycles=3)
    assert world.replicas("llm") == 0
    assert world.events("llm") == ([] if refuses else STOPPED)
    world.cluster.refuses = None
    world.pass_time()
    assert world.events("llm") == STOPPED
