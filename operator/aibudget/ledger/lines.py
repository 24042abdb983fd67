"""The integers that stand for lines and rates in the ledger, and back again.

Writing a slot needs an integer for each of its lines; nearly all are those of the slot before, so they are
kept from one posting to the next. Reading turns integers into values, once in a process's life. It works
inside the transactions of `store.py` and remembers only what those have committed.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from sys import intern
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Connection, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from aibudget.inventory.owners import LINKS
from aibudget.inventory.workload import Workload
from aibudget.ledger import schema
from aibudget.metering.usage import Sku
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import Rate

CHUNK: Final = 500
"""Values in one IN (...): below every database's limit of parameters."""


class LineKey(NamedTuple):
    """What makes two usages the same line. `labels` is the namespace's labels as canonical JSON.

    `tags` are the workload's labels that usage is told with.
    """

    workload: Workload
    sku: Sku
    labels: str
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is read back."""

    workload: Workload
    sku: Sku
    namespace_labels: Mapping[str, str]
    labels: Mapping[str, str]


class Lines:
    """Of one meter of one cluster."""

    def __init__(self, cluster_id: int, meter_id: int, meter: str) -> None:
        self._cluster_id, self._meter_id, self._meter = cluster_id, meter_id, meter
        self._ids: dict[LineKey, int] = {}
        self._lines: dict[int, Line] = {}
        self._skus: dict[str, Sku] = {}
        self._labels: dict[str, Mapping[str, str]] = {}

    def keys(
        self, charges: Iterable[Charge], labels: Mapping[str, Mapping[str, str]]
    ) -> Iterator[tuple[Charge, LineKey]]:
        """Each charge with the line it belongs to."""
        spelled = {namespace: spell(of) for namespace, of in labels.items()}
        for charge in charges:
            usage = charge.usage
            text = spelled.get(usage.workload.namespace, "{}")
            yield charge, LineKey(usage.workload, usage.sku, text, usage.labels)

    def ids(self, connection: Connection, keys: Iterable[LineKey], at: int) -> dict[LineKey, int]:
        """The integers of these lines; lines that are new are written down."""
        found = {key: self._ids.get(key, 0) for key in keys}
        if new := [key for key, known in found.items() if not known]:
            subjects = self._subjects(connection, {(key.workload.namespace, key.labels) for key in new}, at)
            rows = {key: self._row(key, subjects[key.workload.namespace, key.labels]) for key in new}
            ids = identify(connection, schema.line, list(rows.values()))
            made = {key: ids[str(row["hash"])] for key, row in rows.items()}
            _label(connection, {made[key]: spell(dict(key.tags)) for key in rows if key.tags})
            found |= made
        return found

    def committed(self, ids: Mapping[LineKey, int]) -> None:
        """These integers are in the ledger for good. Only they are kept: the next slot asks for the same."""
        self._ids = dict(ids)

    def of(self, connection: Connection, ids: Sequence[int]) -> Mapping[int, Line]:
        """What the integers mean; holds at least those asked for.

        What was posted of a ReplicaSet before its Deployment was ever seen is the Deployment's all the same.
        """
        missing = [line_id for line_id in ids if line_id not in self._lines]
        if missing:
            line, subject, link = schema.line, schema.subject, schema.owner_link
            owned = (
                (link.c.cluster_id == self._cluster_id)
                & (link.c.namespace == subject.c.namespace)
                & (link.c.kind == line.c.kind)
                & (link.c.name == line.c.name)
                & (link.c.uid == "")
                & line.c.kind.in_(LINKS)
            )
            query = (
                select(line, subject.c.namespace, subject.c.labels, link.c.owner_kind, link.c.owner_name)
                .add_columns(schema.line_label.c.labels.label("tags"))
                .join_from(line, subject, line.c.subject_id == subject.c.id)
                .outerjoin(link, owned)
                .outerjoin(schema.line_label, schema.line_label.c.line_id == line.c.id)
            )
            for row in in_chunks(connection, query.where, line.c.id, missing):
                kind, name = (row.owner_kind, row.owner_name) if row.owner_kind else (row.kind, row.name)
                workload = Workload(*map(intern, (row.namespace, kind, name)))
                labels, tags = self._labels_of(row.labels), self._labels_of(row.tags or "{}")
                self._lines[row.id] = Line(workload, self._sku(row.dimensions), labels, tags)
        return self._lines

    def forget_links(self) -> bool:
        """Read those lines again that stand under a ReplicaSet or a Job; whether there are any."""
        known = len(self._lines)
        self._lines = {at: line for at, line in self._lines.items() if line.workload.kind not in LINKS}
        return len(self._lines) < known

    def _row(self, key: LineKey, subject_id: int) -> dict[str, Any]:
        kind, name = key.workload.kind, key.workload.name
        dimensions = spell(dict(key.sku.dimensions))
        return {
            "hash": digest(self._meter_id, subject_id, kind, name, dimensions, *chain(*key.tags)),
            "meter_id": self._meter_id,
            "subject_id": subject_id,
            "kind": kind,
            "name": name,
            "dimensions": dimensions,
        }

    def _subjects(
        self, connection: Connection, wanted: Iterable[tuple[str, str]], at: int
    ) -> dict[tuple[str, str], int]:
        rows = {
            (namespace, labels): {
                "hash": digest(self._cluster_id, namespace, labels),
                "cluster_id": self._cluster_id,
                "namespace": namespace,
                "labels": labels,
                "known": at,
            }
            for namespace, labels in wanted
        }
        ids = identify(connection, schema.subject, list(rows.values()))
        return {key: ids[str(row["hash"])] for key, row in rows.items()}

    def _sku(self, dimensions: str) -> Sku:
        if dimensions not in self._skus:
            self._skus[dimensions] = sku_of(self._meter, dimensions)
        return self._skus[dimensions]

    def _labels_of(self, text: str) -> Mapping[str, str]:
        return self._labels.setdefault(text, json.loads(text))


class Rates:
    """The rates that were ever used, by integer; 0 is no rate."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._rates: dict[int, Rate] = {}

    def ids(self, connection: Connection, rates: Iterable[Rate], at: int) -> dict[str, int]:
        """The integers of these rates by `Rate.id`; rates that are new are written down."""
        found = {rate.id: rate for rate in rates}
        new = [rate for rate in found.values() if rate.id not in self._ids]
        rows = [{"hash": rate.id, "content": rate.to_json(), "known": at} for rate in new]
        made = identify(connection, schema.rate, rows) if rows else {}
        return {key: self._ids.get(key) or made[key] for key in found}

    def committed(self, ids: Mapping[str, int]) -> None:
        """These integers are in the ledger for good."""
        self._ids.update(ids)

    def of(self, connection: Connection, ids: Iterable[int]) -> Mapping[int, Rate]:
        """What the integers mean; holds at least those asked for."""
        if missing := sorted(set(ids) - self._rates.keys() - {0}):
            query = select(schema.rate.c.id, schema.rate.c.content)
            for row in in_chunks(connection, query.where, schema.rate.c.id, missing):
                self._rates[row.id] = Rate.from_json(row.content)
        return self._rates

    def keep(self, connection: Connection, cluster_id: int, rates: Iterable[Rate], at: int) -> None:
        """Write rates down as those of a cluster."""
        ids = self.ids(connection, rates, at).values()
        if rows := [{"cluster_id": cluster_id, "rate_id": rate_id} for rate_id in sorted(ids)]:
            add(connection, schema.kept_rate, rows)

    def kept(self, connection: Connection, cluster_id: int) -> tuple[Rate, ...]:
        """Every rate that a cluster has kept, in that order."""
        kept = schema.kept_rate
        query = select(kept.c.rate_id).where(kept.c.cluster_id == cluster_id).order_by(kept.c.rate_id)
        ids = connection.execute(query).scalars().all()
        known = self.of(connection, ids)
        return tuple(known[rate_id] for rate_id in ids)


def sku_of(meter: str, dimensions: str) -> Sku:
    """A meter's SKU by its dimensions as they are written."""
    return Sku(meter, tuple(sorted(json.loads(dimensions).items())))


def identify(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The integer of each row by its hash, after writing down those rows that are not there yet."""
    wanted = {row["hash"]: row for row in rows}
    found = _by_hash(connection, table, list(wanted))
    if missing := [wanted[key] for key in sorted(wanted.keys() - found.keys())]:
        add(connection, table, missing)
        found |= _by_hash(connection, table, [row["hash"] for row in missing])
    return found


def add(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows down, but for those that another writer has written meanwhile.

    Rows that clusters share come in one order, that of their hashes, or their writers lock each other out.
    """
    connection.execute(insertion(connection, table).on_conflict_do_nothing(), rows)


def insertion(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say what becomes of rows that are there already."""
    on_postgresql = connection.dialect.name == "postgresql"
    return postgresql.insert(table) if on_postgresql else sqlite.insert(table)


def _label(connection: Connection, labels: Mapping[int, str]) -> None:
    """Write down the labels of lines that have none yet."""
    if not labels:
        return
    table = schema.line_label
    there = {row.line_id for row in in_chunks(connection, select(table).where, table.c.line_id, list(labels))}
    if rows := [{"line_id": at, "labels": text} for at, text in labels.items() if at not in there]:
        connection.execute(table.insert(), rows)


def spell(values: Mapping[str, str]) -> str:
    """A mapping in the one spelling that its hash is made of."""
    return json.dumps(dict(values), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(*parts: str | int) -> str:
    """A hash over parts that cannot run into each other."""
    return sha256(json.dumps(parts).encode()).hexdigest()


def in_chunks(
    connection: Connection, where: Callable[..., Any], column: Column[Any], values: Sequence[Any]
) -> Iterator[Any]:
    """The rows of a query for many values of one column, asked for in parts that every database takes."""
    for start in range(0, len(values), CHUNK):
        yield from connection.execute(where(column.in_(values[start : start + CHUNK])))


def _by_hash(connection: Connection, table: Table, hashes: Sequence[str]) -> dict[str, int]:
    query = select(table.c.id, table.c.hash)
    return {row.hash: row.id for row in in_chunks(connection, query.where, table.c.hash, hashes)}


def last_labels(
    connection: Connection, cluster_id: int, namespaces: Collection[str]
) -> dict[str, Mapping[str, str]]:
    """The newest version of each namespace's labels."""
    subject = schema.subject
    query = select(subject.c.namespace, subject.c.labels, subject.c.known, subject.c.id)
    mine = query.where(subject.c.cluster_id == cluster_id)
    rows = in_chunks(connection, mine.where, subject.c.namespace, list(namespaces))
    return {
        row.namespace: json.loads(row.labels) for row in sorted(rows, key=lambda row: (row.known, row.id))
    }


def label_keys(connection: Connection, cluster_id: int, since: int) -> frozenset[str]:
    """The labels of pods of which some usage since an instant was kept with a value."""
    of, meter, found = schema.line_label, schema.meter, set()
    for used, last in (
        (schema.usage_slot, schema.usage_slot.c.slot),
        (schema.usage_packed, schema.usage_packed.c.last),
    ):
        query = (
            select(of.c.labels)
            .distinct()
            .join(used, used.c.line_id == of.c.line_id)
            .join(meter, meter.c.id == used.c.meter_id)
            .where(meter.c.cluster_id == cluster_id, last >= since)
        )
        told = (json.loads(text) for text in connection.execute(query).scalars())
        found |= {key for labels in told for key, value in labels.items() if value}
    return frozenset(found)
