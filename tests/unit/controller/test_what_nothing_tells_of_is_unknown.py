"""A cap or a price on a meter that nothing in Prometheus tells of: unknown, neither zero nor a crossing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aibudget.budgeting.caps import Use
from aibudget.budgeting.fleet import Elsewhere, together
from aibudget.budgeting.share import Share
from aibudget.controller.books import Books
from aibudget.controller.histories import Histories
from aibudget.controller.meters import Meters
from aibudget.controller.parts import Parts
from aibudget.errors import AIBudgetError
from aibudget.inventory.resource import METERS, PRICE_LISTS
from aibudget.metering.definition import Definition
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage, Reading
from unit.controller.meters import MIDNIGHT, Meter
from unit.controller.world import ENFORCE, PRICE, STOP, World, one_gpu

FEW = {"name": "images", "meter": "images", "quantity": 5, "unit": "Images"}
MANY = {**FEW, "quantity": 10**6}
ACTING: dict[str, Any] = {"thresholds": STOP, "enforcement": {**ENFORCE, "onAlreadyCrossed": "Enforce"}}
IMAGES: dict[str, Any] = {"name": "images", "meter": "images", "unit": "Images", "price": "0.001"}


class App(Meter):
    """A meter of a user, read well whether anything tells of it or not."""

    lines: int | None = 0
    folded: int | None = 0
    problem: AIBudgetError | None = None

    def __init__(self, world: "Users", definition: Definition) -> None:
        super().__init__(world.meter.now)
        self.world, self.definition, self.meter = world, definition, definition.name

    @property
    def is_present(self) -> bool | None:
        """Whether anything tells of it."""
        return self.world.present

    def time(self) -> int:
        """The clock of all meters."""
        self.now = self.world.meter.now
        return super().time()

    def read(self, interval: Interval) -> Reading:
        """Nothing while nobody uses it, and all the same covered."""
        read = super().read(interval)
        return read if self.world.counting else replace(read, usages=())

    def tried(self) -> tuple[str, ...]:
        """Nothing is wrong with it."""
        return ()


class Users(World):
    """With an AIMeter: `present` says whether anything tells of it, `counting` whether anybody uses it."""

    present: bool | None = False
    counting = False

    def _parts(self, books: Books, histories: Histories) -> Parts:
        assert self.ledger is not None
        meters = Meters(self.ledger, self.epoch, lambda definition: App(self, definition))
        return replace(super()._parts(books, histories), meters=meters)

    def used(self) -> object:
        """What the status says of the cap; None where it says nothing."""
        (found,) = [one for one in self.status("b")["measures"] if one["name"] == "images"]
        return found.get("used")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Users]:
    """Six hours of one GPU at 3 USD each, and an AIMeter of images that cost a tenth of a cent."""
    with one_gpu(tmp_path, Users) as made:
        made.meter.now = MIDNIGHT + 6 * 3600
        query = {"name": "app", "query": "images_total"}
        spec = {"unit": "Images", "type": "Counter", "sources": [query]}
        made.cluster.seed(METERS, "images", spec=spec)
        rates = [*PRICE["rates"], {**IMAGES, "from": "2026-01-01T00:00:00Z"}]
        made.cluster.objects[PRICE_LISTS.plural, "", "company"]["spec"] = {**PRICE, "rates": rates}
        yield made


def test_a_cap_on_what_nothing_tells_of_is_unknown_and_crosses_nothing(world: Users) -> None:
    """Its name may be misspelt: to say that nothing was used would be a guess. The money goes on."""
    world.budget("b", 10_000, caps=[FEW], thresholds=STOP, enforcement=ENFORCE)
    world.pass_time(cycles=3)
    assert world.used() is None
    (within,) = [one for one in world.status("b")["conditions"] if one["type"] == "WithinBudget"]
    assert (within["status"], within["reason"]) == ("True", "BelowThreshold")
    assert "of cap images nothing is known: nothing tells of its meter" in within["message"]
    assert world.replicas("llm") == 1


def test_a_budget_of_such_a_cap_alone_has_no_data(world: Users) -> None:
    """And says of which cap, for there is nothing else to look at."""
    world.budget("b", 1, caps=[FEW])
    del world.cluster.objects["aibudgets", "team", "b"]["spec"]["limit"]
    world.pass_time(cycles=3)
    assert world.conditions("b")["WithinBudget"] == ("Unknown", "NoData")
    assert "usedPercent" not in world.status("b")["spend"]


def test_what_tells_of_a_meter_and_counts_nothing_says_zero(world: Users) -> None:
    """An app that nobody has asked for an image yet has made none, and that is known."""
    world.present = True
    world.budget("b", 10_000, caps=[FEW])
    world.pass_time(cycles=3)
    assert world.used() == "0"


def test_what_a_meter_counted_stays_when_nothing_tells_of_it_any_more(world: Users) -> None:
    """Who was stopped tells of nothing: a raised cap gives it back all the same."""
    world.present = world.counting = True
    world.budget("b", 10_000, caps=[FEW], **ACTING)
    world.pass_time(cycles=4)
    assert world.replicas("llm") == 0
    world.present = world.counting = False
    world.start()
    world.pass_time(600, cycles=3)
    assert world.used() not in (None, "0")
    world.budget("b", 10_000, caps=[MANY])
    world.pass_time(cycles=4)
    assert world.replicas("llm") == 1


def test_what_stands_is_not_given_back_by_silence(world: Users) -> None:
    """A crossed cap stays crossed when its meter is edited, and its new query matches nothing."""
    world.present = world.counting = True
    world.budget("b", 10_000, caps=[FEW], **ACTING)
    world.pass_time(cycles=4)
    world.present = world.counting = False
    stored = world.cluster.objects[METERS.plural, "", "images"]
    spec = {**stored["spec"], "sources": [{"name": "app", "query": "imags_total"}]}
    world.cluster._store(METERS, {**stored, "spec": spec}, manager="kubectl")
    world.pass_time(cycles=6)
    assert world.used() is None
    assert world.replicas("llm") == 0


def test_money_of_such_meters_alone_is_unknown_and_no_other_money_is(world: Users) -> None:
    """A budget whose scope names the meter has spent nobody knows what; one of everything goes on."""
    world.budget("b", 100, scope={"meters": ["images"]})
    world.budget("all", 10_000)
    world.pass_time(cycles=3)
    assert "amount" not in world.status("b")["spend"]
    assert world.conditions("b")["WithinBudget"] == ("Unknown", "NoData")
    assert float(world.status("all")["spend"]["amount"]) > 18
    assert world.conditions("all")["WithinBudget"] == ("True", "BelowThreshold")


def use(quantity: int | None) -> Use:
    """Of one cluster; all of the period is known, or nothing."""
    if quantity is None:
        return Use(None, Coverage(0, 0), complete=False)
    return Use(quantity, Coverage(900, 900), complete=True, as_of=900)


@pytest.mark.parametrize(
    ("elsewhere", "absent", "expected"),
    [
        (5, {"images"}, use(5)),
        (0, {"images"}, use(None)),
        (5, set(), Use(5, Coverage(0, 0), complete=False, as_of=900)),
    ],
)
def test_of_several_clusters_those_that_use_a_meter_tell_of_it(
    elsewhere: int, absent: set[str], expected: Use
) -> None:
    """An app that runs in one of them has no source in the others; what is not read here is another thing."""
    counted = ("images", "")
    here, there = (share(counted, quantity) for quantity in (None, elsewhere))
    found = together(here, "eu-1", [Elsewhere("us-2", there, 900)], 900, absent)
    assert found.uses[counted] == expected


def share(counted: tuple[str, str], quantity: int | None) -> Share:
    """Of a budget that has spent nothing."""
    return Share(
        units=0,
        estimated_units=0,
        hourly_units=0,
        currencies=frozenset(),
        unpriced=(),
        assumed=(),
        workloads=(),
        coverage=Coverage(900, 900),
        as_of=900,
        complete=True,
        meters=frozenset({"gpu"}),
        uses={counted: use(quantity)},
    )
