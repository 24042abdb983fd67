"""Which steps of a grid are known: those at which their source was scraped, and short gaps between such.

The sample at t stands for [t - step, t). A step without its source is a gap, be it one missed scrape. A gap
of at most five minutes, closed on both sides, is bridged by what was held on both; a longer one is unknown.
Pure.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil

from aibudget.metering.slots import Interval, slot_of
from aibudget.metering.source import Series
from aibudget.metering.usage import Coverage

MAX_GAP = 300
MOST_REMEMBERED = 86_400
"""For how long an absence is held against what was there before; then what is there is all there is."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The instants start + step, … up to end, all multiples of `step`: each stands for the step before it."""

    interval: Interval
    step: int

    @property
    def instants(self) -> range:
        first = -(-self.interval.start // self.step) * self.step + self.step
        return range(first, self.interval.end + 1, self.step)

    def wider(self) -> "Grid":
        """With as much on both sides as it takes to see both ends of any gap that may be bridged."""
        return self.beyond(MAX_GAP + self.step)

    def beyond(self, seconds: int) -> "Grid":
        """With at least so much more on both sides, in whole steps."""
        margin = -(-seconds // self.step) * self.step
        return Grid(Interval(self.interval.start - margin, self.interval.end + margin), self.step)


@dataclass(frozen=True, slots=True)
class Known:
    """`covered` instants were scraped; a bridge (t1, t2) joins two covered instants over a short gap.

    `doubted` is which part of what was told at an instant was no amount and is not counted.
    """

    grid: Grid
    covered: frozenset[int]
    bridges: tuple[tuple[int, int], ...]
    doubted: Mapping[int, float] = field(default_factory=dict)

    @property
    def is_closed(self) -> bool:
        """Both ends of the grid are covered: no bridge leads out of it."""
        instants = self.grid.instants
        return bool(instants) and {instants[0], instants[-1]} <= self.covered

    def head(self) -> int | None:
        """The newest covered instant of the grid."""
        return max((t for t in self.grid.instants if t in self.covered), default=None)

    def by_slot(self) -> dict[int, Coverage]:
        """Seconds covered or bridged, less those in doubt, of each slot's seconds in the grid."""
        bridged = {t for bridge in self.bridges for t in self.gap(bridge)}
        seconds: dict[int, list[int]] = {}
        doubts: dict[int, float] = defaultdict(float)
        for t in self.grid.instants:
            slot = slot_of(t - self.grid.step)
            sums = seconds.setdefault(slot, [0, 0])
            if t in self.covered or t in bridged:
                sums[0] += self.grid.step
                if t in self.doubted:
                    doubts[slot] += self.grid.step * self.doubted[t]
            sums[1] += self.grid.step
        # A doubt is never rounded away.
        return {
            slot: Coverage(max(0, covered - ceil(round(doubts[slot], 6))), total)
            for slot, (covered, total) in seconds.items()
        }

    def gap(self, bridge: tuple[int, int]) -> range:
        """The uncovered instants between a bridge's ends."""
        return range(bridge[0] + self.grid.step, bridge[1], self.grid.step)


@dataclass(slots=True)
class Sighting:
    """What one instant tells of the source: nodes by instance, and distinct nodes; and whether AIBudget
    itself could tell of claims then.
    """

    instances: dict[str, float] = field(default_factory=dict)
    clusters: set[str] = field(default_factory=set)
    nodes: float = 0
    claims: bool = False
    down: set[str] = field(default_factory=set)
    scraped: float = 0.0

    @property
    def lacks_shard(self) -> bool:
        """Whether one of several shards could not be scraped: maybe one that tells of pods and of no node."""
        is_sharded = len(self.instances) > 1 and sum(self.instances.values()) <= self.nodes
        return is_sharded and not self.down <= self.instances.keys()


def sightings(answer: Iterable[Series]) -> dict[int, Sighting]:
    """The answer to `Queries.coverage`, by instant."""
    seen: dict[int, Sighting] = {}
    for labels, times, values in answer:
        for instant, value in zip(times, values, strict=True):
            sighting = seen.setdefault(int(instant), Sighting())
            match labels.get("family"):
                case "source":
                    sighting.instances[_instance(labels)] = value
                    sighting.clusters.add(labels.get("cluster", ""))
                case "nodes":
                    sighting.nodes = value
                case "claims":
                    sighting.claims = True
                case "scraped":
                    sighting.scraped = value
                case "down":
                    sighting.down.add(_instance(labels))
    return seen


def _instance(labels: Mapping[str, str]) -> str:
    return f"{labels.get('cluster', '')}/{labels.get('instance', '')}"


def known(grid: Grid, seen: Mapping[int, Sighting], unreadable: Collection[int] = ()) -> Known:
    """The steps of the grid that are known, judged with what lies around it in `seen` (a wider grid)."""
    covered = sorted(set(_covered(seen)) - set(unreadable))
    bridges = (
        (before, after)
        for before, after in pairwise(covered)
        if grid.step < after - before <= MAX_GAP + grid.step
    )
    return Known(grid, frozenset(covered), tuple(bridges))


class Witness:
    """The newest instant at which no part of the source was missing, from one reading to the next.

    Without it a shard that stays away would be missed only as long as a reading looks back.
    """

    def __init__(self) -> None:
        self._last: tuple[int, Sighting] | None = None

    def with_past(self, seen: Mapping[int, Sighting]) -> Mapping[int, Sighting]:
        """What was seen, and before it what is remembered: of the day before, and of nothing later."""
        first = min(seen, default=None)
        if self._last is None or first is None or not first - MOST_REMEMBERED <= self._last[0] < first:
            return seen
        return {self._last[0]: self._last[1], **seen}

    def note(self, seen: Mapping[int, Sighting]) -> None:
        """Remember the newest of these, unless a newer one is remembered."""
        newest = max(_covered(seen), default=None)
        if newest is not None and (self._last is None or self._last[0] < newest):
            self._last = newest, seen[newest]


def _covered(seen: Mapping[int, Sighting]) -> set[int]:
    """Instants at which no part of the source is missing: nothing that was there before them, and nothing
    that came back after them.
    """
    ordered = sorted(seen)
    return set(_whole(seen, ordered)) & set(_whole(seen, ordered[::-1]))


def _whole(seen: Mapping[int, Sighting], ordered: Iterable[int]) -> Iterator[int]:
    """A shard of kube-state-metrics that is away takes its nodes with it; an instance that was replaced, or
    one of two that tell the same, does not. A new instance settles what an old one's absence means.
    """
    before = Sighting()
    for instant in ordered:
        now = seen[instant]
        gone = sum(n for name, n in before.instances.items() if name not in now.instances)
        # Nodes that those who are still there no longer tell of have left.
        left = sum(max(0.0, n - now.instances.get(name, n)) for name, n in before.instances.items())
        arrived = any(name not in before.instances for name in now.instances)
        there = arrived or not gone or before.nodes - now.nodes - left < gone / 2
        if now.instances and there and not now.lacks_shard:
            yield instant
            before = now
