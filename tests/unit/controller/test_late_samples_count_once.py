"""Samples that come hours late: what was counted across the hole is not counted again with what fills it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aibudget.controller.accounts import Accounts
from aibudget.inventory.owners import OwnerBook
from aibudget.ledger.store import Ledger
from aibudget.metering.counters import CountedMeter, read_counters
from aibudget.metering.families import Family
from aibudget.metering.scene import MeterSettings, Scenes
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Reading
from aibudget.pricing.book import PriceBook
from unit.ledger.blank import blank
from unit.metering.ticking import BEGIN, Ticking, Ticks

HOUR = 3600
FAMILY = Family(name="server-output", query="tokens", cap=1e6)
METER = CountedMeter("tokens", {FAMILY.name: FAMILY})
LABELS = {"namespace": "team", "pod": "llm-0", "instance": "10.0.0.1:8000"}
NOTHING: PriceBook = PriceBook(())


class Tokens:
    """An `accounts.Source` of a counter that grows by two a second, of which some hours are not there yet."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.now = 0
        self.dark = range(0)

    def time(self) -> int:
        """Prometheus's clock."""
        return BEGIN + self.now

    def lag(self) -> int:
        """Two minutes."""
        return 120

    def wanted(self, _book: PriceBook) -> bool:
        """Always."""
        return True

    def read(self, interval: Interval) -> Reading:
        """As far as it was scraped."""
        up = [t for t in range(-6 * HOUR, self.now + 1, 30) if t not in self.dark]
        source = Ticking([Ticks(FAMILY.name, LABELS, [(t, 1e6 + 2.0 * t) for t in up])], up, self.now)
        moment, memory = (interval, self.time()), self._ledger.memory("tokens")
        return read_counters(Scenes(source, MeterSettings()), moment, METER, memory, OwnerBook())


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new one."""
    opened = Ledger.open(blank(tmp_path / "ledger.db"), "test")
    yield opened
    opened.close()


def cycle(books: Accounts, wanted: int) -> None:
    """Read on, and whatever of the past is missing."""
    books.advance(NOTHING, {})
    books.fill(BEGIN + wanted, NOTHING, {}, float("inf"))


@pytest.mark.parametrize(("hours", "edge"), [(1, 0), (3, 0), (3, 1)])
def test_what_fills_a_hole_later_is_counted_once(hours: int, edge: int, ledger: Ledger) -> None:
    """First in sum after the hole, then in its own time: each token is on the bill once at any time."""
    meter = Tokens(ledger)
    books = Accounts("tokens", meter, ledger, ledger.take_over())
    whole = Interval(BEGIN, BEGIN + 5 * HOUR)
    for minute in range(20, 5 * 60 + 20, 20):
        meter.now = 60 * minute
        meter.dark = range(HOUR, (1 + hours) * HOUR + edge)
        cycle(books, 0)
    assert sum(line.quantity for line in books.statement(whole).lines) == 2 * whole.seconds
    meter.now, meter.dark = meter.now + 900, range(0)
    for _ in range(2):
        meter.now += 900
        cycle(books, 0)
    found = books.statement(whole)
    assert sum(line.quantity for line in found.lines) == 2 * whole.seconds
    assert found.coverage.percent == 100
