"""Nothing is stopped that the decision log does not have, with all that it was decided by, and once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aibudget.errors import Transient
from aibudget.inventory.resource import AIBUDGETS, DEPLOYMENTS, HOLDS
from aibudget.ledger.register import Register
from unit.controller.meters import DAY, MIDNIGHT
from unit.controller.world import ENFORCE, STOP, World, one_gpu

FENCES = [{"name": "full", "percent": 100, "actions": ["Notify", "Freeze", "ScaleDown"]}]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two days and 144 USD of November are over."""
    with one_gpu(tmp_path, World) as made:
        yield made


def log(world: World, kind: str = "hold/") -> list[dict[str, Any]]:
    """What the log says, of one kind of subject."""
    entries = world.in_worker(world.register.entries)
    return [json.loads(entry.content) for entry in entries if entry.subject.startswith(kind)]


def events(world: World, kind: str = "hold/") -> list[str]:
    """In the order in which they were written."""
    return [one["event"] for one in log(world, kind)]


def test_the_whole_story_of_a_stop_with_its_inputs(world: World) -> None:
    """Threshold, notice, act, release: each with spend, limit, watermark, coverage and generation."""
    world.budget("b", 145, thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=2)
    world.pass_time(1200, cycles=3)
    assert world.replicas("llm") == 0
    world.budget("b", 2000)
    world.pass_time(cycles=2)
    assert world.replicas("llm") == 1
    assert events(world) == ["Planned", "Acting", "Active", "Released", "Restored"]
    assert events(world, "threshold/") == ["Active", "Below"]
    (crossed, _) = log(world, "threshold/")
    assert (crossed["threshold"], crossed["percent"], crossed["budget"]["name"]) == ("full", 100, "b")
    known = crossed["inputs"]
    assert (known["limit"], known["currency"], known["generation"]) == ("145", "USD", 1)
    assert (known["coveragePercent"], known["fresh"], known["complete"]) == (100, True, True)
    assert float(known["spent"]) >= 145
    assert known["asOf"] > "2026-11-03T00:20:00Z"
    planned, released = log(world)[0], log(world)[3]
    assert planned["target"] == {
        "kind": "Deployment",
        "namespace": "team",
        "name": "llm",
        "uid": world.cluster.objects[DEPLOYMENTS.plural, "team", "llm"]["metadata"]["uid"],
    }
    assert (planned["action"], planned["inputs"]["limit"]) == ("ScaleDown", "145")
    assert (released["inputs"]["limit"], released["inputs"]["generation"]) == ("2000", 2)


def test_a_cycle_that_is_killed_after_the_log_writes_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is first: a process that dies before the act leaves what it was about to do."""
    world.budget("b", 145, thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=2)

    def killed() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(world.cluster, "before_write", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            world.pass_time(1200)
        world.start()
        assert (world.replicas("llm"), world.holds()) == (1, 0)
        assert events(world) == ["Planned", "Acting"]
    monkeypatch.setattr(world.cluster, "before_write", lambda: None)
    world.start()
    world.pass_time(cycles=2)
    assert world.replicas("llm") == 0
    assert events(world) == ["Planned", "Acting", "Active"]
    assert events(world, "threshold/") == ["Active"]
    for _ in range(2):
        world.start()
        world.pass_time(cycles=2)
    assert events(world) == ["Planned", "Acting", "Active"]


def test_what_cannot_be_logged_is_not_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither on a workload nor on a namespace, and both are told; it is done when the log can have it."""
    world.budget("b", 145, thresholds=FENCES, enforcement=ENFORCE)
    world.pass_time(cycles=2)

    def full(*_: object) -> None:
        raise Transient("LedgerUnavailable", "no space is left")

    with monkeypatch.context() as disk:
        disk.setattr(Register, "_writing", full)
        world.pass_time(1200, cycles=3)
        assert world.status("b")["thresholds"][0]["state"] == "Active"
        assert (world.replicas("llm"), world.holds()) == (1, 0)
        assert world.conditions("b")["Enforced"] == ("True", "EnforcementFailed")
    world.pass_time(cycles=3)
    assert (world.replicas("llm"), world.holds()) == (0, 2)
    for action in ("Freeze", "ScaleDown"):
        assert [one["event"] for one in log(world) if one["action"] == action][:2] == ["Planned", "Acting"]
    assert events(world, "threshold/") == ["Active"], "what was decided meanwhile is not forgotten"


def test_a_persons_decisions_are_in_it(world: World) -> None:
    """Who approved, who vetoed by deleting the Hold, and what nobody decided."""
    approve = {"mode": "Approve", "gracePeriodSeconds": 0}
    world.budget("b", 145, thresholds=STOP, enforcement=approve)
    world.pass_time(cycles=2)
    world.pass_time(1200, cycles=2)
    assert events(world) == ["Asked"]
    (key,) = [key for key in world.cluster.objects if key[0] == HOLDS.plural]
    hold = world.cluster.objects[key]
    hold["spec"]["claims"][0] |= {"decision": "Approved", "decidedBy": "alice"}
    world.cluster._store(HOLDS, hold, manager="kubectl")
    world.pass_time(cycles=2)
    assert world.replicas("llm") == 0
    assert events(world) == ["Asked", "Approved", "Acting", "Active"]
    assert log(world)[1]["decidedBy"] == "alice"
    (key,) = [key for key in world.cluster.objects if key[0] == HOLDS.plural]
    del world.cluster.objects[key]
    world.pass_time(cycles=2)
    assert world.replicas("llm") == 1
    assert events(world)[4:] == ["Vetoed", "Restored"]


def test_a_budget_that_is_deleted_lets_go_by_the_log(world: World) -> None:
    """There is nobody left to ask for figures; what it held and in which period is known."""
    world.budget("b", 145, thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=2)
    world.pass_time(1200, cycles=3)
    del world.cluster.objects[AIBUDGETS.plural, "team", "b"]
    world.pass_time(cycles=2)
    assert world.replicas("llm") == 1
    assert events(world) == ["Planned", "Acting", "Active", "Released", "Restored"]
    assert "inputs" not in log(world)[3]


def test_a_notice_that_ends_without_a_stop_is_withdrawn(world: World) -> None:
    """The limit was raised in time."""
    slow = {"mode": "Enforce", "gracePeriodSeconds": 3600}
    world.meter.now = MIDNIGHT + 2 * DAY
    world.budget("b", 145, thresholds=STOP, enforcement=slow)
    world.pass_time(cycles=2)
    world.pass_time(1200, cycles=2)
    world.budget("b", 2000)
    world.pass_time(cycles=2)
    assert events(world) == ["Planned", "Withdrawn"]
