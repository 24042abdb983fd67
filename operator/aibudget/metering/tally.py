"""`Tally`: levels come in, in order of time; what each counter counted comes out, by slot and holder.

It goes through a range once, piece by piece, and keeps of each counter its last level alone, so that memory
does not grow with the range. First values wait until someone says when their counter began. Pure.
"""

from bisect import bisect_left
from collections import Counter as Count
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from aibudget.metering.families import TARGETS, Family, Shape
from aibudget.metering.growth import Clock, Growth, counted, first
from aibudget.metering.levels import NOBODY, Holder, Told
from aibudget.metering.memory import Counter, Level, Memory
from aibudget.metering.slots import Interval, slot_of

KEPT: Final = 7 * 86_400
"""For how long the level of a counter is remembered that is told of no more, in seconds."""


class First(NamedTuple):
    """A first value; `seen` is when its target last told of the family without it."""

    counter: Counter
    level: Level
    seen: int | None


class Cell(NamedTuple):
    """Where an amount belongs."""

    slot: int
    counter: Counter
    holder: Holder


@dataclass(slots=True)
class Amount:
    """In the meter's smallest unit; `estimated` is a part of `quantity`, and so is `older`, which its counter
    counted before the slot, while it was missing.
    """

    quantity: int = 0
    estimated: int = 0
    older: int = 0


@dataclass(slots=True)
class Tally:
    """What was counted in `interval`.

    `last` are the levels to begin with, which hold until `known`, and then the newest ones; `told` says which
    families told anything of a slot; `blind` is whether counters are told of and no scrape at all.
    """

    families: Mapping[str, Family]
    interval: Interval
    step: int
    known: int = 0
    last: dict[Counter, Level] = field(default_factory=dict)
    up: list[int] = field(default_factory=list)
    cells: dict[Cell, Amount] = field(default_factory=dict)
    firsts: list[First] = field(default_factory=list)
    told: set[tuple[Counter, int]] = field(default_factory=set)
    odd: Count[str] = field(default_factory=Count)
    beyond: Count[str] = field(default_factory=Count)
    blind: bool = False
    _targets: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def after(cls, memory: Memory, families: Mapping[str, Family], interval: Interval, step: int) -> "Tally":
        """A tally that goes on where the memory ends."""
        tally = cls(families, interval, step, memory.at or 0, dict(memory.levels))
        for counter, level in memory.levels.items():
            if counter.family not in families or not families[counter.family].is_new_counted:
                continue
            target = _target(counter)
            tally._targets[target] = max(level.at, tally._targets.get(target, 0))
        return tally

    @property
    def clock(self) -> Clock:
        return Clock(self.up, self.step)

    def add(self, told: Told) -> None:
        """The levels of a piece that lies after all pieces before it."""
        self.up += sorted(told.up)
        self.blind = not self.up and (self.blind or bool(told.levels))
        self.odd.update(told.odd)
        present = self._present(told.levels)
        clock, up = self.clock, told.up
        for counter, found in told.levels.items():
            family = self.families[counter.family]
            # While nothing is scraped Prometheus goes on to show what was last.
            levels = [level for level in found if level.at > self.known and level.at in up]
            if not levels:
                continue
            self.told.update((counter, slot_of(level.at - 1)) for level in levels)
            if family.shape is not Shape.LEVEL:
                self._shown(counter, levels, told)
                continue
            before = self.last.get(counter)
            if before is None:
                before, levels = levels[0], levels[1:]
                if family.is_new_counted and before.at > self.interval.start:
                    self.firsts.append(First(counter, before, self._seen(counter, before.at, present)))
            count = counted(before, levels, family.cap, clock)
            self.last[counter] = count.last
            self.beyond[counter.family] += count.dropped
            for growth in count.growths:
                self._put(counter, growth, told)
        for target, instants in present.items():
            self._targets[target] = instants[-1]

    def settle(self, births: Mapping[Counter, Sequence[float]]) -> int:
        """Count what first values are provably new, by when their counters began; how many are not."""
        unknown = 0
        for counter, level, seen in self.firsts:
            born = max((born for born in births.get(counter, ()) if born <= level.at), default=None)
            growth = first(level, born, seen, self.clock)
            if growth is None:
                unknown += 1
            else:
                self._put(counter, growth, None)
        self.firsts.clear()
        return unknown

    def memory(self, at: int) -> Memory:
        """What is to be remembered at the end of all that was added so far."""
        return Memory(at, {counter: level for counter, level in self.last.items() if level.at > at - KEPT})

    def _seen(
        self, counter: Counter, at: int, present: Mapping[tuple[str, str], Sequence[int]]
    ) -> int | None:
        target = _target(counter)
        instants = present.get(target, ())
        place = bisect_left(instants, at)
        return instants[place - 1] if place else self._targets.get(target)

    def _shown(self, counter: Counter, levels: Sequence[Level], told: Told) -> None:
        """Amounts that are those of the step before, as they are."""
        cap = self.families[counter.family].cap
        for at, amount in levels:
            if cap is not None and amount > cap * self.step:
                self.beyond[counter.family] += 1
            else:
                self._put(counter, Growth(at - self.step, at, amount), told)

    def _present(self, levels: Mapping[Counter, Sequence[Level]]) -> dict[tuple[str, str], list[int]]:
        """When each target told of a family whose new counters count."""
        present: dict[tuple[str, str], set[int]] = {}
        for counter, found in levels.items():
            if self.families[counter.family].is_new_counted:
                present.setdefault(_target(counter), set()).update(level.at for level in found)
        return {target: sorted(instants) for target, instants in present.items()}

    def _put(self, counter: Counter, growth: Growth, told: Told | None) -> None:
        holders = told.holders.get(counter, {}).get(growth.until, {}) if told else {}
        for slot, amount in growth.portions():
            if slot not in self.interval:
                continue
            for holder, part in _shares(amount, holders):
                cell = self.cells.setdefault(Cell(slot, counter, holder), Amount())
                cell.quantity += part
                cell.estimated += part if growth.estimated else 0
                cell.older += growth.older(slot, part)


def _target(counter: Counter) -> tuple[str, str]:
    """The family as one target tells of it."""
    return counter.family, counter.label(TARGETS[0]) or counter.label(TARGETS[1])


def _shares(amount: int, holders: Mapping[Holder, int]) -> Iterable[tuple[Holder, int]]:
    """Whole numbers that add up to the amount, by weight; nobody's where nobody holds."""
    if not holders:
        return [(NOBODY, amount)]
    whole, before, upto = sum(holders.values()) or 1, 0, 0
    shares = []
    for holder in sorted(holders):
        upto += holders[holder]
        through = amount * upto // whole
        shares.append((holder, through - before))
        before = through
    return shares
