"""A `PromSource` that asks for the newest instants alone while the head of a meter grows.

Between two postings the same expressions are asked for the same time and a little more, once a minute. What
was answered for instants before `settled` is remembered and given again; later ones may still change and are
asked for each time. It must not decide what is settled: that is the accounts' lag. What is posted is read
whole, so nothing that came later than the lag is lost. Pure but for the source it asks.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple, TypeVar

from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.source import Labels, PromSource, Result, Series, series_of

K = TypeVar("K")
V = TypeVar("V")

MOST_SERIES: Final = 300_000
"""An answer of more series is not remembered: memory is worth more then than Prometheus's time."""
LONGEST: Final = 3600
"""Nor is one of a longer time, in seconds: no head is that long."""
MARGIN: Final = 2 * SLOT_SECONDS // 3
"""How much before a head's start is remembered, in seconds: gaps are judged by what lies around them."""

MOST_ALIKE: Final = 1024
"""How many different samples are remembered while an answer is put to what is kept: series that share theirs
follow each other, and those that do not would only take memory."""

Samples = tuple["array[float]", "array[float]"]
"""Times and as many values."""
_NONE: Final[Samples] = array("d"), array("d")


@dataclass(slots=True)
class _Kept:
    """All instants from `start` to `until`, on a grid of steps; none was asked for before `asked`.

    Samples after `until` may be others by now. Each of the `labels` has its `samples`, in the order in which
    they were told: it is the same again and again, and a dict of a hundred thousand would take megabytes.
    """

    start: int
    until: int
    asked: int
    labels: list[Labels] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)

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
            # The samples of a hundred thousand devices are not to wait for those that come in their place.
            self._kept.pop((promql, step), None)
            kept = _Kept(start, start - step, settled)
        first = kept.until + step
        result = self._source.query_range(promql, first, end, step) if first <= end else Result([])
        until = start + (min(settled, end) - start) // step * step
        if not kept.samples and until <= kept.until:
            return result
        found = _together(kept, result.series, Interval(start, end))
        if len(kept.samples) > MOST_SERIES:
            self._kept.pop((promql, step), None)
        elif until > kept.until:
            kept.until = until
            # An hour's quarter later the head begins anew: what lies before it is of no more use.
            if start - kept.start >= SLOT_SECONDS:
                _forget(kept, kept.start + (start - MARGIN - kept.start) // step * step)
            self._kept[promql, step] = kept
        return Result(found, result.infos)


def _together(kept: _Kept, answer: list[Series], span: Interval) -> list[Series]:
    """What is kept of the span, both ends with it, and what was answered after it; all of it is kept.

    The answer is used up: the samples of a hundred thousand series need not be there twice.
    """
    before, put = _Before(kept), _Put(span.start, kept.until)
    kept.labels, kept.samples = [], []
    for place, (labels, times, values) in enumerate(answer):
        known = labels if isinstance(labels, Labels) else Labels.of(labels)
        whole, (told_times, told_values) = put(before.take(known), times, values)
        kept.labels.append(known)
        kept.samples.append(whole)
        answer[place] = series_of((known, told_times, told_values))
    # Some are told of no more: what they were until then stays.
    settled, told_of = _Cut(kept.start, kept.until), _Cut(span.start, min(span.end, kept.until))
    for known, samples in before.left():
        kept.labels.append(known)
        kept.samples.append(settled(samples))
        told = told_of(samples)
        if told[0]:
            answer.append(series_of((known, *told)))
    return answer


def _forget(kept: _Kept, start: int) -> None:
    cut = _Cut(start, math.inf)
    newer = [cut(samples) for samples in kept.samples]
    kept.labels = [known for known, samples in zip(kept.labels, newer, strict=True) if samples[0]]
    kept.samples = [samples for samples in newer if samples[0]]
    kept.start = start


class _Before:
    """What was kept, taken out label set by label set; mostly in the order in which it was told before."""

    def __init__(self, kept: _Kept) -> None:
        self._labels, self._samples = kept.labels, kept.samples
        self._taken = bytearray(len(self._labels))
        self._next = 0

    def take(self, known: Labels) -> Samples:
        """What is kept of it; nothing where it is new."""
        place = self._next
        if place >= len(self._labels) or self._labels[place].key != known.key:
            found = self._places.get(known.key)
            if found is None:
                return _NONE
            place = found
        self._next, self._taken[place] = place + 1, True
        return self._samples[place]

    def left(self) -> Iterator[tuple[Labels, Samples]]:
        """What was not taken."""
        if not all(self._taken):
            whole = zip(self._labels, self._samples, self._taken, strict=True)
            yield from ((known, samples) for known, samples, taken in whole if not taken)

    @cached_property
    def _places(self) -> dict[int, int]:
        return {known.key: place for place, known in enumerate(self._labels)}


class _Cut:
    """The samples of a span, both ends with it; made once for those that share them, and their times once for
    all that share those.
    """

    def __init__(self, start: float, end: float) -> None:
        self._start, self._end = start, end
        self._parts: dict[int, tuple[array[float], slice, array[float]]] = {}
        self._made: dict[int, tuple[Samples, Samples]] = {}

    def __call__(self, samples: Samples) -> Samples:
        before, part, times = self._part(samples[0])
        if times is before:
            return samples
        found = self._made.get(id(samples))
        if found is None:
            found = samples, (times, samples[1][part])
            _note(self._made, id(samples), found)
        return found[1]

    def _part(self, times: "array[float]") -> "tuple[array[float], slice, array[float]]":
        found = self._parts.get(id(times))
        if found is None:
            part = slice(bisect_left(times, self._start), bisect_right(times, self._end))
            found = times, part, times if part == slice(0, len(times)) else times[part]
            _note(self._parts, id(times), found)
        return found


class _Put:
    """Earlier samples up to an instant, and later ones: as one, and the part of it that a span has. Made once
    for those that share them; where times meet is looked for once for all that share those.

    Samples are known by identity: what was made is kept with what it was made of.
    """

    def __init__(self, start: int, until: int) -> None:
        self._start, self._until = start, until
        self._joints: dict[tuple[int, int], _Joint] = {}
        self._made: dict[tuple[int, int, int], tuple[tuple[Samples, Samples], object]] = {}

    def __call__(
        self, earlier: Samples, times: "array[float]", values: "array[float]"
    ) -> tuple[Samples, Samples]:
        ids = id(earlier), id(times), id(values)
        found = self._made.get(ids)
        if found is None:
            found = self._put(earlier, times, values), (earlier, times, values)
            _note(self._made, ids, found)
        return found[0]

    def _put(
        self, earlier: Samples, times: "array[float]", values: "array[float]"
    ) -> tuple[Samples, Samples]:
        before, known = earlier
        joint = self._joints.get((id(before), id(times))) or self._joint(before, times)
        _, _, end, first, times_whole, times_told = joint
        whole = times_whole, known[:end] + values if end else values
        return whole, (times_told, whole[1][first:]) if first else whole

    def _joint(self, before: "array[float]", times: "array[float]") -> "_Joint":
        end = bisect_right(before, self._until)
        whole = before[:end] + times if end else times
        first = bisect_left(whole, self._start)
        found = _Joint(before, times, end, first, whole, whole[first:] if first else whole)
        _note(self._joints, (id(before), id(times)), found)
        return found


class _Joint(NamedTuple):
    """Of `before` the first `end` count; of the times of both, those from place `first` on are told."""

    before: "array[float]"
    times: "array[float]"
    end: int
    first: int
    whole: "array[float]"
    told: "array[float]"


def _note(known: dict[K, V], key: K, found: V) -> None:
    if len(known) >= MOST_ALIKE:
        known.clear()
    known[key] = found
