"""Limits as whole cycles see them: what comes over from the last period, dated amounts, and caps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
from aibudget.inventory.resource import PRICE_LISTS
from unit.controller.meters import DAY, MIDNIGHT, Meter
from unit.controller.world import ENFORCE, PRICE, STOP, World, one_gpu

TOMORROW = MIDNIGHT + 3 * DAY
DAILY = {"type": "Daily"}
HOURS = {"name": "hours", "meter": "gpu", "quantity": 49, "unit": "GPU-Hours"}


class Optional(Meter):
    """Tokens, a thousand a second, as soon as anything tells of them."""

    def __init__(self, now: int) -> None:
        super().__init__(now)
        self.meter, self.present = "tokens", False

    def wanted(self, book: object) -> bool:
        return self.present


class Side(World):
    """With tokens beside the GPU."""

    tokens: Optional

    def _books(self) -> Books:
        assert self.ledger is not None
        self.epoch = self.ledger.take_over()
        self.tokens = Optional(self.meter.now)
        meters = {"gpu": self.meter, "tokens": self.tokens}
        return Books([Accounts(name, meter, self.ledger, self.epoch) for name, meter in meters.items()])

    def pass_time(self, seconds: int = 60, *, cycles: int = 1, fill: bool = True) -> None:
        """The same clock for both."""
        if self.cycle is None:
            self.start()
        for _ in range(cycles):
            self.tokens.now = self.meter.now + seconds
            super().pass_time(seconds, fill=fill)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Side]:
    """One GPU at 3 USD an hour since ever; two days of November are over."""
    with one_gpu(tmp_path, Side) as made:
        yield made


def rolled(world: World, name: str = "b") -> tuple[Any, ...]:
    """The limit in force, what of it came over, and whether that may change."""
    limit = world.status(name)["limit"]
    return limit["amount"], limit.get("rolledOver"), limit.get("provisional")


def test_what_is_left_comes_over_and_is_fixed_when_the_period_is_closed(world: Side) -> None:
    """A day costs 72 USD. What comes to light of it after its close changes nothing in the next."""
    world.meter.now = TOMORROW - 900
    world.budget("b", 90, rollover={"maxPercent": 50}, period=DAILY)
    world.budget("capped", 90, rollover={"maxPercent": 10}, period=DAILY)
    world.budget("over", 60, rollover={"maxPercent": 50}, period=DAILY)
    world.pass_time(cycles=3)
    assert rolled(world) == ("90", None, None), "the first period has none"
    world.meter.now = TOMORROW
    world.pass_time(30)
    assert rolled(world)[2] is True
    world.pass_time(600, cycles=3)
    assert rolled(world) == ("108.00", "18.00", False)
    assert rolled(world, "capped") == ("99.00", "9.00", False)
    assert rolled(world, "over") == ("60", "0", False), "what is overspent is nobody's debt"
    # A higher price, from the beginning on: a correction of yesterday, and spend of today.
    rates = [{**PRICE["rates"][0], "price": "3.2"}]  # type: ignore[dict-item]
    stored = world.cluster.objects[PRICE_LISTS.plural, "", "company"]
    world.cluster._store(PRICE_LISTS, {**stored, "spec": {**PRICE, "rates": rates}}, manager="kubectl")
    world.pass_time(cycles=2)
    world.start()
    world.pass_time(cycles=2)
    assert rolled(world) == ("108.00", "18.00", False), "another process reads it from the ledger"


def test_a_hole_is_not_left_over_and_what_came_over_is(world: Side) -> None:
    """What nobody measured counts like the rest; what had come over and was not used comes over again."""
    world.meter.holes = {TOMORROW - DAY + 900 * slot for slot in range(20, 44)}
    world.meter.now = TOMORROW - 900
    world.budget("b", 90, rollover={"maxPercent": 50}, period=DAILY)
    world.pass_time(cycles=3)
    world.meter.now = TOMORROW + 600
    world.pass_time(cycles=2)
    assert rolled(world) == ("108.00", "18.00", True), "54 USD are known, of three quarters of the day"
    world.meter.now = TOMORROW + DAY + 1800
    world.pass_time(cycles=3)
    assert rolled(world) == ("126.00", "36.00", False), "of 108 USD, 72 were spent"


def test_a_period_that_is_not_known_from_its_start_leaves_nothing(world: Side) -> None:
    """What a new ledger has not read could have been spent: nothing comes over from it."""
    world.meter.now = TOMORROW - 900
    world.budget("b", 90, rollover={"maxPercent": 50}, period=DAILY)
    world.pass_time(cycles=2, fill=False)
    world.meter.now = TOMORROW + 600
    world.pass_time(cycles=2, fill=False)
    assert rolled(world) == ("90", None, None)


@pytest.mark.parametrize(
    ("limit", "dated", "stopped"),
    [(1000, 140, False), ("148", "140", False), ("148", 1000, False), ("147.05", "140", True)],
)
def test_a_dated_amount_is_no_usage(world: Side, limit: object, dated: object, stopped: bool) -> None:
    """147.10 USD are spent when it comes into force: only the limit of before that they pass stops."""
    amounts = [{"from": "2026-11-03T01:00:00Z", "amount": dated}]
    world.budget("b", limit, amounts=amounts, thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=2)
    world.pass_time(1200, cycles=2)
    assert (world.status("b")["limit"]["amount"], world.replicas("llm")) == (str(limit), 1)
    world.pass_time(1200)
    assert world.status("b")["limit"]["amount"] == str(dated)
    world.pass_time(1200, cycles=3)
    assert (world.replicas("llm") == 0) is stopped


def test_a_cap_stops_what_spends_and_says_so(world: Side) -> None:
    """In status, in the condition and in the Event; the money is far from its limit."""
    world.budget("b", 10_000, caps=[HOURS], thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=2)
    world.pass_time(1200, cycles=4)
    assert world.replicas("llm") == 0
    status = world.status("b")
    assert status["spend"]["measure"] == "hours"
    assert status["spend"]["usedPercent"] >= 100
    assert [(one["name"], one["unit"]) for one in status["measures"]] == [
        ("limit", "USD"),
        ("hours", "GPU-Hours"),
    ]
    assert world.conditions("b")["WithinBudget"] == ("False", "LimitExceeded")
    (told,) = [o["message"] for o in world.cluster.objects.values() if o.get("reason") == "BudgetExceeded"]
    assert "of 49 GPU-Hours is used (cap hours, 100 %)" in told
    assert "Raise the quantity of spec.caps hours" in told


def test_a_meter_that_begins_to_tell_is_counted_from_then_on(world: Side) -> None:
    """Before, its cap is unknown: said so, no zero, and no reason to stop or not to."""
    tokens = {"name": "tokens", "meter": "tokens", "quantity": 10**12, "unit": "Tokens"}
    world.budget("b", 10_000, caps=[tokens])
    world.pass_time(cycles=2)
    assert "used" not in world.status("b")["measures"][1]
    message = next(c["message"] for c in world.status("b")["conditions"] if c["type"] == "WithinBudget")
    assert "of cap tokens nothing is known" in message
    assert world.conditions("b")["DataFresh"][0] == "True"
    world.tokens.present = True
    world.pass_time(cycles=3)
    assert int(world.status("b")["measures"][1]["used"]) > 10**6
    assert world.status("b")["measures"][1]["usedPercent"] == 0


def test_a_cap_on_no_meter_stalls_its_budget_alone(world: Side) -> None:
    """With the way out; it is evaluated as soon as the meter is there."""
    world.budget("bad", 100, caps=[{"name": "seats", "meter": "seats", "quantity": 1, "unit": "Seats"}])
    world.budget("good", 100)
    world.pass_time(cycles=2)
    assert world.conditions("bad")["Stalled"] == ("True", "UnknownMeter")
    assert world.conditions("good")["Ready"][0] == "True"
