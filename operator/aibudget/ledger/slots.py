"""The rows of a meter's slots: replaced, summed and priced anew, in SQL over integers.

What is packed (`rollup.py`) is part of every answer, and unpacked before it changes. Free functions inside a
transaction that `store.py` opened; they know no lines or rates but as integers.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from aibudget.ledger import days, rollup, schema
from aibudget.ledger.days import QUANTITIES
from aibudget.ledger.lines import CHUNK, in_chunks
from aibudget.ledger.quarters import DAY
from aibudget.ledger.schema import within
from aibudget.ledger.totals import NOTHING, Covered, Row, Totals, together
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.charge import Charge

_USAGE, _COVERAGE = schema.usage_slot, schema.coverage

Slot = tuple[Sequence[Row], Covered]
"""What one slot holds."""


@dataclass(frozen=True, slots=True)
class Priced:
    """The first and last slot in which a SKU (by its written dimensions) has a rate; 0 is none."""

    dimensions: str
    rate_id: int
    first: int
    last: int


def replace(
    connection: Connection,
    meter_id: int,
    slots: Mapping[int, Sequence[Row]],
    read: tuple[Mapping[int, Coverage], int],
) -> Mapping[int, Slot]:
    """Make the slots hold these rows alone; what they have held. `read` is each slot's coverage, and when it
    was read."""
    coverage, _ = read
    if not coverage:
        return {}
    rollup.unpack(connection, meter_id, coverage)
    before = _held(connection, meter_id, sorted(coverage))
    with days.following(connection, meter_id, Interval(min(coverage), max(coverage) + SLOT_SECONDS)):
        _replace(connection, meter_id, slots, read)
    return before


def _replace(
    connection: Connection,
    meter_id: int,
    slots: Mapping[int, Sequence[Row]],
    read: tuple[Mapping[int, Coverage], int],
) -> None:
    coverage, at = read
    posted = sorted(coverage)
    for table in (_USAGE, _COVERAGE):
        for start in range(0, len(posted), CHUNK):
            these = table.c.slot.in_(posted[start : start + CHUNK])
            connection.execute(table.delete().where(table.c.meter_id == meter_id, these))
    values = (
        row._asdict() | {"meter_id": meter_id, "slot": slot, "rate_id": row.rate_id or None}
        for slot, rows in slots.items()
        for row in rows
    )
    rollup.insert(connection, _USAGE, values)
    connection.execute(
        _COVERAGE.insert(),
        [
            {
                "meter_id": meter_id,
                "slot": slot,
                "covered_seconds": covered.covered_seconds,
                "total_seconds": covered.total_seconds,
                "known": at,
            }
            for slot, covered in coverage.items()
        ],
    )


def _held(connection: Connection, meter_id: int, slots: Sequence[int]) -> Mapping[int, Slot]:
    """What those of the slots hold that were posted before; none of them is packed."""
    rows: dict[int, list[Row]] = defaultdict(list)
    query = select(_USAGE).where(_USAGE.c.meter_id == meter_id)
    for row in in_chunks(connection, query.where, _USAGE.c.slot, slots):
        rows[row.slot].append(Row.of(row))
    query = select(_COVERAGE).where(_COVERAGE.c.meter_id == meter_id)
    return {
        row.slot: (rows[row.slot], Covered(1, row.covered_seconds, row.total_seconds))
        for row in in_chunks(connection, query.where, _COVERAGE.c.slot, slots)
    }


def sums(connection: Connection, meter_id: int, interval: Interval) -> list[Row]:
    """Each line's sums at each of its rates."""
    columns = [func.sum(_USAGE.c[name]).label(name) for name in QUANTITIES]
    query = (
        select(_USAGE.c.line_id, _USAGE.c.rate_id, *columns)
        .where(within(_USAGE, meter_id, interval))
        .group_by(_USAGE.c.line_id, _USAGE.c.rate_id)
    )
    rows = [Row.of(row) for row in connection.execute(query)]
    packed = rollup.sums(connection, meter_id, interval)
    return together((*rows, *packed)) if packed else rows


def posted(coverage: Mapping[int, Coverage], rows: Mapping[int, Sequence[Row]]) -> Mapping[int, Slot]:
    """What slots hold once these rows and this coverage are in them."""
    return {
        slot: (rows.get(slot, ()), Covered(1, covered.covered_seconds, covered.total_seconds))
        for slot, covered in coverage.items()
    }


def hourly_coverage(connection: Connection, meter_id: int, interval: Interval) -> Mapping[int, Covered]:
    """How much of each hour was asked for, and how much of that was covered."""
    found: dict[int, Covered] = defaultdict(lambda: NOTHING)
    for slot, known in coverage(connection, meter_id, interval).items():
        found[slot - slot % 3600] += Covered(1, known.covered_seconds, known.total_seconds)
    return found


def hourly(
    connection: Connection, meter_id: int, interval: Interval, namespaces: Collection[str] | None = None
) -> Mapping[int, Sequence[Row]]:
    """Each line's sums at each of its rates, by the hour; of these namespaces alone, where some are given."""
    hour = (_USAGE.c.slot - _USAGE.c.slot % 3600).label("hour")
    columns = [func.sum(_USAGE.c[name]).label(name) for name in QUANTITIES]
    query = select(hour, _USAGE.c.line_id, _USAGE.c.rate_id, *columns).where(
        within(_USAGE, meter_id, interval)
    )
    packed_lines = []
    if namespaces is not None:
        line, subject = schema.line, schema.subject
        lines = (
            select(line.c.id)
            .join(subject, line.c.subject_id == subject.c.id)
            .where(line.c.meter_id == meter_id, subject.c.namespace.in_(sorted(namespaces)))
        )
        query = query.where(_USAGE.c.line_id.in_(lines))
        packed_lines = [schema.usage_packed.c.line_id.in_(lines)]
    found: dict[int, list[Row]] = defaultdict(list)
    for row in connection.execute(query.group_by(hour, _USAGE.c.line_id, _USAGE.c.rate_id)):
        found[int(row.hour)].append(Row.of(row))
    for start, packed in rollup.hourly(connection, meter_id, interval, *packed_lines):
        found[start].append(packed)
    return found


def covered(connection: Connection, meter_id: int, interval: Interval) -> Covered:
    """How much of the interval was asked for, and how much of that was covered."""
    query = select(
        func.count(), func.sum(_COVERAGE.c.covered_seconds), func.sum(_COVERAGE.c.total_seconds)
    ).where(within(_COVERAGE, meter_id, interval))
    count, seconds, total = connection.execute(query).one()
    return Covered(count, int(seconds), int(total)) if count else NOTHING


def counted(connection: Connection, meter_id: int, span: Interval) -> tuple[Sequence[Row], Covered]:
    """Each line's sums and the coverage, added up from the slots."""
    return sums(connection, meter_id, span), covered(connection, meter_id, span)


def known(
    connection: Connection, meter_id: int, span: Interval, watermark: int
) -> tuple[Sequence[Row], Covered]:
    """As `counted`, from days where they are whole."""
    return days.sums(connection, meter_id, span, watermark), covered(connection, meter_id, span)


def summed(
    connection: Connection, meter_id: int, totals: Totals, span: Interval, watermark: int
) -> tuple[Sequence[Row], Covered]:
    """From running totals, where it ends at the watermark or where another begins; else added up."""
    past = span.end < watermark
    if past and not totals.asked(span.end):
        return known(connection, meter_id, span, watermark)
    if not totals.asked(span.start):
        # What another beginning has counted already is not counted again.
        base = totals.nearest(span.start, watermark)
        between = Interval(min(span.start, base), max(span.start, base))
        totals.remember(span.start, base, *known(connection, meter_id, between, watermark))
    if past:
        return totals.between(span.start, span.end)
    return totals.since(span.start)


def coverage(connection: Connection, meter_id: int, interval: Interval) -> Mapping[int, Coverage]:
    """The coverage of each posted slot."""
    query = select(_COVERAGE).where(within(_COVERAGE, meter_id, interval)).order_by(_COVERAGE.c.slot)
    return {row.slot: Coverage(row.covered_seconds, row.total_seconds) for row in connection.execute(query)}


def priced(connection: Connection, meter_id: int, interval: Interval) -> list[Priced]:
    """Which rates price which SKUs, and between which slots."""
    per_line = (
        select(_USAGE.c.line_id, _USAGE.c.rate_id, func.min(_USAGE.c.slot), func.max(_USAGE.c.slot))
        .where(within(_USAGE, meter_id, interval))
        .group_by(_USAGE.c.line_id, _USAGE.c.rate_id)
    )
    parts = [(*row,) for row in connection.execute(per_line)]
    parts += rollup.bounds(connection, meter_id, interval)
    line = schema.line
    query = select(line.c.id, line.c.dimensions)
    written = in_chunks(connection, query.where, line.c.id, sorted({line_id for line_id, *_ in parts}))
    dimensions = {row.id: row.dimensions for row in written}
    found: dict[tuple[str, int], tuple[int, int]] = {}
    for line_id, rate_id, first, last in parts:
        key = (dimensions[line_id], rate_id or 0)
        known = found.get(key, (first, last))
        found[key] = min(known[0], first), max(known[1], last)
    return [Priced(*key, *found[key]) for key in sorted(found)]


def priced_by_day(connection: Connection, meter_id: int, interval: Interval) -> list[Priced]:
    """As `priced`, but between the days of those slots, where days are kept: less is looked at."""
    if not days.are_kept(connection, meter_id):
        return priced(connection, meter_id, interval)
    return [
        Priced(text, rate, max(first, interval.start), min(last + DAY, interval.end) - SLOT_SECONDS)
        for text, rate, first, last in days.priced(connection, meter_id, interval)
    ]


def reprice(connection: Connection, meter_id: int, was: Priced, part: Interval, rate_id: int) -> int:
    """Give the rows of `was` that lie in a part of time another rate; returns how many there were.

    Their days are the caller's to count anew, once for all.
    """
    line = schema.line
    of_sku = select(line.c.id).where(line.c.meter_id == meter_id, line.c.dimensions == was.dimensions)
    packed = rollup.reprice(connection, meter_id, of_sku, (was.rate_id, rate_id), part)
    query = _USAGE.update().where(
        within(_USAGE, meter_id, part),
        _USAGE.c.line_id.in_(of_sku),
        _USAGE.c.rate_id.is_(None) if was.rate_id == 0 else _USAGE.c.rate_id == was.rate_id,
    )
    return packed + connection.execute(query.values(rate_id=rate_id or None)).rowcount


def by_rate(connection: Connection, meter_id: int, interval: Interval) -> list[tuple[int, int, int]]:
    """What each slot used at each rate (0 is none), in order of the slots."""
    query = (
        select(_USAGE.c.slot, _USAGE.c.rate_id, func.sum(_USAGE.c.quantity))
        .where(within(_USAGE, meter_id, interval))
        .group_by(_USAGE.c.slot, _USAGE.c.rate_id)
    )
    found: dict[tuple[int, int], int] = defaultdict(int)
    for slot, rate_id, quantity in connection.execute(query):
        found[slot, rate_id or 0] += int(quantity)
    for _, rate_id, quarters in rollup.read(connection, meter_id, interval):
        for slot, amounts in quarters.slots():
            if slot in interval:
                found[slot, rate_id] += amounts.quantity
    return [(*key, found[key]) for key in sorted(found)]


def reprice_slot(connection: Connection, meter_id: int, slot: int, was: int, rate_id: int) -> int:
    """Give the rows of one slot that have a rate another one; returns how many there were.

    Their days are the caller's to count anew, once for all.
    """
    rollup.unpack(connection, meter_id, [slot])
    query = _USAGE.update().where(
        _USAGE.c.meter_id == meter_id, _USAGE.c.slot == slot, _USAGE.c.rate_id == was
    )
    return connection.execute(query.values(rate_id=rate_id)).rowcount


def merged(rows: Iterable[tuple[int, Row]]) -> Mapping[int, Sequence[Row]]:
    """(slot, row) pairs by slot, with one row for each line: what was used twice in a slot is added up.

    A line has one rate in a slot, since prices change between slots only. A quantity of 0 is no row.
    """
    slots: dict[int, dict[int, Row]] = defaultdict(dict)
    for slot, row in rows:
        if row.quantity == 0:
            continue
        held = slots[slot].get(row.line_id)
        slots[slot][row.line_id] = row if held is None else held.plus(row)
    return {slot: list(lines.values()) for slot, lines in slots.items()}


def row(charge: Charge, line_id: int, rate_ids: Mapping[str, int]) -> tuple[int, Row]:
    """A charge as it is posted: its slot, and its row there."""
    usage = charge.usage
    rate_id = rate_ids[charge.rate.id] if charge.rate else 0
    observed = usage.observed or 0
    busy = usage.busy or 0
    return usage.slot, Row(line_id, rate_id, usage.quantity, usage.estimated, busy, observed)
