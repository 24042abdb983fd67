"""That a threshold is crossed is told when the past of the period is known: once, and with its figure."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aibudget.inventory.resource import EVENTS
from unit.controller.meters import DAY
from unit.controller.world import ENFORCE, STOP, World, one_gpu

AT_ONCE = {**ENFORCE, "onAlreadyCrossed": "Enforce"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One GPU at 3 USD an hour since ever; two days of November are over."""
    with one_gpu(tmp_path, World) as made:
        yield made


def crossings(world: World) -> list[str]:
    """What was told of thresholds, in its order."""
    return [
        obj["message"]
        for (plural, _, _), obj in world.cluster.objects.items()
        if plural == EVENTS.plural and obj["reason"] in ("BudgetThresholdReached", "BudgetExceeded")
    ]


def test_a_new_budget_tells_nothing_before_its_period_is_read(world: World) -> None:
    """Its thresholds are passed by the first quarter of an hour, of two days that cost 144 USD."""
    two = [{"name": f"at-{percent}", "percent": percent, "actions": ["Notify"]} for percent in (1, 2)]
    world.budget("b", 10, thresholds=two)
    world.pass_time(fill=False, cycles=2)
    assert world.conditions("b")["Reconciling"] == ("True", "Progressing")
    assert [one["state"] for one in world.status("b")["thresholds"]] == ["Crossed", "Crossed"]
    assert crossings(world) == []
    world.pass_time(cycles=2)
    assert "Reconciling" not in world.conditions("b")
    told = crossings(world)
    assert [one.partition(" USD of")[0].partition(".")[0] for one in told] == ["144", "144"]
    objects = world.cluster.objects
    for key in [key for key, one in objects.items() if one.get("reason") == "BudgetThresholdReached"]:
        del objects[key]
    world.start()
    world.pass_time(cycles=2)
    assert crossings(world) == [], "not again, though the Events have lapsed"


def test_acts_do_not_wait_for_it(world: World) -> None:
    """What is known is a lower bound: that the limit is passed does not change."""
    world.budget("b", "0.5", thresholds=STOP, enforcement=AT_ONCE)
    world.pass_time(fill=False, cycles=4)
    assert world.conditions("b")["Reconciling"] == ("True", "Progressing")
    assert (crossings(world), world.holds()) == ([], 1)


def test_another_budget_whose_period_is_known_is_not_kept_waiting(world: World) -> None:
    """By one that needs a year."""
    world.budget("b", 150, thresholds=STOP)
    world.pass_time(cycles=3)
    world.budget("year", 10**6, period={"type": "Yearly"})
    world.pass_time(DAY // 4, cycles=1, fill=False)
    assert "Reconciling" not in world.conditions("b")
    assert world.conditions("year")["Reconciling"] == ("True", "Progressing")
    assert len(crossings(world)) == 1
