"""What is kept by day is what slots add up to, whatever happens to them, and is not believed otherwise."""

from collections.abc import Callable
from decimal import Decimal

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from aibudget.ledger.database import Database
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.rate import Rate
from unit.ledger.story import EVER, MAKE, STEP, Story, numbers, spans, steps, told, used

HAPPENED = [
    ("post", 110, {"w1": 5, "w2": 6}, 0),
    ("post", 200, {"w1": 7}, 1),
    ("post", 110, {"w2": 1}, 0),
    ("rerate", 100, 2),
    ("restart",),
    ("older program", 120, {"w3": 2}),
    ("restart",),
    ("expire", 150),
]


# Each example is a ledger on disk: to make a failing one smaller would take minutes.
@settings(deadline=None, max_examples=6, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@example(HAPPENED, (110, 205))
@given(
    st.lists(steps | st.tuples(st.just("older program"), numbers, used), min_size=2, max_size=8),
    st.tuples(numbers, numbers),
)
def test_days_are_what_slots_add_up_to(
    database: Database,
    make_charge: MAKE,
    make_rate: Callable[..., Rate],
    happens: list[STEP],
    asked: tuple[int, int],
) -> None:
    """Posted, posted again, late, priced anew, let go of, written by an older program: always a recount."""
    story = Story(database, make_charge, make_rate)
    for step in happens:
        story.tell(step)
        assert story.is_right(), step
        cold = Ledger(database, story.cluster)
        for span in spans(asked):
            recounted = told(cold.recount("gpu", span))
            assert told(cold.statement("gpu", span)) == recounted, step
            assert told(story.ledger.statement("gpu", span)) == recounted, step


def test_a_start_reads_days_and_no_slots(
    ledger: Ledger, url: str, post: Callable[..., None], make_charge: MAKE
) -> None:
    """Of a month of slots a start reads the edges; whether it does shows by slots that are not there."""
    post(
        ledger,
        dict.fromkeys(range(95, 200), Coverage(900, 900)),
        *(make_charge(n, "llm", 1) for n in range(95, 200)),
    )
    with ledger._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM usage_slot WHERE slot >= 86400")
    cold = Ledger.open(url, "here")
    assert [line.quantity for line in cold.statement("gpu", Interval(95 * 900, 200 * 900)).lines] == [105]
    assert [line.quantity for line in cold.statement("gpu", Interval(95 * 900, 192 * 900)).lines] == [97]
    assert [line.quantity for line in cold.statement("gpu", Interval(96 * 900, 150 * 900)).lines] == []
    cold.close()


def test_what_was_not_added_up_is_added_up_by_the_next_writer(
    ledger: Ledger, url: str, post: Callable[..., None], make_charge: MAKE
) -> None:
    """After an upgrade, and after an older program wrote: once, and until then slots are read."""
    post(
        ledger, dict.fromkeys(range(300), Coverage(900, 900)), *(make_charge(n, "llm", 1) for n in range(300))
    )
    with ledger._database.writing() as connection:
        connection.exec_driver_sql("UPDATE meter SET summed = NULL")
        connection.exec_driver_sql("UPDATE usage_day SET quantity = 77")
    cold = Ledger.open(url, "here")
    assert sum(line.quantity for line in cold.statement("gpu", EVER).lines) == 300
    cold.take_over()
    with cold._database.reading() as connection:
        kept = connection.exec_driver_sql("SELECT day, quantity FROM usage_day ORDER BY day")
        assert [tuple(row) for row in kept] == [(n * 86_400, Decimal(96 if n < 3 else 12)) for n in range(4)]
    cold.close()
