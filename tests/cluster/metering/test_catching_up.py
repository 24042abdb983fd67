"""A past that is read back by a process that is killed on the way, and by the next one."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
from aibudget.controller.measuring import Measuring
from aibudget.controller.sources import GpuSource, IdleSource, Upstream
from aibudget.ledger.store import Ledger
from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import Interval, slot_of
from aibudget.metering.usage import Reading
from aibudget.pricing.book import PriceBook
from aibudget.sandbox.prometheus import PrometheusServer
from aibudget.sandbox.toolchain import Progress
from bench.past import Size, write_past

PODS: Final = 40
HOUR: Final = 3600
NOW: Final = int(time.time()) // 60 * 60
START: Final = slot_of(NOW - 20 * HOUR)
PAST: Final = Interval(START, slot_of(NOW - HOUR))

READS_ON: Final = """
import sys
from pathlib import Path
from cluster.metering.test_catching_up import Reader
reader = Reader(sys.argv[1], Path(sys.argv[2]))
while reader.reads_on():
    print(reader.ledger.begins("gpu"), flush=True)
"""


class Reader:
    """What the operator reads the past with; `chunks` are those it has asked for."""

    def __init__(self, url: str, ledger: Path) -> None:
        self.chunks: list[Interval] = []
        self.ledger = Ledger.open(f"sqlite:///{ledger}", "test")
        upstream = Upstream(Prometheus(PrometheusSettings(url=url)), MeterSettings(), self.ledger, time.time)
        gpu, epoch = _Noted(upstream, self.chunks), self.ledger.take_over()
        held = Accounts("gpu", gpu, self.ledger, epoch)
        left = Accounts("gpu-idle", IdleSource(upstream, gpu), self.ledger, epoch)
        left.follow(held)
        self._measuring = Measuring(Books([held, left], upstream.begin))
        self._measuring.measure(PriceBook(()), {}, START, NOW)

    def reads_on(self) -> bool:
        """One chunk; whether there is more."""
        return self._measuring.fill(START, PriceBook(()), {}, 0.0)


class _Noted(GpuSource):
    def __init__(self, upstream: Upstream, chunks: list[Interval]) -> None:
        super().__init__(upstream)
        self._chunks = chunks

    def read(self, interval: Interval) -> Reading:
        self._chunks.append(interval)
        return super().read(interval)


@pytest.fixture
def server(tmp_path: Path, progress: Progress) -> Iterator[PrometheusServer]:
    """Twenty hours of pods that hold a GPU each."""
    prometheus = PrometheusServer(tmp_path / "prometheus", progress=progress)
    write_past(prometheus.data, Size(PODS, 4, START - HOUR, NOW + HOUR, 60))
    with prometheus:
        yield prometheus


def test_a_killed_reader_is_followed_by_one_that_goes_on(server: PrometheusServer, tmp_path: Path) -> None:
    """Nothing that is posted is asked for again, nothing is left out, and nothing counts twice."""
    ledger = tmp_path / "ledger.db"
    child = subprocess.Popen(
        [sys.executable, "-c", READS_ON, server.url, str(ledger)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        far = next(int(line) for line in child.stdout if int(line) < NOW - 2 * HOUR)
        child.kill()
    reader = Reader(server.url, ledger)
    begins = reader.ledger.begins("gpu")
    assert begins is not None
    assert START < begins <= far
    reader.chunks.clear()
    while reader.reads_on():
        pass
    assert max(chunk.end for chunk in reader.chunks) == begins
    assert reader.ledger.begins("gpu") == reader.ledger.begins("gpu-idle") == START
    held, left = (reader.ledger.statement(meter, PAST) for meter in ("gpu", "gpu-idle"))
    assert held.complete
    assert held.coverage.covered_seconds == left.coverage.total_seconds == PAST.seconds
    assert sum(line.quantity for line in held.lines) == PODS * PAST.seconds * 1000
    reader.ledger.close()
