"""A day that is packed says what its slots said, to whoever asks, and goes on changing as they would."""

import zlib
from collections.abc import Callable
from contextlib import closing

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from aibudget.controller.keeping import PACKING_SECONDS, Keeping
from aibudget.errors import Conflict, Stalled
from aibudget.ledger import inspection
from aibudget.ledger.database import Database
from aibudget.ledger.quarters import SLOTS_A_DAY, Cells, Quarters
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS
from aibudget.metering.usage import Coverage
from aibudget.pricing.book import PriceBook
from aibudget.pricing.rate import Rate
from unit.ledger.story import EVER, EVER_POSTED, MAKE, STEP, Story, numbers, spans, steps

FULL = Coverage(SLOT_SECONDS, SLOT_SECONDS)
POST = Callable[..., None]

HAPPENED = [
    ("post", 100, {"w1": 5, "w2": 6}, 0),
    ("post", 101, {"w1": 2}, 2),
    ("post", 120, {"w1": 4, "w3": 1}, 1),
    ("post", 160, {"w3": 3}, 1),
    ("post", 200, {"w1": 7, "w2": 2}, 1),
    ("post", 290, {"w2": 3}, 1),
    ("roll_up", 299),
    ("restart",),
    ("rerate", 250, 0),
    ("rerate", 96, 2),
    ("roll_up", 299),
    ("rerate", 192, 4),
    ("roll_up", 299),
    ("post", 110, {"w2": 1}, 0),
    ("roll_up", 299),
    ("expire", 110),
    ("roll_up", 200),
    ("expire", 250),
]


# Each example is a ledger on disk: to make a failing one smaller would take minutes.
@settings(deadline=None, max_examples=2, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@example(HAPPENED, (103, 205))
@given(
    st.lists(steps | st.tuples(st.just("roll_up"), numbers), min_size=2, max_size=8),
    st.tuples(numbers, numbers),
)
def test_packed_or_not_a_ledger_says_the_same(
    database: Database,
    make_charge: MAKE,
    make_rate: Callable[..., Rate],
    happens: list[STEP],
    asked: tuple[int, int],
) -> None:
    """Posted, late, priced anew, corrected, by tiers, let go of, in any order with packing between."""
    packing, plain = (Story(database, make_charge, make_rate, packs=packs) for packs in (True, False))
    packed = []
    for number, step in enumerate(happens):
        for story in (packing, plain):
            story.tell(step)
        packed.append(packing.packed())
        # One of them after another: each takes dozens of queries.
        if packed[-1] or number == len(happens) - 1:
            span = spans(asked)[number % 3]
            assert packing.says(span) == plain.says(span), step
    assert not plain.packed()
    if happens is HAPPENED:
        assert max(packed) > 3, "nothing was tried"


@given(
    st.dictionaries(st.integers(0, SLOTS_A_DAY - 1), st.tuples(*(st.integers(0, 2**62) for _ in range(4))))
)
def test_nothing_of_a_day_is_lost(amounts: dict[int, tuple[int, int, int, int]]) -> None:
    """Through bytes and back: every slot of any size, and no slot that was not there."""
    cells = Cells(86_400)
    for place, found in amounts.items():
        cells.put(86_400 + place * SLOT_SECONDS, found)
    wanted = {86_400 + place * SLOT_SECONDS: found for place, found in amounts.items() if any(found)}
    quarters = cells.quarters()
    if quarters is None:
        assert not wanted
        return
    again = Quarters.unpacked(quarters.first, quarters.packed())
    assert dict(again.slots()) == wanted
    assert (again.first, again.end) == (min(wanted), max(wanted) + SLOT_SECONDS)


def test_a_day_is_packed_once_it_is_whole(ledger: Ledger, post: POST, make_charge: MAKE) -> None:
    """Not the first one, before which the past is still read, nor the last, which is still posted to."""
    post(ledger, dict.fromkeys(range(90, 300), FULL), *(make_charge(n, "llm", n) for n in range(90, 300)))
    while ledger.roll_up(10**10, epoch=0):
        pass
    with ledger._database.reading() as connection:
        packed = connection.exec_driver_sql("SELECT day, first, last, slots FROM usage_packed ORDER BY day")
        assert [tuple(row) for row in packed] == [
            (day * 86_400, day * 86_400, (day + 1) * 86_400 - SLOT_SECONDS, 96) for day in (1, 2)
        ]
        left = connection.exec_driver_sql("SELECT slot / 900 FROM usage_slot ORDER BY slot")
        assert [row[0] for row in left] == [*range(90, 96), *range(288, 300)]
    (held,) = inspection.holdings(ledger._database)
    assert (held.rows, held.packed) == (18, 2)


def test_only_closed_periods_are_packed_a_little_at_a_time(
    ledger: Ledger, post: POST, make_charge: MAKE
) -> None:
    """One meter's day a minute, and none of a period that is open or of a month that may get other prices."""
    post(ledger, dict.fromkeys(range(300), FULL), *(make_charge(n, "llm", 1) for n in range(300)))
    keeping, now = Keeping(ledger, epoch=0, months=13), 40 * 86_400

    def packed() -> int:
        (held,) = inspection.holdings(ledger._database)
        return held.packed

    keeping.roll_up(now, 33 * 86_400)
    assert packed() == 0, "the month was over for two days"
    keeping.roll_up(86_400 - 900, now)
    assert packed() == 0, "a period that began in it is open"
    for minute, days_packed in ((1, 1), (1.5, 1), (2, 2)):
        keeping.roll_up(2 * 86_400, now + int(minute * PACKING_SECONDS))
        assert packed() == days_packed
    keeping.roll_up(2 * 86_400, now + 3 * PACKING_SECONDS)
    assert packed() == 2


def test_many_lines_take_more_than_a_minute(
    ledger: Ledger, post: POST, make_charge: MAKE, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written in a minute is bounded by rows, and not by days of whatever size."""
    monkeypatch.setattr("aibudget.controller.keeping.ROWS_AT_ONCE", 40)
    post(ledger, dict.fromkeys(range(300), FULL), *(make_charge(n, "llm", 1) for n in range(300)))
    keeping, now, packed = Keeping(ledger, epoch=0, months=13), 40 * 86_400, []
    for minute in range(5):
        keeping.roll_up(now, now + minute * PACKING_SECONDS)
        packed.append(inspection.holdings(ledger._database)[0].packed)
    assert packed == [1, 1, 1, 2, 2]


def test_a_replaced_writer_packs_nothing(ledger: Ledger, post: POST, make_charge: MAKE) -> None:
    """What is open by its knowledge may be that of yesterday."""
    post(ledger, dict.fromkeys(range(100), FULL), make_charge(1, "llm", 1))
    ledger.take_over()
    with pytest.raises(Conflict):
        ledger.roll_up(10**10, epoch=0)


def test_a_price_that_begins_within_a_packed_day_begins_there(
    ledger: Ledger, post: POST, make_charge: MAKE, make_rate: Callable[..., Rate]
) -> None:
    """A budget that reaches back opens its time: whole days are priced in place, and others by the slot."""
    old = make_rate("2")
    charges = (make_charge(n, "llm", 1, old) for n in range(300))
    post(ledger, dict.fromkeys(range(300), FULL), *charges)
    while ledger.roll_up(10**10, epoch=0):
        pass
    assert ledger.rerate(PriceBook([make_rate("3", 150, "later")]), 0, at=0, epoch=0) == 300
    (held,) = inspection.holdings(ledger._database)
    assert held.packed == 2, "the day that it begins in is unpacked, and no other"
    priced = {
        line.rate and line.rate.name: line.quantity for line in ledger.recount("gpu", EVER_POSTED).lines
    }
    assert priced == {None: 150, "later": 150}
    assert inspection.differences(ledger._database) == ()


def test_days_are_added_up_anew_from_packed_ones(
    ledger: Ledger, url: str, post: POST, make_charge: MAKE
) -> None:
    """After `aibudget ledger recount`, which is how wrong days are mended; the check tells which are."""
    post(ledger, dict.fromkeys(range(200), FULL), *(make_charge(n, "llm", 1) for n in range(200)))
    while ledger.roll_up(10**10, epoch=0):
        pass
    with ledger._database.writing() as connection:
        connection.exec_driver_sql("UPDATE usage_day SET quantity = 77 WHERE day = 0")
    (told_of,) = inspection.differences(ledger._database)
    assert "1970-01-01" in told_of
    inspection.forget_days(ledger._database)
    with closing(Ledger.open(url, "here")) as cold:
        assert sum(line.quantity for line in cold.statement("gpu", EVER).lines) == 200
        cold.take_over()
        assert sum(line.quantity for line in cold.statement("gpu", EVER).lines) == 200
    assert inspection.differences(ledger._database) == ()


def test_a_packed_day_that_is_damaged_is_not_a_day_without_usage(
    ledger: Ledger, post: POST, make_charge: MAKE
) -> None:
    """SQLite does not look into the bytes of a row; their checksum does."""
    post(ledger, dict.fromkeys(range(100), FULL), *(make_charge(n, "llm", n) for n in range(1, 100)))
    assert ledger.roll_up(10**10, epoch=0)
    with ledger._database.writing() as connection:
        content = connection.exec_driver_sql("SELECT content FROM usage_packed").scalar_one()
        broken = zlib.compress(zlib.decompress(content).replace(b"11", b"12"))[:-4] + bytes(content)[-4:]
        hexed = f"'\\x{broken.hex()}'" if connection.dialect.name == "postgresql" else f"x'{broken.hex()}'"
        connection.exec_driver_sql(f"UPDATE usage_packed SET content = {hexed}")
    with pytest.raises(Stalled, match="1970-01-01T00:15:00Z cannot be read") as caught:
        ledger.recount("gpu", EVER)
    assert caught.value.reason == "LedgerCorrupt"
