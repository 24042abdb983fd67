"""Weeks of cycles on a real ledger: what is foreseen of a budget, and what follows from it."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from aibudget.inventory.resource import AIBUDGETS
from unit.controller.meters import DAY
from unit.controller.world import ENFORCE, World, one_gpu

HOUR = 3600
AHEAD = [{"name": "ahead", "percent": 100, "basis": "Forecast", "actions": ["Notify", "ScaleDown"]}]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One GPU at 3 USD an hour since ever; two days of November are over."""
    with one_gpu(tmp_path, World) as made:
        yield made


def test_what_is_foreseen_is_told_once_three_days_are_known(world: World) -> None:
    """And not before; a GPU that is never given back costs 720 hours by the end of November."""
    world.budget("b", 2000)
    world.pass_time(cycles=2)
    assert world.conditions("b")["ForecastWithinBudget"] == ("Unknown", "HistoryTooShort")
    assert "forecast" not in world.status("b")
    world.pass_time(seconds=DAY, cycles=2)
    assert world.status("b")["forecast"]["amount"] == "2160.00"
    assert world.conditions("b")["ForecastWithinBudget"] == ("False", "ForecastExceeds")
    assert world.status("b")["forecast"]["exhaustedTime"] == "2026-11-28T18:40:00Z"
    world.budget("b", 2000, amounts=[{"from": "2026-11-20T00:00:00Z", "amount": 3000}])
    world.pass_time()
    assert "exhaustedTime" not in world.status("b")["forecast"]
    assert world.conditions("b")["ForecastWithinBudget"] == ("True", "ForecastFits")


def test_a_threshold_ahead_stops_before_the_money_is_gone_and_the_stop_teaches_nothing(world: World) -> None:
    """On day 4 of 30, with 13 % spent: crossed by two forecasts, held, and foreseen on as if it ran."""
    world.budget("b", 2000, thresholds=AHEAD, enforcement=ENFORCE)
    world.pass_time(cycles=2)
    assert world.status("b").get("thresholds", []) == []
    world.budget("b", 5000)
    world.pass_time(seconds=DAY, cycles=2)
    assert world.status("b")["thresholds"] == [{"name": "ahead", "state": "Below"}]
    # More devices than the month has money for; the level of the last weeks follows them in days.
    world.meter.workloads = 12
    world.pass_time(seconds=DAY)
    world.pass_time(seconds=HOUR, cycles=3)
    assert "BudgetForecastExceeded" in world.events("b")
    assert world.status("b")["spend"]["usedPercent"] < 60
    assert world.replicas("llm") == 0

    world.start()
    world.pass_time(cycles=2)
    foreseen, stopped = Decimal(world.status("b")["forecast"]["amount"]), world.meter.now
    world.meter.workloads = 0
    world.pass_time(seconds=HOUR, cycles=12)
    # Hours in which something was held teach nothing: what is to come stays what it was.
    assert world.ledger is not None
    uid = world.cluster.objects["aibudgets", "team", "b"]["metadata"]["uid"]
    hours = world.in_worker(lambda: world.ledger.hours.read(uid, stopped))
    known = [hour for hour, spent in hours.items() if spent is not None]
    assert max(known) < stopped - HOUR
    later = world.status("b")["forecast"]["amount"]
    assert abs(Decimal(later) - foreseen) < foreseen / 20
    assert world.status("b")["thresholds"][0]["state"] == "Active"


def test_a_cap_is_foreseen_like_money_and_stops_before_it_is_used_up(world: World) -> None:
    """A budget of a cap alone: 720 GPU-Hours by the end of November, until there are more devices."""
    hours = {"name": "hours", "meter": "gpu", "quantity": 990, "unit": "GPU-Hours"}
    spec = {"caps": [hours], "thresholds": AHEAD, "enforcement": ENFORCE}
    world.cluster.seed(AIBUDGETS, "b", "team", spec=spec)
    world.pass_time(cycles=2)
    assert world.conditions("b")["ForecastWithinBudget"] == ("Unknown", "HistoryTooShort")
    world.pass_time(seconds=DAY, cycles=2)
    (measure,) = world.status("b")["measures"]
    assert measure["forecast"] == {"amount": "720.00", "usedPercent": 72}
    assert "forecast" not in world.status("b"), "its money is not limited"
    assert world.status("b")["spend"]["currency"] == "USD", "which is what USED is in"
    assert world.status("b")["thresholds"] == [{"name": "ahead", "state": "Below"}]
    said = [c["message"] for c in world.status("b")["conditions"] if c["type"] == "ForecastWithinBudget"]
    assert said == ["720.00 GPU-Hours are foreseen for 2026-11@UTC; 72 % of cap hours."]
    world.meter.workloads = 6
    world.pass_time(seconds=DAY)
    world.pass_time(seconds=HOUR, cycles=3)
    assert world.status("b")["thresholds"][0]["state"] == "Active"
    (told,) = [
        o["message"] for o in world.cluster.objects.values() if o.get("reason") == "BudgetForecastExceeded"
    ]
    assert "the cap is reached at 2026-11-" in told
    assert "Raise the quantity of spec.caps hours" in told
    assert world.replicas("llm") == 0


def test_the_measure_that_ends_highest_is_looked_at(world: World) -> None:
    """2160 USD of 10000, and 720 GPU-Hours of 590: what is told is the cap, and a restart forgets nothing."""
    hours = {"name": "hours", "meter": "gpu", "quantity": 590, "unit": "GPU-Hours"}
    world.budget("b", 10_000, caps=[hours])
    world.pass_time(cycles=2)
    world.pass_time(seconds=DAY, cycles=2)
    for _ in range(2):
        money, cap = world.status("b")["forecast"], world.status("b")["measures"][1]["forecast"]
        assert (money["amount"], money["usedPercent"]) == ("2160.00", 21)
        assert (cap["amount"], cap["usedPercent"], cap["exhaustedTime"][:10]) == ("720.00", 122, "2026-11-25")
        assert world.conditions("b")["ForecastWithinBudget"] == ("False", "ForecastExceeds")
        world.start()
        world.pass_time()
