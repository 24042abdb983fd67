"""What is kept by day is what slots add up to, whatever happens to them, and is not believed otherwise."""

from collections.abc import Callable
from decimal import Decimal
from uuid import uuid4

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from aibudget.ledger import days, meters
from aibudget.ledger.database import Database
from aibudget.ledger.posting import Posting
from aibudget.ledger.spend import Statement
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.book import PriceBook
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import Rate

FIRST, LAST = 90, 300
"""Slots by number: the end of one day, three whole midnights on, the begin of another."""
EVER = Interval(0, LAST * SLOT_SECONDS)
MAKE = Callable[..., Charge]

numbers = st.integers(FIRST, LAST - 1)
books = st.integers(0, 3)
used = st.dictionaries(st.sampled_from(["w1", "w2", "w3"]), st.integers(0, 9), max_size=3)
steps = st.one_of(
    st.tuples(st.just("post"), numbers, used, books),
    st.tuples(st.just("rerate"), numbers, books),
    st.tuples(st.just("expire"), numbers),
    st.tuples(st.just("restart")),
    st.tuples(st.just("older program"), numbers, used),
)


class Story:
    """One cluster's ledger, and what happens to it."""

    def __init__(self, database: Database, cluster: str, make_charge: MAKE, prices: list[PriceBook]) -> None:
        self.database, self.cluster, self.prices = database, cluster, prices
        self._make_charge = make_charge
        self.restart()
        self.post(FIRST, {}, 0)

    def restart(self) -> None:
        """A new process takes the ledger over."""
        self.ledger = Ledger(self.database, self.cluster)
        self.epoch = self.ledger.take_over()

    def post(self, number: int, quantities: dict[str, int], book: int) -> None:
        """A slot, new or again, with all that is missing before it."""
        state, slot = self.ledger.state("gpu"), number * SLOT_SECONDS
        missing = range(state.watermark or slot, slot, SLOT_SECONDS)
        charges = (self._make_charge(number, *one) for one in quantities.items())
        self.ledger.post(
            Posting(
                meter="gpu",
                coverage=dict.fromkeys((*missing, slot), Coverage(600, SLOT_SECONDS)),
                charges=self.prices[book].charges(charge.usage for charge in charges),
                watermark=max(slot + SLOT_SECONDS, state.watermark or 0),
                revision=state.revision,
                at=slot,
                epoch=self.epoch,
                book=self.prices[book],
            )
        )

    def rerate(self, since: int, book: int) -> None:
        """Open time gets the prices of this book."""
        self.ledger.rerate(self.prices[book], since * SLOT_SECONDS, at=0, epoch=self.epoch)

    def expire(self, number: int) -> None:
        """The oldest slots go."""
        while self.ledger.expire(number * SLOT_SECONDS, epoch=self.epoch):
            pass

    def older_program(self, number: int, quantities: dict[str, int]) -> None:
        """Posts, and knows nothing of days."""
        before, meter_id = self._days()
        self.post(number, quantities, 0)
        with self.database.writing() as connection:
            connection.exec_driver_sql(f"DELETE FROM usage_day WHERE meter_id = {meter_id}")
            columns = ", ".join(("meter_id", "day", "line_id", "rate_id", *days.QUANTITIES))
            for row in before:
                values = ", ".join(str(value) for value in row)
                connection.exec_driver_sql(f"INSERT INTO usage_day ({columns}) VALUES ({values})")
            connection.exec_driver_sql(f"UPDATE meter SET summed = revision - 1 WHERE id = {meter_id}")

    def is_right(self) -> bool:
        """Whether the days are those of the slots."""
        with self.database.reading() as connection:
            meter_id = self._id()
            return not days.are_kept(connection, meter_id) or not days.differing(connection, meter_id, EVER)

    def _days(self) -> tuple[list[tuple[object, ...]], int]:
        meter_id = self._id()
        with self.database.reading() as connection:
            rows = connection.exec_driver_sql(f"SELECT * FROM usage_day WHERE meter_id = {meter_id}")
            return [tuple(row) for row in rows], meter_id

    def _id(self) -> int:
        with self.database.reading() as connection:
            return meters.ids(connection, meters.cluster_id(connection, self.cluster))["gpu"]


def told(statement: Statement) -> object:
    """What of a statement does not depend on the order of its lines."""
    lines = ((line.workload.name, line.rate and line.rate.id, line.quantity) for line in statement.lines)
    return sorted(lines, key=str), statement.coverage, statement.as_of, statement.complete


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
@given(st.lists(steps, min_size=2, max_size=8), st.tuples(numbers, numbers))
def test_days_are_what_slots_add_up_to(
    database: Database,
    make_charge: MAKE,
    make_rate: Callable[..., Rate],
    happens: list[tuple[str, *tuple[object, ...]]],
    asked: tuple[int, int],
) -> None:
    """Posted, posted again, late, priced anew, let go of, written by an older program: always a recount."""
    prices = [PriceBook([make_rate(*one)]) for one in (("2",), ("3",), ("3", 150, "later"))] + [PriceBook([])]
    story = Story(database, uuid4().hex, make_charge, prices)
    start, end = sorted(asked)
    spans = [Interval(start * SLOT_SECONDS, last * SLOT_SECONDS) for last in (end, LAST)] + [EVER]
    for name, *arguments in happens:
        getattr(story, name.replace(" ", "_"))(*arguments)
        assert story.is_right(), name
        cold = Ledger(database, story.cluster)
        for span in spans:
            assert told(cold.statement("gpu", span)) == told(cold.recount("gpu", span)), name
            assert told(story.ledger.statement("gpu", span)) == told(cold.recount("gpu", span)), name


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
        connection.exec_driver_sql("DELETE FROM usage WHERE slot >= 86400")
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
