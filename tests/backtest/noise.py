"""The detector on what only varies: how often it tells of nothing, and what it finds where something happens.

Each series is looked at in the 24 hours after what is normal of it was learnt, hour by hour, alone and
however little it costs. A look tells what the newest windows say, and not once while it lasts: what tells of
nothing does so in several looks. What is put in lasts for six of these hours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from random import Random
from statistics import fmean
from typing import Final, Literal

from aibudget.budgeting.anomaly import (
    LEAST_WEEKS,
    RECENT,
    WEEK,
    WEEKS,
    Normal,
    deviation,
    learnt,
    unusual,
)

LOOKS: Final = 24
SERIES: Final = 300
"""Of each kind of noise."""
CHANGED: Final = 60
"""Of them something is put into."""
BEGINS: Final = 10
"""The hour of the day in which something happens."""
LASTS: Final = 6
SPREAD: Final = 0.15
"""Standard deviation of an hour, of what is usual of it."""
STAYS: Final = 0.8
"""Of an hour's deviation in the hour after it, where it lasts."""
WIDE: Final = 0.5
"""Standard deviation of the logarithm, where it is heavy."""
MOST_TOLD: Final = 2.0
"""Of a thousand looks at normal noise, after any number of weeks. The detector aims at one; so many series
leave half of one to chance.
"""
HAPPENS: Final = {"threefold": 3.0, "twofold": 2.0, "half": 0.5, "nothing left": 0.0}
SURE: Final = ("threefold", "nothing left")
"""What is found in normal noise, whenever it happens, after all weeks."""
LEAST_SURE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Noise:
    """`office`: ten times as much in office hours."""

    office: bool
    weeks: int
    kind: Literal["normal", "lasting", "heavy"] = "normal"

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{'office hours' if self.office else 'even'}, {self.kind}, {self.weeks} weeks"

    def hours(self, random: Random, first_day: int) -> list[float]:
        """The weeks to learn from, and a day."""
        week = [
            10.0 if self.office and hour % 24 in range(8, 18) and hour < 120 else 1.0 for hour in range(WEEK)
        ]
        begin = first_day * 24
        usual = islice(cycle(week), begin, begin + self.weeks * WEEK + LOOKS)
        return [hour * factor for hour, factor in zip(usual, self._factors(random), strict=False)]

    def _factors(self, random: Random) -> Iterator[float]:
        stays = STAYS if self.kind == "lasting" else 0.0
        off = random.gauss(0, SPREAD)
        while True:
            yield random.lognormvariate(0, WIDE) if self.kind == "heavy" else max(0.0, 1 + off)
            off = stays * off + (1 - stays**2) ** 0.5 * random.gauss(0, SPREAD)


NOISES: Final = (
    *(Noise(office, weeks) for office in (False, True) for weeks in range(LEAST_WEEKS, WEEKS + 1)),
    *(Noise(False, weeks, "lasting") for weeks in (LEAST_WEEKS, WEEKS)),
    *(Noise(True, weeks, "heavy") for weeks in (LEAST_WEEKS, WEEKS)),
)


@dataclass(slots=True)
class Told:
    """Of one kind of noise."""

    looks: int = 0
    told: int = 0
    found: dict[str, list[bool]] = field(default_factory=lambda: {name: [] for name in HAPPENS})

    @property
    def per_thousand(self) -> float:
        """Looks that tell of nothing."""
        return 1000 * self.told / self.looks


def judged() -> Mapping[Noise, Told]:
    """Each kind of noise."""
    return {noise: _judged(noise) for noise in NOISES}


def rows(told: Mapping[Noise, Told]) -> Iterator[str]:
    """The table."""
    kinds = "".join(f"{name:>14}" for name in HAPPENS)
    yield f"{'found in six hours of noise':<32}{kinds}{'told of 1,000 looks at nothing':>34}"
    for noise, one in told.items():
        cells = "".join(f"{100 * fmean(hits):>12.0f} %" for hits in one.found.values())
        yield f"{noise.name:<32}{cells}{one.per_thousand:>34.2f}"


def missed(told: Mapping[Noise, Told]) -> Iterator[str]:
    """The goals that are missed; of noise that is not normal there are none."""
    for noise, one in told.items():
        if noise.kind != "normal":
            continue
        if one.per_thousand > MOST_TOLD:
            often = f"{one.per_thousand:.2f} of 1,000 looks tell of nothing"
            yield f"{noise.name}: {often}, more than {MOST_TOLD}"
        for kind in SURE if noise.weeks == WEEKS else ():
            found = fmean(one.found[kind])
            if found < LEAST_SURE:
                yield f"{noise.name}: of {kind} {100 * found:.0f} % are found, not {100 * LEAST_SURE:.0f} %"


def _judged(noise: Noise) -> Told:
    random, told, first, end = Random(7), Told(), BEGINS, BEGINS + LASTS
    for place in range(SERIES):
        # What is normal is learnt at any day of the week.
        hours, past = noise.hours(random, place % 7), noise.weeks * WEEK
        normal = learnt(hours[:past])
        if normal is None:
            raise ValueError(f"{noise.weeks} weeks teach nothing")
        told.looks += LOOKS
        told.told += len(_telling(normal, hours))
        for kind, factor in HAPPENS.items() if place < CHANGED else ():
            happens = (factor * hour for hour in hours[past + first : past + end])
            changed = [*hours[: past + first], *happens, *hours[past + end :]]
            told.found[kind].append(any(first < since <= end for since in _telling(normal, changed)))
    return told


def _telling(normal: Normal, hours: Sequence[float]) -> list[int]:
    """After how many hours of the last day something is told."""
    past = len(hours) - LOOKS
    looked = {
        since: deviation(normal, hours[past + since - RECENT : past + since], since)
        for since in range(1, LOOKS + 1)
    }
    return [since for since, found in looked.items() if found is not None and unusual({"": found})]
