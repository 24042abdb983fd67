"""The `gpu` meter as the accounts read it: Prometheus asked, owner links kept for good in the ledger."""

from typing import Final

from aibudget.inventory.owners import OwnerBook
from aibudget.ledger.store import Ledger
from aibudget.metering.meter import MeterSettings, read_gpu
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Reading

LEAST_LAG_SECONDS: Final = 60


class GpuSource:
    """A `head.Source`. For one thread. What the readings were like is kept for whoever reports on it."""

    def __init__(self, prometheus: Prometheus, meter: MeterSettings, ledger: Ledger) -> None:
        self._prometheus = prometheus
        self._meter = meter
        self._ledger = ledger
        self._owners = OwnerBook.of(ledger.owners())
        self._scrape_interval = 30.0

    def time(self) -> int:
        """Prometheus's own clock; also begins a new budget of time for what is asked next."""
        self._prometheus.begin()
        return int(self._prometheus.time())

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
