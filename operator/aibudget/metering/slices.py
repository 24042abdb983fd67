"""Samples cut where slots end: once for all holdings that share them.

Most holdings of an answer have the very same samples (`answer`), so a hundred thousand of them cost as many
look-ups and no walk from sample to sample. Pure.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from aibudget.metering.coverage import Grid
from aibudget.metering.slots import SLOT_SECONDS, slot_of


class Slice(NamedTuple):
    """The samples `first` up to `end` (not with it) lie in one slot, and `at` is the last one's time.

    `worth` is what they add up to; `level` is what each of them is, None where they differ.
    """

    slot: int
    at: int
    first: int
    end: int
    worth: int
    level: float | None


class Slices:
    """Of one grid. `worth` says what one sample counts for. Samples must outlive this: they are known by
    identity.
    """

    def __init__(self, grid: Grid, worth: Callable[[float], int]) -> None:
        self.step = grid.step
        self._grid = grid
        self._worth = worth
        self._known: dict[tuple[int, int], tuple[Slice, ...]] = {}

    def of(self, times: "array[float]", units: "array[float]") -> tuple[Slice, ...]:
        """The samples that lie on the grid, by slot, in order of time."""
        found = self._known.get((id(times), id(units)))
        if found is None:
            found = self._known[id(times), id(units)] = tuple(self._cut(times, units))
        return found

    def _cut(self, times: "array[float]", units: "array[float]") -> list[Slice]:
        grid, found = self._grid, []
        place = bisect_left(times, grid.instants.start)
        last = bisect_left(times, grid.interval.end + 1)
        while place < last:
            slot = slot_of(int(times[place]) - grid.step)
            end = min(last, bisect_left(times, slot + SLOT_SECONDS + grid.step, place))
            part = units[place:end]
            level = part[0] if min(part) == max(part) else None
            worth = sum(map(self._worth, part))
            found.append(Slice(slot, int(times[end - 1]), place, end, worth, level))
            place = end
        return found
