"""How busy what is held was, as far as that is settled: asked for once while a head grows, and added up.

In a cluster no two devices are equally busy. Of a hundred thousand of them every sample of a quarter of an
hour would have to be kept, put together with the newest and added up anew in each cycle; what they add up to
by workload is a few numbers. What is posted is asked for whole. It must not decide what was held, nor what is
settled. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from aibudget.inventory.workload import Workload
from aibudget.metering.coverage import Grid
from aibudget.metering.slots import Interval, slot_of
from aibudget.metering.usage import Sku


@dataclass(frozen=True, slots=True)
class Span:
    """Instants after `since`, of which those up to `settled` change no more (Unix seconds)."""

    since: float = float("-inf")
    settled: float = float("-inf")


EVER = Span()
"""All of them, and nothing is settled."""


class Observed(NamedTuple):
    """Device-milliseconds of which it was seen how busy they were, and how many of them were busy."""

    observed: float
    busy: float


NOTHING = Observed(0.0, 0.0)
By = tuple[int, Workload, Sku]
"""A slot, and of whom and what."""


class Utilisation:
    """Of the head of one meter; for one thread. As long as `begin` was not called nothing is remembered."""

    def __init__(self) -> None:
        self._start = self._until = 0
        self._settled: int | None = None
        self._sums: dict[By, Observed] = {}

    def begin(self, interval: Interval, settled: int | None, *, whole: bool = False) -> None:
        """From now on this interval is read, up to whose `settled` nothing changes any more; None: it is no
        head, and what is remembered of one stays. `whole`: begin anew, whatever was added up before.
        """
        self._settled = settled
        if settled is None:
            return
        if whole or not self._start <= interval.start <= self._until:
            self._until = interval.start
            self._sums.clear()
        else:
            for of in [of for of in self._sums if of[0] < slot_of(interval.start)]:
                del self._sums[of]
        self._start = interval.start

    def rest(self, grid: Grid) -> Grid | None:
        """The part of the grid that is still to be asked for; None where there is none."""
        since = max(grid.interval.start, self._until) if self._continues(grid) else grid.interval.start
        return Grid(Interval(since, grid.interval.end), grid.step) if since < grid.interval.end else None

    def before(self, grid: Grid) -> Mapping[By, Observed]:
        """What is settled, where the grid begins within it."""
        return self._sums if self._continues(grid) else {}

    def span(self, asked: Grid) -> Span:
        """What is asked for, when that is the rest of a grid."""
        if self._settled is None or not self._continues(asked):
            return Span(asked.interval.start)
        settled = min(self._settled, asked.interval.end)
        return Span(asked.interval.start, settled - settled % asked.step)

    def settle(self, span: Span, sums: Mapping[By, Observed]) -> None:
        """Remember what the settled part of a span adds up to."""
        if span.settled <= self._until:
            return
        for of, (observed, busy) in sums.items():
            before = self._sums.get(of, NOTHING)
            self._sums[of] = Observed(before.observed + observed, before.busy + busy)
        self._until = int(span.settled)

    def _continues(self, grid: Grid) -> bool:
        """Whether the grid goes on where what is remembered ends, or before; in the same steps."""
        return self._start <= grid.interval.start <= self._until and self._until % grid.step == 0
