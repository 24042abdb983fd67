"""A PostgreSQL that is away costs time and nothing else, and no message tells its password."""

from contextlib import closing

import pytest

from aibudget.errors import AIBudgetError, Stalled, Transient
from aibudget.ledger.posting import Posting
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage
from postgresql.server import PASSWORD, Server

FULL = Coverage(900, 900)


def test_a_restart_of_the_server_is_survived(postgresql: Server) -> None:
    """The same ledger goes on where it was: nothing is lost, nothing is twice, nobody restarts anything."""
    with closing(Ledger.open(postgresql.fresh("ledger"), "here")) as ledger:
        epoch = ledger.take_over()
        ledger.post(Posting("gpu", {0: FULL}, (), 900, revision=0, at=0, epoch=epoch))
        postgresql.stop()
        try:
            for _ in range(2):
                with pytest.raises(Transient, match="goes on by itself") as caught:
                    ledger.post(Posting("gpu", {900: FULL}, (), 1800, revision=1, at=0, epoch=epoch))
                assert PASSWORD not in told(caught.value)
        finally:
            postgresql.start()
        assert ledger.state("gpu").revision == 1
        ledger.post(Posting("gpu", {900: FULL}, (), 1800, revision=1, at=0, epoch=epoch))
        assert ledger.statement("gpu", Interval(0, 1800)).coverage == Coverage(1800, 1800)


def test_a_broken_transaction_leaves_nothing(postgresql: Server) -> None:
    """The connection breaks between two statements of a posting: it is as if it never began."""
    with closing(Ledger.open(postgresql.fresh("ledger"), "here")) as ledger:
        with pytest.raises(Transient):
            _break_midway(ledger, postgresql)
        with ledger._database.reading() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM price_book").scalar() == 0


def _break_midway(ledger: Ledger, server: Server) -> None:
    with ledger._database.writing() as connection, server.connect() as admin:
        connection.exec_driver_sql("INSERT INTO price_book VALUES (1, '', 0, 0)")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ledger'")
        connection.exec_driver_sql("SELECT 1")


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (("hunter2", "hunter3"), Transient, "password authentication failed"),
        (("127.0.0.1:", "127.0.0.1:1"), Transient, "cannot be used"),
        (("/postgres", "/nowhere"), Transient, '"nowhere" does not exist'),
        (("postgresql:", "mysql:"), Stalled, "mysql cannot hold a ledger"),
        (("127.0.0.1:", "127.0.0.1:port"), Stalled, "no address of a database"),
    ],
)
def test_a_wrong_address_is_told_without_its_password(
    postgresql: Server, wrong: tuple[str, str], error: type[AIBudgetError], words: str
) -> None:
    """Messages end up in logs, conditions and tickets."""
    with pytest.raises(error, match=words) as caught:
        Ledger.open(postgresql.url().replace(*wrong), "here")
    assert "hunter" not in told(caught.value)


def test_missing_rights_are_told_with_the_way_out(postgresql: Server) -> None:
    """Time gives no rights: somebody has to."""
    url = postgresql.fresh("ledger")
    with postgresql.connect("ledger") as admin:
        admin.execute("DROP ROLE IF EXISTS reader")
        admin.execute("CREATE ROLE reader LOGIN PASSWORD 'hunter4'")
    with pytest.raises(Stalled, match=r"permission denied.*own the tables") as caught:
        Ledger.open(url.replace("aibudget:hunter2", "reader:hunter4"), "here")
    assert caught.value.reason == "LedgerUnusable"


def told(error: BaseException | None) -> str:
    """All that a traceback would print of an error and its causes."""
    return "" if error is None else f"{error!r} {error}" + told(error.__cause__) + told(error.__context__)
