"""What each budget used in each hour: small enough to be kept for two years, and to foresee by.

A budget has a series of hours for its money, and one for each thing that its caps count.

An hour is counted from its lines as a whole and never added to, so that a recount gives the same numbers by
construction. What changes lines (a posting, other prices) marks their hours in the same transaction, by a
number that only grows; a budget remembers up to which number it was counted. Which lines are a budget's is
not known here. For one thread.
"""

import json
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, func, select

from aibudget.ledger import meters, schema
from aibudget.ledger.database import Database
from aibudget.ledger.lines import CHUNK, in_chunks
from aibudget.pricing.tiers import month_of

HOUR: Final = 3600
_HOUR, _HOURS, _COUNTED, _HELD = (
    schema.hour,
    schema.budget_hours,
    schema.budget_counted,
    schema.budget_held,
)

Amount = int | None
"""Billionths of the budget's currency, or the smallest unit of what a cap counts; None where that is not
known."""


def series(budget: str, measure: str = "") -> str:
    """What the hours of a budget, by its uid, are called: those of its money, or of what a cap counts."""
    return f"{budget}/{measure}" if measure else budget


@dataclass(frozen=True, slots=True)
class Counted:
    """All hours from `since` on are counted by their state at `revision`, for the scope of that digest."""

    scope: str
    revision: int
    since: int


@dataclass(frozen=True, slots=True)
class Recount:
    """Some hours of a series, by their beginnings, and how far it is counted with them.

    `anew` drops what was counted before, which was of another scope.
    """

    counted: Counted
    amounts: Mapping[int, Amount] = field(default_factory=dict)
    anew: bool = False


class HourBook:
    """Of all budgets of one cluster, by series. Raises as `Ledger` does."""

    def __init__(self, database: Database, cluster_id: int) -> None:
        self._database = database
        self._cluster_id = cluster_id

    def counted(self, names: Collection[str] | None = None) -> dict[str, Counted]:
        """How far each series is counted that ever was, or those of these few names."""
        query = select(_COUNTED).where(_COUNTED.c.cluster_id == self._cluster_id)
        query = query if names is None else query.where(_COUNTED.c.series.in_(names))
        with self._database.reading() as connection:
            rows = connection.execute(query)
            return {row.series: Counted(row.scope, row.revision, row.since) for row in rows}

    def changed(self, after: int, before: int) -> Mapping[int, int]:
        """The hours that begin before an instant and changed after a revision, with their own."""
        query = select(_HOUR.c.start, _HOUR.c.revision).where(
            _HOUR.c.cluster_id == self._cluster_id, _HOUR.c.revision > after, _HOUR.c.start < before
        )
        with self._database.reading() as connection:
            return {row.start: row.revision for row in connection.execute(query)}

    def newest(self, before: int) -> int:
        """The last change of any hour that begins before an instant."""
        query = select(func.max(_HOUR.c.revision)).where(
            _HOUR.c.cluster_id == self._cluster_id, _HOUR.c.start < before
        )
        with self._database.reading() as connection:
            return connection.execute(query).scalar() or 0

    def first(self) -> int | None:
        """The first hour that anything is posted of."""
        query = select(func.min(_HOUR.c.start)).where(_HOUR.c.cluster_id == self._cluster_id)
        with self._database.reading() as connection:
            return connection.execute(query).scalar()

    def read(self, name: str, since: int) -> dict[int, Amount]:
        """A series from the month of `since` on; hours in which something was held are None."""
        budget = name.partition("/")[0]
        mine = (_HOURS.c.cluster_id == self._cluster_id, _HOURS.c.series == name)
        of_it = (_HELD.c.cluster_id == self._cluster_id, _HELD.c.budget == budget)
        held = (*of_it, _HELD.c.hour >= month_of(since))
        with self._database.reading() as connection:
            rows = connection.execute(select(_HOURS).where(*mine, _HOURS.c.month >= month_of(since))).all()
            stopped = connection.execute(select(_HELD.c.hour).where(*held)).scalars().all()
        found: dict[int, Amount] = {}
        for row in rows:
            found |= {row.month + HOUR * at: amount for at, amount in enumerate(_unpacked(row.hours))}
        return found | dict.fromkeys(stopped)

    def write(self, recounts: Mapping[str, Recount], epoch: int) -> None:
        """Keep what was counted, all of it at once. Raises `Conflict` where another writer took over."""
        with self._database.writing() as connection:
            meters.check_epoch(connection, self._cluster_id, epoch)
            self._drop(connection, [name for name, recount in recounts.items() if recount.anew])
            self._write_months(connection, recounts)
            names = list(recounts)
            for start in range(0, len(names), CHUNK):
                mine = _COUNTED.c.series.in_(names[start : start + CHUNK])
                connection.execute(_COUNTED.delete().where(_COUNTED.c.cluster_id == self._cluster_id, mine))
            connection.execute(
                _COUNTED.insert(),
                [
                    {
                        "cluster_id": self._cluster_id,
                        "series": name,
                        "scope": recount.counted.scope,
                        "revision": recount.counted.revision,
                        "since": recount.counted.since,
                    }
                    for name, recount in recounts.items()
                ],
            )

    def hold(self, held: Mapping[str, Iterable[int]], epoch: int) -> None:
        """Something that these budgets count was held in these hours."""
        with self._database.writing() as connection:
            meters.check_epoch(connection, self._cluster_id, epoch)
            for uid, hours in held.items():
                mine = (_HELD.c.cluster_id == self._cluster_id, _HELD.c.budget == uid)
                there = set(connection.execute(select(_HELD.c.hour).where(*mine)).scalars())
                if new := sorted(set(hours) - there):
                    key = {"cluster_id": self._cluster_id, "budget": uid}
                    connection.execute(_HELD.insert(), [key | {"hour": hour} for hour in new])

    def forget(self, before: int, epoch: int) -> None:
        """Let go of whole months that end before an instant."""
        with self._database.writing() as connection:
            meters.check_epoch(connection, self._cluster_id, epoch)
            for table, column in ((_HOURS, _HOURS.c.month), (_HELD, _HELD.c.hour), (_HOUR, _HOUR.c.start)):
                old = column < month_of(before)
                connection.execute(table.delete().where(table.c.cluster_id == self._cluster_id, old))

    def _drop(self, connection: Connection, names: Sequence[str]) -> None:
        for start in range(0, len(names), CHUNK):
            mine = _HOURS.c.series.in_(names[start : start + CHUNK])
            connection.execute(_HOURS.delete().where(_HOURS.c.cluster_id == self._cluster_id, mine))

    def _write_months(self, connection: Connection, recounts: Mapping[str, Recount]) -> None:
        by_month: dict[int, dict[str, dict[int, Amount]]] = defaultdict(lambda: defaultdict(dict))
        for name, recount in recounts.items():
            for hour, amount in recount.amounts.items():
                by_month[month_of(hour)][name][hour] = amount
        for month, several in by_month.items():
            here = (_HOURS.c.cluster_id == self._cluster_id, _HOURS.c.month == month)
            query = select(_HOURS.c.series, _HOURS.c.hours).where(*here)
            before = {
                row.series: row.hours
                for row in in_chunks(connection, query.where, _HOURS.c.series, list(several))
            }
            after = {name: _merged(before.get(name), month, amounts) for name, amounts in several.items()}
            moved = {name: packed for name, packed in after.items() if packed != before.get(name)}
            for name in moved.keys() & before.keys():
                connection.execute(_HOURS.delete().where(*here, _HOURS.c.series == name))
            key = {"cluster_id": self._cluster_id, "month": month}
            if moved:
                rows = [key | {"series": name, "hours": packed} for name, packed in moved.items()]
                connection.execute(_HOURS.insert(), rows)


def mark(connection: Connection, cluster_id: int, hours: Iterable[int]) -> None:
    """What is posted of these hours, by any instant in them, is no longer what it was."""
    starts = sorted({instant - instant % HOUR for instant in hours})
    here = _HOUR.c.cluster_id == cluster_id
    last = connection.execute(select(func.max(_HOUR.c.revision)).where(here)).scalar() or 0
    for at in range(0, len(starts), CHUNK):
        part = starts[at : at + CHUNK]
        connection.execute(_HOUR.delete().where(here, _HOUR.c.start.in_(part)))
        rows = [{"cluster_id": cluster_id, "start": start, "revision": last + 1} for start in part]
        connection.execute(_HOUR.insert(), rows)


def _merged(packed: bytes | None, month: int, amounts: Mapping[int, Amount]) -> bytes:
    hours = [] if packed is None else _unpacked(packed)
    places = {(hour - month) // HOUR: amount for hour, amount in amounts.items()}
    hours += [None] * (max(places) + 1 - len(hours))
    for place, amount in places.items():
        hours[place] = amount
    return zlib.compress(json.dumps(hours, separators=(",", ":")).encode(), 1)


def _unpacked(packed: bytes) -> list[Amount]:
    """A JSON list of the month's hours, deflated: a third of its size."""
    found: list[Amount] = json.loads(zlib.decompress(packed))
    return found
