"""The ledger's file: opened, checked, and its faults translated into errors that say what to do.

SQLite runs with a write-ahead log and `synchronous=FULL`: a posting is one commit per quarter of an hour, so
the sync costs nothing, and spend that was told to people must not be unknown again after a power cut. A write
begins with the write lock, for a lock that is upgraded midway fails instead of waiting.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, OperationalError

from aibudget.errors import Conflict, Stalled, Transient
from aibudget.ledger import schema

BUSY_TIMEOUT_MS: Final = 5000


class Database:
    """One ledger file. Not for several threads at once. Raises `Stalled`, `Transient`, `Conflict`."""

    def __init__(self, url: str, *, checked: bool = False) -> None:
        """`checked`: another connection of this process has looked the file over, which takes time."""
        self.path = _path(url)
        _create_private(self.path)
        self._engine = _engine(url)
        self._writer = self._engine.execution_options(writes=True)
        try:
            with self._translated():
                if not checked:
                    self._check()
                self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it or, on any error, nothing."""
        with self._translated(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        self._engine.dispose()

    def _check(self) -> None:
        with self._engine.connect() as connection:
            verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if verdict != "ok":
            raise self._corrupt(str(verdict))

    def _prepare(self) -> None:
        with self._writer.begin() as connection:
            tables = inspect(connection).get_table_names()
            if not tables:
                schema.metadata.create_all(connection)
                connection.execute(schema.schema_version.insert().values(version=schema.VERSION))
                return
            if schema.schema_version.name not in tables:
                raise Stalled(
                    "LedgerUnusable",
                    f"{self.path} is a database, but not a ledger of AIBudget; give another path.",
                )
            version = connection.execute(select(schema.schema_version.c.version)).scalar()
        if version != schema.VERSION:
            raise Stalled(
                "LedgerUnusable",
                f"the ledger {self.path} has version {version}, this program knows version {schema.VERSION}; "
                "run the version of AIBudget that wrote it, or a newer one.",
            )
        with self._writer.begin() as connection:
            schema.metadata.create_all(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise Conflict(
                "LedgerMoved", f"another writer was faster in {self.path}: {error.orig}. Read it again."
            ) from error
        except OperationalError as error:
            raise Transient(
                "LedgerUnavailable",
                f"the ledger {self.path} cannot be used: {error.orig}. Spend stays as last known; give the "
                "volume space, write permission and one writer only, and it goes on by itself.",
            ) from error
        except DatabaseError as error:
            raise self._corrupt(str(error.orig)) from error

    def _corrupt(self, detail: str) -> Stalled:
        found = " ".join(detail.split())
        return Stalled(
            "LedgerCorrupt",
            f"the ledger {self.path} is damaged ({found}). Put a backup in its place, or move it away: a "
            "new one is then filled again from Prometheus as far back as that goes.",
        )


def _path(url: str) -> Path:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise Stalled(
            "LedgerUnusable", f"{url!r} is not a database URL; write sqlite:///path/to/file"
        ) from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise Stalled(
            "LedgerUnusable",
            f"{parsed.render_as_string()} cannot hold a ledger; write sqlite:////absolute/path/to/ledger.db",
        )
    return Path(parsed.database)


def _create_private(path: Path) -> None:
    """Made here, for its owner only: SQLite gives its log and index the permissions of the file."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise Stalled(
            "LedgerUnusable",
            f"the ledger {path} cannot be opened for writing: {error.strerror}. Make its directory exist and "
            "belong to the user that runs AIBudget.",
        ) from error


def _engine(url: str) -> Engine:
    engine = create_engine(url, pool_size=2, max_overflow=0)

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver would begin transactions by itself, and not before reads.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
