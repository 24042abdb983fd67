"""A past for Prometheus: what exporters would have said of pods and nodes, as OpenMetrics for promtool.

The caller tells who was there when and who scraped when; the metrics are those of `exposition`. Written
pod by pod, so memory does not grow with the history's length. promtool writes no stale markers: a
series simply ends.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TextIO

from aibudget.sandbox.devices import Holder, device, gpu_requests
from aibudget.sandbox.exporter import DCGM_JOB, KSM_JOB, dcgm_target, ksm_target
from aibudget.sandbox.exposition import (
    Series,
    dcgm,
    namespace_series,
    node_series,
    number,
    owned_series,
    pod_series,
    scraped,
    selector,
)
from aibudget.sandbox.snapshot import Namespace, Node, Owned, Pod

FOREVER = float("inf")
Segment = tuple[float, float, Iterable[Series]]


@dataclass(frozen=True, slots=True)
class PodHistory:
    """A pod's life in unix seconds: `pod.created` ≤ bound ≤ started ≤ ended ≤ removed, each inclusive.

    `bound` None: never scheduled. `started` None: bound, still pulling. `removed` is when the object was
    deleted: later than `ended` for a finished pod that lingers. The `node` in `pod` counts from `bound`; its
    `phase` and times are set here. `devices` are the GPU indices it held, for dcgm-exporter alone.
    """

    pod: Pod
    bound: float | None = None
    started: float | None = None
    ended: float = FOREVER
    removed: float = FOREVER
    outcome: str = "Succeeded"
    devices: tuple[int, ...] = ()

    def states(self) -> Iterator[tuple[float, float, Pod]]:
        """(from, until, pod as it was) for each state of its life, in order."""
        waiting = replace(self.pod, node="", phase="Pending")
        bound = FOREVER if self.bound is None else self.bound
        started = FOREVER if self.started is None else self.started
        pulling = replace(self.pod, phase="Pending", scheduled=self.bound)
        running = replace(pulling, phase="Running", started=self.started)
        finished = replace(running, phase=self.outcome, completed=self.ended)
        marks = (self.pod.created, bound, started, self.ended)
        starts = [min(mark, self.ended, self.removed) for mark in marks]
        ends = [*starts[1:], self.removed]
        pods = (waiting, pulling, running, finished)
        for start, end, pod in zip(starts, ends, pods, strict=True):
            if start < end:
                yield start, end, pod


@dataclass(frozen=True, slots=True)
class Present:
    """Something that was there, unchanged, in [start, end): a node whose label changes is two of these."""

    thing: Node | Owned | Namespace
    start: float = 0.0
    end: float = FOREVER


@dataclass(frozen=True, slots=True)
class ScrapeHistory:
    """One exporter instance and its scrapes: each `interval` from start + offset, ± jitter, before end."""

    start: float
    end: float
    interval: float = 30.0
    offset: float = 0.0
    jitter: float = 0.0
    job: str = KSM_JOB
    target: Mapping[str, str] = field(default_factory=ksm_target)

    def times(self) -> list[float]:
        """The scrapes' instants, ascending; the same for the same values."""
        chance = Random(f"{self.job}{sorted(self.target.items())}")  # noqa: S311 - jitter, not a secret
        count = int((self.end - self.start - self.offset) / self.interval) + 1
        planned = (self.start + self.offset + step * self.interval for step in range(count))
        jittered = (time + chance.uniform(-self.jitter, self.jitter) for time in planned)
        return [time for time in jittered if self.start <= time < self.end]


def dcgm_scrapes(start: float, end: float, interval: float = 30.0) -> ScrapeHistory:
    """dcgm-exporter scraped beside kube-state-metrics."""
    return ScrapeHistory(start, end, interval, job=DCGM_JOB, target=dcgm_target())


@dataclass(frozen=True, slots=True)
class History:
    """Who was there when."""

    pods: Sequence[PodHistory]
    present: Sequence[Present] = ()

    def seen_by(self, job: str) -> Iterator[Segment]:
        """(from, until, series) for everything an exporter of this job tells of."""
        if job == DCGM_JOB:
            yield from self._devices()
            return
        for one in self.present:
            yield one.start, one.end, _present_series(one.thing)
        for life in self.pods:
            for start, end, pod in life.states():
                yield start, end, pod_series(pod)

    def _devices(self) -> Iterator[Segment]:
        nodes = {one.thing.name: one.thing for one in self.present if isinstance(one.thing, Node)}
        for life in self.pods:
            for start, end, pod in life.states():
                if pod.holds_devices and pod.node in nodes:
                    yield start, end, _held_series(life, pod, nodes[pod.node])


def write_history(
    path: Path, history: History, scrapes: Sequence[ScrapeHistory], families: Collection[str] | None = None
) -> int:
    """Write all that these scrapes saw, `up` included, and return the number of samples.

    `families` limits the metric names (None: all), for long histories of which only some are asked.
    """
    samples = 0
    with path.open("w", encoding="utf-8") as file:
        for scrape in scrapes:
            times = scrape.times()
            stamps = [f"{time:.3f}" for time in times]
            target = {"job": scrape.job, **scrape.target}
            samples += _write(file, selector("up", target.items()), 1.0, stamps)
            for start, end, series in history.seen_by(scrape.job):
                seen = stamps[bisect_left(times, start) : bisect_left(times, end)]
                for one in series if seen else ():
                    if families is None or one.name in families:
                        labels = scraped(one.labels, target, honor=scrape.job == KSM_JOB)
                        samples += _write(file, selector(one.name, labels.items()), one.value, seen)
        file.write("# EOF\n")
    return samples


def _write(file: TextIO, series: str, value: float, stamps: Sequence[str]) -> int:
    line = f"{series} {number(value)} "
    if stamps:
        file.write(line + f"\n{line}".join(stamps) + "\n")
    return len(stamps)


def _present_series(thing: Node | Owned | Namespace) -> Iterable[Series]:
    if isinstance(thing, Node):
        return node_series(thing)
    if isinstance(thing, Owned):
        return owned_series(thing)
    return (namespace_series(thing),)


def _held_series(life: PodHistory, pod: Pod, node: Node) -> Iterator[Series]:
    indices = iter(life.devices)
    for container, count in gpu_requests(pod):
        holder = Holder(pod.namespace, pod.name, container)
        busy = pod.utilisation if pod.phase == "Running" else 0.0
        for index, _ in zip(indices, range(count), strict=False):
            yield from dcgm([device(node, index, holder, busy)])
