"""At which of its tiers a book would have charged each slot, whatever was billed.

A bill of closed time is not written anew, so this asks what it would say: which rate the book has for each
SKU, what each month had used of it by then, and the one price that a slot comes to by that. Volume is counted
by the rates of this book, whatever was billed, a month at a time. Reads the rows of a meter, packed or not,
and changes none.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import groupby, pairwise
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from aibudget.ledger import rollup, schema
from aibudget.ledger.lines import sku_of
from aibudget.ledger.quarters import DAY
from aibudget.ledger.schema import within
from aibudget.ledger.slots import Priced
from aibudget.metering.catalogue import meter_of
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.rate import Rate
from aibudget.pricing.tiers import drawn, month_of

_USAGE, _LINE = schema.usage_slot, schema.line


class _Used(NamedTuple):
    """What a slot used of a SKU at a rate; 0 is none."""

    slot: int
    dimensions: str
    rate_id: int
    quantity: int


class _Change(NamedTuple):
    """From this slot on a rate is drawn so."""

    slot: int
    rate: Rate


class _Rates:
    """Which rates with tiers a book has for what rows are of."""

    def __init__(self, book: PriceBook, meter: str) -> None:
        self._book, self._meter = book, meter_of(meter)
        self._skus: dict[str, Sku] = {}

    def of(self, row: _Used) -> Rate | None:
        """None where the row counts towards no tier."""
        if row.dimensions not in self._skus:
            self._skus[row.dimensions] = sku_of(self._meter, row.dimensions)
        rate = self._book.rate(self._skus[row.dimensions], row.slot)
        # Idle capacity is priced by the rates of another meter, and counts towards none of them.
        return rate if rate is not None and rate.tiers and rate.meter == self._meter else None


def volumes(connection: Connection, meter: tuple[str, int], book: PriceBook, slot: int) -> dict[str, int]:
    """How much of a meter (its name and integer) each rate with tiers, by its name, has to its account in the
    month before a slot: by this book, whatever was billed.
    """
    name, meter_id = meter
    rates, found = _Rates(book, name), defaultdict[str, int](int)
    for row in _used(connection, meter_id, Interval(month_of(slot), slot)):
        if rate := rates.of(row):
            found[rate.label] += row.quantity
    return found


class Draws:
    """Of a meter's closed time. `priced` are its rows by SKU and rate, in pieces between changes: a rate with
    tiers comes again every month.
    """

    def __init__(self, book: PriceBook, meter: str, span: Interval) -> None:
        self._rates, self._span = _Rates(book, meter), span
        self._changes: dict[str, list[_Change]] = defaultdict(list)
        self._pieces: dict[str, list[Priced]] = defaultdict(list)

    @property
    def priced(self) -> list[Priced]:
        return [piece for pieces in self._pieces.values() for piece in pieces]

    def read(self, connection: Connection, meter_id: int) -> "Draws":
        """Go through the rows of the span, and those of its first month before it."""
        month, before = 0, dict[str, int]()
        whole = Interval(month_of(self._span.start), self._span.end)
        for slot, rows in groupby(_used(connection, meter_id, whole), key=lambda row: row.slot):
            if month_of(slot) != month:
                month, before = month_of(slot), {}
            used: dict[str, int] = defaultdict(int)
            rates: dict[str, Rate] = {}
            for row in rows:
                self._note(row)
                if rate := self._rates.of(row):
                    rates[rate.id] = rate
                    used[rate.label] += row.quantity
            self._draw(slot, rates.values(), used, before)
        return self

    def of(self, rate: Rate, part: Interval) -> Iterator[tuple[Interval, Rate]]:
        """The part, cut where the rate is drawn otherwise than before; whole where it has no tiers.

        Nothing of it before the rate was first used: there is nothing to be billed.
        """
        changes = self._changes.get(rate.id)
        if changes is None:
            yield part, rate
            return
        first = max(0, bisect_right(changes, part.start, key=lambda change: change.slot) - 1)
        here = [change for change in changes[first:] if change.slot < part.end]
        ends = pairwise([*(max(part.start, change.slot) for change in here), part.end])
        for change, (start, end) in zip(here, ends, strict=True):
            yield Interval(start, end), change.rate

    def _draw(self, slot: int, rates: Iterable[Rate], used: dict[str, int], before: dict[str, int]) -> None:
        for rate in rates:
            changes = self._changes[rate.id]
            at = drawn(rate, before.get(rate.label, 0), used[rate.label])
            if not changes or changes[-1].rate.id != at.id:
                changes.append(_Change(slot, at))
        for label, quantity in used.items():
            before[label] = before.get(label, 0) + quantity

    def _note(self, row: _Used) -> None:
        if row.slot not in self._span:
            return
        pieces = self._pieces[row.dimensions]
        goes_on = pieces and pieces[-1].rate_id == row.rate_id
        first = pieces.pop().first if goes_on else row.slot
        pieces.append(Priced(row.dimensions, row.rate_id, first, row.slot))


def _used(connection: Connection, meter_id: int, span: Interval) -> Iterator[_Used]:
    """In order of the slots; a day is packed as a whole or not at all."""
    parts = (_slots(connection, meter_id, span), _packed(connection, meter_id, span))
    return merge(*parts, key=lambda row: row.slot)


def _slots(connection: Connection, meter_id: int, span: Interval) -> Iterator[_Used]:
    rate_id = func.coalesce(_USAGE.c.rate_id, 0)
    query = (
        select(_USAGE.c.slot, _LINE.c.dimensions, rate_id, func.sum(_USAGE.c.quantity))
        .join_from(_USAGE, _LINE, _LINE.c.id == _USAGE.c.line_id)
        .where(within(_USAGE, meter_id, span))
        .group_by(_USAGE.c.slot, _LINE.c.dimensions, rate_id)
        .order_by(_USAGE.c.slot)
    )
    for slot, dimensions, rate, quantity in connection.execute(query):
        yield _Used(slot, dimensions, rate, int(quantity))


def _packed(connection: Connection, meter_id: int, span: Interval) -> Iterator[_Used]:
    rows = rollup.read(connection, meter_id, span)
    lines: dict[int, str] = {}
    for _, of_a_day in groupby(rows, key=lambda row: row[2].first // DAY):
        if not lines:
            query = select(_LINE.c.id, _LINE.c.dimensions).where(_LINE.c.meter_id == meter_id)
            lines = {row.id: row.dimensions for row in connection.execute(query)}
        used: dict[tuple[int, str, int], int] = defaultdict(int)
        for line_id, rate_id, quarters in of_a_day:
            for slot, amounts in quarters.slots():
                if slot in span:
                    used[slot, lines[line_id], rate_id] += amounts.quantity
        for key in sorted(used):
            yield _Used(*key, used[key])
