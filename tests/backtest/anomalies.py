"""The detector on real series: what is put into them and found, how soon, and what they tell as they are.

Every way is judged alike: hour by hour, told once while it lasts, and only where it costs at least half a
percent of what the last four weeks cost. What is put in is counted in mean hours of those weeks, at moments
that are the same for every way. What is told without anything put in counts as a false alarm, though real
series have real surprises, holidays among them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import fmean, median, pstdev
from typing import Final

from aibudget.budgeting.anomaly import (
    LEAST_WEEKS,
    QUIET_HOURS,
    RECENT,
    WEEKS,
    Normal,
    deviation,
    learnt,
    unusual,
)
from backtest.series import WEEK, Hourly

MONTH: Final = 28 * 24
DAYS: Final = 360
LEAST: Final = 0.005
"""Of what four weeks cost: less than this is told by no way."""
INJECTED: Final = 96
"""Moments of each series."""
SIGMAS: Final = 3.0
DAILY: Final = 0.4
"""By how much a day differs from the seven before it."""
MOST_FALSE: Final = 1.0
"""A month, in the mean of the public series: what nobody learns to ignore."""
LEAST_FOUND: Final = 0.75
"""Of all that is put in, in their mean."""
OURS: Final = "AIBudget"


@dataclass(frozen=True, slots=True)
class Kind:
    """`change` makes of an hour, in which the mean hour is given, what it is in so many `hours`."""

    name: str
    hours: int
    change: Callable[[float, float], float]


KINDS: Final = (
    Kind("spike", 1, lambda hour, mean: hour + 5 * mean),
    Kind("runaway", 12, lambda hour, mean: hour + mean),
    Kind("step", 48, lambda hour, mean: hour + mean / 2),
    Kind("outage", 12, lambda hour, mean: 0.0),
    Kind("half", 24, lambda hour, mean: hour / 2),
)

Judge = Callable[[Sequence[float], int], float | None]
"""By how much the hours before one lie off, if that is to be told."""


@dataclass(slots=True)
class Found:
    """Of one way on one series."""

    alarms: float = 0.0
    hits: dict[str, list[bool]] = field(default_factory=lambda: {kind.name: [] for kind in KINDS})
    delays: list[int] = field(default_factory=list)

    def recall(self) -> float:
        """Of all kinds."""
        return fmean(hit for hits in self.hits.values() for hit in hits)


class Ours:
    """As the operator does it: what is normal is learnt at midnight."""

    def __init__(self) -> None:
        self._clean: dict[int, Normal | None] = {}
        self._since: dict[int, Normal | None] = {}
        self._changed = float("inf")

    def change(self, moment: float) -> None:
        """From now on hours are given that differ from the series since a moment."""
        self._changed, self._since = moment, {}

    def __call__(self, hours: Sequence[float], now: int) -> float | None:
        """By this very detector."""
        midnight = (now - 1) // 24 * 24
        known = self._clean if midnight <= self._changed else self._since
        if midnight not in known:
            known[midnight] = learnt(hours[max(0, midnight - WEEKS * WEEK) : midnight])
        normal = known[midnight]
        found = None if normal is None else deviation(normal, hours[now - RECENT : now], now - midnight)
        return found.impact if found is not None and unusual({"": found}) else None


def z_score(hours: Sequence[float], now: int) -> float | None:
    """The last hour against mean and deviation of four weeks."""
    past = hours[now - MONTH - 1 : now - 1]
    mean, off = fmean(past), pstdev(past)
    impact = hours[now - 1] - mean
    return impact if abs(impact) > SIGMAS * off else None


def daily(hours: Sequence[float], now: int) -> float | None:
    """The last day against the seven before it."""
    day, mean = sum(hours[now - 24 : now]), sum(hours[now - 24 - WEEK : now - 24]) / 7
    return day - mean if abs(day - mean) > DAILY * mean else None


def judged(series: Hourly) -> Mapping[str, Found]:
    """Each way, by its name."""
    hours, ours = list(series.hours), Ours()
    first = max(LEAST_WEEKS * WEEK + 24, len(hours) - DAYS * 24)
    ways: dict[str, Judge] = {"z-score": z_score, "day by week": daily, OURS: ours}
    found = {name: Found() for name in ways}
    for name, way in ways.items():
        told = list(alarms(way, hours, first, len(hours)))
        found[name].alarms = len(told) / (len(hours) - first) * 30 * 24
    random = Random(7)
    moments = [random.randrange(first + 24, len(hours) - 72) for _ in range(INJECTED)]
    for kind in KINDS:
        for moment in moments:
            changed = injected(hours, kind, moment)
            ours.change(moment)
            for name, way in ways.items():
                told_at = next(alarms(way, changed, moment + 1, moment + kind.hours + 1), None)
                found[name].hits[kind.name].append(told_at is not None)
                if told_at is not None:
                    found[name].delays.append(told_at - moment)
    return found


def injected(hours: Sequence[float], kind: Kind, moment: int) -> list[float]:
    """The series with something in it."""
    mean, end = fmean(hours[moment - MONTH : moment]), moment + kind.hours
    return [*hours[:moment], *(kind.change(hour, mean) for hour in hours[moment:end]), *hours[end:]]


def alarms(way: Judge, hours: Sequence[float], first: int, end: int) -> Iterator[int]:
    """The hours at which something new is told."""
    lasts = (0, 0)
    for now in range(first, end):
        impact = way(hours, now)
        if impact is None or abs(impact) < LEAST * sum(hours[now - MONTH : now]):
            continue
        side = 1 if impact > 0 else -1
        if side != lasts[0] or now - lasts[1] > QUIET_HOURS:
            yield now
        lasts = (side, now)


def rows(found: Mapping[str, Mapping[str, Found]]) -> Iterator[str]:
    """The table."""
    kinds = "".join(f"{kind.name:>9}" for kind in KINDS)
    yield f"{'found of what is put in':<24}{'':<16}{kinds}{'all':>7}{'in h':>6}{'false a month':>15}"
    for series, ways in found.items():
        for place, (name, one) in enumerate(ways.items()):
            cells = "".join(f"{100 * fmean(one.hits[kind.name]):>7.0f} %" for kind in KINDS)
            delay = f"{median(one.delays):.0f}" if one.delays else "-"
            title = "" if place else series
            yield f"{title:<24}{name:<16}{cells}{100 * one.recall():>5.0f} %{delay:>6}{one.alarms:>15.2f}"


def missed(found: Mapping[str, Mapping[str, Found]]) -> Iterator[str]:
    """The goals that the public series miss."""
    false = fmean(ways[OURS].alarms for ways in found.values())
    recall = fmean(ways[OURS].recall() for ways in found.values())
    if false > MOST_FALSE:
        yield f"{false:.2f} false alarms a month in the mean, more than {MOST_FALSE}"
    if recall < LEAST_FOUND:
        yield f"{100 * recall:.0f} % are found in the mean, fewer than {100 * LEAST_FOUND:.0f} %"
    yield from worse(found)


def worse(found: Mapping[str, Mapping[str, Found]]) -> Iterator[str]:
    """Where another way finds as much with as few false alarms."""
    for series, ways in found.items():
        ours = ways[OURS]
        for name, way in ways.items():
            if name != OURS and way.recall() >= ours.recall() and way.alarms <= ours.alarms:
                yield f"{series}: {name} finds as much with as few false alarms"
