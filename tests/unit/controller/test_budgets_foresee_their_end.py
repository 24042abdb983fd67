"""Weeks of cycles on a real ledger: what is foreseen of a budget, and what follows from it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from unit.controller import test_a_cycle_goes_from_samples_to_status as cycles
from unit.controller.meters import DAY
from unit.controller.test_a_cycle_goes_from_samples_to_status import World

HOUR = 3600
AHEAD = [{"name": "ahead", "percent": 100, "basis": "Forecast", "actions": ["Notify", "ScaleDown"]}]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One GPU at 3 USD an hour since ever; two days of November are over."""
    yield from cycles.world.__wrapped__(tmp_path)  # type: ignore[attr-defined]


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
