"""A ledger on a PostgreSQL server, which several clusters may share.

What one cluster writes is ordered by the lock on its row in `cluster` (see `meters.py`); what clusters share
is only ever added to. Reads see one instant of everything. A connection that broke is replaced at its next
use. Passwords are in no message: of the address only host and database are told.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DatabaseError

from aibudget.errors import AIBudgetError, Stalled, Transient

_CONNECT: Final = {
    "application_name": "aibudget",
    "connect_timeout": 5,
    # A server that vanished without a word is given up after half a minute.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
_SESSION: Final = {
    "lock_timeout": "5s",
    # A leader that was paused in the midst of a transaction must not keep its successor out, who comes after
    # ten seconds at the earliest.
    "idle_in_transaction_session_timeout": "8s",
}
_MIGRATIONS: Final = 0x41494255
"""The advisory lock of whoever migrates."""
_PASSING: Final = ("08", "40", "53", "57", "58", "55P03", "25006", "25P03")
"""SQLSTATEs that pass: connections, rollbacks, resources, operators, disks, locks, a standby, a time-out."""
_DAMAGED: Final = "XX"


class Server:
    """One ledger of one database. Raises `Stalled`."""

    def __init__(self, url: URL, *, made: bool) -> None:
        self.name = f"postgresql://{url.host or 'localhost'}/{url.database or url.username or ''}"
        self.engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=2,
            max_overflow=0,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            connect_args=_CONNECT,
        )
        self.reader = self.engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self.writer = self.engine
        event.listen(self.engine, "connect", _connected)

    def check(self) -> None:
        """That it answers; a server looks after its own files."""
        with self.reader.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def look_over(self) -> None:
        """As `check`."""
        self.check()

    def faults(self) -> tuple[str, ...]:
        """Nothing: what it cannot read it says when it is asked."""
        self.check()
        return ()

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """One transaction in which tables may be changed; nobody else migrates meanwhile."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATIONS})")
            yield connection

    def keep(self, revision: str) -> None:
        """No copy: a migration is undone by itself where it fails, and back-ups are the server's."""

    def copy(self, target: Path) -> None:
        """Raises `Stalled`: it is not a file."""
        raise Stalled("LedgerUnusable", f"{self.name} is copied by pg_dump, not to {target} by this command.")

    def translated(self, error: DatabaseError) -> AIBudgetError:
        """What a fault of the database means, and what to do about it."""
        state = getattr(error.orig, "sqlstate", None)
        told = " ".join(str(error.orig).split())
        if state is None or state.startswith(_PASSING):
            return Transient(
                "LedgerUnavailable",
                f"the ledger {self.name} cannot be used: {told}. Spend stays as last known; once the server "
                "answers, and has space, it goes on by itself.",
            )
        if state.startswith(_DAMAGED):
            return Stalled(
                "LedgerCorrupt",
                f"the ledger {self.name} is damaged ({told}). Put a backup in its place, or give an empty "
                "database: it is then filled again from Prometheus as far back as that goes.",
            )
        return Stalled(
            "LedgerUnusable",
            f"the ledger {self.name} refuses what AIBudget does: {told}. Let its user own the tables, and "
            "nobody change them.",
        )


def _connected(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        for name, value in _SESSION.items():
            cursor.execute(f"SET {name} = '{value}'")
    connection.commit()
