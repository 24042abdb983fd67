"""A ledger in a file: SQLite with a write-ahead log and `synchronous=FULL`.

A posting is one commit per quarter of an hour, so the sync costs nothing, and spend that was told to people
must not be unknown again after a power cut. A write begins with the write lock, for a lock that is upgraded
midway fails instead of waiting.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError

from aibudget.errors import AIBudgetError, Stalled, Transient
from aibudget.ledger import schema

BUSY_TIMEOUT_MS: Final = 5000


class File:
    """One ledger file. Raises `Stalled`."""

    def __init__(self, url: URL, *, made: bool) -> None:
        """`made`: it is made, for its owner alone, where there is none."""
        if not url.database or url.database == ":memory:":
            raise Stalled(
                "LedgerUnusable",
                f"{url} cannot hold a ledger; write sqlite:////absolute/path/to/ledger.db",
            )
        self.path = Path(url.database)
        self.name = str(self.path)
        if not made and not self.path.is_file():
            raise Stalled(
                "LedgerUnusable",
                f"there is no ledger at {self.path}: name another one (--ledger-url), or ask in the "
                "operator's pod.",
            )
        _create_private(self.path)
        self.engine = _engine(url)
        self.reader = self.engine
        self.writer = self.engine.execution_options(writes=True)

    def check(self) -> None:
        """Raises `Stalled` where bytes were overwritten that a start reads: all tables but those of slots."""
        with self.engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT name FROM sqlite_schema WHERE type = 'table'").all()
            for (name,) in rows:
                if name not in (schema.usage_slot.name, schema.usage_packed.name):
                    self._expect_ok(connection, f"PRAGMA quick_check('{name}')")

    def look_over(self) -> None:
        """Raises `Stalled` where bytes were overwritten anywhere; takes as long as reading the whole file."""
        with self.engine.connect() as connection:
            self._expect_ok(connection, "PRAGMA quick_check(1)")

    def faults(self) -> tuple[str, ...]:
        """What a look at every row and every index finds wrong; nothing where all is well."""
        with self.engine.connect() as connection:
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
            return (*(line for line in found if line != "ok"), *_lost(connection))

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """One transaction in which tables may be made anew; nobody else writes meanwhile."""
        try:
            with self.engine.execution_options(migrates=True).begin() as connection:
                yield connection
                if lost := _lost(connection):
                    raise self._corrupt(lost[0])
        finally:
            # Its connection does not look after foreign keys.
            self.engine.dispose()

    def keep(self, revision: str) -> None:
        """A copy beside the ledger of what it was before this migration; an older one gives way to it.

        Nothing of an empty ledger.
        """
        with closing(sqlite3.connect(self.path)) as found:
            # Its size tells nothing: to write ahead takes a page of its own.
            if found.execute("SELECT 1 FROM sqlite_schema").fetchone() is None:
                return
        prefix = f"{self.path.name}.before-"
        copy = self.path.with_name(prefix + revision)
        self.copy(copy)
        for older in self.path.parent.glob(f"{prefix}*"):
            if older != copy:
                older.unlink()

    def copy(self, target: Path) -> None:
        """A copy of what is committed, whole or not at all; what was at the target gives way to it."""
        if target.exists() and target.samefile(self.path):
            raise Stalled("LedgerUnusable", f"{target} is the ledger itself; name another path.")
        unfinished = target.with_name(f"{target.name}.unfinished")
        unfinished.unlink(missing_ok=True)
        _create_private(unfinished)
        try:
            with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(unfinished)) as copy:
                source.backup(copy)
            unfinished.replace(target)
        except (sqlite3.Error, OSError) as error:
            raise Transient(
                "LedgerUnavailable",
                f"the ledger {self.name} cannot be copied to {target}: {error}. Give it as much free space "
                "as the ledger has, and it is tried again.",
            ) from error
        finally:
            unfinished.unlink(missing_ok=True)

    def translated(self, error: DatabaseError) -> AIBudgetError:
        """What a fault of the database means, and what to do about it."""
        if isinstance(error, OperationalError):
            return Transient(
                "LedgerUnavailable",
                f"the ledger {self.name} cannot be used: {error.orig}. Spend stays as last known; give the "
                "volume space, write permission and one writer only, and it goes on by itself.",
            )
        return self._corrupt(str(error.orig))

    def _expect_ok(self, connection: Connection, pragma: str) -> None:
        verdict = connection.exec_driver_sql(pragma).scalar()
        if verdict != "ok":
            raise self._corrupt(str(verdict))

    def _corrupt(self, detail: str) -> Stalled:
        found = " ".join(detail.split())
        return Stalled(
            "LedgerCorrupt",
            f"the ledger {self.name} is damaged ({found}). Put a backup in its place, or move it away: a "
            "new one is then filled again from Prometheus as far back as that goes.",
        )


def _lost(connection: Connection) -> list[str]:
    rows = connection.exec_driver_sql("PRAGMA foreign_key_check")
    return sorted({f"{row[0]} has rows of a {row[2]} that is not there" for row in rows})


def _create_private(path: Path) -> None:
    """Made here, for its owner only: SQLite gives its log and index the permissions of the file.

    One that is there is not opened: to close it would take this process's locks on it away, those that SQLite
    holds for other connections as well, and the next process that looks at the ledger would remove its log.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if not path.is_file():
            raise _unusable(path, "it is no file") from None
        if not os.access(path, os.R_OK | os.W_OK):
            raise _unusable(path, os.strerror(errno.EACCES)) from None
    except OSError as error:
        raise _unusable(path, str(error.strerror)) from error


def _unusable(path: Path, why: str) -> Stalled:
    return Stalled(
        "LedgerUnusable",
        f"the ledger {path} cannot be opened for writing: {why}. Make its directory exist and belong to the "
        "user that runs AIBudget.",
    )


def _engine(url: URL) -> Engine:
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
        options = connection.get_execution_options()
        if options.get("migrates"):
            # A table that is made anew is dropped first, with what refers to it.
            connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        writes = options.get("writes") or options.get("migrates")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
