"""Prices of what is posted, put right after a price list changed: open slots anew, closed by corrections.

A row of an open slot gets the rate that the book has for it now. A row of a closed slot keeps its rate for
good; what the difference comes to is written down as a correction, known from now on. Corrections follow one
upon the other, so that billed cost and all corrections are together always the newest price times the
quantity. Works inside transactions of `store.py`; quantities are never touched.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select, true

from aibudget.ledger import days, rollup, schema, slots
from aibudget.ledger.draws import Draws, volumes
from aibudget.ledger.lines import Rates, sku_of
from aibudget.metering.catalogue import meter_of
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.pricing.book import PriceBook
from aibudget.pricing.rate import FAR_FUTURE, Rate
from aibudget.pricing.tiers import drawn, month_of

EVER: Final = Interval(0, FAR_FUTURE)
_CORRECTION, _USAGE, _LINE = schema.correction, schema.usage_slot, schema.line


@dataclass(frozen=True, slots=True)
class Corrected:
    """One line's part of a correction: charged at `was_id`, it is known since `known` to cost `rate_id`."""

    line_id: int
    interval: Interval
    was_id: int
    rate_id: int
    quantity: int
    known: int


@dataclass(frozen=True, slots=True)
class Rating:
    """One book, in one transaction, known at `at`."""

    connection: Connection
    rates: Rates
    book: PriceBook
    at: int

    def renew(self, name: str, meter_id: int, span: Interval) -> int:
        """Give every row of the span the book's rate; how many rows got another one."""
        changed = 0
        for was in slots.priced_by_day(self.connection, meter_id, span):
            old = self._rate(was.rate_id)
            for part, rate in self._segments(name, was):
                # Which of its tiers a slot was charged at is for `redraw`.
                if (old and old.undrawn().id) != (rate and rate.id):
                    changed += slots.reprice(self.connection, meter_id, was, part, self._id(rate))
        if changed:
            days.recount(self.connection, meter_id, span)
        return changed + self.redraw(name, meter_id, span)

    def redraw(self, name: str, meter_id: int, span: Interval) -> int:
        """Charge each slot of the span at the tiers that its month's volume before it comes to.

        What comes before the span may be closed, and is counted by the book: as its corrections count it.
        """
        if not has_tiers(self.book, name):
            return 0
        changed, month, touched = 0, month_of(span.start), list[int]()
        before = volumes(self.connection, (name, meter_id), self.book, span.start)
        for slot, rows in self._volumes(name, meter_id, span):
            if month_of(slot) != month:
                month, before = month_of(slot), {}
            for label, parts in rows.items():
                quantity = sum(used for _, used in parts)
                for rate, _ in parts:
                    renewed = drawn(rate, before.get(label, 0), quantity)
                    if renewed.id != rate.id:
                        at = (meter_id, slot, self._id(rate), self._id(renewed))
                        changed += slots.reprice_slot(self.connection, *at)
                        touched.append(slot)
                before[label] = before.get(label, 0) + quantity
        if touched:
            days.recount(self.connection, meter_id, Interval(touched[0], touched[-1] + SLOT_SECONDS))
        return changed

    def correct(self, name: str, meter_id: int, span: Interval) -> int:
        """Write down where closed rows would cost something else; how many corrections that makes.

        Usage for which the book has no price any more stays as it was charged.
        """
        made = []
        known: dict[tuple[str, int], list[tuple[Interval, int]]] = {}
        for was, part, rate in self._would_be(name, meter_id, span):
            billed = was.dimensions, was.rate_id
            if billed not in known:
                known[billed] = self._known(meter_id, was)
            for piece, standing in _cut(part, known[billed], was.rate_id):
                if not _alike(self._rate(standing), rate):
                    made.append(self._row(meter_id, was, piece, (standing, self._id(rate))))
        if made:
            self.connection.execute(_CORRECTION.insert(), made)
        return len(made)

    def keep(self, rates: Iterable[Rate]) -> set[int]:
        """Write rates down with the time at which they became known; their integers."""
        return set(self.rates.ids(self.connection, rates, self.at).values())

    def _segments(self, name: str, was: slots.Priced) -> Iterator[tuple[Interval, Rate | None]]:
        sku = sku_of(meter_of(name), was.dimensions)
        return self.book.segments(sku, Interval(was.first, was.last + SLOT_SECONDS))

    def _would_be(
        self, name: str, meter_id: int, span: Interval
    ) -> Iterator[tuple[slots.Priced, Interval, Rate]]:
        """What rows have been charged, and each part of their time with the rate that the book has for it."""
        draws = Draws(self.book, name, span)
        if has_tiers(self.book, name):
            rows = draws.read(self.connection, meter_id).priced
        else:
            rows = slots.priced(self.connection, meter_id, span)
        for was in rows:
            for part, rate in self._segments(name, was):
                for piece, at in draws.of(rate, part) if rate else ():
                    yield was, piece, at

    def _volumes(
        self, name: str, meter_id: int, span: Interval
    ) -> Iterator[tuple[int, dict[str, list[tuple[Rate, int]]]]]:
        """What each slot used at rates with tiers, by their names."""
        found: dict[int, dict[str, list[tuple[Rate, int]]]] = defaultdict(lambda: defaultdict(list))
        for slot, rate_id, quantity in slots.by_rate(self.connection, meter_id, span):
            rate = self._rate(rate_id)
            if rate is not None and rate.tiers and rate.meter == meter_of(name):
                found[slot][rate.label].append((rate, quantity))
        yield from sorted(found.items())

    def _known(self, meter_id: int, was: slots.Priced) -> list[tuple[Interval, int]]:
        """Earlier corrections of these rows, the oldest first."""
        query = select(_CORRECTION).where(
            _CORRECTION.c.meter_id == meter_id,
            _CORRECTION.c.dimensions == was.dimensions,
            _CORRECTION.c.billed_id == was.rate_id,
        )
        rows = self.connection.execute(query.order_by(_CORRECTION.c.id))
        return [(Interval(row.start, row.end), row.rate_id) for row in rows]

    def _row(
        self, meter_id: int, was: slots.Priced, piece: Interval, rates: tuple[int, int]
    ) -> dict[str, Any]:
        return {
            "meter_id": meter_id,
            "dimensions": was.dimensions,
            "billed_id": was.rate_id,
            "was_id": rates[0],
            "rate_id": rates[1],
            "start": piece.start,
            "end": piece.end,
            "known": self.at,
        }

    def _rate(self, rate_id: int) -> Rate | None:
        return self.rates.of(self.connection, [rate_id]).get(rate_id)

    def _id(self, rate: Rate | None) -> int:
        return self.rates.ids(self.connection, [rate], self.at)[rate.id] if rate else 0


def corrected(connection: Connection, meter_id: int, known: Interval) -> list[Corrected]:
    """The corrections that became known in an interval, by line."""
    found: dict[tuple[int, int], Corrected] = {}
    for row, quantity in (
        *_corrected_slots(connection, meter_id, known),
        *_packed(connection, meter_id, known),
    ):
        key = (row.id, row.line_id)
        before = found[key].quantity if key in found else 0
        between = Interval(row.start, row.end)
        found[key] = Corrected(row.line_id, between, row.was_id, row.rate_id, before + quantity, row.known)
    return [found[key] for key in sorted(found)]


def _corrected_slots(connection: Connection, meter_id: int, known: Interval) -> Iterator[tuple[Any, int]]:
    """Corrections with a line that they are of, and how much of it they are about."""
    quantity = func.sum(_USAGE.c.quantity)
    here = (
        (_USAGE.c.meter_id == meter_id)
        & (_USAGE.c.line_id == _LINE.c.id)
        & (_USAGE.c.slot >= _CORRECTION.c.start)
        & (_USAGE.c.slot < _CORRECTION.c.end)
        & (func.coalesce(_USAGE.c.rate_id, 0) == _CORRECTION.c.billed_id)
    )
    query = _corrections(meter_id, known).add_columns(_USAGE.c.line_id, quantity.label("quantity"))
    for row in connection.execute(query.join(_USAGE, here).group_by(_CORRECTION.c.id, _USAGE.c.line_id)):
        yield row, int(row.quantity)


def _packed(connection: Connection, meter_id: int, known: Interval) -> Iterator[tuple[Any, int]]:
    """As `_corrected_slots`, of packed days."""
    packed = schema.usage_packed
    here = (
        (packed.c.meter_id == meter_id)
        & (packed.c.line_id == _LINE.c.id)
        & (packed.c.last >= _CORRECTION.c.start)
        & (packed.c.first < _CORRECTION.c.end)
        & (packed.c.rate_id == _CORRECTION.c.billed_id)
    )
    query = _corrections(meter_id, known).add_columns(packed.c.line_id, packed.c.first, packed.c.content)
    for row in connection.execute(query.join(packed, here)):
        if amounts := rollup.quarters_of(row).sums(Interval(row.start, row.end)):
            yield row, amounts.quantity


def _corrections(meter_id: int, known: Interval) -> Select[Any]:
    """The corrections that became known in an interval, with the lines of their SKUs."""
    return (
        select(_CORRECTION)
        .join(_LINE, (_LINE.c.meter_id == meter_id) & (_LINE.c.dimensions == _CORRECTION.c.dimensions))
        .where(
            _CORRECTION.c.meter_id == meter_id,
            _CORRECTION.c.known >= known.start,
            _CORRECTION.c.known < known.end,
        )
    )


def adopt(connection: Connection, cluster_id: int, rating: Rating) -> tuple[Interval | None, bool]:
    """Make the book the one that was used last.

    The time for which it differs from the one before, None where it does not; and whether there was one.
    Every rate is kept with the time at which it became known, used or not.
    """
    table, ids = schema.price_book, rating.keep(rating.book.rates)
    entries = {(entry.start, repr(entry)) for entry in rating.book.exchange.entries}
    here = table.c.cluster_id == cluster_id
    before = connection.execute(select(table.c.content).where(here)).scalar()
    content = json.dumps({"rates": sorted(ids), "exchange": sorted(entries)})
    if before is None:
        connection.execute(
            table.insert().values(cluster_id=cluster_id, content=content, known=rating.at, repriced=0)
        )
        return EVER, False
    if before == content:
        return None, True
    connection.execute(table.update().where(here).values(content=content, known=rating.at))
    was = json.loads(before)
    differing = ids ^ set(was["rates"])
    found = rating.rates.of(connection, differing)
    spans = [found[rate_id].interval for rate_id in differing]
    spans += [
        Interval(start, FAR_FUTURE) for start, _ in entries ^ {tuple(entry) for entry in was["exchange"]}
    ]
    return Interval(min(span.start for span in spans), max(span.end for span in spans)), True


def is_rated(connection: Connection, cluster_id: int, since: int, prices: str | None = None) -> bool:
    """Whether all that is posted from an instant on is priced by one book: by this one, if it is given."""
    table = schema.price_book
    query = select(table.c.rated, table.c.rated_since).where(table.c.cluster_id == cluster_id)
    found = connection.execute(query).one_or_none()
    if found is None or found.rated is None or found.rated_since > since:
        return False
    return prices in (None, found.rated)


def remember_rated(connection: Connection, cluster_id: int, since: int, prices: str) -> None:
    """All that is posted from an instant on has the prices of this book."""
    table = schema.price_book
    values = {"rated": prices, "rated_since": since}
    connection.execute(table.update().where(table.c.cluster_id == cluster_id).values(values))


def mix(connection: Connection, cluster_id: int, prices: str | None) -> None:
    """Something is posted by the prices of this book; None is not known. Is it another, two are mixed."""
    table = schema.price_book
    other = true() if prices is None else table.c.rated != prices
    query = table.update().where(table.c.cluster_id == cluster_id, table.c.rated.is_not(None), other)
    connection.execute(query.values(rated=None))


def repriced(connection: Connection, cluster_id: int) -> int:
    """When posted usage last got another rate; 0 before the first time."""
    table = schema.price_book
    return connection.execute(select(table.c.repriced).where(table.c.cluster_id == cluster_id)).scalar() or 0


def remember_repriced(connection: Connection, cluster_id: int, at: int) -> None:
    """Posted usage got another rate."""
    table = schema.price_book
    connection.execute(table.update().where(table.c.cluster_id == cluster_id).values(repriced=at))


def has_tiers(book: PriceBook, name: str) -> bool:
    """Whether some of what a meter counts has prices by volume."""
    return any(rate.tiers and rate.meter == meter_of(name) for rate in book.rates)


def _cut(
    part: Interval, known: Iterable[tuple[Interval, int]], billed: int
) -> Iterator[tuple[Interval, int]]:
    """The part, cut where earlier corrections begin and end, with the rate that stands in each piece."""
    known = list(known)
    edges = {part.start, part.end}
    for interval, _ in known:
        edges.update(t for t in (interval.start, interval.end) if t in part)
    for start, end in pairwise(sorted(edges)):
        standing = [rate_id for interval, rate_id in known if start in interval]
        yield Interval(start, end), standing[-1] if standing else billed


def _alike(one: Rate | None, other: Rate) -> bool:
    """Whether usage costs the same, whatever else is said of the price."""
    if one is None or one.reason != other.reason:
        return False
    return one.unit_price == other.unit_price and (one.currency == other.currency or not one.unit_price)
