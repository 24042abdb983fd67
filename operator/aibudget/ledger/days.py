"""What each line used by UTC day, at each of its rates: slots added up beforehand, so that a start is short.

Whoever changes slots changes their days in the same transaction. A meter remembers up to which revision its
days were kept; at another (there were none yet, or an older program has written since) they are not believed
and slots are added up instead, until the one writer has made them anew. Free functions inside transactions;
which slots change and why is not known here. A packed day (`rollup.py`) has the sums that it had before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import ColumnElement, Connection, Select, and_, func, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from aibudget.ledger import rollup, schema
from aibudget.ledger.lines import insertion
from aibudget.ledger.quarters import DAY
from aibudget.ledger.schema import within
from aibudget.ledger.totals import Row, together
from aibudget.metering.slots import Interval

QUANTITIES: Final = ("quantity", "estimated", "busy", "observed")
_USAGE, _DAYS, _METER = schema.usage_slot, schema.usage_day, schema.meter
_KEY: Final = ("meter_id", "day", "line_id", "rate_id")


@contextmanager
def following(connection: Connection, meter_id: int, span: Interval) -> Iterator[None]:
    """What happens to the slots of the span meanwhile happens to their days; none of them is packed."""
    taken = _add(connection, within(_USAGE, meter_id, span), -1)
    yield
    _add(connection, within(_USAGE, meter_id, span), 1)
    if taken:
        # Without usage there is no row: whatever is used is more than 0.
        connection.execute(_DAYS.delete().where(_these(meter_id, span), _DAYS.c.quantity == 0))


def recount(connection: Connection, meter_id: int, span: Interval) -> None:
    """Make the days anew that the span touches, a day at a time: a year is not sorted at once."""
    for day in _days(span):
        one = Interval(day, day + DAY)
        connection.execute(_DAYS.delete().where(_these(meter_id, one)))
        _add(connection, within(_USAGE, meter_id, one), 1)
        if packed := rollup.sums(connection, meter_id, one):
            key = {"meter_id": meter_id, "day": day}
            rows = [key | row._asdict() for row in packed]
            connection.execute(_added(insertion(connection, _DAYS)), rows)


def are_kept(connection: Connection, meter_id: int) -> bool:
    """Whether the days of a meter are those of its slots."""
    query = select(_METER.c.summed == _METER.c.revision).where(_METER.c.id == meter_id)
    return bool(connection.execute(query).scalar())


def renew(connection: Connection, meter_id: int) -> None:
    """Make all days of a meter anew, to be kept from now on."""
    connection.execute(_DAYS.delete().where(_DAYS.c.meter_id == meter_id))
    here = _METER.c.id == meter_id
    begins, watermark = connection.execute(select(_METER.c.begins, _METER.c.watermark).where(here)).one()
    if begins is not None and watermark is not None:
        recount(connection, meter_id, Interval(begins, watermark))
    connection.execute(_METER.update().where(here).values(summed=_METER.c.revision))


def sums(connection: Connection, meter_id: int, span: Interval, watermark: int) -> list[Row]:
    """Each line's sums at each of its rates: from whole days, and from slots before and after them."""
    # After the watermark there is nothing: the last day is whole as far as it goes.
    last = span.end if span.end < watermark else span.end + DAY - 1
    start, end = span.start + -span.start % DAY, last - last % DAY
    if start >= end or not are_kept(connection, meter_id):
        parts, edges = [], [span]
    else:
        whole = _these(meter_id, Interval(start, end))
        parts = [select(*(_DAYS.c[name] for name in (*_KEY[2:], *QUANTITIES))).where(whole)]
        edges = [Interval(*edge) for edge in ((span.start, start), (end, span.end)) if edge[0] < edge[1]]
    found = union_all(*parts, *(_slots(meter_id, edge) for edge in edges)).subquery()
    columns = [func.sum(found.c[name]).label(name) for name in QUANTITIES]
    query = select(found.c.line_id, found.c.rate_id, *columns).group_by(found.c.line_id, found.c.rate_id)
    rows = [Row.of(row) for row in connection.execute(query)]
    packed = [row for edge in edges for row in rollup.sums(connection, meter_id, edge)]
    return together((*rows, *packed)) if packed else rows


def priced(connection: Connection, meter_id: int, span: Interval) -> Iterator[tuple[str, int, int, int]]:
    """Each SKU's written dimensions with a rate that it has (0 is none), and first and last day of that."""
    line = schema.line
    days = (
        select(_DAYS.c.line_id, _DAYS.c.rate_id, func.min(_DAYS.c.day).label("first"))
        .add_columns(func.max(_DAYS.c.day).label("last"))
        .where(_these(meter_id, span))
        .group_by(_DAYS.c.line_id, _DAYS.c.rate_id)
        .subquery()
    )
    query = (
        select(line.c.dimensions, days.c.rate_id, func.min(days.c.first), func.max(days.c.last))
        .join_from(days, line, line.c.id == days.c.line_id)
        .group_by(line.c.dimensions, days.c.rate_id)
        .order_by(line.c.dimensions)
    )
    for text, rate_id, first, last in connection.execute(query):
        yield str(text), int(rate_id), int(first), int(last)


def differing(connection: Connection, meter_id: int, span: Interval) -> list[int]:
    """The days of the span that are not what their slots add up to."""
    found = []
    for day in _days(span):
        one = Interval(day, day + DAY)
        kept = select(*(_DAYS.c[name] for name in (*_KEY, *QUANTITIES))).where(_these(meter_id, one))
        counted = _rows(connection, _summed(within(_USAGE, meter_id, one), 1))
        slots = together((*counted, *rollup.sums(connection, meter_id, one)))
        if set(_rows(connection, kept)) != set(slots):
            found.append(day)
    return found


def _rows(connection: Connection, query: Select[tuple[int, ...]]) -> list[Row]:
    return [Row(*map(int, row[2:])) for row in connection.execute(query)]


def _slots(meter_id: int, span: Interval) -> Select[tuple[int, ...]]:
    rate_id = func.coalesce(_USAGE.c.rate_id, 0).label("rate_id")
    columns = (_USAGE.c[name] for name in QUANTITIES)
    return select(_USAGE.c.line_id, rate_id, *columns).where(within(_USAGE, meter_id, span))


def _add(connection: Connection, which: ColumnElement[bool], sign: int) -> int:
    """Add slots to their days (1), or take them away (-1); how many rows that changed."""
    insert = insertion(connection, _DAYS)
    into = insert.from_select([*_KEY, *QUANTITIES], _summed(which, sign))
    return connection.execute(_added(into)).rowcount


def _added(into: postgresql.Insert | sqlite.Insert) -> postgresql.Insert | sqlite.Insert:
    """Rows of days are added to those that are there."""
    summed = {name: _DAYS.c[name] + into.excluded[name] for name in QUANTITIES}
    return into.on_conflict_do_update(index_elements=_KEY, set_=summed)


def _summed(which: ColumnElement[bool], sign: int) -> Select[tuple[int, ...]]:
    day = (_USAGE.c.slot - _USAGE.c.slot % DAY).label("day")
    rate_id = func.coalesce(_USAGE.c.rate_id, 0).label("rate")
    columns = [(sign * func.sum(_USAGE.c[name])).label(name) for name in QUANTITIES]
    query = select(_USAGE.c.meter_id, day, _USAGE.c.line_id, rate_id, *columns).where(which)
    return query.group_by(_USAGE.c.meter_id, day, _USAGE.c.line_id, _USAGE.c.rate_id)


def _these(meter_id: int, span: Interval) -> ColumnElement[bool]:
    days = _days(span)
    return and_(_DAYS.c.meter_id == meter_id, _DAYS.c.day >= days.start, _DAYS.c.day < days.stop)


def _days(span: Interval) -> range:
    return range(span.start - span.start % DAY, span.end, DAY)
