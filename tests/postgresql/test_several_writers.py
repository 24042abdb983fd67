"""Several clusters write to one PostgreSQL at once, and of two writers of one cluster the newer one stays."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal

import pytest

from aibudget.errors import Conflict, Stalled, Transient
from aibudget.inventory.workload import Workload
from aibudget.ledger import meters
from aibudget.ledger import postgresql as backend
from aibudget.ledger.database import Database
from aibudget.ledger.posting import Posting
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage, Usage, sku
from aibudget.pricing.charge import Charge
from aibudget.pricing.rate import FAR_FUTURE, Rate
from postgresql.server import Server

FULL = Coverage(SLOT_SECONDS, SLOT_SECONDS)
WORKLOADS, RATES, SLOTS = 40, 7, 6


@pytest.fixture
def url(postgresql: Server) -> str:
    """A ledger that nothing is in."""
    return postgresql.fresh("ledger")


def rate(number: int) -> Rate:
    """One of the rates that all clusters have."""
    price = Decimal(number + 1)
    return Rate(
        source="list",
        name=f"rate-{number}",
        meter="gpu",
        match={},
        currency="USD",
        unit="GPU-Hours",
        price=price,
        list_price=price,
        priority=10,
        interval=Interval(0, FAR_FUTURE),
    )


def posting(slot: int, epoch: int, *, backwards: bool = False) -> Posting:
    """A slot of many workloads at many rates."""
    charges = [
        Charge(
            Usage(slot * SLOT_SECONDS, Workload("team", "Job", f"w{number}"), sku("gpu", {}), number + 1),
            rate((number + slot) % RATES),
        )
        for number in range(WORKLOADS)
    ]
    return Posting(
        meter="gpu",
        coverage={slot * SLOT_SECONDS: FULL},
        charges=tuple(charges[::-1] if backwards else charges),
        watermark=(slot + 1) * SLOT_SECONDS,
        revision=slot,
        at=0,
        epoch=epoch,
    )


def run(url: str, cluster: str, begin: threading.Barrier, *, backwards: bool) -> int:
    """One cluster's operator: posts slot after slot; what it has spent in the end."""
    with closing(Ledger.open(url, cluster)) as ledger:
        epoch = ledger.take_over()
        begin.wait(60)
        for slot in range(SLOTS):
            ledger.post(posting(slot, epoch, backwards=backwards))
        return sum(line.quantity for line in ledger.statement("gpu", Interval(0, SLOTS * SLOT_SECONDS)).lines)


def test_clusters_write_at_once(url: str, postgresql: Server) -> None:
    """Their new rates are the same ones, in another order: nobody waits in vain, and none is there twice."""
    Database(url).close()
    begin = threading.Barrier(3)
    with ThreadPoolExecutor(3) as pool:
        several = [
            pool.submit(run, url, cluster, begin, backwards=bool(number % 2))
            for number, cluster in enumerate(("eu-1", "eu-2", "us-1"))
        ]
        assert [one.result() for one in several] == [SLOTS * WORKLOADS * (WORKLOADS + 1) // 2] * 3
    with postgresql.connect("ledger") as raw:
        assert raw.execute("SELECT count(*), count(DISTINCT hash) FROM rate").fetchone() == (RATES, RATES)
        assert raw.execute("SELECT count(*) FROM line").fetchone() == (3 * WORKLOADS,)


def test_the_older_writer_is_refused(url: str) -> None:
    """A leader that was paused and goes on writes nothing over its successor's slots."""
    with closing(Ledger.open(url, "here")) as paused, closing(Ledger.open(url, "here")) as successor:
        old, new = paused.take_over(), successor.take_over()
        successor.post(posting(0, new))
        with pytest.raises(Conflict, match="took the ledger over"):
            paused.post(posting(1, old))
        assert successor.watermark("gpu") == SLOT_SECONDS


def test_a_writer_paused_midway_is_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock keeps a successor out, who says so and tries again; the server breaks it off before long."""
    monkeypatch.setitem(backend._SESSION, "lock_timeout", "50ms")
    monkeypatch.setitem(backend._SESSION, "idle_in_transaction_session_timeout", "1s")
    with closing(Database(url)) as database, closing(Ledger.open(url, "here")) as successor:
        paused = Ledger(database, "here")
        with pytest.raises(Transient, match="idle-in-transaction"):
            _pause_midway(database, paused._cluster_id, successor)
        assert paused.watermark("gpu") is None


def _pause_midway(database: Database, cluster: int, successor: Ledger) -> None:
    with database.writing() as connection:
        meters.lock(connection, cluster)
        with pytest.raises(Transient, match="lock timeout"):
            successor.take_over()
        _patiently(successor.take_over)
        connection.exec_driver_sql("SELECT 1")


def _patiently(take_over: Callable[[], int]) -> int:
    """As the operator does: again at each cycle."""
    for _ in range(200):
        try:
            return take_over()
        except Transient:
            continue
    raise AssertionError("the lock of the paused writer never went away")


def test_a_deadlock_is_a_matter_of_time(url: str, postgresql: Server) -> None:
    """Somebody who locks tables by hand, in an order of their own: the ledger gives way, and comes again."""
    with closing(Ledger.open(url, "here")) as ledger, postgresql.connect("ledger") as rival:
        epoch = ledger.take_over()
        with ThreadPoolExecutor(1) as pool, rival.transaction():
            # Whoever looks first gives way.
            rival.execute("SET deadlock_timeout = '1min'")
            rival.execute("LOCK TABLE usage_slot IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(Transient, match="deadlock"):
                _embrace(ledger, lambda: pool.submit(rival.execute, "LOCK TABLE cluster"), postgresql)
        ledger.post(posting(0, epoch))


def _embrace(ledger: Ledger, other: Callable[[], object], server: Server) -> None:
    with ledger._database.writing() as connection:
        meters.lock(connection, ledger._cluster_id)
        other()
        _until_waiting(server)
        connection.exec_driver_sql("SELECT count(*) FROM usage_slot")


def _until_waiting(server: Server) -> None:
    with server.connect() as look:
        for _ in range(2000):
            if look.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (0,):
                return
    raise AssertionError("nobody waits for a lock")


def test_two_processes_make_one_ledger(postgresql: Server) -> None:
    """Two replicas, or two clusters, begin on an empty database: one makes the tables, both find them."""
    url, begin = postgresql.empty("made"), threading.Barrier(2)

    def open_it(cluster: str) -> int:
        begin.wait(60)
        with closing(Ledger.open(url, cluster)) as ledger:
            return ledger.take_over()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(open_it, ("eu-1", "eu-2"))) == [1, 1]


def test_somebody_elses_database_is_refused(postgresql: Server) -> None:
    """Our tables do not go between those of an application."""
    url = postgresql.empty("other")
    with postgresql.connect("other") as raw:
        raw.execute("CREATE TABLE notes (content text)")
    with pytest.raises(Stalled, match="not a ledger"):
        Ledger.open(url, "here")
