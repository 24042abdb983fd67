"""Days of cycles on a real ledger: what a budget costs beside the period before, and why."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from aibudget.inventory.resource import PRICE_LISTS
from unit.controller.meters import DAY, MIDNIGHT
from unit.controller.world import PRICE, World, one_gpu

HOUR = 3600
DAILY = {"period": {"type": "Daily"}}
RATES: Any = PRICE["rates"]
PARTS = ("change", "price", "volume", "mix", "new", "gone")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One GPU at 3 USD an hour since ever; two days of November are over and known to a monthly budget."""
    with one_gpu(tmp_path, World) as made:
        made.budget("month", 5000)
        made.budget("b", 1000, **DAILY)
        made.pass_time(cycles=2)
        yield made


def drivers(world: World, name: str = "b", place: int = 0) -> Mapping[str, Any]:
    """One of the comparisons of a budget."""
    found: Mapping[str, Any] = world.status(name)["drivers"][place]
    return found


def parts(world: World) -> list[str]:
    """Those of the running day that are not nothing, as they are told."""
    return [f"{name} {drivers(world)[name]}" for name in PARTS if drivers(world)[name] != "0.00"]


def test_as_much_of_the_day_before_is_taken_as_has_passed_of_this_one(world: World) -> None:
    """Eight hours beside eight, not beside a day; the days before that as wholes."""
    world.meter.workloads = 2
    world.pass_time(seconds=8 * HOUR, cycles=2)
    world.pass_time()
    assert drivers(world)["untilTime"] == "2026-11-03T16:00:00Z"
    assert (drivers(world)["before"], drivers(world)["changePercent"]) == ("48.00", 100)
    assert parts(world) == ["change 48.00", "volume 48.00"]
    assert drivers(world)["workloads"] == [{"kind": "Deployment", "name": "llm-1", "amount": "48.00"}]
    assert drivers(world)["message"].startswith(
        "Up to 2026-11-03T16:00:00Z 2026-11-03@UTC cost 48.00 USD more (+100 %) than the same part of "
        "2026-11-02@UTC (48.00 USD): volume +48.00. Most of it: gpu (gpuProduct NVIDIA-H100"
    )
    whole = drivers(world, place=1)
    assert (whole["period"], whole["before"], whole["change"]) == ("2026-11-02@UTC", "72.00", "0.00")


def test_another_price_and_more_use_are_told_apart(world: World) -> None:
    """From midnight on an hour costs 4; after six of them two more devices are taken."""
    of_now = {
        "name": "now",
        "meter": "gpu",
        "unit": "GPU-Hours",
        "price": "4",
        "from": "2026-11-03T00:00:00Z",
    }
    world.cluster.seed(PRICE_LISTS, "company", spec={"currency": "USD", "rates": [*RATES, of_now]})
    world.pass_time(seconds=6 * HOUR)
    world.meter.workloads = 3
    world.pass_time(seconds=6 * HOUR)
    world.pass_time(cycles=2)
    assert drivers(world)["before"] == "36.00"
    assert parts(world) == ["change 60.00", "price 24.00", "volume 36.00"]


def test_what_is_not_known_of_the_period_before_is_no_rise(world: World) -> None:
    """The ledger begins with November: nothing is said of October but that."""
    assert "change" not in drivers(world, "month")
    assert drivers(world, "month")["message"] == (
        "2026-11@UTC is not compared with the same part of 2026-10@UTC: nothing is known of the time before "
        "2026-11-01T00:00:00Z."
    )
    assert len(world.status("month")["drivers"]) == 1


def test_an_hour_that_nobody_measured_is_no_fall(world: World) -> None:
    """Nor is it a rise when the day before has it; once it is filled in, all is compared anew."""
    hole = set(range(MIDNIGHT + 2 * DAY + 2 * HOUR, MIDNIGHT + 2 * DAY + 3 * HOUR, 900))
    world.meter.holes = hole
    world.pass_time(seconds=6 * HOUR)
    world.pass_time(cycles=2)
    assert "change" not in drivers(world)
    assert "only 83 % of gpu is known of 2026-11-03@UTC" in drivers(world)["message"]
    world.meter.holes = set()
    world.pass_time(seconds=HOUR, cycles=2)
    world.pass_time()
    assert (drivers(world)["before"], drivers(world)["change"]) == ("24.00", "0.00")


def test_a_restart_says_what_was_known_until_it_knows_itself(world: World) -> None:
    """What stands in the status stays; another hour counts it anew from the ledger, to the same figures."""
    world.pass_time(seconds=HOUR, cycles=3)
    world.pass_time(cycles=6)
    before = drivers(world)
    world.start()
    world.pass_time(fill=False)
    assert drivers(world) == before
    world.pass_time(cycles=2)
    assert drivers(world) == before
