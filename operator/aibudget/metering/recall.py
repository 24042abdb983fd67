"""A `PromSource` that asks for the newest instants alone while the head of a meter grows.

Between two postings the same expressions are asked for the same time and a little more, once a minute. What
was answered for instants before `settled` is remembered and given again; later ones may still change and are
asked for each time. It must not decide what is settled: that is the accounts' lag. What is posted is read
whole, so nothing that came later than the lag is lost. Pure but for the source it asks.
"""

import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.source import Labels, PromSource, Result, Series

MOST_SERIES: Final = 300_000
"""An answer of more series is not remembered: memory is worth more then than Prometheus's time."""
LONGEST: Final = 3600
"""Nor is one of a longer time, in seconds: no head is that long."""
MARGIN: Final = 2 * SLOT_SECONDS // 3
"""How much before a head's start is remembered, in seconds: gaps are judged by what lies around them."""

Samples = tuple["array[float]", "array[float]"]
"""Times and as many values."""
_NONE: Final[Samples] = array("d"), array("d")


@dataclass(slots=True)
class _Kept:
    """All instants from `start` to `until`, on a grid of steps; none was asked for before `asked`."""

    start: int
    until: int
    asked: int
    labels: dict[str, Mapping[str, str]] = field(default_factory=dict)
    samples: dict[str, Samples] = field(default_factory=dict)

    def reaches(self, start: int, step: int) -> bool:
        """Whether what begins at `start` can be told from here on without a hole."""
        return self.start <= start <= self.until + step and (start - self.start) % step == 0


class Recall:
    """For one thread. As long as `remember` was not called it only passes on."""

    def __init__(self, source: PromSource) -> None:
        self._source = source
        self._kept: dict[tuple[str, int], _Kept] = {}
        self._settled: int | None = None
        self._whole = False

    def remember(self, settled: int | None, *, whole: bool = False) -> None:
        """From now on answers up to this instant may be kept; None: neither keep nor recall any.

        `whole`: recall nothing that was asked for while something less was settled.
        """
        self._settled, self._whole = settled, whole
        if settled is not None:
            old = [key for key, kept in self._kept.items() if kept.until < settled - LONGEST]
            for key in old:
                del self._kept[key]

    def time(self) -> float:
        """As the source."""
        return self._source.time()

    def query(self, promql: str, at: float) -> Result:
        """As the source: one instant is always the newest."""
        return self._source.query(promql, at)

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        """As the source, of which as little as can be is asked."""
        settled = self._settled
        if settled is None or end - start > LONGEST:
            return self._source.query_range(promql, start, end, step)
        kept = self._kept.get((promql, step))
        if kept is None or not kept.reaches(start, step) or (self._whole and kept.asked < settled):
            kept = _Kept(start, start - step, settled)
        first = kept.until + step
        result = self._source.query_range(promql, first, end, step) if first <= end else Result([])
        until = start + (min(settled, end) - start) // step * step
        if not kept.samples and until <= kept.until:
            return result
        found = _together(kept, result.series, Interval(start, end), max(until, kept.until))
        if len(kept.samples) > MOST_SERIES:
            self._kept.pop((promql, step), None)
        elif until > kept.until:
            kept.until = until
            # An hour's quarter later the head begins anew: what lies before it is of no more use.
            if start - kept.start >= SLOT_SECONDS:
                _forget(kept, kept.start + (start - MARGIN - kept.start) // step * step)
            self._kept[promql, step] = kept
        return Result(found, result.infos)


def _key(labels: Mapping[str, str]) -> str:
    """A label set's text: as its server wrote it, or as it would have been written."""
    if isinstance(labels, Labels):
        return labels.text
    return json.dumps(labels, separators=(",", ":"), ensure_ascii=False)


def _together(kept: _Kept, answer: list[Series], span: Interval, until: int) -> list[Series]:
    """What is kept of the span, both ends with it, and what was answered after it; of that, what lies up to
    `until` is kept, too.
    """
    earlier, later, found = kept.samples, dict[str, Samples](), list[Series]()
    told, put = _Cut(span.start, span.end), _Put(span, until)
    for series in answer:
        key = _key(series[0])
        before = earlier.get(key, _NONE)
        if before is _NONE:
            kept.labels[key] = series[0]
        whole, later[key] = put(before, series)
        found.append(series if before is _NONE else Series(series[0], *whole))
    for key in [key for key in earlier if key not in later]:
        whole = told(*earlier[key])
        if whole[0]:
            found.append(Series(kept.labels[key], *whole))
    earlier |= later
    return found


def _forget(kept: _Kept, start: int) -> None:
    cut = _Cut(start, kept.until)
    kept.samples = {key: part for key, samples in kept.samples.items() if (part := cut(*samples))[0]}
    kept.labels = {key: kept.labels[key] for key in kept.samples}
    kept.start = start


class _Cut:
    """The samples of a span, both ends with it; made once for all series that share them."""

    def __init__(self, start: float, end: float) -> None:
        self._start, self._end = start, end
        self._made: dict[tuple[int, int], Samples] = {}

    def __call__(self, times: "array[float]", values: "array[float]") -> Samples:
        ids = id(times), id(values)
        found = self._made.get(ids)
        if found is None:
            part = slice(bisect_left(times, self._start), bisect_right(times, self._end))
            whole = part == slice(0, len(times))
            found = self._made[ids] = (times, values) if whole else (times[part], values[part])
        return found


class _Put:
    """Earlier samples and a later series: as one, of which a span is told, and as one that is kept up to an
    instant. Made once for all that share them; where times meet is looked for once for all that share those.

    Samples are known by identity: all that are given were there before the first was, and are there until
    the last.
    """

    def __init__(self, span: Interval, until: int) -> None:
        self._span, self._until = span, until
        self._joints: dict[tuple[int, int], _Joint] = {}
        self._made: dict[tuple[int, int, int], tuple[Samples, Samples]] = {}

    def __call__(self, earlier: Samples, later: Series) -> tuple[Samples, Samples]:
        _, times, values = later
        ids = id(earlier), id(times), id(values)
        found = self._made.get(ids)
        if found is None:
            before, known = earlier
            joint = self._joint(before, times)
            told, kept = known[joint.told] + values, known + values[joint.kept]
            found = self._made[ids] = (joint.times_told, told), (joint.times_kept, kept)
        return found

    def _joint(self, before: "array[float]", times: "array[float]") -> "_Joint":
        found = self._joints.get((id(before), id(times)))
        if found is None:
            told = slice(bisect_left(before, self._span.start), bisect_right(before, self._span.end))
            kept = slice(0, bisect_right(times, self._until))
            found = _Joint(told, kept, before[told] + times, before + times[kept])
            self._joints[id(before), id(times)] = found
        return found


class _Joint(NamedTuple):
    """Which earlier samples are `told` and which later ones are `kept`, and the times of both as one."""

    told: slice
    kept: slice
    times_told: "array[float]"
    times_kept: "array[float]"
