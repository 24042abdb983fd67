"""Sums of lines: by workload, for one namespace under one version of its labels, or one budget's part of it.

Money is in whole `UNITS` all the way, so that sums of parts and the sum of the whole agree to the last digit.
Which lines go into which sum is decided in `share`. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from aibudget.budgeting.caps import Counting, Sum
from aibudget.budgeting.evaluation import WorkloadSpend
from aibudget.budgeting.limits import Counted
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine
from aibudget.metering.catalogue import scale_of
from aibudget.pricing.charge import Units, amount_of, units_per_quantity
from aibudget.pricing.match import assumption, describe
from aibudget.pricing.rate import Rate

OBSERVED_PERCENT: Final = 80
"""Device time that must have been observed before a share of it is called idle."""
LEAST_WATCHED_SECONDS: Final = 900
"""How long devices must have been watched, up to now, before a workload is called idle."""
UNWATCHED_PERCENT: Final = 5
"""The most of that time that may have gone unobserved."""
BUSY_PERCENT: Final = 5
"""The most of one device's time in which an idle workload, all its devices together, may have been busy."""


@dataclass(slots=True)
class Watch:
    """Device seconds of the last half hour: held, seen, and busy where seen."""

    held: int = 0
    seen: int = 0
    busy: int = 0

    def add(self, other: "Watch") -> None:
        self.held += other.held
        self.seen += other.seen
        self.busy += other.busy

    def idle(self, seconds: int) -> bool | None:
        """Whether none of its devices did anything to speak of; None where one may not have been seen."""
        if seconds < LEAST_WATCHED_SECONDS or not self.held:
            return None
        unseen = self.held - self.seen
        if unseen * 100 > UNWATCHED_PERCENT * self.held or unseen * 2 > seconds:
            return None
        return self.busy * 100 <= BUSY_PERCENT * seconds


@dataclass(slots=True)
class Tally:
    """Sums: money in UNITS (`units`, and `hourly` at the newest pace), devices in the meter's quantity."""

    units: Units = 0
    hourly: Units = 0
    quantity: int = 0
    busy: int = 0
    observed: int = 0
    watch: Watch = field(default_factory=Watch)
    assumed: set[str] = field(default_factory=set)

    def add(self, other: "Tally") -> None:
        self.units += other.units
        self.hourly += other.hourly
        self.quantity += other.quantity
        self.busy += other.busy
        self.observed += other.observed
        self.watch.add(other.watch)
        self.assumed |= other.assumed


@dataclass(slots=True)
class Subject:
    """What of one namespace, under one version of its labels, is summed."""

    labels: dict[str, str]
    workloads: dict[Workload, Tally] = field(default_factory=lambda: defaultdict(Tally))
    units: Units = 0
    hourly: Units = 0
    estimated: Units = 0
    meters: set[str] = field(default_factory=set)
    currencies: set[str] = field(default_factory=set)
    unpriced: set[str] = field(default_factory=set)
    assumed: set[str] = field(default_factory=set)
    uncharged: dict[Workload, str] = field(default_factory=dict)
    uncosted: set[Workload] = field(default_factory=set)
    done: dict[str, Counter[Workload]] = field(default_factory=lambda: defaultdict(Counter))
    spends: tuple[WorkloadSpend, ...] | None = None
    sums: dict[Counted, Sum] = field(default_factory=lambda: defaultdict(Sum))

    def add(self, line: SpendLine, prices: "Prices") -> None:
        """A line of the interval."""
        if line.rate is None:
            self.unpriced.add(describe(line.sku))
            self.uncosted.add(line.workload)
            return
        price = prices.of(line.rate)
        if price is None:
            self.currencies.add(line.rate.currency)
            self.uncosted.add(line.workload)
            return
        self.meters.add(line.sku.meter)
        units = line.quantity * price
        self.units += units
        self.estimated += line.estimated * price
        if assumed := assumption(line.sku, line.rate):
            self.assumed.add(assumed)
        tally = self.workloads[line.workload]
        tally.units += units
        if line.sku.meter == prices.first:
            tally.quantity += line.quantity
            tally.busy += line.busy or 0
            tally.observed += line.observed or 0

    def add_recent(self, line: SpendLine, seconds: int, prices: "Prices") -> None:
        """A line of the newest so many seconds."""
        if line.rate is None:
            self.uncharged[line.workload] = describe(line.sku)
            return
        hourly = line.quantity * (prices.of(line.rate) or 0) * 3600 // seconds
        self.hourly += hourly
        tally = self.workloads[line.workload]
        tally.hourly += hourly
        if assumed := assumption(line.sku, line.rate):
            tally.assumed.add(assumed)

    def count(self, counting: Counting) -> None:
        """What a cap or a unit cost counts."""
        total, quantity = self.sums[counting.counted], counting.quantity
        if quantity is None:
            total.missing.add(counting.line.sku.dimension("region") or "nodes without a region")
        else:
            total.known = True
            total.quantity += quantity
        meter, kind = counting.counted
        if not kind:
            self.done[meter][counting.line.workload] += counting.line.quantity

    def watch(self, line: SpendLine) -> None:
        """A line of the last half hour or so, for whether anything is done."""
        # What has no price at all is nobody's victim; what has some counts with all its devices.
        tally = self.workloads.get(line.workload)
        if tally is None:
            return
        scale = scale_of(line.sku.meter)
        tally.watch.held += line.quantity * 3600 // scale
        tally.watch.seen += (line.observed or 0) * 3600 // scale
        tally.watch.busy += (line.busy or 0) * 3600 // scale


class Prices:
    """What a quantity costs in one currency, at the exchange of its time, each rate asked once.

    `first` is the meter of which devices are watched.
    """

    def __init__(self, currency: str, first: str) -> None:
        self.first: Final = first
        self._currency = currency
        self._known: dict[str, Units | None] = {}

    def of(self, rate: Rate) -> Units | None:
        """In `UNITS` for the meter's smallest unit; None without an exchange rate."""
        if rate.id not in self._known:
            self._known[rate.id] = units_per_quantity(rate, self._currency)
        return self._known[rate.id]


def priced(tallies: dict[Workload, Tally], watched_seconds: int) -> tuple[WorkloadSpend, ...]:
    """The workloads, the dearest first."""
    spends = [
        WorkloadSpend(
            workload=workload,
            amount=amount_of(tally.units),
            rate_per_hour=amount_of(tally.hourly),
            idle_percent=_idle(tally),
            idle=tally.watch.idle(watched_seconds),
            assumed=tuple(sorted(tally.assumed)),
        )
        for workload, tally in tallies.items()
    ]
    return tuple(sorted(spends, key=dearest))


def merged(subjects: Iterable[Subject]) -> dict[Workload, Tally]:
    """Workloads that spent under several versions of their namespace's labels, each once."""
    tallies: dict[Workload, Tally] = defaultdict(Tally)
    for subject in subjects:
        for workload, tally in subject.workloads.items():
            tallies[workload].add(tally)
    return tallies


def dearest(spend: WorkloadSpend) -> tuple[object, Workload]:
    """The order of workloads: by what they spent, then by name."""
    return (-spend.amount, spend.workload)


def _idle(tally: Tally) -> int | None:
    if not tally.quantity or tally.observed * 100 < OBSERVED_PERCENT * tally.quantity:
        return None
    return max(0, min(100, (tally.observed - tally.busy) * 100 // tally.observed))
