"""The `gpu` meter: what Prometheus saw of accelerators, as `Usage` by slot, workload and SKU.

One way of reading serves the operator's cycle, its back-fill and the `usage` command. A range is read in
parts of whole slots; each part asks the same few queries, whatever the number of pods and budgets, and a
query that is too much for Prometheus is halved down to a single step, which then counts as a gap. Pure but
for the `PromSource` it asks.

A time is never asked for before it has passed: `interval.end` must not be after `source.time()`.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

from aibudget.errors import Stalled
from aibudget.inventory.accelerators import METRICS_PATTERN
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import PodKey, Workload
from aibudget.metering.asking import over_range, over_window
from aibudget.metering.coverage import Grid, Sighting, known, sightings
from aibudget.metering.devices import Devices
from aibudget.metering.doubts import Doubts
from aibudget.metering.integration import Amount, Cell, Holding, Samples, holdings, instants, integrate
from aibudget.metering.nodes import NODE_LABELS, Nodes
from aibudget.metering.ownership import learn
from aibudget.metering.promql import Matcher, Matchers, Queries
from aibudget.metering.slots import SLOT_SECONDS, STEPS, Interval, iso, slot_of
from aibudget.metering.source import PromSource
from aibudget.metering.usage import Coverage, Reading, Sku, Usage

DAY = 86_400
# Raw samples from which the scrape interval is measured, in seconds back from the newest.
MEASURED = 1200
# Finer steps than this tell next to nothing more (measured), and cost twice as much. Who scrapes faster
# than PROMPT
# seconds has few pods and wants to see things at once.
FINEST = 30
PROMPT = 15
# Prometheus refuses more than 11,000 points a series, context included.
MOST_STEPS = 10_000
# Half of Prometheus's default query.max-samples, at four samples a pod and step.
MOST_SAMPLES = 25_000_000 // 4
# What one answer may hold, so that memory stays flat over a month: about 20 MB.
MOST_POINTS = 600_000
# Utilisation is averaged over at least this, in milliseconds: its exporter has an interval of its own.
BUSY_WINDOW = 60_000


@dataclass(frozen=True, slots=True)
class MeterSettings:
    """`step` in seconds, a divisor of 900, or None to choose it; `cluster` goes into every selector.

    `utilisation` False leaves DCGM alone and device time unobserved.
    """

    step: int | None = None
    cluster: Matchers = ()
    kube_state_metrics: Matchers = (Matcher("job", "=", "kube-state-metrics"),)
    dcgm: Matchers = (Matcher("job", "=~", ".*dcgm-exporter.*"),)
    accelerators: str = METRICS_PATTERN
    utilisation: bool = True

    def __post_init__(self) -> None:
        if self.step is not None and self.step not in STEPS:
            raise Stalled(
                "InvalidSettings", f"A step of {self.step} s does not divide 900 s. Use 30, 60 or auto."
            )

    @property
    def queries(self) -> Queries:
        return Queries(
            (*self.kube_state_metrics, *self.cluster), (*self.dcgm, *self.cluster), self.accelerators
        )


@dataclass(frozen=True, slots=True)
class Scrape:
    """How a source is scraped: every `interval` seconds, measured; how much there is, from the survey."""

    interval: float
    pods: float
    accelerators: float

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


def read_gpu(
    source: PromSource, interval: Interval, settings: MeterSettings, owners: OwnerBook | None = None
) -> Reading:
    """Everything the meter says of an interval that starts on a slot; see `read_parts` for a long one.

    Raises `source`'s errors, and Stalled when the samples of several clusters are mixed up.
    """
    parts = list(read_parts(source, interval, settings, owners))
    return Reading(
        interval=interval,
        usages=tuple(usage for part in parts for usage in part.usages),
        coverage={slot: coverage for part in parts for slot, coverage in part.coverage.items()},
        head=max((part.head for part in parts if part.head is not None), default=None),
        problems=tuple(dict.fromkeys(problem for part in parts for problem in part.problems)),
        links=tuple(link for part in parts for link in part.links),
        step=parts[-1].step if parts else None,
        scrape_interval=parts[-1].scrape_interval if parts else None,
    )


def read_parts(
    source: PromSource, interval: Interval, settings: MeterSettings, owners: OwnerBook | None = None
) -> Iterator[Reading]:
    """The interval in parts of whole slots, each as large as Prometheus and memory can bear, in order."""
    book, start = owners or OwnerBook(), interval.start
    while start < interval.end:
        ahead = Interval(start, min(interval.end, slot_of(start) + DAY))
        scrape = _survey(source, ahead, settings.queries)
        if scrape is None:
            yield _nothing(ahead, settings)
            start = ahead.end
            continue
        step = scrape.step(settings.step)
        part = Interval(start, min(ahead.end, slot_of(start) + scrape.seconds(step)))
        reading = _Part(source, settings, Grid(part, step), scrape).read(book)
        book = book.with_links(reading.links)
        yield reading
        start = part.end


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
    return Scrape(round(median(between), 1), sizes.get("pods", 0.0), sizes.get("accelerators", 0.0))


@dataclass(frozen=True, slots=True)
class _Part:
    """The reading of one part: asks, then puts the answers together."""

    source: PromSource
    settings: MeterSettings
    grid: Grid
    scrape: Scrape

    @property
    def queries(self) -> Queries:
        return self.settings.queries

    def read(self, owners: OwnerBook) -> Reading:
        wide, window = self.grid.wider(), self.scrape.window
        coverage = over_range(self.source, self.queries.coverage(window), wide)
        seen = sightings(coverage.series)
        _one_cluster(seen)
        # What lies around the grid matters only to gaps at its edges, and is half of a short reading.
        reach = self.grid if known(self.grid, seen, coverage.unread).is_closed else wide
        held, dropped, unasked = self._held(reach)
        unread = coverage.unread | unasked
        phaseless = self._phaseless({t: seen[t] for t in seen if t in reach.instants}, held)
        beyond = {t for t in seen if t not in reach.instants}
        sure = known(self.grid, seen, unread | phaseless | beyond)
        devices = self._devices(held)
        pods = {key.pod for key in held}
        book = learn(self.source, self.queries, wide.interval, pods, owners)
        cells = integrate(held, sure, self._nodes(), devices)
        blind = self.settings.utilisation and not devices
        doubts = Doubts(dropped, len(unread), len(phaseless), _strangers(pods, book), blind)
        return Reading(
            interval=self.grid.interval,
            usages=usages(cells, book),
            coverage=sure.by_slot(),
            head=sure.head(),
            problems=tuple(doubts.sentences(cells)),
            links=book.since(owners),
            step=self.grid.step,
            scrape_interval=self.scrape.interval,
        )

    def _held(self, reach: Grid) -> tuple[dict[Holding, Samples], int, frozenset[int]]:
        """What `holdings` makes of the answer, and what was not answered; the answer itself is let go of."""
        answer = over_range(self.source, self.queries.held(self.scrape.window), reach)
        held, dropped = holdings(answer.series)
        return held, dropped, answer.unread

    def _phaseless(self, seen: Mapping[int, Sighting], held: Mapping[Holding, Samples]) -> frozenset[int]:
        """Instants at which accelerators are asked for and no phase is told: nothing held would be a lie.

        Asked for only where nothing is held at all; pods of which some have phases are the exporter's truth.
        """
        empty = set(seen).difference(instants(held))
        if not empty:
            return frozenset()
        told = over_range(self.source, self.queries.phaseless(self.scrape.window), self.grid.wider()).series
        return frozenset(empty.intersection(int(t) for series in told for t in series.times))

    def _nodes(self) -> Nodes:
        wide, window = self.grid.wider(), self.scrape.window
        # Everything until the look-back has let go of what was there before the first instant.
        whole_until = wide.instants.start + -(-window // (wide.step * 1000)) * wide.step
        promql = self.queries.node_labels(NODE_LABELS, window, wide.step, whole_until)
        return Nodes(over_range(self.source, promql, wide).series)

    def _devices(self, held: Mapping[Holding, Samples]) -> Devices:
        holders = {(key.pod.namespace, key.pod.name) for key in held if self.settings.utilisation}
        if not holders:
            return Devices((), ())
        window = max(self.scrape.window, self.grid.step * 1000, BUSY_WINDOW)
        return Devices(over_range(self.source, self.queries.utilisation(window), self.grid).series, holders)


def usages(cells: Mapping[Cell, Amount], book: OwnerBook) -> tuple[Usage, ...]:
    """One usage for each slot, workload and SKU, in that order. Device time nobody observed stays unknown."""
    owned: dict[PodKey, Workload] = {}
    sums: dict[tuple[int, Workload, Sku], Amount] = {}
    for (slot, pod, sku), amount in cells.items():
        workload = owned.get(pod) or owned.setdefault(pod, book.resolve(pod).workload)
        total = sums.setdefault((slot, workload, sku), Amount())
        total.quantity += amount.quantity
        total.estimated += amount.estimated
        total.observed += amount.observed
        total.busy += amount.busy
    return tuple(
        Usage(
            slot,
            workload,
            sku,
            total.quantity,
            total.estimated,
            busy=round(total.busy) if total.observed else None,
            observed=round(total.observed) if total.observed else None,
        )
        for (slot, workload, sku), total in sorted(sums.items(), key=_order)
    )


def _order(item: tuple[tuple[int, Workload, Sku], Amount]) -> tuple[int, str, str, str, tuple[object, ...]]:
    """Plain values: comparing the dataclasses themselves takes ten times as long."""
    slot, workload, sku = item[0]
    return slot, workload.namespace, workload.kind, workload.name, sku.dimensions


def _one_cluster(seen: Mapping[int, Sighting]) -> None:
    for sighting in seen.values():
        if len(sighting.clusters) > 1:
            names = ", ".join(repr(name) for name in sorted(sighting.clusters))
            raise Stalled(
                "AmbiguousCluster",
                f"The samples come from several clusters ({names}), and namesakes would be charged together. "
                'Set the cluster matchers to one of them, such as cluster="name".',
            )


def _strangers(pods: Collection[PodKey], book: OwnerBook) -> int:
    return sum(not book.resolve(pod).complete for pod in pods)


def _nothing(interval: Interval, settings: MeterSettings) -> Reading:
    """Where there is no source, nothing is known: not that nothing was used."""
    slots = {slot: Interval(slot, slot + SLOT_SECONDS).intersection(interval) for slot in interval.slots()}
    said = ",".join(map(str, settings.queries.kube_state_metrics))
    absent = (
        f"There are no two samples of kube_node_info{{{said}}} in a row from {iso(interval.start)} to "
        f"{iso(interval.end)}. Is kube-state-metrics scraped under another job or cluster?"
    )
    coverage = {slot: Coverage(0, part.seconds) for slot, part in slots.items() if part}
    return Reading(interval=interval, usages=(), coverage=coverage, head=None, problems=(absent,))
