"""Two heads: what is settled is posted once, the newest is replaced; history is read backwards, resumably."""

import itertools
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from aibudget.controller.accounts import Accounts
from aibudget.controller.head import runs
from aibudget.errors import Conflict
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval, slot_of
from aibudget.metering.source import PrometheusUnavailable
from aibudget.metering.usage import Coverage
from unit.controller.meters import DAY, LABELS, MIDNIGHT, Meter, book
from unit.ledger.blank import blank


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new one."""
    opened = Ledger.open(blank(tmp_path / "ledger.db"), "test")
    yield opened
    opened.close()


def accounts(meter: Meter, ledger: Ledger) -> Accounts:
    """As after a start of leading."""
    return Accounts("gpu", meter, ledger, ledger.take_over())


def hours(books: Accounts, start: int, end: int) -> Decimal:
    """GPU-hours in the statement of a span."""
    lines = books.statement(Interval(start, end)).lines
    return Decimal(sum(line.quantity for line in lines)) / 3_600_000


def forever(books: Accounts, wanted: int) -> None:
    """Read the past to its end."""
    books.fill(wanted, book(), LABELS, float("inf"))


def test_the_newest_spend_is_known_before_any_history_is_read(ledger: Ledger) -> None:
    """A first cycle is short, however old the period is."""
    now = MIDNIGHT + 10 * DAY + 1000
    meter = Meter(now)
    books = accounts(meter, ledger)
    books.advance(book(), LABELS)
    assert len(meter.asked) == 1
    assert meter.asked[0].seconds <= 3 * SLOT_SECONDS
    assert not books.statement(Interval(MIDNIGHT, MIDNIGHT + 30 * DAY)).complete


def test_history_is_read_back_to_the_start_of_the_period_and_then_it_is_complete(ledger: Ledger) -> None:
    """Every second of it once: the posted part and the head add up to the whole."""
    now = MIDNIGHT + 3 * DAY + 1000
    books = accounts(Meter(now), ledger)
    books.advance(book(), LABELS)
    forever(books, MIDNIGHT)
    statement = books.statement(Interval(MIDNIGHT, MIDNIGHT + 30 * DAY))
    assert statement.complete
    assert statement.as_of == now
    assert hours(books, MIDNIGHT, MIDNIGHT + 30 * DAY) == Decimal(now - MIDNIGHT) / 3600


def test_an_interrupted_back_fill_goes_on_where_it_was(ledger: Ledger) -> None:
    """Each chunk is posted as it is read; another process reads only the rest."""
    now = MIDNIGHT + 3 * DAY
    first = accounts(Meter(now), ledger)
    first.advance(book(), LABELS)
    first.fill(MIDNIGHT, book(), LABELS, deadline=0.0)
    done = first.past(MIDNIGHT)
    assert done is not None
    assert not done.done
    meter = Meter(now)
    second = accounts(meter, ledger)
    second.advance(book(), LABELS)
    meter.asked.clear()
    forever(second, MIDNIGHT)
    assert sum(interval.seconds for interval in meter.asked) == done.begins - MIDNIGHT
    assert hours(second, MIDNIGHT, now) == 72


def test_a_quarter_of_an_hour_is_posted_once_and_the_head_is_replaced(ledger: Ledger) -> None:
    """Minute by minute, the sum is always that of the time that has passed."""
    meter = Meter(MIDNIGHT + 1000)
    books = accounts(meter, ledger)
    books.advance(book(), LABELS)
    begins = ledger.begins("gpu")
    assert begins is not None
    for minute in range(60):
        meter.now = MIDNIGHT + 1000 + 60 * minute
        books.advance(book(), LABELS)
        assert hours(books, begins, MIDNIGHT + DAY) == Decimal(meter.now - begins) / 3600
    assert ledger.watermark("gpu") == slot_of(meter.now - 60)


def test_an_outage_is_caught_up_with(ledger: Ledger) -> None:
    """What Prometheus kept meanwhile is read when we are back."""
    meter = Meter(MIDNIGHT + 1000)
    books = accounts(meter, ledger)
    books.advance(book(), LABELS)
    begins = ledger.begins("gpu") or 0
    meter.now += 3 * DAY + 300
    books.advance(book(), LABELS)
    forever(books, begins)
    books.advance(book(), LABELS)
    assert hours(books, begins, MIDNIGHT + 30 * DAY) == Decimal(meter.now - begins) / 3600
    assert books.statement(Interval(slot_of(begins), MIDNIGHT + 30 * DAY)).complete


def test_while_it_is_caught_up_with_the_sum_is_a_lower_bound_that_says_so(ledger: Ledger) -> None:
    """The newest is read in each cycle, and the hole before it is not taken for no usage."""
    meter = Meter(MIDNIGHT + 1000)
    books = accounts(meter, ledger)
    books.advance(book(), LABELS)
    begins = ledger.begins("gpu") or 0
    meter.now += 5 * DAY
    books.advance(book(), LABELS)
    statement = books.statement(Interval(begins, MIDNIGHT + 30 * DAY))
    assert not statement.complete
    assert statement.as_of == meter.now
    assert statement.coverage.percent < 100
    assert 0 < hours(books, begins, MIDNIGHT + 30 * DAY) < Decimal(meter.now - begins) / 3600


def test_while_prometheus_is_away_what_is_known_stays(ledger: Ledger) -> None:
    """Neither the ledger nor the last head is forgotten."""
    meter = Meter(MIDNIGHT + 1000)
    books = accounts(meter, ledger)
    books.advance(book(), LABELS)
    known = hours(books, MIDNIGHT, MIDNIGHT + DAY)
    meter.down = True
    with pytest.raises(PrometheusUnavailable):
        books.advance(book(), LABELS)
    assert hours(books, MIDNIGHT, MIDNIGHT + DAY) == known > 0


def test_a_period_that_has_just_ended_gets_nothing_of_the_next(ledger: Ledger) -> None:
    """While its last quarter of an hour is not posted yet."""
    meter = Meter(MIDNIGHT + DAY - 600)
    books = accounts(meter, ledger)
    books.advance(book(), LABELS)
    forever(books, MIDNIGHT)
    meter.now = MIDNIGHT + DAY + 50
    books.advance(book(), LABELS)
    ended = books.statement(Interval(MIDNIGHT, MIDNIGHT + DAY))
    assert ended.as_of == MIDNIGHT + DAY
    assert ended.complete
    assert ended.coverage == Coverage(DAY, DAY)
    assert hours(books, MIDNIGHT, MIDNIGHT + DAY) == 24
    assert hours(books, MIDNIGHT + DAY, MIDNIGHT + 2 * DAY) == Decimal(50) / 3600


def test_the_more_there_is_the_less_is_read_at_once(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the cluster, however fast it is read."""
    monkeypatch.setattr("aibudget.controller.accounts.CHUNK_USAGES", 1_000)
    meter = Meter(MIDNIGHT + 30 * DAY)
    meter.workloads = 500
    books = accounts(meter, ledger)
    books.advance(book(), LABELS)
    meter.asked.clear()
    books.fill(MIDNIGHT, book(), LABELS, deadline=0.0)
    assert [interval.seconds for interval in meter.asked] == [2 * SLOT_SECONDS]


@pytest.mark.parametrize(("took", "next_chunk"), [(1.0, 2 * 3600), (5.0, 3600), (9.0, 1800)])
def test_a_chunk_that_takes_long_is_followed_by_a_smaller_one(
    ledger: Ledger, took: float, next_chunk: int
) -> None:
    """The cycles go on between two chunks, so none may take long, whatever Prometheus has to bear."""
    meter = Meter(MIDNIGHT + 30 * DAY)
    ticks = itertools.count(step=took)
    books = Accounts("gpu", meter, ledger, ledger.take_over(), monotonic=lambda: next(ticks))
    books.advance(book(), LABELS)
    meter.asked.clear()
    books.fill(MIDNIGHT, book(), LABELS, deadline=0.0)
    books.fill(MIDNIGHT, book(), LABELS, deadline=0.0)
    assert [interval.seconds for interval in meter.asked] == [3600, next_chunk]


def test_a_gap_that_is_filled_late_is_read_again(ledger: Ledger) -> None:
    """Remote write may bring samples hours later."""
    meter = Meter(MIDNIGHT + 1000)
    books = accounts(meter, ledger)
    books.advance(book(), LABELS)
    begins = ledger.begins("gpu") or 0
    meter.holes = {MIDNIGHT + 2 * SLOT_SECONDS}
    for slots in range(2, 6):
        meter.now = MIDNIGHT + slots * SLOT_SECONDS + 100
        books.advance(book(), LABELS)
    assert hours(books, begins, MIDNIGHT + DAY) == Decimal(meter.now - begins - SLOT_SECONDS) / 3600
    meter.holes = set()
    meter.now += SLOT_SECONDS
    books.advance(book(), LABELS)
    forever(books, begins)
    assert hours(books, begins, MIDNIGHT + DAY) == Decimal(meter.now - begins) / 3600


def test_what_is_known_is_not_forgotten_for_a_poorer_answer(ledger: Ledger) -> None:
    """A Prometheus that was replaced knows less than the ledger."""
    meter = Meter(MIDNIGHT + 1000)
    books = accounts(meter, ledger)
    meter.partial = {MIDNIGHT + SLOT_SECONDS: 600}
    books.advance(book(), LABELS)
    meter.now += 2 * SLOT_SECONDS
    books.advance(book(), LABELS)
    known = hours(books, MIDNIGHT, MIDNIGHT + DAY)
    meter.partial = {MIDNIGHT + SLOT_SECONDS: 0}
    forever(books, ledger.begins("gpu") or 0)
    assert hours(books, MIDNIGHT, MIDNIGHT + DAY) == known


def test_new_prices_price_what_is_posted_and_the_head(ledger: Ledger) -> None:
    """An open period is re-rated; quantities stay."""
    meter = Meter(MIDNIGHT + 3 * SLOT_SECONDS + 100)
    books = accounts(meter, ledger)
    books.advance(book("3.00"), LABELS)
    books.rerate(book("3.00"), 0, meter.now)
    books.advance(book("1.00"), LABELS)
    assert books.rerate(book("1.00"), 0, meter.now) == 1
    assert books.rerate(book("1.00"), 0, meter.now) == 0
    span = Interval(MIDNIGHT, MIDNIGHT + DAY)
    assert sum(line.cost or 0 for line in books.statement(span).lines) == hours(
        books, MIDNIGHT, MIDNIGHT + DAY
    )


def test_a_leader_that_was_followed_cannot_post_any_more(ledger: Ledger) -> None:
    """However late it wakes up."""
    meter = Meter(MIDNIGHT + 1000)
    paused = accounts(meter, ledger)
    paused.advance(book(), LABELS)
    ledger.take_over()
    meter.now += SLOT_SECONDS
    with pytest.raises(Conflict, match="took the ledger over"):
        paused.advance(book(), LABELS)


def test_neighbouring_slots_are_asked_for_together() -> None:
    """And a long run in chunks."""
    slots = [0, 900, 2700, *range(10_800, 10_800 + 2 * DAY, 900)]
    found = list(runs(slots, DAY))
    assert found[:2] == [Interval(0, 1800), Interval(2700, 3600)]
    assert all(interval.seconds <= DAY for interval in found)
    assert sum(interval.seconds for interval in found) == 900 * len(slots)
    assert list(runs([], DAY)) == []


def test_a_slot_that_has_just_begun_is_not_all_that_is_recent(ledger: Ledger) -> None:
    """What began to spend with it is seen at once, not when a minute of it has passed."""
    meter = Meter(MIDNIGHT + 4 * SLOT_SECONDS + 40)
    books = accounts(meter, ledger)
    books.advance(book(), LABELS)
    recent = books.newest(meter.now)
    assert recent.seconds == SLOT_SECONDS + 40
    assert sum(line.quantity for line in recent.lines) == recent.seconds * 1000


def test_devices_are_watched_for_half_an_hour_whatever_was_posted(ledger: Ledger) -> None:
    """Right after a slot is posted the head alone would be too short to call anything idle."""
    meter = Meter(MIDNIGHT + DAY)
    books = accounts(meter, ledger)
    books.advance(book(), LABELS)
    forever(books, MIDNIGHT)
    for _ in range(3):
        meter.now += SLOT_SECONDS + 5
        books.advance(book(), LABELS)
        recent = books.newest(meter.now)
        assert 1800 <= recent.watched_seconds < 1800 + 2 * SLOT_SECONDS
        held = sum(line.quantity for line in recent.watched)
        assert held == recent.watched_seconds * 1000


def test_a_namespace_that_vanished_keeps_its_labels(ledger: Ledger) -> None:
    """What it used until its end stays in the budgets that selected it, posted or not, restart or not."""
    meter = Meter(MIDNIGHT + 1000)
    books = accounts(meter, ledger)
    books.advance(book(), LABELS)
    meter.now += 900
    books.advance(book(), {})
    whole = Interval(MIDNIGHT, MIDNIGHT + DAY)
    assert {str(line.namespace_labels) for line in books.statement(whole).lines} == {str(LABELS["team"])}
    meter.now += 900
    again = accounts(meter, ledger)
    again.advance(book(), {})
    assert {str(line.namespace_labels) for line in again.statement(whole).lines} == {str(LABELS["team"])}
