"""The `gpu` meter as the accounts read it: Prometheus asked, owner links kept for good in the ledger."""

from collections.abc import Callable
from typing import Final

from aibudget.errors import Transient
from aibudget.inventory.owners import OwnerBook
from aibudget.ledger.store import Ledger
from aibudget.metering.meter import read_gpu
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import Interval, iso
from aibudget.metering.usage import Reading

LEAST_LAG_SECONDS: Final = 60
CLOCKS_APART_SECONDS: Final = 120
"""How far Prometheus's clock may be from the cluster's."""


class GpuSource:
    """An `accounts.Source`, for one thread; `clock` is the cluster's time in Unix seconds."""

    def __init__(
        self, prometheus: Prometheus, meter: MeterSettings, ledger: Ledger, clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._prometheus = prometheus
        self._meter = meter
        self._ledger = ledger
        self._owners = OwnerBook.of(ledger.owners())
        self._scrape_interval = 30.0

    def time(self) -> int:
        """Prometheus's own clock; also begins a new budget of time for what is asked next.

        Raises `Transient` where it is far from the cluster's: slots would be posted before they happen.
        """
        self._prometheus.begin()
        now = int(self._prometheus.time())
        if abs(now - self._clock()) > CLOCKS_APART_SECONDS:
            raise Transient(
                "ClockSkew",
                f"Prometheus's clock says {iso(now)}, the API server's {iso(int(self._clock()))}. Nothing is "
                "metered or acted upon until they agree; set the wrong one right.",
            )
        return now

    def lag(self) -> int:
        """Two scrapes, and never less than a minute: until then samples may still come."""
        return max(LEAST_LAG_SECONDS, round(2 * self._scrape_interval))

    def read(self, interval: Interval) -> Reading:
        """Everything used in the interval, which must not end in the future."""
        self._prometheus.begin()
        reading = read_gpu(self._prometheus, interval, self._meter, self._owners)
        if reading.links:
            self._ledger.remember_owners(reading.links, interval.end)
            self._owners = self._owners.with_links(reading.links)
        if reading.scrape_interval is not None:
            self._scrape_interval = reading.scrape_interval
        return reading
