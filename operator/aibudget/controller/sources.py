"""The meters as the accounts read them: one Prometheus asked, owner links kept for good in the ledger.

`Upstream` is what all of them share in a cycle: one time, one survey and coverage of each part of it, one
book of owners. So a further meter costs its own query and no more.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final

from aibudget.errors import AIBudgetError, Transient
from aibudget.inventory.owners import OwnerBook, OwnerLink
from aibudget.ledger.store import Ledger
from aibudget.metering.labels import PodLabels, Wanted, read_pod_labels
from aibudget.metering.memory import Memory
from aibudget.metering.meter import gpu_parts, idle_parts, whole
from aibudget.metering.portions import Portions
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.recall import Recall
from aibudget.metering.reservation import read_reserved
from aibudget.metering.scene import MeterSettings, Scenes
from aibudget.metering.slots import SLOT_SECONDS, Interval, iso, slot_of
from aibudget.metering.usage import Balance, Reading
from aibudget.pricing.book import PriceBook

LEAST_LAG_SECONDS: Final = 60
CLOCKS_APART_SECONDS: Final = 120
"""How far Prometheus's clock may be from the cluster's."""

PODS_KEPT_SECONDS: Final = 2 * 86_400
"""For how long the owner of a single pod is kept: longer than a gap may be filled."""
FORGET_SECONDS: Final = 86_400
EXPORTED_SECONDS: Final = 86_400
"""For how long a label that no pod has any more is still taken to be told of: jobs come and go."""


class Upstream:
    """For one thread; `clock` is the cluster's time in Unix seconds."""

    def __init__(
        self, prometheus: Prometheus, settings: MeterSettings, ledger: Ledger, clock: Callable[[], float]
    ) -> None:
        portions = Portions(prometheus)
        self._recall = Recall(portions)
        self.scenes = Scenes(self._recall, settings, once=portions)
        self._clock = clock
        self._prometheus = prometheus
        self._ledger = ledger
        self._owners: OwnerBook | None = None
        self._scrape_interval = 30.0
        self._now: int | None = None
        self._away: AIBudgetError | None = None
        self._forgotten: int | None = None
        self._pod_labels: tuple[Interval, PodLabels] | None = None
        self._wanted = Wanted(settings.workload_labels)
        self._exported: dict[str, int] | None = None

    @property
    def owners(self) -> OwnerBook:
        """Every owner link that was ever learnt."""
        if self._owners is None:
            self._owners = OwnerBook.of(self._ledger.owners())
        return self._owners

    def select(self, selected: Mapping[str, frozenset[str]]) -> None:
        """From now on keep usage with these labels as well, by namespace: budgets select by them."""
        if selected != self._wanted.selected:
            self._wanted = replace(self._wanted, selected=selected)
            self._exported = None

    def begin(self) -> None:
        """Begin a cycle: the time is asked anew, and so is what may have come late."""
        self._now = self._away = self._pod_labels = None
        self.scenes.forget()

    def time(self) -> int:
        """Prometheus's own clock, asked once a cycle; it also begins a new budget of time for queries.

        Raises `Transient` where it is far from the cluster's: slots would be posted before they happen. Who
        did not answer is not waited for by each meter anew.
        """
        if self._away is not None:
            raise self._away
        if self._now is None:
            self._prometheus.begin()
            try:
                now = int(self._prometheus.time())
            except AIBudgetError as error:
                self._away = error
                raise
            if abs(now - self._clock()) > CLOCKS_APART_SECONDS:
                raise Transient(
                    "ClockSkew",
                    f"Prometheus's clock says {iso(now)}, the API server's {iso(int(self._clock()))}. "
                    "Nothing is metered or acted upon until they agree; set the wrong one right.",
                )
            self._now = now
            self._forget(now)
        return self._now

    def lag(self) -> int:
        """Two scrapes, and never less than a minute: until then samples may still come."""
        return max(LEAST_LAG_SECONDS, round(2 * self._scrape_interval))

    def memory(self, meter: str) -> Memory:
        """What the meter's counters stood at when it was posted last."""
        return self._ledger.memory(meter)

    def read(self, interval: Interval, read: Callable[[], Reading]) -> Reading:
        """A meter's reading, within a budget of time of its own; what it learnt of owners is kept."""
        self._prometheus.begin()
        settled, is_posted = self._head(interval)
        self._recall.remember(settled, whole=is_posted)
        if is_posted:
            self.scenes.survey_anew()
        known = self.owners
        reading = read()
        if reading.owners is not None and self._owners is known:
            # The same links in a book that is made already, and has looked up what was read.
            self._ledger.remember_owners(reading.links, interval.end)
            self._owners = reading.owners
        else:
            self.remember(reading.links, interval.end)
        if self._wanted.keys:
            reading = self._labels(interval).on(reading, self.owners)
        if reading.scrape_interval is not None:
            self._scrape_interval = reading.scrape_interval
        return reading

    def devices(self, interval: Interval) -> Reading:
        """What `gpu` reads of an interval, within `read`."""
        settled, is_posted = self._head(interval)
        self.scenes.utilisation.begin(interval, settled, whole=is_posted)
        return whole(interval, gpu_parts(self.scenes, interval, self.owners))

    def _head(self, interval: Interval) -> tuple[int | None, bool]:
        """Up to where an interval is settled, None where it is no head; and whether some of it is posted.

        A head that only grows is asked for what is new of it; what will be posted is read whole.
        """
        settled = self.time() - self.lag()
        ended = slot_of(settled)
        return settled if ended < interval.end else None, interval.start < ended

    def _labels(self, interval: Interval) -> PodLabels:
        """Asked for once for all meters that read an interval."""
        if self._pod_labels is None or self._pod_labels[0] != interval:
            self._pod_labels = interval, self._ask_labels(interval)
        return self._pod_labels[1]

    def _ask_labels(self, interval: Interval) -> PodLabels:
        queries, now = self.scenes.settings.queries, self.time()
        since = now - EXPORTED_SECONDS
        if self._exported is None:
            known = self._ledger.label_keys(since) if self._wanted.selected else ()
            self._exported = dict.fromkeys(known, now)
        # Of the past it is known only by what is told there whether anybody told of a label.
        is_newest = interval.end > slot_of(now - self.lag())
        exported = {key for key, at in self._exported.items() if at >= since} if is_newest else ()
        told = read_pod_labels(self._prometheus, queries, interval, self._wanted, exported)
        for key in told.keys_told:
            self._exported[key] = max(interval.end, self._exported.get(key, 0))
        return told

    def _forget(self, now: int) -> None:
        """Once a day, let go of pods that are long gone; those that run on are asked for anew."""
        if self._forgotten is None or now - self._forgotten >= FORGET_SECONDS:
            self._ledger.forget_pods(now - PODS_KEPT_SECONDS)
            self._forgotten, self._owners = now, None

    def remember(self, links: Collection[OwnerLink], at: int) -> None:
        """Keep what was learnt of owners, for all meters and for good."""
        if links:
            self._ledger.remember_owners(links, at)
            self._owners = self.owners.with_links(links)


class Reserved:
    """What pods reserve of CPU and memory, read at once for both meters."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._read: tuple[Interval, Mapping[str, Reading]] | None = None

    def read(self, meter: str, interval: Interval) -> Reading:
        """One meter's part. It is given away once: what is asked for again is read again."""
        if self._read is None or self._read[0] != interval or meter not in self._read[1]:
            upstream = self._upstream
            self._read = interval, read_reserved(upstream.scenes, interval, upstream.owners)
        readings = dict(self._read[1])
        reading = readings.pop(meter)
        self._read = interval, readings
        return reading


class ReservedSource:
    """An `accounts.Source` of `cpu` or `memory`. Read only where a rate prices it: it covers all pods."""

    def __init__(self, upstream: Upstream, reserved: Reserved, meter: str) -> None:
        self._upstream = upstream
        self._reserved = reserved
        self._meter = meter

    def time(self) -> int:
        return self._upstream.time()

    def lag(self) -> int:
        return self._upstream.lag()

    def wanted(self, book: PriceBook) -> bool:
        return self._meter in book.meters

    def read(self, interval: Interval) -> Reading:
        """Everything reserved in the interval, which must not end in the future."""
        return self._upstream.read(interval, lambda: self._reserved.read(self._meter, interval))


class GpuSource:
    """An `accounts.Source` of the `gpu` meter. It is always read: no cost is of more interest."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._beside: Reading | None = None

    def time(self) -> int:
        return self._upstream.time()

    def lag(self) -> int:
        return self._upstream.lag()

    def wanted(self, book: PriceBook) -> bool:
        return True

    def read(self, interval: Interval) -> Reading:
        """Everything used in the interval, which must not end in the future."""
        upstream = self._upstream
        reading = upstream.read(interval, lambda: upstream.devices(interval))
        self._beside = next(iter(reading.beside), None)
        return reading

    def beside(self, interval: Interval) -> Reading | None:
        """What was told of idle capacity beside the last reading, if that was of this interval; given away
        once.
        """
        found, self._beside = self._beside, None
        return found if found is not None and found.interval == interval else None


class IdleSource:
    """An `accounts.Source` of `gpu-idle`, which costs no query where `gpu` was just read."""

    def __init__(self, upstream: Upstream, gpu: GpuSource) -> None:
        self._upstream = upstream
        self._gpu = gpu
        self._newest: tuple[int, Mapping[str, Balance]] = 0, {}

    def time(self) -> int:
        return self._upstream.time()

    def lag(self) -> int:
        return self._upstream.lag()

    def wanted(self, book: PriceBook) -> bool:
        return True

    def read(self, interval: Interval) -> Reading:
        """All capacity that nobody held in the interval, which must not end in the future."""
        upstream = self._upstream
        reading = self._gpu.beside(interval) or upstream.read(
            interval, lambda: whole(interval, idle_parts(upstream.scenes, interval))
        )
        # What is not known any more is not shown, either.
        slot = slot_of(interval.end if reading.head is None else reading.head) - SLOT_SECONDS
        if slot >= max(interval.start, self._newest[0]):
            self._newest = slot, {pool: one for (of, pool), one in reading.balances.items() if of == slot}
        return reading

    def balances(self) -> Mapping[str, Balance]:
        """What became of the capacity in the newest slot that was read whole, by node pool."""
        return self._newest[1]
