"""The rows of the decision log: appended to, read, never changed.

Free functions inside a transaction that `register.py` opened. Numbers and hashes are given here, from the
head that the same transaction has read and moves on.
"""

from collections.abc import Iterable, Iterator, Mapping

from sqlalchemy import Connection, func, select

from aibudget.errors import Conflict
from aibudget.ledger import schema
from aibudget.ledger.decision import Decision, Entry, Head, linked, origin
from aibudget.ledger.lines import in_chunks

_ROW, _HEAD = schema.decision, schema.decision_head


def head(connection: Connection, cluster_id: int) -> Head | None:
    """The head as it is stored; None before the first entry."""
    query = select(_HEAD.c.number, _HEAD.c.hash).where(_HEAD.c.cluster_id == cluster_id)
    found = connection.execute(query).one_or_none()
    return None if found is None else Head(int(found.number), found.hash)


def append(
    connection: Connection, cluster: tuple[int, str], decisions: Iterable[Decision]
) -> tuple[Head, tuple[Entry, ...]]:
    """Add what is news, in this order; the head after it, and what was added. `cluster` is id and name."""
    cluster_id, name = cluster
    wanted = tuple(decisions)
    stored = head(connection, cluster_id)
    last = before = stored or origin(name)
    stands = dict(_last_events(connection, cluster_id, {one.subject for one in wanted}))
    added = []
    for one in wanted:
        if one.is_news(stands.get(one.subject)):
            stands[one.subject] = one.event
            added.append(entry := linked(last, one))
            last = Head(entry.number, entry.hash)
    if added:
        connection.execute(_ROW.insert(), [{"cluster_id": cluster_id, **one._asdict()} for one in added])
        _move(connection, cluster_id, before if stored else None, last)
    return last, tuple(added)


def entries(connection: Connection, cluster_id: int) -> Iterator[Entry]:
    """All of them by their numbers."""
    query = select(*(_ROW.c[name] for name in Entry._fields)).where(_ROW.c.cluster_id == cluster_id)
    for row in connection.execute(query.order_by(_ROW.c.number)).yield_per(1000):
        yield Entry(*row)


def _last_events(connection: Connection, cluster_id: int, subjects: Iterable[str]) -> Mapping[str, str]:
    newest = (
        select(_ROW.c.subject, func.max(_ROW.c.number).label("number"))
        .where(_ROW.c.cluster_id == cluster_id)
        .group_by(_ROW.c.subject)
    )
    numbers = [row.number for row in in_chunks(connection, newest.where, _ROW.c.subject, sorted(subjects))]
    query = select(_ROW.c.subject, _ROW.c.event).where(_ROW.c.cluster_id == cluster_id)
    return {row.subject: row.event for row in in_chunks(connection, query.where, _ROW.c.number, numbers)}


def _move(connection: Connection, cluster_id: int, before: Head | None, after: Head) -> None:
    if before is None:
        connection.execute(_HEAD.insert().values(cluster_id=cluster_id, **after._asdict()))
        return
    unmoved = (_HEAD.c.cluster_id == cluster_id, _HEAD.c.number == before.number)
    if connection.execute(_HEAD.update().where(*unmoved).values(after._asdict())).rowcount != 1:
        raise Conflict("LedgerMoved", "another writer added to the decision log; it is tried again.")
