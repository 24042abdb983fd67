"""Meters that count: levels asked of Prometheus, made into `Usage` by slot, workload and SKU.

One query a piece for all sources of a meter, whatever their number; a second only where counters appear whose
beginning is in question, and those for owners that the book lacks. A reading that begins where the last
posting ended goes on from the levels remembered there; any other looks back and ahead by itself, so that
however a range is cut, and however often it is read, each increment is in one slot, once. Pure but for the
`PromSource` it asks.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aibudget.inventory.owners import OwnerBook
from aibudget.metering.asking import over_range
from aibudget.metering.charging import Charging
from aibudget.metering.counting import STEP, Counting
from aibudget.metering.coverage import Grid, Known
from aibudget.metering.families import Family, Shape
from aibudget.metering.growth import LONGEST_BRIDGE
from aibudget.metering.levels import FAMILY, cut, told
from aibudget.metering.memory import Counter, Memory
from aibudget.metering.nodes import Nodes, own
from aibudget.metering.ownership import learn
from aibudget.metering.scene import Scenes
from aibudget.metering.slots import SLOT_SECONDS, Interval, slot_of
from aibudget.metering.source import Series
from aibudget.metering.tally import First, Tally
from aibudget.metering.usage import Reading

FIRST_PIECE: Final = 3600
"""Seconds that are asked for at once to begin with; the next piece is as large as memory bears."""
MOST_POINTS: Final = 600_000
"""What one answer may hold: about 20 MB."""


@dataclass(frozen=True, slots=True)
class CountedMeter:
    """A meter and those who tell of it, by name; `is_on_nodes` where what it counts is priced by the node.

    `is_expected` where each of them should tell something: silence is then a problem.
    """

    name: str
    families: Mapping[str, Family]
    is_on_nodes: bool = False
    is_expected: bool = False


def counters_of(scenes: Scenes, meter: CountedMeter) -> Counting:
    """The queries of the meter."""
    settings = scenes.settings
    return Counting(tuple(meter.families.values()), settings.cluster, settings.kube_state_metrics)


def told_of(scenes: Scenes, meters: Iterable[CountedMeter], now: int) -> frozenset[str]:
    """The names of those meters of which anything tells now: one query, whatever their number."""
    named = ((meter.name, family) for meter in meters for family in meter.families.values())
    whole = [replace(family, name=f"{meter}/{family.name}") for meter, family in named]
    asked = counters_of(scenes, CountedMeter("", {family.name: family for family in whole})).present()
    return frozenset(
        series.labels[FAMILY].partition("/")[0] for series in scenes.source.query(asked, now).series
    )


def read_counters(
    scenes: Scenes, moment: tuple[Interval, int], meter: CountedMeter, memory: Memory, book: OwnerBook
) -> Reading:
    """Everything the meter says of an interval that starts on a slot, at a time; `memory` is what was posted
    last.

    Raises the source's errors, and no other.
    """
    return _Reader(scenes, meter, *moment, memory).read(book)


@dataclass(slots=True)
class _Reader:
    scenes: Scenes
    meter: CountedMeter
    interval: Interval
    now: int
    memory: Memory

    @property
    def goes_on(self) -> bool:
        """Whether the levels at the beginning are known."""
        return self.memory.at == self.interval.start

    def read(self, book: OwnerBook) -> Reading:
        families = self.meter.families
        tally = Tally.after(self.memory if self.goes_on else Memory(), families, self.interval, STEP)
        memories: dict[int, Memory] = {}
        ends = [slot_of(self.interval.end), slot_of(self.interval.end) - SLOT_SECONDS]
        unread: set[int] = set()
        for piece, series, missed in self._pieces():
            unread |= missed
            rest = told(series, families, STEP)
            for end in sorted(end for end in ends if piece.start < end <= piece.end):
                early, rest = cut(rest, end)
                tally.add(early)
                memories[end] = tally.memory(end)
            tally.add(rest)
        unborn = tally.settle(self._births(tally.firsts))
        return self._reading(tally, memories, book, (unborn, len(unread)))

    def _pieces(self) -> Iterator[tuple[Interval, Sequence[Series], frozenset[int]]]:
        """What is told, in order of time, of the interval and as much around it as it takes to see both ends
        of whatever crosses its edges.
        """
        query = counters_of(self.scenes, self.meter).levels()
        start = self.interval.start - (STEP if self.goes_on else LONGEST_BRIDGE + STEP)
        end = max(self.interval.end, min(self.now, self.interval.end + LONGEST_BRIDGE))
        seconds = FIRST_PIECE
        while start < end:
            piece = Interval(start, min(start + seconds, end))
            answer = over_range(self.scenes.source, query, Grid(piece, STEP))
            yield piece, answer.series, answer.unread
            points = sum(len(series.times) for series in answer.series)
            most = MOST_POINTS * (piece.seconds // STEP) // max(1, points)
            seconds = max(STEP, min(2 * seconds, most * STEP))
            start = piece.end

    def _births(self, firsts: Sequence[First]) -> Mapping[Counter, Sequence[float]]:
        """When the counters began whose target was not seen before them: their processes, and their pods."""
        asked = [one for one in firsts if one.seen is None]
        if not asked:
            return {}
        pods = {one.counter: _pod(one.counter, self.meter.families) for one in asked}
        instances = {name for one in asked if (name := one.counter.label("instance"))}
        query = counters_of(self.scenes, self.meter).births(
            instances, {name for _, name in pods.values() if name}
        )
        begin, end = min(one.level.at for one in asked), max(one.level.at for one in asked)
        answer = over_range(self.scenes.source, query, Grid(Interval(begin - STEP, end), STEP))
        by_key: dict[tuple[str, str], set[float]] = defaultdict(set)
        for labels, _, values in answer.series:
            process = labels.get(FAMILY) == "process"
            key = (
                ("", labels.get("instance", ""))
                if process
                else (own(labels, "namespace"), own(labels, "pod"))
            )
            by_key[key].update(values)
        return {
            counter: sorted(by_key["", counter.label("instance")] | by_key[pod])
            for counter, pod in pods.items()
        }

    def _reading(
        self, tally: Tally, memories: Mapping[int, Memory], book: OwnerBook, doubts: tuple[int, int]
    ) -> Reading:
        charging = Charging(self.meter.name, tally, self._nodes())
        wiser = learn(self.scenes.source, self.scenes.settings.queries, self.interval, charging.pods(), book)
        usages = charging.usages(wiser)
        sure = _known(tally, self.interval)
        return Reading(
            interval=self.interval,
            usages=usages,
            coverage=sure.by_slot(),
            head=sure.head(),
            problems=(*_doubts(tally, doubts), *charging.problems(), *self._silence(tally)),
            links=wiser.since(book),
            step=STEP,
            memories=memories,
        )

    def _silence(self, tally: Tally) -> Iterator[str]:
        silent = self.meter.families.keys() - {counter.family for counter, _ in tally.told}
        if self.meter.is_expected and silent:
            yield (
                f"Nothing is told by {', '.join(sorted(silent))}, so nothing is counted there. Does what it "
                "asks for run, and is it scraped?"
            )

    def _nodes(self) -> list[tuple[Interval, Nodes]]:
        if not self.meter.is_on_nodes:
            return []
        return [(part, scene.nodes) for part, scene in self.scenes.of(self.interval) if scene is not None]


def _known(tally: Tally, interval: Interval) -> Known:
    # A counter goes on in the dark and shows it afterwards; what was held there nobody knows.
    counts = all(family.shape is Shape.LEVEL for family in tally.families.values())
    longest = LONGEST_BRIDGE if counts else 0
    bridges = tuple((dark.start, dark.end) for dark in tally.clock.dark() if dark.seconds <= longest)
    return Known(Grid(interval, STEP), frozenset(tally.up), bridges)


def _pod(counter: Counter, families: Mapping[str, Family]) -> tuple[str, str]:
    labels = families[counter.family].attribution
    namespace, pod = (labels.namespace, labels.pod) if labels else (None, None)
    return counter.label(namespace or "namespace"), counter.label(pod or "pod")


def _doubts(tally: Tally, doubts: tuple[int, int]) -> Iterator[str]:
    unborn, unread = doubts
    if tally.blind:
        yield (
            "Counters are told of and nothing says when they were scraped: nothing is counted. "
            "Let `up` be where they are, under the same cluster label."
        )
    if tally.odd.total():
        yield (
            f"{tally.odd.total()} values were no counts (NaN, negative or beyond 2^53) and were left out: "
            f"{_named(tally.odd)}. Look at their exporters."
        )
    if tally.beyond.total():
        yield (
            f"{tally.beyond.total()} values grew faster than is possible and were left out: "
            f"{_named(tally.beyond)}. Look at their exporters."
        )
    if unborn:
        yield (
            f"{unborn} counters were first seen with a value of which nobody says when it was counted: it is "
            "left out. Let their process_start_time_seconds or kube_pod_start_time be scraped."
        )
    if unread:
        yield (
            f"{unread} steps were too much for Prometheus even alone: what was counted then shows after "
            "them. Raise its query.max-samples or query.timeout."
        )


def _named(counts: Mapping[str, int]) -> str:
    return ", ".join(sorted(name for name, count in counts.items() if count))
