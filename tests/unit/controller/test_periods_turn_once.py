"""A period begins once and ends once, whatever clocks, statuses and processes do meanwhile."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aibudget.errors import Transient
from aibudget.inventory.resource import AIBUDGETS, PRICE_LISTS
from aibudget.ledger.periodrow import PeriodRow
from aibudget.ledger.register import Register
from unit.controller.meters import DAY, MIDNIGHT
from unit.controller.world import ENFORCE, STOP, World, one_gpu

DAILY = {"type": "Daily"}
HOUR = 3600


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A budget of a day that holds its workload, an hour before midnight."""
    with one_gpu(tmp_path, World) as made:
        made.meter.now = MIDNIGHT + 3 * DAY - 4 * HOUR
        made.budget("b", 63, period=DAILY, thresholds=STOP, enforcement=ENFORCE)
        made.pass_time(cycles=2)
        made.pass_time(3 * HOUR)
        assert made.replicas("llm") == 0
        yield made


def rows(world: World) -> list[PeriodRow]:
    """What the ledger has."""
    found: list[PeriodRow] = world.in_worker(world.register.periods)
    return found


def states(world: World) -> list[str]:
    """The states of the periods, the oldest first."""
    return [row.state for row in rows(world)]


def events(world: World, subject: str) -> list[str]:
    """The events of the log, of subjects that begin so."""
    entries = world.in_worker(world.register.entries)
    return [entry.event for entry in entries if entry.subject.startswith(subject)]


def to(world: World, instant: int) -> None:
    """Set all clocks, and run a cycle."""
    world.pass_time(instant - world.meter.now)


def forget_status(world: World, status: Any = None) -> None:
    """As `kubectl replace --subresource=status` does it."""
    stored = world.cluster.objects[AIBUDGETS.plural, "team", "b"]
    stored["status"] = status or {}
    world.cluster._store(AIBUDGETS, stored, manager="kubectl")


def test_a_period_is_opened_settles_and_is_closed(world: World) -> None:
    """Each once, with limit and spend as they were; what comes after does not change it."""
    to(world, MIDNIGHT + 3 * DAY + 60)
    assert world.replicas("llm") == 1
    assert states(world) == ["Settling", "Open"]
    world.pass_time(900, cycles=2)
    world.budget("b", 1000)
    world.pass_time(cycles=2)
    closed, running = rows(world)
    assert (closed.limit, closed.spent, closed.coverage_percent) == (Decimal(63), Decimal(72), 100)
    assert (closed.state, running.state, running.limit) == ("Closed", "Open", Decimal(1000))
    assert events(world, "period/") == ["Opened", "Settling", "Opened", "Closed"]


def test_what_is_not_known_is_waited_for_a_day_and_no_longer(world: World) -> None:
    """A hole that Prometheus never fills closes as it is, and says how much of the period was measured."""
    world.meter.holes = {MIDNIGHT + 3 * DAY - 1800, MIDNIGHT + 3 * DAY - 900}
    to(world, MIDNIGHT + 3 * DAY + 60)
    world.pass_time(HOUR, cycles=3)
    assert states(world) == ["Settling", "Open"]
    assert world.status("b")["history"][0]["state"] == "Settling"
    to(world, MIDNIGHT + 4 * DAY + 120)
    assert [row.state for row in rows(world)] == ["Closed", "Settling", "Open"]
    assert rows(world)[0].coverage_percent == 97
    assert rows(world)[0].spent == Decimal("70.5")


@pytest.mark.parametrize("seconds", [HOUR, DAY])
def test_a_clock_set_back_over_a_periods_end_neither_restores_nor_resets_twice(
    world: World, seconds: int
) -> None:
    """It is refused, and told; nothing is judged until the clock is right again, and then all goes on."""
    to(world, MIDNIGHT + 3 * DAY + 600)
    world.pass_time(cycles=2)
    before, period = states(world), world.status("b")["period"]["id"]
    told, log = world.events("b"), events(world, "")
    spent = Decimal(world.status("b")["spend"]["amount"])
    for _ in range(2):
        to(world, MIDNIGHT + 3 * DAY + 600 - seconds)
        world.start()
        world.pass_time(0, cycles=2)
        assert world.conditions("b")["Reconciling"] == ("True", "ClockBehind")
        assert world.snapshot.cycle.clock_behind == seconds - 600
        assert (world.replicas("llm"), world.holds()) == (1, 0)
        assert states(world) == before
        assert world.status("b")["period"]["id"] == period
        assert events(world, "") == log
    to(world, MIDNIGHT + 3 * DAY + 1200)
    assert world.snapshot.cycle.clock_behind == 0
    assert "ClockBehind" not in world.conditions("b").get("Reconciling", ())
    assert world.status("b")["period"]["id"] == period
    assert Decimal(world.status("b")["spend"]["amount"]) >= spent
    assert world.events("b") == told
    assert world.replicas("llm") == 1


def test_a_clock_that_was_ahead_begins_no_period_twice(world: World) -> None:
    """What it gave back a day too early stays so: that day comes, and is the same period."""
    to(world, MIDNIGHT + 4 * DAY + 60)
    assert world.replicas("llm") == 1
    opened = events(world, "period/").count("Opened")
    to(world, MIDNIGHT + 3 * DAY - 600)
    assert world.conditions("b")["Reconciling"] == ("True", "ClockBehind")
    assert (world.replicas("llm"), world.holds()) == (1, 0)
    to(world, MIDNIGHT + 4 * DAY + 600)
    assert "ClockBehind" not in world.conditions("b").get("Reconciling", ())
    assert events(world, "period/").count("Opened") == opened
    assert world.events("b").count("PeriodStarted") == 1


def test_a_clock_a_few_seconds_behind_is_none_of_it(world: World) -> None:
    """Two replicas never agree to the second: the period that has begun goes on."""
    to(world, MIDNIGHT + 3 * DAY + 10)
    to(world, MIDNIGHT + 3 * DAY - 20)
    assert world.status("b")["period"]["id"].startswith("2026-11-04")
    assert "ClockBehind" not in world.conditions("b").get("Reconciling", ())
    assert states(world) == ["Settling", "Open"]


def test_a_lost_status_begins_nothing_anew(world: World) -> None:
    """The ledger knows which period runs and where its thresholds stood: what is held stays held."""
    log, told = events(world, ""), world.events("b")
    stood = world.status("b")["thresholds"]
    for _ in range(2):
        forget_status(world)
        world.start()
        world.pass_time(cycles=2)
        assert world.status("b")["thresholds"] == stood
        assert world.replicas("llm") == 0
    assert events(world, "") == log
    assert world.events("b") == told


def test_a_status_from_a_backup_begins_nothing_anew(world: World) -> None:
    """It speaks of yesterday; what an edit has crossed today still waits."""
    to(world, MIDNIGHT + 3 * DAY - 60)
    yesterday = dict(world.status("b"))
    to(world, MIDNIGHT + 3 * DAY + 6 * HOUR)
    world.budget("b", 10)
    world.pass_time(cycles=2)
    assert world.status("b")["thresholds"][0]["state"] == "Waiting"
    log, told = events(world, ""), world.events("b")
    forget_status(world, yesterday)
    world.pass_time(cycles=2)
    assert world.status("b")["thresholds"][0]["state"] == "Waiting"
    assert (world.replicas("llm"), world.holds()) == (1, 0)
    assert events(world, "") == log
    assert world.events("b") == told


def test_a_budget_made_anew_has_periods_of_its_own(world: World) -> None:
    """Its name is old, its uid is not: it has no history, and those of the old one end by the clock."""
    stored = world.cluster.objects.pop((AIBUDGETS.plural, "team", "b"))
    world.budget("b", 1000, period=DAILY)
    world.pass_time(cycles=2)
    assert sorted(states(world)) == ["Open", "Open"]
    assert not world.status("b")["history"]
    to(world, MIDNIGHT + 4 * DAY + 60)
    gone = [row for row in rows(world) if row.owner.uid == stored["metadata"]["uid"]]
    assert [(row.state, row.spent) for row in gone] == [("Closed", None)]


def test_days_that_passed_while_nobody_looked_are_counted_afterwards(world: World) -> None:
    """The operator was away over a weekend: each day is there, with what was spent in it."""
    world.stop()
    world.meter.now = MIDNIGHT + 6 * DAY + HOUR
    world.start()
    world.pass_time(cycles=3)
    world.pass_time(cycles=6)
    assert [row.id[:10] for row in rows(world)] == [f"2026-11-0{day}" for day in range(3, 8)]
    assert states(world) == ["Closed"] * 4 + ["Open"]
    assert [row.spent for row in rows(world)[:4]] == [72] * 4
    assert [past["spent"] for past in world.status("b")["history"]] == ["72.00"] * 4


def test_a_new_price_corrects_what_is_closed_and_does_not_change_it(world: World) -> None:
    """The month is still open, the day is not: what it would cost now is told beside it."""
    to(world, MIDNIGHT + 3 * DAY + 900)
    world.pass_time(900, cycles=2)
    assert states(world) == ["Closed", "Open"]
    stored = world.cluster.objects[PRICE_LISTS.plural, "", "company"]
    stored["spec"]["rates"][0]["price"] = "4"
    world.cluster._store(PRICE_LISTS, stored, manager="kubectl")
    world.pass_time(cycles=2)
    assert rows(world)[0].spent == 72
    (past,) = world.status("b")["history"]
    assert (past["spent"], past["corrected"]) == ("72.00", "96.00")
    assert events(world, "period/").count("Corrected") == 1
    world.start()
    world.pass_time(cycles=2)
    assert world.status("b")["history"] == [past]
    assert events(world, "period/").count("Corrected") == 1


def test_a_period_ends_by_the_clock_when_the_ledger_cannot_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk gives back what is held, stops nothing new, and is made up for in the log."""

    def full(*_: object) -> None:
        raise Transient("LedgerUnavailable", "no space is left")

    log = events(world, "")
    with monkeypatch.context() as disk:
        disk.setattr(Register, "_writing", full)
        to(world, MIDNIGHT + 3 * DAY + 60)
        assert world.replicas("llm") == 1
        world.budget("b", 1, enforcement={**ENFORCE, "onAlreadyCrossed": "Enforce"})
        to(world, MIDNIGHT + 3 * DAY + 7200)
        assert world.status("b")["thresholds"][0]["state"] == "Active"
        assert (world.replicas("llm"), world.holds()) == (1, 0)
        assert world.conditions("b")["Enforced"] == ("True", "EnforcementFailed")
    assert events(world, "") == log
    world.pass_time(cycles=2)
    assert world.replicas("llm") == 0
    assert {"Opened", "Settling", "Released", "Restored", "Active", "Planned"} <= set(
        events(world, "")[len(log) :]
    )
