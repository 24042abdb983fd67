"""A meter that counts is read as soon as something tells of it, and costs next to nothing before."""

from pathlib import Path

import pytest

from aibudget.controller.counted import LOOK_AGAIN_SECONDS, CounterSource
from aibudget.controller.sources import Upstream
from aibudget.errors import Transient
from aibudget.ledger.store import Ledger
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.scene import MeterSettings
from aibudget.metering.source import PrometheusUnavailable, Result
from aibudget.metering.transport import PrometheusSettings
from aibudget.pricing.book import PriceBook
from unit.metering.fake import series

NOW = 1_795_000_000


class Exporters(Prometheus):
    """A Prometheus of which only is asked whether anything tells of a meter."""

    def __init__(self) -> None:
        super().__init__(PrometheusSettings(url="http://prometheus.invalid"))
        self.now, self.asked, self.told, self.away = NOW, 0, False, False

    def time(self) -> float:
        return self.now

    def query(self, promql: str, at: float) -> Result:
        self.asked += 1
        if self.away:
            raise PrometheusUnavailable("away")
        return Result([series({"family": "vllm"}, [at], [1.0])] if self.told else [])


@pytest.fixture
def prometheus() -> Exporters:
    """One that nothing tells of tokens."""
    return Exporters()


@pytest.fixture
def upstream(prometheus: Exporters, tmp_path: Path) -> Upstream:
    """What the meters share."""
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", "test")
    return Upstream(prometheus, MeterSettings(), ledger, clock=lambda: prometheus.now)


def test_an_absent_source_costs_a_question_now_and_then(prometheus: Exporters, upstream: Upstream) -> None:
    """However often it is wanted; and once something tells of the meter it is never asked again."""
    source = CounterSource(upstream, "tokens")
    assert not any(source.wanted(PriceBook(())) for _ in range(9))
    assert prometheus.asked == 1
    assert source.is_present is False
    prometheus.told = True
    assert not source.wanted(PriceBook(()))
    prometheus.now += LOOK_AGAIN_SECONDS
    upstream.begin()
    assert all(source.wanted(PriceBook(())) for _ in range(9))
    assert prometheus.asked == 2
    assert source.is_present


def test_an_outage_is_no_absence(prometheus: Exporters, upstream: Upstream) -> None:
    """It fails nothing here, and is asked again with the next cycle."""
    source = CounterSource(upstream, "energy")
    prometheus.away = True
    assert not source.wanted(PriceBook(()))
    assert source.is_present is None
    prometheus.away, prometheus.told = False, True
    assert source.wanted(PriceBook(()))


def test_a_wrong_clock_is_told_by_who_reads(prometheus: Exporters, tmp_path: Path) -> None:
    """Looking for a source is not the place to fail."""
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'other.db'}", "test")
    source = CounterSource(Upstream(prometheus, MeterSettings(), ledger, clock=lambda: 0.0), "tokens")
    assert not source.wanted(PriceBook(()))
    with pytest.raises(Transient, match="clock"):
        source.time()
