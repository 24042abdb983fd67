"""A wrong clock stops the metering, never a workload and never a hold."""

from pathlib import Path

import pytest

from aibudget.controller.sources import CLOCKS_APART_SECONDS, Upstream
from aibudget.errors import Transient
from aibudget.ledger.store import Ledger
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.scene import MeterSettings
from aibudget.metering.transport import PrometheusSettings
from unit.ledger.blank import blank

NOW = 1_795_000_000


class Clock(Prometheus):
    """A Prometheus of which only the time is asked."""

    def __init__(self, says: float) -> None:
        super().__init__(PrometheusSettings(url="http://prometheus.invalid"))
        self._says = says

    def time(self) -> float:
        return self._says


def source(tmp_path: Path, says: float) -> Upstream:
    ledger = Ledger.open(blank(tmp_path / "ledger.db"), "test")
    return Upstream(Clock(says), MeterSettings(), ledger, clock=lambda: NOW)


@pytest.mark.parametrize("off", [-CLOCKS_APART_SECONDS - 1, CLOCKS_APART_SECONDS + 1, 30 * 86_400])
def test_a_prometheus_of_another_time_is_not_read(tmp_path: Path, off: int) -> None:
    """Slots of a future that has not happened would be posted as empty, for good."""
    with pytest.raises(Transient, match="clock") as refused:
        source(tmp_path, NOW + off).time()
    assert refused.value.reason == "ClockSkew"


def test_a_minute_between_clocks_is_borne(tmp_path: Path) -> None:
    """Answers take time, and clocks drift."""
    assert source(tmp_path, NOW - 60).time() == NOW - 60
