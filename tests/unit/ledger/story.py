"""What happens to the ledger of one cluster, in any order: the steps of those stories that are told of one.

What a ledger is to say after each of them is for the tests to know.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import uuid4

from hypothesis import strategies as st

from aibudget.ledger import days, meters, slots
from aibudget.ledger.database import Database
from aibudget.ledger.posting import Posting
from aibudget.ledger.spend import Statement
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.book import PriceBook
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import Rate, Tier

FIRST, LAST = 90, 300
"""Slots by number: the end of one day, two whole ones, the begin of another."""
EVER = Interval(0, 900 * 10**7)
EVER_POSTED = Interval(0, LAST * SLOT_SECONDS)
MAKE = Callable[..., Charge]
STEP = tuple[str, *tuple[object, ...]]

numbers = st.integers(FIRST, LAST - 1)
books = st.integers(0, 4)
used = st.dictionaries(st.sampled_from(["w1", "w2", "w3"]), st.integers(0, 9), max_size=3)
steps = st.one_of(
    st.tuples(st.just("post"), numbers, used, books),
    st.tuples(st.just("rerate"), numbers, books),
    st.tuples(st.just("expire"), numbers),
    st.tuples(st.just("restart")),
)


def prices(make_rate: Callable[..., Rate]) -> list[PriceBook]:
    """What a story's books are: a price, another, one that begins midway, none, and one by tiers."""
    found = [PriceBook([make_rate(*one)]) for one in (("2",), ("3",), ("3", 150, "later"))]
    tiered = replace(make_rate("4"), tiers=(Tier(6, Decimal(9)),))
    return [*found, PriceBook([]), PriceBook([tiered])]


def spans(asked: tuple[int, int]) -> list[Interval]:
    """Three that are asked for: between two slots, from the first of them on, and everything."""
    start, end = sorted(asked)
    some = [Interval(start * SLOT_SECONDS, last * SLOT_SECONDS) for last in (end, LAST)]
    return [*some, EVER_POSTED]


class Story:
    """One cluster's ledger, and what happens to it; `packs` is whether days are ever packed."""

    def __init__(
        self, database: Database, make_charge: MAKE, make_rate: Callable[..., Rate], *, packs: bool = False
    ) -> None:
        self.database, self.cluster, self.packs = database, uuid4().hex, packs
        self.prices = prices(make_rate)
        self._make_charge = make_charge
        self.restart()
        self.post(FIRST, {"w1": 1}, 0)

    def restart(self) -> None:
        """A new process takes the ledger over."""
        self.ledger = Ledger(self.database, self.cluster)
        self.epoch = self.ledger.take_over()

    def post(self, number: int, quantities: dict[str, int], book: int) -> None:
        """A slot, new or again, with all that is missing before it."""
        state, slot, prices = self.ledger.state("gpu"), number * SLOT_SECONDS, self.prices[book]
        missing = range(state.watermark or slot, slot, SLOT_SECONDS)
        more = {"estimated": number % 2, "busy": number % 5, "observed": 7, "labels": (("app", "x"),)}
        charges = (
            self._make_charge(number, name, quantity, **(more if name == "w2" else {}))
            for name, quantity in quantities.items()
        )
        self.ledger.post(
            Posting(
                meter="gpu",
                coverage=dict.fromkeys((*missing, slot), Coverage(600, SLOT_SECONDS)),
                charges=prices.charges(
                    (one.usage for one in charges), partial(self.ledger.volume, "gpu", prices)
                ),
                watermark=max(slot + SLOT_SECONDS, state.watermark or 0),
                revision=state.revision,
                at=slot,
                epoch=self.epoch,
                book=prices,
            )
        )

    def rerate(self, since: int, book: int) -> None:
        """Open time gets the prices of this book, and closed time corrections."""
        self.ledger.rerate(self.prices[book], since * SLOT_SECONDS, at=since, epoch=self.epoch)

    def expire(self, number: int) -> None:
        """The oldest slots go."""
        while self.ledger.expire(number * SLOT_SECONDS, epoch=self.epoch):
            pass

    def roll_up(self, number: int) -> None:
        """Whole days before it are packed."""
        while self.packs and self.ledger.roll_up(number * SLOT_SECONDS, epoch=self.epoch):
            pass

    def older_program(self, number: int, quantities: dict[str, int]) -> None:
        """Posts, and knows nothing of days."""
        with self.database.reading() as connection:
            meter_id = self.meter_id(connection)
            rows = connection.exec_driver_sql(f"SELECT * FROM usage_day WHERE meter_id = {meter_id}")
            before = [tuple(row) for row in rows]
        self.post(number, quantities, 0)
        with self.database.writing() as connection:
            connection.exec_driver_sql(f"DELETE FROM usage_day WHERE meter_id = {meter_id}")
            columns = ", ".join(("meter_id", "day", "line_id", "rate_id", *days.QUANTITIES))
            for row in before:
                values = ", ".join(str(value) for value in row)
                connection.exec_driver_sql(f"INSERT INTO usage_day ({columns}) VALUES ({values})")
            connection.exec_driver_sql(f"UPDATE meter SET summed = revision - 1 WHERE id = {meter_id}")

    def tell(self, step: STEP) -> None:
        """Let it happen."""
        name, *arguments = step
        getattr(self, name.replace(" ", "_"))(*arguments)

    def says(self, span: Interval) -> dict[str, object]:
        """Every answer that a ledger gives."""
        cold = Ledger(self.database, self.cluster)
        by_hour = [self.ledger.hourly("gpu", span, only) for only in (None, {"team"})]
        found: dict[str, object] = {
            "warm": told(self.ledger.statement("gpu", span)),
            "cold": told(cold.statement("gpu", span)),
            "recounted": told(cold.recount("gpu", span)),
            "hours": [{hour: told(one) for hour, one in hours.items()} for hours in by_hour],
            "corrections": sorted(map(repr, cold.corrections("gpu", EVER))),
            "labels": cold.label_keys(span.start),
            "state": cold.state("gpu"),
        }
        with self.database.reading() as connection:
            meter_id = self.meter_id(connection)
            found["priced"] = slots.priced(connection, meter_id, span)
            found["slots"] = slots.by_rate(connection, meter_id, span)
            found["days"] = days.differing(connection, meter_id, EVER_POSTED)
        return found

    def packed(self) -> int:
        """How many rows are packed."""
        with self.database.reading() as connection:
            rows = f"SELECT count(*) FROM usage_packed WHERE meter_id = {self.meter_id(connection)}"
            return int(connection.exec_driver_sql(rows).scalar_one())

    def is_right(self) -> bool:
        """Whether the days are those of the slots."""
        with self.database.reading() as connection:
            meter_id = self.meter_id(connection)
            return not days.are_kept(connection, meter_id) or not days.differing(
                connection, meter_id, EVER_POSTED
            )

    def meter_id(self, connection: Any) -> int:
        """The meter's integer."""
        return meters.ids(connection, meters.cluster_id(connection, self.cluster))["gpu"]


def told(statement: Statement) -> object:
    """What of a statement does not depend on the order of its lines."""
    lines = (replace(line, rate=None) for line in statement.lines)
    rates = (line.rate and line.rate.id for line in statement.lines)
    known = sorted(zip(map(repr, lines), map(str, rates), strict=True))
    return known, statement.coverage, statement.as_of, statement.complete
