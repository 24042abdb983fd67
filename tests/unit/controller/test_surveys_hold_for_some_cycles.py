"""How a source is scraped is asked now and then, and always before a slot is posted."""

from pathlib import Path

from aibudget.controller.sources import GpuSource, Upstream
from aibudget.ledger.store import Ledger
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.scene import SURVEYED, MeterSettings
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.source import Result
from aibudget.metering.transport import PrometheusSettings
from aibudget.metering.usage import Reading
from unit.ledger.blank import blank
from unit.metering.fake import BEGIN, FakePrometheus, Life


class Told(Prometheus):
    """What a fake one answers, at a time of its own."""

    def __init__(self, fake: FakePrometheus, now: int) -> None:
        super().__init__(PrometheusSettings(url="http://prometheus.invalid"))
        self.fake, self.now = fake, now

    def time(self) -> float:
        return self.now

    def query(self, promql: str, at: float) -> Result:
        return self.fake.query(promql, at)

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        return self.fake.query_range(promql, start, end, step)

    def surveys(self) -> int:
        return sum("newest" in promql for promql in self.fake.asked)


class Cycles:
    """One a minute; each reads from the slot that was posted last up to now."""

    def __init__(self, prometheus: Told, directory: Path) -> None:
        ledger = Ledger.open(blank(directory / "ledger.db"), "test")
        self._prometheus = prometheus
        self._upstream = Upstream(prometheus, MeterSettings(), ledger, clock=lambda: prometheus.now)
        self._source = GpuSource(self._upstream)

    def read(self, start: int) -> Reading:
        self._prometheus.now += 60
        self._upstream.begin()
        return self._source.read(Interval(start, self._prometheus.now))


def test_a_head_that_grows_is_surveyed_now_and_then(tmp_path: Path) -> None:
    """A scrape interval hardly ever changes, and asking for it takes two queries."""
    fake = FakePrometheus([Life("a", 0, 10_000)], range(-3600, 10_000, 30))
    prometheus = Told(fake, BEGIN)
    cycles = Cycles(prometheus, tmp_path)
    for _ in range(2 * SURVEYED):
        cycles.read(BEGIN)
    assert prometheus.surveys() == 2


def test_what_is_posted_is_surveyed_anew(tmp_path: Path) -> None:
    """By an interval of ten minutes ago each second instant of a slot would be a gap."""
    scrapes = [*range(-3600, -900, 30), *range(-900, 10_000, 60)]
    prometheus = Told(FakePrometheus([Life("a", 0, 10_000)], scrapes, window=63.0), BEGIN - 960)
    cycles = Cycles(prometheus, tmp_path)
    assert cycles.read(BEGIN - 1800).scrape_interval == 30
    prometheus.now = BEGIN + SLOT_SECONDS
    assert cycles.read(BEGIN - 1800).scrape_interval == 60


def test_a_source_that_is_absent_is_looked_for_each_time(tmp_path: Path) -> None:
    """It may be scraped for the first time at any moment."""
    prometheus = Told(FakePrometheus([], range(120, 10_000, 30)), BEGIN)
    cycles = Cycles(prometheus, tmp_path)
    seen = [cycles.read(BEGIN).step is not None for _ in range(4)]
    assert seen == [False, False, True, True]
