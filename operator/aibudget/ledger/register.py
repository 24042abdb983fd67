"""The register: periods of budgets and the log of what was decided, written together or not at all.

It has a connection of its own to the ledger, since it writes before others read on, and the epoch of the
process that has taken the ledger over: a leader that was replaced adds nothing. For one thread.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from aibudget.ledger import decisions, meters, periods
from aibudget.ledger.database import Database
from aibudget.ledger.decision import Decision, Entry, Head, origin
from aibudget.ledger.periodrow import PeriodCorrection, PeriodRow


class Register:
    """Of one cluster.

    Everything raises `Transient` while the ledger cannot be used; writes raise `Conflict` once another
    process has taken it over.
    """

    def __init__(self, database: Database, cluster: str) -> None:
        self._database = database
        self._cluster = cluster
        with database.writing() as connection:
            self._cluster_id = meters.cluster_id(connection, cluster)
            self._epoch = meters.epoch(connection, self._cluster_id)

    @classmethod
    def open(cls, url: str, cluster: str) -> "Register":
        """The register in a ledger that this process has opened and taken over already."""
        return cls(Database(url, checked=True), cluster)

    def close(self) -> None:
        self._database.close()

    def periods(self) -> tuple[PeriodRow, ...]:
        """Each budget's newest periods, and all that are not closed, in the order of time."""
        with self._database.reading() as connection:
            return periods.read(connection, self._cluster_id)

    def corrections(self) -> tuple[PeriodCorrection, ...]:
        """What became known of closed periods, in that order."""
        with self._database.reading() as connection:
            return periods.corrections(connection, self._cluster_id)

    def write(
        self,
        decided: Iterable[Decision],
        rows: Iterable[PeriodRow] = (),
        corrected: Iterable[PeriodCorrection] = (),
    ) -> tuple[Head, tuple[Entry, ...]]:
        """All of it in one transaction; the head after it, and which decisions were news."""
        with self._writing() as connection:
            periods.write(connection, self._cluster_id, rows)
            periods.correct(connection, self._cluster_id, corrected)
            return decisions.append(connection, (self._cluster_id, self._cluster), decided)

    def head(self) -> Head:
        """How many decisions there are, and the last one's hash."""
        with self._database.reading() as connection:
            return decisions.head(connection, self._cluster_id) or origin(self._cluster)

    def entries(self) -> tuple[Entry, ...]:
        """The whole log."""
        with self._database.reading() as connection:
            return tuple(decisions.entries(connection, self._cluster_id))

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._database.writing() as connection:
            meters.check_epoch(connection, self._cluster_id, self._epoch)
            yield connection
