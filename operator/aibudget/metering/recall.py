"""A `PromSource` that asks for the newest instants alone while the head of a meter grows.

Between two postings the same expressions are asked for the same time and a little more, once a minute. What
was answered for instants before `settled` is remembered and given again; later ones may still change and are
asked for each time. It must not decide what is settled: that is the accounts' lag. What is posted is read
whole, so nothing that came later than the lag is lost. Pure but for the source it asks.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Final

from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.source import PromSource, Result, Series

MOST_SERIES: Final = 300_000
"""An answer of more series is not remembered: memory is worth more then than Prometheus's time."""
LONGEST: Final = 3600
"""Nor is one of a longer time, in seconds: no head is that long."""
MARGIN: Final = 2 * SLOT_SECONDS // 3
"""How much before a head's start is remembered, in seconds: gaps are judged by what lies around them."""

Samples = tuple["array[float]", "array[float]"]
"""Times and as many values."""
_NOTHING: Final[Samples] = array("d"), array("d")
Key = tuple[tuple[str, ...], tuple[str, ...]]
"""Names and values of labels. Series of one answer share their names: dicts would take thrice that."""


@dataclass(slots=True)
class _Kept:
    """All instants from `start` to `until`, on a grid of steps; none was asked for before `asked`."""

    start: int
    until: int
    asked: int
    series: dict[Key, Samples] = field(default_factory=dict)

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
        if not kept.series and until <= kept.until:
            return result
        fresh = {_key(one.labels): one for one in result.series}
        found = _together(kept, fresh, Interval(start, end), max(until, kept.until))
        if len(kept.series) > MOST_SERIES:
            self._kept.pop((promql, step), None)
        elif until > kept.until:
            kept.until = until
            # An hour's quarter later the head begins anew: what lies before it is of no more use.
            if start - kept.start >= SLOT_SECONDS:
                _forget(kept, kept.start + (start - MARGIN - kept.start) // step * step)
            self._kept[promql, step] = kept
        return Result(found, result.infos)


def _key(labels: Mapping[str, str]) -> Key:
    return tuple(labels), tuple(labels.values())


def _together(kept: _Kept, fresh: dict[Key, Series], span: Interval, until: int) -> list[Series]:
    """What is kept of the span, both ends with it, and what is fresh after it; of that, what lies up to
    `until` is kept, too. `fresh` is used up: a key is long, and looking one up is what this costs.
    """
    told = _Put(_Cut(span.start, span.end), lambda later: later)
    settled = _Put(lambda earlier: earlier, _Cut(kept.until, until))
    names, found = dict[tuple[str, ...], tuple[str, ...]](), []
    for key, earlier in kept.series.items():
        later = fresh.pop(key, None)
        times, values = told(earlier, later)
        if times:
            labels = dict(zip(*key, strict=True)) if later is None else later.labels
            found.append(Series(labels, times, values))
        if later is not None:
            kept.series[key] = settled(earlier, later)
    for key, later in fresh.items():
        found.append(later)
        samples = settled(_NOTHING, later)
        if samples[0]:
            # One string for what a hundred thousand series say, in this answer and in others.
            kept.series[names.setdefault(key[0], key[0]), tuple(map(intern, key[1]))] = samples
    return found


def _forget(kept: _Kept, start: int) -> None:
    cut = _Cut(start, kept.until)
    left = ((key, cut(samples)) for key, samples in kept.series.items())
    kept.series = {key: samples for key, samples in left if samples[0]}
    kept.start = start


class _Cut:
    """The samples of a span, both ends with it; made once for all series that share them."""

    def __init__(self, start: float, end: float) -> None:
        self._start, self._end = start, end
        self._made: dict[tuple[int, int], Samples] = {}

    def __call__(self, samples: Samples) -> Samples:
        ids = id(samples[0]), id(samples[1])
        if ids not in self._made:
            times, values = samples
            part = slice(bisect_left(times, self._start), bisect_right(times, self._end))
            whole = part == slice(0, len(times))
            self._made[ids] = samples if whole else (times[part], values[part])
        return self._made[ids]


class _Put:
    """Earlier samples and later ones, each cut first, as one; made once for all series that share them.

    Samples are known by identity: whoever uses this keeps them all as long.
    """

    def __init__(self, earlier: Callable[[Samples], Samples], later: Callable[[Samples], Samples]) -> None:
        self._earlier, self._later = earlier, later
        self._made: dict[tuple[int, int], array[float]] = {}
        self._put: dict[tuple[int, int, int, int], Samples] = {}

    def __call__(self, earlier: Samples, series: Series | None) -> Samples:
        later = _NOTHING if series is None else series[1:]
        ids = id(earlier[0]), id(earlier[1]), id(later[0]), id(later[1])
        found = self._put.get(ids)
        if found is None:
            found = self._put[ids] = self._joined(self._earlier(earlier), self._later(later))
        return found

    def _joined(self, earlier: Samples, later: Samples) -> Samples:
        if not later[0]:
            return earlier
        if not earlier[0]:
            return later
        return self._one(earlier[0], later[0]), self._one(earlier[1], later[1])

    def _one(self, earlier: "array[float]", later: "array[float]") -> "array[float]":
        ids = id(earlier), id(later)
        if ids not in self._made:
            self._made[ids] = earlier + later
        return self._made[ids]
