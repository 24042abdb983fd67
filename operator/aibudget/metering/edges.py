"""When a pod's hold began and ended, to the second, where kube-state-metrics tells it.

A sample stands for the step before it, so that by samples alone a hold is known to within a step on each
side, and a step too much here is one too little there. Of a pod that runs to its end the times are told at
which it was scheduled and completed; one that came and ended between two scrapes, and is there as finished,
is counted from both. Of pods that are only ever deleted no time is asked for: they are counted by samples.
One that is deleted before it is seen as completed has a start by the second, and an end by the step would
lean to one side, always the same: its end is put half a scrape after the last one that saw it. Times that
contradict the samples are left aside, and nothing is counted at an instant at which the source was away.
Pure.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from aibudget.inventory.workload import PodKey
from aibudget.metering.coverage import Known
from aibudget.metering.holding import Holding, Samples, holdings
from aibudget.metering.integration import Step
from aibudget.metering.nodes import own
from aibudget.metering.source import Series

MILLISECONDS = 1000


class _Span(NamedTuple):
    """The hold of `units` from `start` to `end`, in Unix seconds."""

    start: float
    end: float
    units: float


@dataclass(frozen=True, slots=True)
class Edges:
    """`scheduled` and `completed` by pod, of those that began or ended lately; `finished` are units of pods
    that have ended. `reach`, in seconds, is how far before an instant its newest scrape can be, `scraped`
    when that was, and `interval` how often there is one.
    """

    scheduled: Mapping[PodKey, float] = field(default_factory=dict)
    completed: Mapping[PodKey, float] = field(default_factory=dict)
    finished: Mapping[Holding, Samples] = field(default_factory=dict)
    reach: float = 0.0
    interval: float = 0.0
    scraped: Mapping[int, float] = field(default_factory=dict)

    @property
    def dated(self) -> Collection[PodKey]:
        """The pods of which any time is known."""
        return self.scheduled.keys() | self.completed.keys()

    def steps(self, key: Holding, samples: Samples, known: Known) -> list[Step] | None:
        """The holding's steps where one of them is no whole one, else None."""
        if not samples.times or (key.pod not in self.scheduled and key.pod not in self.completed):
            return None
        step = known.grid.step
        first, last = int(samples.times[0]), int(samples.times[-1])
        start, end = self._start(key.pod, first, known), self._end(key.pod, last, known)
        if start is None and end is None:
            return None
        if end is None and start is not None and last in self.scraped and last + step in known.covered:
            end = max(start, self.scraped[last] + self.interval / 2)
        begin, close = first - step if start is None else start, last if end is None else end
        before = _cut(_Span(begin, min(first - step, close), samples.units[0]), known)
        after = _cut(_Span(max(last, begin), close, samples.units[-1]), known)
        inside = (
            Step(int(t), units, _milliseconds(max(begin, t - step), min(close, t)))
            for t, units in zip(samples.times, samples.units, strict=True)
        )
        return [*before, *inside, *after]

    def unseen(self, held: Mapping[Holding, Samples], known: Known) -> Iterator[tuple[Holding, list[Step]]]:
        """Holdings that no sample saw while they lasted, and their steps."""
        seen = {key.pod for key in held} if self.finished else set()
        for key, samples in self.finished.items():
            start, end = self.scheduled.get(key.pod), self.completed.get(key.pod)
            if key.pod in seen or start is None or end is None or not samples.units:
                continue
            if 0 < end - start <= known.grid.step + self.reach:
                yield key, list(_cut(_Span(start, end, max(samples.units)), known))

    def _start(self, pod: PodKey, first: int, known: Known) -> float | None:
        """When it was scheduled, if that fits to the first sample; never within a step that is not known."""
        told, step = self.scheduled.get(pod), known.grid.step
        if told is None or not first - step - self.reach <= told <= first:
            return None
        if told < first - step and first - step not in known.covered:
            return None
        return told

    def _end(self, pod: PodKey, last: int, known: Known) -> float | None:
        """When it was completed, if that fits to the last sample; never within a step that is not known."""
        told, step = self.completed.get(pod), known.grid.step
        if told is None or not last - step < told <= last + step + self.reach:
            return None
        return told if told <= last or last + step in known.covered else None


def edges(
    families: Iterable[Series],
    reach: float,
    interval: float = 0.0,
    scraped: Mapping[int, float] = MappingProxyType({}),
) -> Edges:
    """From those series of the answer to `Queries.held` that have a `family`."""
    by: dict[str, list[Series]] = {"scheduled": [], "completed": [], "finished": []}
    for series in families:
        by[series.labels["family"]].append(series)
    return Edges(
        scheduled=dict(_times(by["scheduled"])),
        completed=dict(_times(by["completed"])),
        finished=holdings(by["finished"])[0],
        reach=reach,
        interval=interval,
        scraped=scraped,
    )


def _times(answer: Iterable[Series]) -> Iterator[tuple[PodKey, float]]:
    for labels, _, values in answer:
        pod = PodKey(own(labels, "namespace"), own(labels, "pod"), labels.get("uid", ""))
        yield pod, values[-1]


def _cut(span: _Span, known: Known) -> Iterator[Step]:
    """The span by steps, without those at whose instant the source was not there."""
    step = known.grid.step
    t = -(-int(span.start + 1) // step) * step if span.start < span.end else 0
    while span.start < span.end and t - step < span.end:
        if t in known.covered:
            yield Step(t, span.units, _milliseconds(max(span.start, t - step), min(span.end, t)))
        t += step


def _milliseconds(start: float, end: float) -> int:
    return max(0, round((end - start) * MILLISECONDS))
