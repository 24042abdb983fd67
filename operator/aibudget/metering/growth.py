"""From a counter's levels to what it counted, and when.

A level that fell is a restart, and all of it was counted since; one that fell by next to nothing is another
replica's view, and nothing was. What was counted between two levels belongs to the time between them; where
the source was scraped meanwhile and only this counter was missing, to the last step, for the slots before are
settled. A first value counts where the counter is provably new. Nothing here depends on how a range is cut:
every amount is decided by two levels and by when the source was scraped. Pure.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from aibudget.metering.memory import Level
from aibudget.metering.slots import SLOT_SECONDS, Interval, slot_of

ARTEFACT: Final = 0.01
"""A fall of less than this part is no restart."""
LONGEST_BRIDGE: Final = 7200
"""What was counted across a longer time without any scrape is not spread over it: the slots of its beginning
are not asked for together with its end."""
SHOWN: Final = 300
"""For so many seconds Prometheus may show a level that nobody tells any more."""
SETTLED: Final = 300
"""An amount that belongs to no more than this many seconds is no estimate."""
NEWBORN: Final = 900
"""How long after its start a process may be scraped first for its first value to belong to then."""


class Growth(NamedTuple):
    """What was counted in (since, until], in the meter's smallest unit. `last` is when the level before was
    told, which may be earlier: the source was scraped meanwhile, and this counter was missing.
    """

    since: int
    until: int
    amount: int
    last: int | None = None

    @property
    def estimated(self) -> bool:
        """Whether its spread over time is a guess; its sum never is."""
        return self.until - self.since > SETTLED

    def older(self, slot: int, portion: int) -> int:
        """How much of a slot's portion was counted before the slot, spread evenly since the level before."""
        if self.last is None or self.last >= slot or self.since == self.last:
            return 0
        begins = self.last - SHOWN
        return portion * (slot - begins) // (self.until - begins)

    def portions(self) -> Iterator[tuple[int, int]]:
        """(slot, amount) for each slot it touches: whole numbers that add up to it."""
        whole, before = self.until - self.since, 0
        for slot in range(slot_of(self.since), self.until, SLOT_SECONDS):
            through = min(slot + SLOT_SECONDS, self.until) - self.since
            upto = self.amount * through // whole
            if upto > before:
                yield slot, upto - before
            before = upto


@dataclass(frozen=True, slots=True)
class Clock:
    """When the source was scraped: `up` are instants on a grid of `step` seconds, ascending."""

    up: Sequence[int]
    step: int

    def since(self, before: int, at: int) -> int:
        """From when on something belongs that was counted between two levels."""
        place = bisect_left(self.up, at)
        newest = self.up[place - 1] if place else before
        begins = max(before, newest)
        return begins if at - begins <= LONGEST_BRIDGE else at - self.step

    def dark(self) -> Iterator[Interval]:
        """The stretches without a scrape that have an end on both sides, each (last before, first after)."""
        for before, after in zip(self.up, self.up[1:], strict=False):
            if after - before > self.step:
                yield Interval(before, after)


class Counted(NamedTuple):
    """`last` is the newest level that was believed, `dropped` how many were not."""

    growths: list[Growth]
    last: Level
    dropped: int


def counted(before: Level, levels: Iterable[Level], cap: float | None, clock: Clock) -> Counted:
    """What a counter counted from one level through the next ones. `cap` is the most it counts in a second.

    A level that asks for more is not believed and changes nothing; the next one is compared with the one
    before it.
    """
    growths: list[Growth] = []
    last, dropped = before, 0
    for level in levels:
        amount = _between(last, level)
        if cap is not None and amount > cap * (level.at - last.at):
            dropped += 1
            continue
        if amount:
            growths.append(Growth(clock.since(last.at, level.at), level.at, amount, last.at))
        fell = level.value < last.value and not amount
        last = Level(level.at, last.value) if fell else level
    return Counted(growths, last, dropped)


def _between(last: Level, level: Level) -> int:
    if level.value >= last.value:
        return level.value - last.value
    return 0 if last.value - level.value < last.value * ARTEFACT else level.value


def first(level: Level, born: float | None, seen: int | None, clock: Clock) -> Growth | None:
    """What a counter's first level counted; None where nobody can say.

    `born` is when its process or itself began. `seen` is when its target last told of the same family without
    it: then it is new since, for a counter that exists is told of.
    """
    begins = clock.since(0, level.at)
    if seen is not None and seen < level.at:
        return Growth(clock.since(seen, level.at), level.at, level.value)
    if born is not None and begins - NEWBORN <= born <= level.at:
        return Growth(min(max(begins, int(born)), level.at - 1), level.at, level.value)
    return None
