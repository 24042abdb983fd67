"""Slots are kept for as long as anybody asks for them and then go: a few at a time, none but those."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aibudget.controller.keeping import Keeping, kept_since
from aibudget.errors import Conflict
from aibudget.ledger.retention import BATCH_SECONDS
from aibudget.ledger.spend import Statement
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.charge import Charge

FULL = Coverage(SLOT_SECONDS, SLOT_SECONDS)
MAKE = Callable[..., Charge]
POST = Callable[..., None]


def told(statement: Statement) -> object:
    """What of a statement does not depend on the order of its lines."""
    lines = sorted((line.workload.name, line.quantity, line.estimated) for line in statement.lines)
    return lines, statement.coverage, statement.as_of, statement.complete


def at(slot: int) -> int:
    """The slot of that number."""
    return slot * SLOT_SECONDS


# Each example is a ledger on disk: to make a failing one smaller would take minutes.
@settings(max_examples=12, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    st.lists(st.tuples(st.integers(0, 39), st.sampled_from("abc"), st.integers(1, 9)), max_size=40),
    st.integers(0, 45),
    st.lists(st.tuples(st.integers(0, 39), st.integers(1, 20)), min_size=1, max_size=5),
)
def test_what_is_kept_says_the_same(
    another: Callable[[], Ledger],
    make_charge: MAKE,
    post: POST,
    used: list[tuple[int, str, int]],
    before: int,
    asked: list[tuple[int, int]],
) -> None:
    """Statements of the time that is kept are those from before, recounted too; all others are incomplete."""
    ledger = another()
    post(ledger, dict.fromkeys(range(40), FULL), *(make_charge(*one) for one in used))
    spans = [Interval(at(start), at(start + length)) for start, length in asked]
    was = {span: told(ledger.statement("gpu", span)) for span in spans}

    while ledger.expire(at(before), epoch=0):
        pass

    for span in spans:
        if span.start >= at(before):
            assert told(ledger.statement("gpu", span)) == was[span]
        else:
            assert not ledger.statement("gpu", span).complete
        assert told(ledger.statement("gpu", span)) == told(ledger.recount("gpu", span))
    assert ledger.state("gpu").begins == at(min(before, 40))


def test_it_goes_in_small_steps(ledger: Ledger, make_charge: MAKE, post: POST) -> None:
    """A year of slots in one transaction would keep postings waiting; cut off, it goes on where it was."""
    post(ledger, dict.fromkeys(range(40), FULL), *(make_charge(slot, "llm", 1) for slot in range(40)))
    assert ledger.expire(at(20), epoch=0)
    assert ledger.begins("gpu") == BATCH_SECONDS
    with ledger._database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT count(*), min(slot) FROM usage_slot").one()
    assert tuple(rows) == (40 - BATCH_SECONDS // SLOT_SECONDS, BATCH_SECONDS)
    post(ledger, {40: FULL}, make_charge(40, "llm", 1))
    assert [ledger.expire(at(20), epoch=0) for _ in range(3)] == [True, True, False]


def test_other_clusters_keep_theirs(ledger: Ledger, url: str, post: POST) -> None:
    """Each operator has its own settings, and its own open periods."""
    with closing(Ledger.open(url, "elsewhere")) as other:
        for one in (ledger, other):
            post(one, dict.fromkeys(range(4), FULL))
        while ledger.expire(at(4), epoch=0):
            pass
        assert other.statement("gpu", Interval(0, at(4))).complete
        assert not ledger.statement("gpu", Interval(0, at(4))).complete


def test_a_replaced_writer_deletes_nothing(ledger: Ledger, post: POST) -> None:
    """Its settings may be those of yesterday."""
    post(ledger, {0: FULL})
    ledger.take_over()
    with pytest.raises(Conflict):
        ledger.expire(at(1), epoch=0)
    assert ledger.begins("gpu") == 0


def test_open_periods_are_kept_however_long_they_are(ledger: Ledger, post: POST) -> None:
    """A project's budget runs for two years: what it has spent is not forgotten for being old."""
    now = int(datetime(2026, 11, 22, 7, 30, tzinfo=UTC).timestamp())
    start = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp()) // SLOT_SECONDS
    post(ledger, dict.fromkeys(range(start, start + 24), FULL))
    keeping = Keeping(ledger, epoch=0, months=13)

    assert not keeping.expire(at(start), now, 0.0)
    assert ledger.begins("gpu") == at(start)
    while keeping.expire(now, now, 0.0):
        pass
    assert ledger.begins("gpu") == at(start + 24)


def test_months_are_whole(ledger: Ledger) -> None:
    """The same month of last year can be told beside this one until its last day."""
    now = int(datetime(2026, 3, 31, 23, 59, tzinfo=UTC).timestamp())
    assert kept_since(now, 13) == int(datetime(2025, 2, 1, tzinfo=UTC).timestamp())
