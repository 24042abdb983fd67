"""`Usage`, what metering gives to pricing: a quantity of one meter, by one workload, of one SKU, in one slot.

Quantities are integers of the meter's smallest unit (GPU-milliseconds for `gpu`), so that a recount always
equals a running total. There is no money here. Unknown stays None and is told apart from zero: device time
that nobody observed is not idle device time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aibudget.inventory.owners import OwnerBook, OwnerLink
from aibudget.inventory.workload import Workload
from aibudget.metering.memory import Memory
from aibudget.metering.slots import Interval


@dataclass(frozen=True, slots=True, order=True)
class Sku:
    """What is priced: a meter and the dimensions a rate can match (`gpuProduct`, `instanceType`, …).

    `dimensions` are sorted pairs; a dimension that is not known is absent. Build it with `sku()`.
    """

    meter: str
    dimensions: tuple[tuple[str, str], ...] = ()
    # Hashed once: few SKUs are keys of the cells of a hundred thousand pods.
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.meter, self.dimensions)))

    def __hash__(self) -> int:
        return self._hash

    def dimension(self, name: str) -> str | None:
        for key, value in self.dimensions:
            if key == name:
                return value
        return None


def sku(meter: str, dimensions: Mapping[str, str]) -> Sku:
    return Sku(meter, tuple(sorted((key, value) for key, value in dimensions.items() if value)))


@dataclass(frozen=True, slots=True)
class Usage:
    """One slot's worth. `estimated` is the part of `quantity` that a short gap was filled with.

    `observed` is the device time for which a utilisation was seen and `busy` the part of it that was busy,
    both in the unit of `quantity`; their difference is idle, and None is unknown. `labels` are those of the
    workload's pods that were asked for, as sorted pairs.
    """

    slot: int
    workload: Workload
    sku: Sku
    quantity: int
    estimated: int = 0
    busy: int | None = None
    observed: int | None = None
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of an interval is known, in seconds. Uncovered time is unknown, never zero.

    Known is what the source was scraped for, and a gap of at most five minutes that was bridged: what is
    held on both sides of it counts, marked as `Usage.estimated`.
    """

    covered_seconds: int
    total_seconds: int

    @property
    def percent(self) -> int:
        """Rounded down: 100 means all of it."""
        return 100 if not self.total_seconds else self.covered_seconds * 100 // self.total_seconds

    def __add__(self, other: "Coverage") -> "Coverage":
        return Coverage(
            self.covered_seconds + other.covered_seconds, self.total_seconds + other.total_seconds
        )


@dataclass(frozen=True, slots=True)
class Balance:
    """What became of capacity, in GPU-milliseconds: held + idle + unhealthy + unknown - over = capacity.

    `over` is what is held beyond the capacity. `unhealthy` nobody could have used: the device or its node
    was unwell, or the node cordoned. Of `unknown` it was not seen whether somebody held it. `estimated` is
    the part of `idle` that a short gap was filled with.
    """

    capacity: int = 0
    held: int = 0
    idle: int = 0
    unhealthy: int = 0
    unknown: int = 0
    over: int = 0
    estimated: int = 0

    def __add__(self, other: "Balance") -> "Balance":
        return Balance(
            self.capacity + other.capacity,
            self.held + other.held,
            self.idle + other.idle,
            self.unhealthy + other.unhealthy,
            self.unknown + other.unknown,
            self.over + other.over,
            self.estimated + other.estimated,
        )

    @property
    def residual(self) -> int:
        """How far the parts are from the whole: 0, or it is not counted right."""
        return self.held + self.idle + self.unhealthy + self.unknown - self.over - self.capacity


@dataclass(frozen=True, slots=True)
class Reading:
    """What one meter says of an interval: the usage, and for each slot how much of it was covered.

    `head` is the newest covered instant (Unix seconds): usage is known up to there and not after; None
    where nothing was covered. `problems` are sentences for people: a source that is absent, a step that
    could not be read, capacity that contradicts what is held. `links` are the owner links that were learnt,
    for the ledger to keep, and so are `memories`: what counters stood at, by the newest ends of slots.
    `owners` is the book that was given with those links in it, where the meter has made one. `step` and
    `scrape_interval` say, in seconds, how finely it was read, None where it could not be. `beside` are
    readings of other meters that came with it: `gpu` brings `gpu-idle`, which has `balances` by slot and node
    pool.
    """

    interval: Interval
    usages: tuple[Usage, ...]
    coverage: Mapping[int, Coverage]
    head: int | None
    problems: tuple[str, ...] = ()
    links: tuple[OwnerLink, ...] = ()
    owners: OwnerBook | None = field(default=None, compare=False, repr=False)
    step: int | None = None
    scrape_interval: float | None = None
    beside: tuple["Reading", ...] = ()
    balances: Mapping[tuple[int, str], Balance] = field(default_factory=dict)
    memories: Mapping[int, Memory] = field(default_factory=dict)
