"""The ledger's database: opened, checked, migrated, and its faults translated into what follows from them.

What is peculiar to a backend is in a module of its own; to all others it is SQL in transactions.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError

from aibudget.errors import Conflict, Stalled
from aibudget.ledger.migration import SCRIPTS, migrate, older, wanting
from aibudget.ledger.postgresql import Server
from aibudget.ledger.sqlite import File

log = logging.getLogger(__name__)

_WRITE: Final = "write sqlite:////absolute/path/to/ledger.db or postgresql://user@host/database"


class Database:
    """One ledger. Not for several threads at once. Raises `Stalled`, `Transient`, `Conflict`."""

    def __init__(
        self, url: str, *, checked: bool = False, borrowed: bool = False, scripts: Path = SCRIPTS
    ) -> None:
        """`checked`: another connection of this process has looked over what a start reads.

        `borrowed`: it is an operator's, so it is neither made nor migrated here.
        """
        self._backend = _backend(url, borrowed=borrowed)
        try:
            with self._translated():
                if not checked:
                    self._backend.check()
                if not borrowed:
                    self._migrate(scripts)
                elif missing := self.wanting():
                    raise older(self.name, missing)
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """What messages call it: no secret is in it."""
        return self._backend.name

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._translated(), self._backend.reader.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it or, on any error, nothing."""
        with self._translated(), self._backend.writer.begin() as connection:
            yield connection

    def copy(self, target: Path) -> None:
        """Everything that is committed, in a file of its own, while others read and write."""
        self._backend.copy(target)

    def look_over(self) -> None:
        """Raises `Stalled` where any byte was overwritten; takes minutes where there are millions of rows."""
        with self._translated():
            self._backend.look_over()

    def faults(self) -> tuple[str, ...]:
        """Everything that is wrong with the database itself; reads all of it."""
        with self._translated():
            return self._backend.faults()

    def wanting(self, scripts: Path = SCRIPTS) -> tuple[str, ...]:
        """The migrations that it lacks."""
        with self._backend.reader.begin() as connection:
            return wanting(connection, self.name, scripts)

    def close(self) -> None:
        self._backend.engine.dispose()

    def _migrate(self, scripts: Path) -> None:
        """Only the first of several processes finds something to do."""
        if not self.wanting(scripts):
            return
        with self._backend.migrating() as connection:
            missing = wanting(connection, self.name, scripts)
            if missing:
                log.info("the ledger %s is migrated: %s", self.name, ", ".join(missing))
                self._backend.keep(missing[-1])
                migrate(connection, missing, scripts)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise Conflict(
                "LedgerMoved",
                f"another writer was faster in {self._backend.name}: {error.orig}. Read it again.",
            ) from error
        except DatabaseError as error:
            raise self._backend.translated(error) from error


def _backend(url: str, *, borrowed: bool) -> File | Server:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # Not the text itself: a password may be in it.
        raise Stalled("LedgerUnusable", f"that is no address of a database; {_WRITE}.") from error
    match parsed.get_backend_name():
        case "sqlite":
            return File(parsed, made=not borrowed)
        case "postgresql" | "postgres":
            return Server(parsed, made=not borrowed)
        case other:
            raise Stalled("LedgerUnusable", f"{other} cannot hold a ledger; {_WRITE}.")
