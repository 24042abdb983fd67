"""What is unusual: hours that cost far more or far less than a series' own past lets expect.

The last hour, 6 and 24 hours are compared with what is normal: the shape of the week at the level of the last
two weeks, or of the day before, whichever is nearer; so a step is unusual once and then the new normal. How
far such windows usually lie off is learnt for each hour of the week, each week judged by the shape of the
others, and how rare a distance is, from the series' own tail. Many series are looked at in the same hour, so
what counts as rare is decided for all together (Benjamini and Hochberg). Hours that are unknown, held or
planned are None: they are neither judged nor learnt from. Pure.

Amounts are floats: what is unusual has no cents. What is spent stays exact elsewhere.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import ceil, exp, sqrt
from statistics import fmean, median
from typing import Final

DAY: Final = 24
WEEK: Final = 168
WINDOWS: Final = (1, 6, 24)
"""Hours that are judged together: a spike, a shift, a day."""
RECENT: Final = 3 * DAY
"""The newest hours that judging looks at: those since the learning, a window and the day before it."""
WEEKS: Final = 8
"""Of the past that is learnt from."""
LEAST_WEEKS: Final = 4
"""Less than this teaches no hour of the week."""
LEVEL_DAYS: Final = 14
LEAST_LEVEL: Final = 0.05
"""A day whose known hours are usually quieter than this part of the mean tells no level."""
OWN_WEEKS: Final = 12
"""An hour of the week that is known in so many needs no other to tell what is usual of it. Each counts alike:
with more of the scale that it is measured by, a distance would make itself small.
"""
LEAST_SCALE: Final = 0.02
"""Of the mean hour: what never changes has no scale, and what differs by a few percent is not unusual."""
NEAR: Final = (-1, 0, 1)
"""The hours beside an hour that tell what is usual at it."""
NOTHING: Final = 1e-9
"""The scale of what has cost nothing at all."""
TAIL: Final = 0.05
"""The part of the past that its tail is judged by."""
LEAST_EDGE: Final = 1.5
"""In scales, of where the tail begins."""
LEAST_EXCESS: Final = 0.3
"""Of the edge: how far what lies beyond it does so on average, in Student's t with seven degrees of freedom.
Eight weeks cannot tell noise from less than that.
"""

RAREST: Final = 1e-3
"""A chance above this is not told, however few budgets there are."""
FALSE_ALARMS: Final = 0.1
"""How many of all that is told in an hour may be chance."""
QUIET_HOURS: Final = 24
"""So long after its last unusual hour an anomaly is over; until then it is not told again."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Distances beyond `edge`, in scales, and by how much they exceed it on average."""

    edge: float
    excess: float

    def chance(self, distance: float) -> float:
        """How often the past lies off as much, or more."""
        if distance <= self.edge:
            return 1.0
        return TAIL * exp(-(distance - self.edge) / self.excess)


@dataclass(frozen=True, slots=True)
class Normal:
    """What a series has taught: `shape` by hour of the week over `level`, counted from where it was learnt.

    `scales` and `tails` are by window, scales further by the hour of the week that the window ends with.
    """

    shape: tuple[float, ...]
    level: float
    mean: float
    scales: Mapping[int, tuple[float, ...]]
    tails: Mapping[int, Tail]


@dataclass(frozen=True, slots=True)
class Deviation:
    """How a series lies off in its last `hours`; `chance` is how often its own past would do as much."""

    hours: int
    actual: float
    expected: float
    chance: float

    @property
    def impact(self) -> float:
        """Actual minus expected, of either sign."""
        return self.actual - self.expected


def learnt(hours: Sequence[float | None]) -> Normal | None:
    """The normal of the weeks up to the last hour, oldest first; None where they are too few to tell."""
    weeks = min(WEEKS, len(hours) // WEEK)
    if weeks < LEAST_WEEKS:
        return None
    past = hours[len(hours) - weeks * WEEK :]
    shape, others = _shapes(past)
    sums, newest = _Sums(past, others), _Sums(past[-LEVEL_DAYS * DAY :], shape)
    levels = [sums.long_level(day * DAY) for day in range(len(past) // DAY)]
    level, mean = newest.long_level(LEVEL_DAYS * DAY), sums.mean()
    if level is None or mean is None:
        return None
    scales, tails = {}, {}
    for window in WINDOWS:
        off = sums.distances(window, levels)
        if sum(one is not None for one in off) < (LEAST_WEEKS - 2) * WEEK:
            return None
        least = max(LEAST_SCALE * mean * sqrt(window), NOTHING)
        scales[window] = tuple(max(least, scale) for scale in _scales(off, _spans(shape, window)))
        tails[window] = _tail(
            [one / scales[window][end % WEEK] for end, one in enumerate(off) if one is not None]
        )
    return Normal(tuple(shape), level, mean, scales, tails)


def deviation(normal: Normal, hours: Sequence[float | None], since: int) -> Deviation | None:
    """The window up to the last hour that is the most unusual; None where none is wholly known.

    `hours` are the newest ones, of which `since` follow what the normal was learnt from.
    """
    shape = [normal.shape[(place + since - len(hours)) % WEEK] for place in range(len(hours))]
    sums, end = _Sums(hours, shape), (since - 1) % WEEK
    found = []
    for window in WINDOWS:
        first = len(hours) - window
        if first < DAY or sums.gaps[-1] != sums.gaps[first]:
            continue
        actual, off = sums.actual[-1] - sums.actual[first], sums.off(first, window, normal.level)
        chance = normal.tails[window].chance(abs(off) / normal.scales[window][end])
        found.append(Deviation(window, actual, actual - off, chance))
    if not found:
        return None
    best = min(found, key=lambda one: one.chance)
    # Several windows are several chances to be wrong.
    return replace(best, chance=min(1.0, best.chance * len(found)))


def unusual(found: Mapping[str, Deviation]) -> dict[str, Deviation]:
    """Of all series of an hour those that are unusual: so few that one in ten of all told is chance."""
    limit = min(RAREST, _rare([one.chance for one in found.values()]))
    return {name: one for name, one in found.items() if one.chance <= limit}


class _Sums:
    """Running sums over hours, for the levels and the distances of any window of them."""

    def __init__(self, hours: Sequence[float | None], shape: Sequence[float]) -> None:
        self.actual = (0.0, *accumulate(hour or 0.0 for hour in hours))
        self.gaps = (0, *accumulate(hour is None for hour in hours))
        known = (0.0 if hour is None else shape[place % len(shape)] for place, hour in enumerate(hours))
        self.usual = (0.0, *accumulate(known))
        self.shape = (0.0, *accumulate(shape[place % len(shape)] for place in range(len(hours))))

    def mean(self) -> float | None:
        """Of the hours that are known."""
        known = len(self.gaps) - 1 - self.gaps[-1]
        return self.actual[-1] / known if known else None

    def day_level(self, end: int) -> float | None:
        """Of the 24 hours before, as far as they are known; None where they tell nothing."""
        usual = self.usual[end] - self.usual[end - DAY]
        return (self.actual[end] - self.actual[end - DAY]) / usual if usual > LEAST_LEVEL * DAY else None

    def long_level(self, end: int) -> float | None:
        """The middle of the last two weeks' days; None without a week of them."""
        days = [self.day_level(day) for day in range(end, max(DAY, end - LEVEL_DAYS * DAY) - 1, -DAY)]
        known = [level for level in days[:LEVEL_DAYS] if level is not None]
        return median(known) if len(known) >= WEEK // DAY // 2 else None

    def off(self, first: int, window: int, level: float) -> float:
        """How far a window lies from what is normal: 0 between the level of weeks and that of a day."""
        actual = self.actual[first + window] - self.actual[first]
        shape = self.shape[first + window] - self.shape[first]
        day = self.day_level(first)
        expected = sorted((level * shape, (level if day is None else day) * shape))
        return actual - min(max(actual, expected[0]), expected[1])

    def distances(self, window: int, levels: Sequence[float | None]) -> list[float | None]:
        """Of the windows that end with each hour; None where one is not wholly known or lacks a past."""
        found: list[float | None] = [None] * (len(self.gaps) - 1)
        for first in range(WEEK, len(found) - window + 1):
            level = levels[first // DAY]
            if level is not None and self.gaps[first] == self.gaps[first + window]:
                found[first + window - 1] = abs(self.off(first, window, level))
        return found


def _shapes(past: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """Each hour of the week over the mean of its week, in the middle of the weeks; and each hour of the past
    in the middle of the other weeks, for what has taught a shape lies too near to it.
    """
    ratios: list[dict[int, float]] = [{} for _ in range(WEEK)]
    for begin in range(0, len(past), WEEK):
        known = [hour for hour in past[begin : begin + WEEK] if hour is not None]
        mean = fmean(known) if 2 * len(known) >= WEEK else 0.0
        for place, hour in enumerate(past[begin : begin + WEEK]):
            if hour is not None and mean > 0:
                ratios[place][begin] = hour / mean
    shape = [median(hour.values()) if hour else 1.0 for hour in ratios]
    others: list[float] = []
    for place in range(len(past)):
        own = place - place % WEEK
        taught = [ratio for begin, ratio in ratios[place % WEEK].items() if begin != own]
        others.append(median(taught) if taught else shape[place % WEEK])
    return shape, others


def _spans(shape: Sequence[float], window: int) -> list[float]:
    """What is usual in the windows that end with each hour of the week."""
    sums = (0.0, *accumulate((*shape[-window:], *shape)))
    return [sums[end + window + 1] - sums[end + 1] for end in range(WEEK)]


def _scales(off: Sequence[float | None], spans: Sequence[float]) -> Iterator[float]:
    """What is usual at each hour of the week and the hours beside it, drawn towards what is usual of hours
    that cost as much: on a line between the same for all of them and so much of each.
    """
    everywhere, middle = fmean(one for one in off if one is not None), fmean(spans)
    by_hour: list[list[float]] = [[] for _ in range(WEEK)]
    for end, one in enumerate(off):
        if one is not None:
            for near in NEAR:
                by_hour[(end + near) % WEEK].append(one)
    own = [fmean(hour) if hour else everywhere for hour in by_hour]
    spread = sum((span - middle) ** 2 for span in spans)
    slope = sum((span - middle) * one for span, one in zip(spans, own, strict=True)) / (spread or 1.0)
    mean = fmean(own)
    slope = min(max(0.0, slope), mean / middle if middle > 0 else 0.0)
    for hour, one, span in zip(by_hour, own, spans, strict=True):
        part = min(1.0, len(hour) / (len(NEAR) * OWN_WEEKS))
        yield part * one + (1 - part) * (mean + slope * (span - middle))


def _tail(distances: Sequence[float]) -> Tail:
    """Never lighter than that of what is only noise, however still the past was."""
    tail = sorted(distances)[-ceil(len(distances) * TAIL) :]
    edge = max(tail[0], LEAST_EDGE)
    return Tail(edge, max(fmean(tail) - tail[0], LEAST_EXCESS * edge))


def _rare(chances: Iterable[float]) -> float:
    """The largest chance that is still told; -1 where none is."""
    ordered = sorted(chances)
    told = [p for rank, p in enumerate(ordered, 1) if p <= FALSE_ALARMS * rank / len(ordered)]
    return max(told, default=-1.0)
