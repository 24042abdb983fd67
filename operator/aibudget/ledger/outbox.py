"""The outbox: what receivers are still to be told, and what they were told already, durable.

A transition is taken in once for each receiver, whoever offers it again: after a crash, or a second leader.
It leaves as delivered, or as dead after too long; both are remembered. Bounded in number and age. It has
connections of its own, so that telling never waits for a posting. For one thread.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, func, select

from aibudget.ledger import meters, schema
from aibudget.ledger.database import Database
from aibudget.ledger.lines import in_chunks

MOST_WAITING: Final = 10_000
"""Entries, for all receivers; what comes on top is dead at once, and counted."""
MOST_DEAD: Final = 1_000
"""Dead letters that are kept, the newest."""
MEMORY_SECONDS: Final = 24 * 3600
"""For how long a transition is remembered that is no longer offered; it is until its status is written."""
DEAD_SECONDS: Final = 30 * 24 * 3600
"""How long a dead letter is kept."""
_TOUCH_SECONDS: Final = 3600
_FULL: Final = "the outbox is full"
_NOBODY: Final = "the receiver is no longer configured"

_ROW = schema.delivery


@dataclass(frozen=True, slots=True)
class Entry:
    """One transition for one receiver; `message` is its owner's text.

    New entries of one `put`, one receiver and one batch are told together.
    """

    receiver: str
    transition: str
    batch: str
    message: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A batch of one receiver that waits, or is dead; `created` and `due` are Unix seconds."""

    receiver: str
    batch: str
    messages: tuple[str, ...]
    attempts: int
    created: int
    due: int


@dataclass(frozen=True, slots=True)
class Queue:
    """How a receiver's queue stands. `oldest` is when the oldest waiting entry came, None without one."""

    waiting: int = 0
    dead: int = 0
    oldest: int | None = None


class Outbox:
    """Of one cluster.

    Everything raises `Transient` while the file cannot be used; writes raise `Conflict` once another process
    has taken the ledger over.
    """

    def __init__(self, database: Database, cluster: str) -> None:
        self._database = database
        with database.writing() as connection:
            self._cluster_id = meters.cluster_id(connection, cluster)
            self._epoch = meters.epoch(connection, self._cluster_id)

    @classmethod
    def open(cls, url: str, cluster: str) -> "Outbox":
        """The outbox in a ledger that this process has opened and taken over already."""
        return cls(Database(url, checked=True), cluster)

    def close(self) -> None:
        self._database.close()

    def put(self, entries: Iterable[Entry], now: int) -> int:
        """Take in what is new; how many that were. All of it or, on an error, nothing."""
        wanted = {(entry.receiver, entry.transition): entry for entry in entries}
        with self._database.reading() as connection:
            known = self._seen(connection, wanted)
        stale = [key for key, seen in known.items() if now - seen > _TOUCH_SECONDS]
        new = [entry for key, entry in wanted.items() if key not in known]
        if not new and not stale:
            return 0
        with self._writing() as connection:
            for receiver, transition in stale:
                here = self._of(receiver, _ROW.c.transition == transition)
                connection.execute(_ROW.update().where(here).values(seen=now))
            if new:
                # A batch is closed with its `put`: what comes later must not be marked by an earlier attempt.
                put, room = uuid.uuid4().hex, MOST_WAITING - self._count(connection, "waiting")
                rows = [self._values(entry, put, now, fits=n < room) for n, entry in enumerate(new)]
                connection.execute(_ROW.insert(), rows)
        return len(new)

    def next(self, receiver: str) -> Letter | None:
        """What is due first for this receiver, however far in the future that is."""
        query = (
            select(_ROW.c.batch)
            .where(self._of(receiver, _ROW.c.state == "waiting"))
            .order_by(_ROW.c.due, _ROW.c.created, _ROW.c.batch)
            .limit(1)
        )
        with self._database.reading() as connection:
            batch = connection.execute(query).scalar()
            if batch is None:
                return None
            return self._letter(connection, receiver, batch)

    def delivered(self, letter: Letter) -> None:
        """It arrived: only that it did is kept."""
        self._move(letter, {"state": "delivered", "message": "", "problem": ""})

    def postponed(self, letter: Letter, due: int, problem: str) -> None:
        """It did not arrive and is tried again at `due`. The problem must not hold a secret."""
        self._move(letter, {"attempts": letter.attempts + 1, "due": due, "problem": problem})

    def died(self, letter: Letter, problem: str) -> None:
        """It is not tried again; it is kept with its problem for a while."""
        self._move(letter, {"state": "dead", "attempts": letter.attempts + 1, "problem": problem})

    def queues(self) -> Mapping[str, Queue]:
        """Every receiver that something waits for or died for."""
        query = (
            select(
                _ROW.c.receiver,
                _ROW.c.state,
                func.count().label("number"),
                func.min(_ROW.c.created).label("first"),
            )
            .where(_ROW.c.cluster_id == self._cluster_id, _ROW.c.state != "delivered")
            .group_by(_ROW.c.receiver, _ROW.c.state)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        found = {(row.receiver, row.state): row for row in rows}
        queues: dict[str, Queue] = {}
        for receiver in {row.receiver for row in rows}:
            waiting, dead = found.get((receiver, "waiting")), found.get((receiver, "dead"))
            queues[receiver] = Queue(
                waiting=waiting.number if waiting else 0,
                dead=dead.number if dead else 0,
                oldest=waiting.first if waiting else None,
            )
        return queues

    def prune(self, now: int, receivers: Iterable[str]) -> int:
        """Forget what is remembered for long enough; how many entries that were.

        What waits for a receiver that is no longer configured is dead: nobody will ever take it.
        """
        here = _ROW.c.cluster_id == self._cluster_id
        with self._writing() as connection:
            nobody = and_(here, _ROW.c.state == "waiting", _ROW.c.receiver.not_in(list(receivers)))
            connection.execute(_ROW.update().where(nobody).values(state="dead", problem=_NOBODY))
            told = and_(here, _ROW.c.state == "delivered", _ROW.c.seen < now - MEMORY_SECONDS)
            dead = and_(here, _ROW.c.state == "dead", _ROW.c.seen < now - DEAD_SECONDS)
            gone = sum(connection.execute(_ROW.delete().where(old)).rowcount for old in (told, dead))
            surplus = self._count(connection, "dead") - MOST_DEAD
            if surplus > 0:
                oldest = (
                    select(_ROW.c.receiver, _ROW.c.transition)
                    .where(here, _ROW.c.state == "dead")
                    .order_by(_ROW.c.seen)
                    .limit(surplus)
                )
                for row in connection.execute(oldest).all():
                    one = self._of(row.receiver, _ROW.c.transition == row.transition)
                    gone += connection.execute(_ROW.delete().where(one)).rowcount
        return gone

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._database.writing() as connection:
            meters.check_epoch(connection, self._cluster_id, self._epoch)
            yield connection

    def _move(self, letter: Letter, values: Mapping[str, object]) -> None:
        here = self._of(letter.receiver, _ROW.c.batch == letter.batch, _ROW.c.state == "waiting")
        with self._writing() as connection:
            connection.execute(_ROW.update().where(here).values(values))

    def _letter(self, connection: Connection, receiver: str, batch: str) -> Letter:
        here = self._of(receiver, _ROW.c.batch == batch, _ROW.c.state == "waiting")
        rows = connection.execute(select(_ROW).where(here).order_by(_ROW.c.transition)).all()
        first = rows[0]
        messages = tuple(row.message for row in rows)
        return Letter(receiver, batch, messages, first.attempts, first.created, first.due)

    def _seen(self, connection: Connection, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        by_receiver: defaultdict[str, list[str]] = defaultdict(list)
        for receiver, transition in wanted:
            by_receiver[receiver].append(transition)
        query = select(_ROW.c.transition, _ROW.c.seen)
        return {
            (receiver, row.transition): row.seen
            for receiver, transitions in by_receiver.items()
            for row in in_chunks(
                connection, query.where(self._of(receiver)).where, _ROW.c.transition, transitions
            )
        }

    def _count(self, connection: Connection, state: str) -> int:
        here = and_(_ROW.c.cluster_id == self._cluster_id, _ROW.c.state == state)
        return int(connection.execute(select(func.count()).where(here)).scalar_one())

    def _of(self, receiver: str, *more: ColumnElement[bool]) -> ColumnElement[bool]:
        return and_(_ROW.c.cluster_id == self._cluster_id, _ROW.c.receiver == receiver, *more)

    def _values(self, entry: Entry, put: str, now: int, *, fits: bool) -> dict[str, str | int]:
        return {
            "cluster_id": self._cluster_id,
            "receiver": entry.receiver,
            "transition": entry.transition,
            "batch": f"{put}/{entry.batch}",
            "message": entry.message,
            "state": "waiting" if fits else "dead",
            "attempts": 0,
            "created": now,
            "due": now,
            "seen": now,
            "problem": "" if fits else _FULL,
        }
