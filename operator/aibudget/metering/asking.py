"""Asking for a long time at once, and for half of it when that is too much for Prometheus.

What fails while it runs (samples, time) is halved down to one step of a range, or one slot of a window. What
is left then is told, never taken for nothing. Pure but for the `PromSource` it asks.
"""

from collections.abc import Callable
from dataclasses import dataclass

from aibudget.metering.coverage import Grid
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.source import PromSource, Series, TooManySamples


@dataclass(frozen=True, slots=True)
class Answer:
    """One label set may come in several series, one for each piece; `unread` are instants without an
    answer.
    """

    series: list[Series]
    unread: frozenset[int] = frozenset()


def over_range(source: PromSource, promql: str, grid: Grid) -> Answer:
    """The expression at every instant of the grid."""
    found: list[Series] = []
    unread: set[int] = set()
    waiting = [grid.instants]
    while waiting:
        steps = waiting.pop()
        if not steps:
            continue
        try:
            found += source.query_range(promql, steps[0], steps[-1], grid.step).series
        except TooManySamples:
            if len(steps) == 1:
                unread.add(steps[0])
            else:
                middle = len(steps) // 2
                waiting += [steps[middle:], steps[:middle]]
    return Answer(found, frozenset(unread))


def over_window(source: PromSource, promql: Callable[[int], str], interval: Interval) -> Answer:
    """What was there at any time of the interval; `promql` takes the seconds to look back from its end."""
    try:
        return Answer(source.query(promql(interval.seconds), interval.end).series)
    except TooManySamples:
        if interval.seconds <= SLOT_SECONDS:
            return Answer([], frozenset({interval.end}))
    middle = interval.start + interval.seconds // 2
    halves = [
        over_window(source, promql, half)
        for half in (Interval(interval.start, middle), Interval(middle, interval.end))
    ]
    return Answer(halves[0].series + halves[1].series, halves[0].unread | halves[1].unread)
