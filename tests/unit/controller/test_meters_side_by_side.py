"""Several meters in one cycle: each has its own watermark, and a budget counts on those that it uses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
from aibudget.controller.measuring import Measuring
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import Interval
from aibudget.pricing.book import PriceBook
from unit.controller.meters import DAY, LABELS, MIDNIGHT, Meter, book
from unit.ledger.blank import blank

NOW = MIDNIGHT + DAY + 1000


class Optional(Meter):
    """A meter whose source may be absent; what it reads is called `tokens`."""

    def __init__(self, now: int, *, present: bool) -> None:
        super().__init__(now)
        self.present = present
        self.meter = "tokens"

    def wanted(self, book: PriceBook) -> bool:
        return self.present


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new one."""
    opened = Ledger.open(blank(tmp_path / "ledger.db"), "test")
    yield opened
    opened.close()


def side_by_side(ledger: Ledger, gpu: Meter, tokens: Meter) -> Books:
    """The meter that everybody counts on, and another."""
    epoch = ledger.take_over()
    return Books([Accounts("gpu", gpu, ledger, epoch), Accounts("tokens", tokens, ledger, epoch)])


def test_a_meter_without_a_source_is_not_read_and_takes_nothing_from_the_others(ledger: Ledger) -> None:
    """No slots of it are posted, so that it can begin when its source does."""
    tokens = Optional(NOW, present=False)
    books = side_by_side(ledger, Meter(NOW), tokens)
    measured = Measuring(books).measure(book(), LABELS, MIDNIGHT, NOW)
    assert not tokens.asked
    assert set(measured.meters) == {"gpu"}
    assert set(books.statements(Interval(MIDNIGHT, MIDNIGHT + 2 * DAY))) == {"gpu"}
    assert measured.of().gate.fresh


def test_a_failing_meter_closes_the_gate_of_those_that_use_it_alone(ledger: Ledger) -> None:
    """Budgets whose spend comes from other meters are acted on as ever."""
    tokens = Optional(NOW, present=True)
    measuring = Measuring(side_by_side(ledger, Meter(NOW), tokens))
    tokens.down = True
    measured = measuring.measure(book(), LABELS, MIDNIGHT, NOW)
    assert measured.of({"gpu"}).gate.fresh
    assert not measured.of({"gpu", "tokens"}).gate.fresh
    assert measuring.errors == {"PrometheusUnavailable": 1}


def test_each_meter_reads_its_own_past(ledger: Ledger) -> None:
    """One that began yesterday is filled up while the other has nothing left to read."""
    gpu, tokens = Meter(NOW), Optional(NOW, present=False)
    measuring = Measuring(side_by_side(ledger, gpu, tokens))
    measuring.measure(book(), LABELS, MIDNIGHT, NOW)
    while measuring.fill(MIDNIGHT, book(), LABELS, float("inf")):
        pass
    gpu.asked.clear()
    tokens.present = True
    measuring.measure(book(), LABELS, MIDNIGHT, NOW)
    while measuring.fill(MIDNIGHT, book(), LABELS, float("inf")):
        pass
    assert min(interval.start for interval in tokens.asked) == MIDNIGHT
    assert len(gpu.asked) == 1
    assert (ledger.begins("gpu"), ledger.begins("tokens")) == (MIDNIGHT, MIDNIGHT)


def test_an_edited_meter_begins_anew_and_the_edit_taken_back_goes_on(ledger: Ledger) -> None:
    """Each generation has its own watermark and lines; what rates call it stays the same."""
    epoch = ledger.take_over()
    for generation, held in (("a", 1), ("b", 2)):
        meter = Optional(NOW, present=True)
        meter.meter, meter.workloads = "images", held
        Accounts("images", meter, ledger, epoch, generation=generation).advance(book(), LABELS)
    day = Interval(MIDNIGHT, MIDNIGHT + 2 * DAY)
    kept = {name: ledger.statement(f"images/{name}", day) for name in ("a", "b")}
    assert [len(kept[name].lines) for name in ("a", "b")] == [1, 2]
    assert {line.sku.meter for one in kept.values() for line in one.lines} == {"images"}
    assert ledger.latest("images") == "b"
    assert ledger.latest("tokens") is None


def test_meters_of_users_come_and_go_beside_the_built_in_ones(ledger: Ledger) -> None:
    """The cycle after an AIMeter is deleted states nothing of it."""
    books = side_by_side(ledger, Meter(NOW), Optional(NOW, present=False))
    images = Optional(NOW, present=True)
    images.meter = "images"
    accounts = Accounts("images", images, ledger, ledger.take_over(), generation="a")
    accounts.advance(book(), LABELS)
    books.beside([accounts])
    assert set(books.statements(Interval(MIDNIGHT, MIDNIGHT + 2 * DAY))) == {"gpu", "images"}
    books.beside([])
    assert set(books.statements(Interval(MIDNIGHT, MIDNIGHT + 2 * DAY))) == {"gpu"}
