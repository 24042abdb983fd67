"""`Scene`: what every meter over kube-state-metrics needs to know of one part of time.

How its source is scraped, with which step to read, which instants are covered and what the nodes were. It is
asked once, by whichever meter comes first, and remembered for the others: so the number of queries does not
grow with the number of meters. Pure but for the `PromSource` it asks.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from statistics import median_low
from typing import Final

from aibudget.errors import Stalled
from aibudget.inventory.accelerators import METRICS_PATTERN
from aibudget.metering.asking import Answer, over_range, over_window
from aibudget.metering.coverage import Grid, Sighting, Witness, known, sightings
from aibudget.metering.nodes import NODE_LABELS, Nodes, label_in_metrics
from aibudget.metering.promql import Matcher, Matchers, Queries
from aibudget.metering.slots import SLOT_SECONDS, STEPS, Interval, slot_of
from aibudget.metering.source import PromSource
from aibudget.metering.utilisation import Utilisation

DAY = 86_400
# Raw samples from which the scrape interval is measured, in seconds back from the newest.
MEASURED = 1200
# Finer steps than this tell next to nothing more (measured), and cost twice as much. Who scrapes faster
# than PROMPT
# seconds has few pods and wants to see things at once.
FINEST = 30
PROMPT = 15
# As much of a slot that has begun is read with the one before it, in seconds.
MOST_BEGUN = 300
# Prometheus refuses more than 11,000 points a series, context included.
MOST_STEPS = 10_000
# Half of Prometheus's default query.max-samples, at four samples a pod and step.
MOST_SAMPLES = 25_000_000 // 4
# What one answer may hold, so that memory stays flat over a month: about 20 MB.
MOST_POINTS = 600_000

REMEMBERED: Final = 4
"""Parts that are kept: all meters of a cycle read the same one or two."""
SURVEYED: Final = 5
"""For how many cycles a survey of a part holds while that grows: what is posted is surveyed anew."""


@dataclass(frozen=True, slots=True)
class MeterSettings:
    """`step` in seconds, a divisor of 900, or None to choose it; `cluster` goes into every selector.

    `utilisation` False leaves DCGM alone and device time unobserved. `node_pool_label` is the key
    of the label that names a node's pool, where it is none of those that are known (`nodes.SOURCES`).
    `workload_labels` are the keys of the labels of pods that usage is told with.
    """

    step: int | None = None
    cluster: Matchers = ()
    kube_state_metrics: Matchers = (Matcher("job", "=", "kube-state-metrics"),)
    dcgm: Matchers = (Matcher("job", "=~", ".*dcgm-exporter.*"),)
    accelerators: str = METRICS_PATTERN
    utilisation: bool = True
    node_pool_label: str = ""
    workload_labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.step is not None and self.step not in STEPS:
            raise Stalled(
                "InvalidSettings", f"A step of {self.step} s does not divide 900 s. Use 30, 60 or auto."
            )

    @property
    def queries(self) -> Queries:
        return Queries(
            (*self.kube_state_metrics, *self.cluster),
            (*self.dcgm, *self.cluster),
            self.cluster,
            self.accelerators,
        )


@dataclass(frozen=True, slots=True)
class Scrape:
    """How a source is scraped: every `interval` seconds, measured; how much there is, from the survey.
    `dated` says that there are pods that run to their end, `claimable` devices for claims.
    """

    interval: float
    pods: float
    accelerators: float
    dated: bool = False
    claimable: bool = False

    @property
    def window(self) -> int:
        """The look-back in milliseconds: just over one scrape. A larger one bills every pod's end too
        late.
        """
        return round((self.interval + max(1.0, self.interval * 0.05)) * 1000)

    def step(self, wanted: int | None) -> int:
        """The step to read with: never finer than the scrapes, for that would tell nothing more."""
        least = max(self.interval * 0.98, wanted or (FINEST if self.interval >= PROMPT else 1))
        return next((step for step in STEPS if step >= least), SLOT_SECONDS)

    def seconds(self, step: int) -> int:
        """How long a part may be, in whole slots."""
        steps = min(MOST_STEPS, MOST_SAMPLES / max(1.0, self.pods), MOST_POINTS / max(1.0, self.accelerators))
        return max(1, int(steps * step) // SLOT_SECONDS) * SLOT_SECONDS


class Scene:
    """One part of whole slots, of which nothing is asked before it is needed."""

    def __init__(
        self,
        source: PromSource,
        settings: MeterSettings,
        grid: Grid,
        scrape: Scrape,
        lasting: "Lasting",
    ) -> None:
        self._witness = lasting.witness
        self.utilisation = lasting.utilisation
        self.source = source
        self.once = lasting.once
        self.settings = settings
        self.grid = grid
        self.scrape = scrape

    @property
    def queries(self) -> Queries:
        return self.settings.queries

    @cached_property
    def coverage(self) -> Answer:
        """The answer to `Queries.coverage`, on a grid that is wider than the part."""
        return over_range(self.source, self.queries.coverage(self.scrape.window), self.grid.wider())

    @cached_property
    def seen(self) -> Mapping[int, Sighting]:
        """What each instant tells of the source. Raises Stalled where several clusters are mixed up."""
        told = sightings(self.coverage.series)
        for sighting in told.values():
            refuse_mixture(sighting.clusters)
        seen = self._witness.with_past(told)
        self._witness.note(seen)
        return seen

    @cached_property
    def reach(self) -> Grid:
        """The grid to read with. What lies around the part matters only to gaps at its edges, and is half of
        a short reading; of pods that begin or end there, and of who serves them, the next scrape tells.
        """
        if not known(self.grid, self.seen, self.coverage.unread).is_closed:
            return self.grid.wider()
        seconds = -(-self.scrape.window // 1000) + self.grid.step
        return self.grid.beyond(seconds) if self.scrape.dated or self.scrape.claimable else self.grid

    @cached_property
    def capacity(self) -> Answer:
        """The answer to `Queries.capacity`."""
        return over_range(
            self.source,
            self.queries.capacity(self.scrape.window, claimable=self.scrape.claimable),
            self.reach,
        )

    @cached_property
    def nodes(self) -> Nodes:
        """What the nodes were made of, and when."""
        wide, window = self.grid.wider(), self.scrape.window
        # Everything until the look-back has let go of what was there before the first instant.
        whole_until = wide.instants.start + -(-window // (wide.step * 1000)) * wide.step
        pool = self.settings.node_pool_label
        label = label_in_metrics(pool) if pool else ""
        names = dict.fromkeys((*NODE_LABELS, label) if label else NODE_LABELS)
        promql = self.queries.nodes(names, window, wide.step, whole_until)
        return Nodes(over_range(self.source, promql, wide).series, label)


@dataclass(frozen=True, slots=True)
class Lasting:
    """What all scenes of a source share. `once` is that source for what is not asked for again."""

    once: PromSource
    witness: Witness = field(default_factory=Witness)
    utilisation: Utilisation = field(default_factory=Utilisation)


@dataclass(frozen=True, slots=True)
class _Surveyed:
    """What a survey of a part found that ended then, and for how many cycles it still holds."""

    end: int
    scrape: Scrape | None
    left: int

    def older(self) -> "_Surveyed":
        return replace(self, left=self.left - 1)


class Scenes:
    """The scenes of a source, in order of time; the last few are remembered. For one thread.

    `once` is the source for what is not asked for again, where the other one remembers answers.
    """

    def __init__(self, source: PromSource, settings: MeterSettings, once: PromSource | None = None) -> None:
        self.source = source
        self.settings = settings
        self._surveys: OrderedDict[Interval, Scrape | None] = OrderedDict()
        self._growing: dict[int, _Surveyed] = {}
        self._scenes: OrderedDict[Interval, Scene] = OrderedDict()
        self._lasting = Lasting(once or source)

    @property
    def utilisation(self) -> Utilisation:
        """How busy what is held was, as far as that is settled."""
        return self._lasting.utilisation

    def forget(self) -> None:
        """Ask everything anew: samples may have come late. How they are scraped is asked less often."""
        self._surveys.clear()
        self._scenes.clear()
        older = {start: known.older() for start, known in self._growing.items()}
        self._growing = {start: known for start, known in older.items() if known.left}

    def survey_anew(self) -> None:
        """Ask how it is scraped, too: what comes next is posted."""
        self._growing.clear()

    def of(self, interval: Interval) -> Iterator[tuple[Interval, Scene | None]]:
        """The interval in parts of whole slots, each as large as Prometheus and memory can bear.

        A part in which the source has no two samples in a row has no scene.
        """
        start = interval.start
        while start < interval.end:
            ahead = Interval(start, min(interval.end, slot_of(start) + DAY))
            scrape = self._survey(ahead)
            if scrape is None:
                part = ahead
                yield part, None
            else:
                step = scrape.step(self.settings.step)
                part = _first_part(ahead, scrape.seconds(step))
                yield part, self._scene(part, step, scrape)
            start = part.end

    def _survey(self, ahead: Interval) -> Scrape | None:
        if ahead not in self._surveys:
            known = self._growing.get(ahead.start)
            if known is None or ahead.end < known.end:
                scrape = _survey(self.source, ahead, self.settings.queries)
                known = _Surveyed(ahead.end, scrape, SURVEYED)
                # What is not scraped yet may be at any moment.
                if scrape is not None:
                    self._growing[ahead.start] = known
            self._surveys[ahead] = known.scrape
            if len(self._surveys) > REMEMBERED:
                self._surveys.popitem(last=False)
        return self._surveys[ahead]

    def _scene(self, part: Interval, step: int, scrape: Scrape) -> Scene:
        if part not in self._scenes:
            self._scenes[part] = Scene(self.source, self.settings, Grid(part, step), scrape, self._lasting)
            if len(self._scenes) > REMEMBERED:
                self._scenes.popitem(last=False)
        return self._scenes[part]


def _first_part(ahead: Interval, seconds: int) -> Interval:
    """Of so many seconds, or a little more where that is all there is left: a part of its own for what has
    begun of a slot would ask for every series again.
    """
    end = slot_of(ahead.start) + seconds
    return Interval(ahead.start, ahead.end if ahead.end <= end + MOST_BEGUN else end)


def _survey(source: PromSource, ahead: Interval, queries: Queries) -> Scrape | None:
    """How the source is scraped around its newest sample; None where it has no two in a row."""
    answer = over_window(source, queries.survey, ahead).series
    found = {series.labels.get("family", ""): series for series in answer}
    newest = found.get("newest")
    if newest is None:
        return None
    label = "exported_node" if "exported_node" in newest.labels else "node"
    node = Matcher(label, "=", newest.labels.get(label, ""))
    raw = source.query(queries.scrapes_of(node, MEASURED), newest.values[-1]).series
    between = [b - a for series in raw for a, b in zip(series.times, series.times[1:], strict=False)]
    if not between:
        return None
    sizes = {family: max(found[family].values) for family in ("pods", "accelerators") if family in found}
    # Half of them may be gaps: of two in the middle the shorter is an interval.
    return Scrape(
        interval=round(median_low(between), 1),
        pods=sizes.get("pods", 0.0),
        accelerators=sizes.get("accelerators", 0.0),
        dated="dated" in found,
        claimable="devices" in found,
    )


def refuse_mixture(clusters: Collection[str]) -> None:
    """Raises Stalled where the samples of one instant come from several clusters."""
    if len(clusters) > 1:
        names = ", ".join(repr(name) for name in sorted(clusters))
        raise Stalled(
            "AmbiguousCluster",
            f"The samples come from several clusters ({names}), and namesakes would be charged together. "
            'Set the cluster matchers to one of them, such as cluster="name".',
        )
