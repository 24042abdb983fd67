"""What kubelet is told: a standby is fine, a leader as long as its cycles come to an end."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace

import aiohttp
import pytest

from aibudget.controller.probes import Probes, Pulse, healthy, ready
from aibudget.errors import Stalled
from aibudget.reporting.exporter import Exporter
from aibudget.reporting.snapshot import Snapshot


def test_a_standby_is_healthy_and_ready_while_it_sees_the_lease() -> None:
    """It waits, and that is its work; blind to the Lease it could not take over."""
    standby = Pulse(leading=False, started=False, progressed=0.0, heard=2.0)
    assert healthy(standby, 1e9, 60)
    assert ready(standby)
    for heard in (None, 61.0):
        assert not ready(replace(standby, heard=heard))
        assert healthy(replace(standby, heard=heard), 1e9, 60)


def test_a_leader_is_ready_after_its_first_cycle() -> None:
    """Not before: a rollout waits for it."""
    assert not ready(Pulse(leading=True, started=False, progressed=0.0))
    assert ready(Pulse(leading=True, started=True, progressed=0.0))


@pytest.mark.parametrize(
    ("age", "interval", "expected"),
    [(100, 60, True), (299, 5, True), (301, 60, False), (2000, 900, True), (2701, 900, False)],
)
def test_a_loop_that_hangs_is_unhealthy(age: float, interval: float, expected: bool) -> None:
    """Patience grows with the interval, and is never less than a slow Prometheus needs."""
    assert healthy(Pulse(leading=True, started=True, progressed=0.0), age, interval) is expected


def test_an_outage_of_the_ledger_is_told_on_both_pages() -> None:
    """A process that waits for it is healthy; one that has led stays ready, and what it waits for is said."""

    async def scenario() -> None:
        pulse = Pulse(leading=True, started=False, progressed=990.0, away="the ledger db cannot be used")
        probes = Probes(("127.0.0.1", 0), 60, lambda: (pulse, 1000.0), Exporter())
        async with probes, aiohttp.ClientSession(f"http://127.0.0.1:{probes.port}") as session:
            async with session.get("/healthz") as answer:
                assert answer.status == 200
                assert await answer.text() == "ok; cycles are left out: the ledger db cannot be used\n"
            async with session.get("/readyz") as answer:
                assert answer.status == 503
                assert "cycles are left out: the ledger db" in await answer.text()
            pulse = replace(pulse, started=True)
            async with session.get("/readyz") as answer:
                assert answer.status == 200
                assert "cycles are left out" in await answer.text()

    asyncio.run(scenario())


def test_the_pages_are_served() -> None:
    """Over HTTP, on every replica."""

    async def scenario() -> None:
        exporter = Exporter()
        pulse = Pulse(leading=True, started=False, progressed=0.0)
        probes = Probes(("127.0.0.1", 0), 60, lambda: (pulse, 1000.0), exporter)
        async with probes, aiohttp.ClientSession(f"http://127.0.0.1:{probes.port}") as session:
            async with session.get("/healthz") as answer:
                assert answer.status == 503
                assert "1000 s ago" in await answer.text()
            async with session.get("/readyz") as answer:
                assert answer.status == 503
            exporter.show(Snapshot(leader=True))
            async with session.get("/metrics") as answer:
                assert answer.headers["Content-Type"].startswith("text/plain")
                assert "aibudget_leader 1.0" in await answer.text()

    asyncio.run(scenario())


class Large(Exporter):
    """Of metrics that fit into no buffer."""

    def render(self) -> Iterator[bytes]:
        return iter([b"x 1\n" * 100_000] * 100)


class Listener(logging.Handler):
    """Hears when anything is logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.told = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.told.set()


def test_whoever_leaves_before_the_end_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """A scrape that took too long ends so, and is told by Prometheus already."""

    listener = Listener()

    async def scenario() -> None:
        pulse = Pulse(leading=True, started=True, progressed=0.0)
        async with Probes(("127.0.0.1", 0), 60, lambda: (pulse, 1.0), Large()) as probes:
            reader, writer = await asyncio.open_connection("127.0.0.1", probes.port)
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")
            await reader.readexactly(1000)
            writer.close()
            await listener.told.wait()

    caplog.set_level("INFO")
    logging.getLogger().addHandler(listener)
    try:
        asyncio.run(asyncio.wait_for(scenario(), 30))
    finally:
        logging.getLogger().removeHandler(listener)
    assert [one.levelname for one in caplog.records if one.name.startswith("aibudget")] == ["INFO"]
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_an_address_in_use_is_named() -> None:
    """With what to do."""

    async def scenario() -> None:
        def pulse() -> tuple[Pulse, float]:
            return Pulse(leading=False, started=False, progressed=0.0), 0.0

        async with Probes(("127.0.0.1", 0), 60, pulse, Exporter()) as first:
            with pytest.raises(Stalled, match=r"cannot listen on 127\.0\.0\.1:\d+: .*--bind"):
                await Probes(("127.0.0.1", first.port), 60, pulse, Exporter()).__aenter__()

    asyncio.run(scenario())
