"""Days of closed periods, packed: one row for each line and rate, in place of up to 96 rows of slots.

A day of a meter is packed as a whole or not at all, and says the same either way: whoever asks for slots gets
those of packed days as well, and what changes some of them unpacks their day before. So there is no rule
about what may still be asked or changed, only about what is worth being small. What lines use by day
(`days.py`) stays as it is. Free functions inside transactions of `store.py`.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, func, or_, select, tuple_

from aibudget.errors import Stalled
from aibudget.ledger import schema
from aibudget.ledger.quarters import DAY, Cells, Quarters
from aibudget.ledger.schema import within
from aibudget.ledger.totals import Row
from aibudget.metering.slots import SLOT_SECONDS, Interval, iso

INSERTED: Final = 5000
"""Rows that are inserted at once."""

_USAGE, _PACKED, _METER = schema.usage_slot, schema.usage_packed, schema.meter
_AMOUNTS: Final = (_USAGE.c.quantity, _USAGE.c.estimated, _USAGE.c.busy, _USAGE.c.observed)


def next_day(connection: Connection, cluster_id: int, before: int) -> tuple[int, int] | None:
    """The oldest day of slots that is whole and over before an instant, and the meter it is of."""
    query = select(_METER.c.id, _METER.c.begins, _METER.c.watermark)
    found = []
    for meter_id, begins, watermark in connection.execute(query.where(_METER.c.cluster_id == cluster_id)):
        if begins is None or watermark is None:
            continue
        # What is still read of the past comes before the first whole day.
        here = within(_USAGE, meter_id, Interval(begins + -begins % DAY, max(begins + -begins % DAY, before)))
        oldest = select(_USAGE.c.slot).where(here).order_by(_USAGE.c.slot).limit(1)
        slot = connection.execute(oldest).scalar()
        if slot is not None and slot - slot % DAY + DAY <= min(before, watermark):
            found.append((int(slot - slot % DAY), int(meter_id)))
    return min(found, default=None)


def pack(connection: Connection, meter_id: int, day: int) -> int:
    """Put the day's rows of slots together, one for each line and rate; how many they were."""
    cells: dict[tuple[int, int], Cells] = {}
    columns = select(_USAGE.c.line_id, _USAGE.c.rate_id, *_AMOUNTS).where(_USAGE.c.meter_id == meter_id)
    # Slot by slot: a driver may hold all that it was asked for.
    for slot in Interval(day, day + DAY).slots():
        for line_id, rate_id, *amounts in connection.execute(columns.where(_USAGE.c.slot == slot)):
            key = (line_id, rate_id or 0)
            if key not in cells:
                cells[key] = Cells(day)
            cells[key].put(slot, amounts)
    rows = (
        {"meter_id": meter_id, "day": day, "line_id": line_id, "rate_id": rate_id, **_packed(quarters)}
        for (line_id, rate_id), collected in sorted(cells.items())
        if (quarters := collected.quarters()) is not None
    )
    insert(connection, _PACKED, rows)
    of_the_day = within(_USAGE, meter_id, Interval(day, day + DAY))
    return connection.execute(_USAGE.delete().where(of_the_day)).rowcount


def unpack(connection: Connection, meter_id: int, slots: Iterable[int]) -> None:
    """Make rows of slots again of those days that hold these slots: they are about to change."""
    for day in sorted({slot - slot % DAY for slot in slots}):
        for line_id, rate_id, quarters in list(read(connection, meter_id, Interval(day, day + DAY))):
            key = {"meter_id": meter_id, "line_id": line_id, "rate_id": rate_id or None}
            amounts = (key | {"slot": slot, **found._asdict()} for slot, found in quarters.slots())
            insert(connection, _USAGE, amounts)
        drop(connection, meter_id, day)


def read(
    connection: Connection, meter_id: int, span: Interval, *which: ColumnElement[bool]
) -> Iterator[tuple[int, int, Quarters]]:
    """Line, rate and quarter-hours of packed rows that may have usage in the span, and beside it, by days."""
    columns = select(_PACKED.c.line_id, _PACKED.c.rate_id, _PACKED.c.first, _PACKED.c.content)
    for row in connection.execute(columns.where(_touching(meter_id, span), *which).order_by(_PACKED.c.day)):
        yield int(row.line_id), int(row.rate_id), quarters_of(row)


def quarters_of(row: Any) -> Quarters:
    """What a packed row holds. Raises `Stalled` where its bytes are not what was written."""
    try:
        return Quarters.unpacked(int(row.first), bytes(row.content))
    except ValueError as error:
        raise Stalled(
            "LedgerCorrupt",
            f"the ledger is damaged: what is packed of {iso(row.first)} cannot be read ({error}). Put "
            "a backup in its place, or move it away: a new one is then filled again from Prometheus as far "
            "back as that goes.",
        ) from error


def sums(connection: Connection, meter_id: int, span: Interval) -> list[Row]:
    """What packed lines used in the span at each rate, a row for each day of it."""
    found = ((line, rate, one.sums(span)) for line, rate, one in read(connection, meter_id, span))
    return [Row(line_id, rate_id, *amounts) for line_id, rate_id, amounts in found if amounts]


def hourly(
    connection: Connection, meter_id: int, span: Interval, *which: ColumnElement[bool]
) -> Iterator[tuple[int, Row]]:
    """What packed lines used in each hour of the span at each rate."""
    for line_id, rate_id, quarters in read(connection, meter_id, span, *which):
        first, end = max(span.start, quarters.first), min(span.end, quarters.end)
        for hour in range(first - first % 3600, end, 3600):
            part = Interval(max(hour, first), min(hour + 3600, end))
            if amounts := quarters.sums(part):
                yield hour, Row(line_id, rate_id, *amounts)


def bounds(connection: Connection, meter_id: int, span: Interval) -> Iterator[tuple[int, int, int, int]]:
    """Line and rate of packed rows, with the first and last slot of the span in which they have usage."""
    cut = or_(_PACKED.c.first < span.start, _PACKED.c.last >= span.end)
    whole = (
        select(_PACKED.c.line_id, _PACKED.c.rate_id, func.min(_PACKED.c.first), func.max(_PACKED.c.last))
        .where(_touching(meter_id, span), ~cut)
        .group_by(_PACKED.c.line_id, _PACKED.c.rate_id)
    )
    for row in connection.execute(whole):
        line_id, rate_id, first, last = map(int, row)
        yield line_id, rate_id, first, last
    for line_id, rate_id, quarters in read(connection, meter_id, span, cut):
        if used := [slot for slot, _ in quarters.slots() if slot in span]:
            yield line_id, rate_id, used[0], used[-1]


def reprice(
    connection: Connection,
    meter_id: int,
    lines: Select[tuple[int]],
    rates: tuple[int, int],
    part: Interval,
) -> int:
    """Give what these lines used in a part of time at one rate another one, in place wherever that is whole
    days; the others are unpacked. How many slots of lines that were."""
    was, rate_id = rates
    here = and_(_touching(meter_id, part), _PACKED.c.line_id.in_(lines), _PACKED.c.rate_id == was)
    cut = or_(_PACKED.c.first < part.start, _PACKED.c.last >= part.end)
    other = _PACKED.alias()
    place = (_PACKED.c.meter_id, _PACKED.c.day, _PACKED.c.line_id)
    there = select(other.c.meter_id, other.c.day, other.c.line_id).where(other.c.rate_id == rate_id)
    days = select(_PACKED.c.day).distinct().where(here, or_(cut, tuple_(*place).in_(there)))
    unpack(connection, meter_id, connection.execute(days).scalars().all())
    changed = connection.execute(select(func.sum(_PACKED.c.slots)).where(here)).scalar()
    if changed:
        connection.execute(_PACKED.update().where(here).values(rate_id=rate_id))
    return int(changed or 0)


def is_packed(connection: Connection, meter_id: int, day: int) -> bool:
    """Whether anything of a meter's day is packed."""
    query = select(_PACKED.c.line_id).where(_PACKED.c.meter_id == meter_id, _PACKED.c.day == day)
    return connection.execute(query.limit(1)).scalar() is not None


def drop(connection: Connection, meter_id: int, day: int) -> None:
    """Delete what is packed of a meter's day."""
    connection.execute(_PACKED.delete().where(_PACKED.c.meter_id == meter_id, _PACKED.c.day == day))


def insert(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows down: a month of a few lines goes in few statements, and a slot of many in several."""
    rows = iter(rows)
    while batch := list(islice(rows, INSERTED)):
        connection.execute(table.insert(), batch)


def _packed(quarters: Quarters) -> dict[str, Any]:
    return {
        "first": quarters.first,
        "last": quarters.end - SLOT_SECONDS,
        "slots": sum(1 for _ in quarters.slots()),
        "content": quarters.packed(),
    }


def _touching(meter_id: int, span: Interval) -> ColumnElement[bool]:
    """The condition that a packed row of a meter may have usage in the span."""
    return and_(
        _PACKED.c.meter_id == meter_id,
        _PACKED.c.day >= span.start - span.start % DAY,
        _PACKED.c.day < span.end,
        _PACKED.c.first < span.end,
        _PACKED.c.last >= span.start,
    )
