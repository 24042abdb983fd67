"""What was really used in a simulated year, what of it was ever scraped, and what it cost: the truth.

Integers all the way, by prefix sums, and nothing of the operator's own arithmetic: no code of its rooms is
called here. Times are Unix seconds, quantities those of each meter's smallest unit, prices whole cents.
"""

import random
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

SLOT: Final = 900
DAY: Final = 86_400
NEVER: Final = 1 << 62

Consumer = tuple[str, str, str]
"""A meter, a namespace and a workload's name."""

PER_SECOND: Final = {"gpu": 1000, "tokens": 1}
"""The smallest units in a second of level 1: a device, a token a second."""
PRICED: Final = {"gpu": 3_600_000, "tokens": 1_000_000}
"""The smallest units that a price is for."""


@dataclass(frozen=True, slots=True)
class Gap:
    """[start, end) was not scraped, or is not known before `known`; `shown` is when samples came after all.

    Who no longer asks when they come does not know them: then `known` is never.
    """

    start: int
    end: int
    known: int = NEVER
    shown: int = NEVER


@dataclass(slots=True)
class Price:
    """From a slot on, until the next one begins."""

    start: int
    cents: int


class Levels:
    """How much of a meter a workload uses: a level from each instant on, and the sum of it until there."""

    def __init__(self, steps: Iterable[tuple[int, int]]) -> None:
        self._at, self._level, self._sum = [0], [0], [0]
        for at, level in steps:
            self._sum.append(self._sum[-1] + self._level[-1] * (at - self._at[-1]))
            self._at.append(at)
            self._level.append(level)

    def between(self, start: int, end: int) -> int:
        """Level-seconds."""
        return self._until(end) - self._until(start)

    def _until(self, at: int) -> int:
        place = bisect_right(self._at, at) - 1
        return self._sum[place] + self._level[place] * (at - self._at[place])


def levels(rng: random.Random, meter: str, start: int, end: int) -> Levels:
    """A workload that comes and goes, at any second."""
    most, at, steps = 8 if meter == "gpu" else 3000, start + rng.randrange(30 * DAY), []
    while at < end:
        steps.append((at, rng.randint(1, most)))
        at += round(rng.paretovariate(0.9) * 600) % (20 * DAY) + 1
        if rng.random() < 0.5:
            steps.append((at, 0))
            at += round(rng.expovariate(1 / (2 * DAY))) + 1
    return Levels(steps)


@dataclass(slots=True)
class Past:
    """Everything that happens, known to itself from the beginning; gaps and prices as time goes on."""

    begin: int
    used: dict[Consumer, Levels]
    prices: dict[str, list[Price]]
    gaps: list[Gap] = field(default_factory=list)
    stated: list[tuple[int, dict[str, list[Price]]]] = field(default_factory=list)
    """The prices as they stood from an instant on, before and after each change of them."""

    def state_prices(self, now: int) -> None:
        """Remember them as they are from now on."""
        self.stated.append(
            (now, {meter: [replace(one) for one in all_of] for meter, all_of in self.prices.items()})
        )

    def known(self, start: int, end: int, now: int) -> list[tuple[int, int]]:
        """The parts of [start, end) that whoever asks in time knows at an instant."""
        return self._without((gap for gap in self.gaps if gap.known > now), start, end)

    def shown(self, start: int, end: int, now: int) -> list[tuple[int, int]]:
        """The parts of [start, end) that are there to be asked for at an instant."""
        return self._without((gap for gap in self.gaps if min(gap.known, gap.shown) > now), start, end)

    def _without(self, gaps: Iterable[Gap], start: int, end: int) -> list[tuple[int, int]]:
        parts, at = [], max(start, self.begin)
        for gap in gaps:
            if gap.end > at and gap.start < end:
                if gap.start > at:
                    parts.append((at, gap.start))
                at = gap.end
        return [*parts, (at, end)] if at < end else parts

    def quantity(self, consumer: Consumer, parts: Iterable[tuple[int, int]]) -> int:
        """In the meter's smallest unit."""
        used = self.used[consumer]
        return sum(used.between(start, end) for start, end in parts) * PER_SECOND[consumer[0]]

    def cost(self, consumers: Iterable[Consumer], start: int, end: int, now: int) -> Fraction:
        """Of [start, end), by prices and of what is known at an instant; exact."""
        total, consumers = Fraction(0), tuple(consumers)
        parts = self.known(start, end, now)
        at_the_time = [prices for since, prices in self.stated if since <= now][-1]
        for meter, prices in at_the_time.items():
            cents, ours = 0, [one for one in consumers if one[0] == meter]
            for place, price in enumerate(prices):
                until = prices[place + 1].start if place + 1 < len(prices) else NEVER
                priced = _within(parts, price.start, until)
                if priced:
                    cents += price.cents * sum(self.quantity(one, priced) for one in ours)
            total += Fraction(cents, 100 * PRICED[meter])
        return total


def _within(parts: Iterable[tuple[int, int]], start: int, end: int) -> list[tuple[int, int]]:
    cut = ((max(a, start), min(b, end)) for a, b in parts)
    return [(a, b) for a, b in cut if a < b]
