"""What is unusual: hours that cost far more or far less than a series' own past lets expect.

The last hour, 6 and 24 hours are compared with what is normal: the shape of the week at the level of the last
two weeks, or of the day before, whichever is nearer; so a step is unusual once and then the new normal. How
far such windows usually lie off is learnt for each hour of the week, and how rare a distance is, from the
series' own tail. Many series are looked at in the same hour, so what counts as rare is decided for all
together (Benjamini and Hochberg). Hours that are unknown, held or planned are None: they are neither judged
nor learnt from. Pure.

Amounts are floats: what is unusual has no cents. What is spent stays exact elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import ceil, exp, log, sqrt
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
OWN_SCALE: Final = 0.5
"""How much the distance that is usual at an hour of the week counts, beside that of all hours."""
LEAST_SCALE: Final = 0.02
"""Of the mean hour: what never changes has no scale, and what differs by a few percent is not unusual."""
NOTHING: Final = 1e-9
"""The scale of what has cost nothing at all."""
TAIL: Final = 0.05
"""The part of the past that its tail is judged by."""

RAREST: Final = 1e-3
"""A chance above this is not told, however few budgets there are."""
FALSE_ALARMS: Final = 0.1
"""How many of all that is told in an hour may be chance."""
QUIET_HOURS: Final = 24
"""So long after its last unusual hour an anomaly is over; until then it is not told again."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Distances beyond `edge`, in scales: by how much they exceed it on average, and by which power."""

    edge: float
    excess: float
    power: float

    def chance(self, distance: float) -> float:
        """How often the past lies off as much; halfway between a light tail and a heavy one."""
        if distance <= self.edge:
            return 1.0
        light = exp(-(distance - self.edge) / self.excess)
        heavy = exp(-self.power * log(distance / self.edge))
        return TAIL * sqrt(light * heavy)


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
    shape = _shape(past)
    sums = _Sums(past, shape)
    levels = [sums.long_level(day * DAY) for day in range(len(past) // DAY + 1)]
    level, mean = levels[-1], sums.mean()
    if level is None or mean is None:
        return None
    scales, tails = {}, {}
    for window in WINDOWS:
        off = sums.distances(window, levels)
        if sum(one is not None for one in off) < (LEAST_WEEKS - 2) * WEEK:
            return None
        scales[window] = _scales(off, max(LEAST_SCALE * mean * sqrt(window), NOTHING))
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


def _shape(past: Sequence[float | None]) -> list[float]:
    """Each hour of the week over the mean of its week, in the middle of the weeks."""
    ratios: list[list[float]] = [[] for _ in range(WEEK)]
    for begin in range(0, len(past), WEEK):
        known = [hour for hour in past[begin : begin + WEEK] if hour is not None]
        mean = fmean(known) if 2 * len(known) >= WEEK else 0.0
        for place, hour in enumerate(past[begin : begin + WEEK]):
            if hour is not None and mean > 0:
                ratios[place].append(hour / mean)
    return [median(hour) if hour else 1.0 for hour in ratios]


def _scales(off: Sequence[float | None], least: float) -> tuple[float, ...]:
    """What is usual at each hour of the week and the hours beside it, drawn towards what is usual at all."""
    everywhere = fmean(one for one in off if one is not None)
    by_hour: list[list[float]] = [[] for _ in range(WEEK)]
    for end, one in enumerate(off):
        if one is not None:
            for near in (end - 1, end, end + 1):
                by_hour[near % WEEK].append(one)
    own = [fmean(hour) if hour else everywhere for hour in by_hour]
    return tuple(max(least, OWN_SCALE * one + (1 - OWN_SCALE) * everywhere) for one in own)


def _tail(distances: Sequence[float]) -> Tail:
    """Never lighter than that of what is only noise, however still the past was."""
    tail = sorted(distances)[-ceil(len(distances) * TAIL) :]
    edge = max(tail[0], 1.5)
    power = fmean(log(max(one, edge) / edge) for one in tail)
    return Tail(edge, max(fmean(tail) - tail[0], edge / 4, 0.3), 1 / max(power, 0.15))


def _rare(chances: Iterable[float]) -> float:
    """The largest chance that is still told; -1 where none is."""
    ordered = sorted(chances)
    told = [p for rank, p in enumerate(ordered, 1) if p <= FALSE_ALARMS * rank / len(ordered)]
    return max(told, default=-1.0)
