"""A meter that counts is read as soon as something tells of it, and costs next to nothing before."""

from pathlib import Path

import pytest

from aibudget.api.meter import MeterSpec
from aibudget.controller.counted import LOOK_AGAIN_SECONDS, CounterSource, Presence
from aibudget.controller.sources import Upstream
from aibudget.controller.usermeter import UserMeter
from aibudget.errors import Transient
from aibudget.ledger.store import Ledger
from aibudget.metering.catalogue import COUNTED
from aibudget.metering.counters import CountedMeter
from aibudget.metering.definition import Definition
from aibudget.metering.families import Family
from aibudget.metering.levels import FAMILY
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import Interval
from aibudget.metering.source import PrometheusUnavailable, QueryRefused, Result
from aibudget.metering.transport import PrometheusSettings
from aibudget.pricing.book import PriceBook
from unit.ledger.blank import blank
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
        if "refused" in promql:
            raise QueryRefused("parse error")
        told = [name for name in (*COUNTED, "images") if f'"{name}/' in promql] if self.told else []
        return Result([series({FAMILY: f"{name}/a source"}, [at], [1.0]) for name in told])


@pytest.fixture
def prometheus() -> Exporters:
    """One that nothing tells of tokens."""
    return Exporters()


@pytest.fixture
def upstream(prometheus: Exporters, tmp_path: Path) -> Upstream:
    """What the meters share."""
    ledger = Ledger.open(blank(tmp_path / "ledger.db"), "test")
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


def test_absent_sources_are_asked_for_at_once(prometheus: Exporters, upstream: Upstream) -> None:
    """One query for all meters of which nothing is told; what is told of is not asked for again."""
    together: list[Presence] = []
    sources = [CounterSource(upstream, name, together) for name in COUNTED]
    assert not any(source.wanted(PriceBook(())) for source in sources)
    assert (prometheus.asked, [source.is_present for source in sources]) == (1, [False] * len(sources))
    prometheus.told, prometheus.now = True, NOW + LOOK_AGAIN_SECONDS
    upstream.begin()
    assert all(source.wanted(PriceBook(())) for source in sources)
    assert prometheus.asked == 2


def test_what_is_refused_of_one_is_not_held_against_another(
    prometheus: Exporters, upstream: Upstream
) -> None:
    """Then each is asked for by itself."""
    together: list[Presence] = []
    refused = CountedMeter("odd", {"a": Family("a", "refused")})
    one, other = Presence(upstream, refused, together), CounterSource(upstream, "tokens", together)
    prometheus.told = True
    assert other.wanted(PriceBook(()))
    with pytest.raises(QueryRefused):
        one.look()
    assert one.is_seen is None


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
    ledger = Ledger.open(blank(tmp_path / "other.db"), "test")
    source = CounterSource(Upstream(prometheus, MeterSettings(), ledger, clock=lambda: 0.0), "tokens")
    assert not source.wanted(PriceBook(()))
    with pytest.raises(Transient, match="clock"):
        source.time()


class Silent(Exporters):
    """One that answers, and counts nothing."""

    def query_range(self, promql: str, start: float, end: float, step: int) -> Result:
        return Result([])


def test_a_source_that_has_gone_is_absent_by_no_restart_alone(tmp_path: Path) -> None:
    """It is read on, for its meter was told of once; that it is silent now is seen by reading it."""
    prometheus = Silent()
    prometheus.told = True
    ledger = Ledger.open(blank(tmp_path / "ledger.db"), "test")
    upstream = Upstream(prometheus, MeterSettings(), ledger, clock=lambda: prometheus.now)
    source = CounterSource(upstream, "tokens")
    assert source.wanted(PriceBook(()))
    prometheus.told, prometheus.now = False, NOW + LOOK_AGAIN_SECONDS
    upstream.begin()
    source.read(Interval(NOW // 900 * 900 - 900, NOW // 900 * 900))
    assert source.is_present is False
    assert source.wanted(PriceBook(()))


def test_a_meter_of_a_user_that_nothing_tells_of_says_so(tmp_path: Path) -> None:
    """It is read all the same; whether there is anything is asked now and then, until there is."""
    prometheus = Silent()
    ledger = Ledger.open(blank(tmp_path / "ledger.db"), "test")
    upstream = Upstream(prometheus, MeterSettings(), ledger, clock=lambda: prometheus.now)
    spec = {"unit": "Images", "type": "Counter", "sources": [{"name": "app", "query": "imags_total"}]}
    meter = UserMeter(upstream, Definition("images", MeterSpec.model_validate(spec, by_alias=True)))
    slot = Interval(NOW // 900 * 900 - 900, NOW // 900 * 900)
    assert "Nothing is told by app" in "".join(meter.read(slot).problems)
    seen = [meter.is_present]
    for later in (1, LOOK_AGAIN_SECONDS):
        prometheus.told, prometheus.now = True, NOW + later
        upstream.begin()
        meter.read(slot)
        seen.append(meter.is_present)
    assert seen == [False, False, True]
