"""Twenty series or workloads that vary by chance, and few that something happened to: who is told of."""

from collections import Counter
from itertools import cycle, islice
from random import Random
from statistics import median, stdev

import pytest

from aibudget.budgeting.anomaly import RECENT, WEEK, deviation, learnt, unusual
from aibudget.budgeting.vigil import caused
from aibudget.inventory.workload import Workload

TWENTY = [Workload("team", "Deployment", f"w-{number}") for number in range(20)]
STEP = 1.5**-0.5
DEAR = {"alike": [5.0] * 20, "few dear ones": [10 * STEP**place for place in range(20)]}


def office(random: Random, hours: int) -> list[float]:
    """Much in office hours, little beside them, and never twice the same."""
    week = [10.0 if hour % 24 in range(8, 18) and hour < 120 else 1.0 for hour in range(WEEK)]
    return [hour * random.lognormvariate(0, 0.15) for hour in islice(cycle(week), hours)]


def told(seed: int, happened: dict[int, float], hours: int = 16) -> Counter[int]:
    """Of twenty series that are judged together: in how many hours after eight weeks each is told of.

    What happened multiplies every hour of a series from the ninth on.
    """
    random, past = Random(seed), 8 * WEEK
    series = [office(random, past + hours) for _ in range(20)]
    for place, factor in happened.items():
        series[place][past + 8 :] = [factor * hour for hour in series[place][past + 8 :]]
    normals = [learnt(one[:past]) for one in series]
    found: Counter[int] = Counter()
    for since in range(1, hours + 1):
        looked = {}
        for place, (one, normal) in enumerate(zip(series, normals, strict=True)):
            assert normal is not None
            off = deviation(normal, one[past + since - RECENT : past + since], since)
            if off is not None:
                looked[str(place)] = off
        found.update(int(name) for name in unusual(looked))
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_what_happened_to_three_of_twenty_is_told_in_each_hour_of_it(seed: int) -> None:
    """One stops, one runs three times as much, one twice as much; of the seventeen that vary as ever nothing
    is told.
    """
    assert told(seed, {3: 0.0, 11: 3.0, 17: 2.0}) == {3: 8, 11: 8, 17: 8}


def named(dear: list[float], noise: float, times: float, trials: int = 300) -> tuple[int, int, int]:
    """In how many trials a budget differs by enough, how often who did it is named, and how often another.

    One workload costs more by `times` the standard deviation of the budget; it is told of from 3.5 on.
    """
    random = Random(1)
    usual = stdev(sum(amount * random.lognormvariate(0, noise) for amount in dear) for _ in range(1000))
    trial = right = wrong = 0
    for seed in range(trials):
        random = Random(seed)
        hours = [
            {one: amount * random.lognormvariate(0, noise) for one, amount in zip(TWENTY, dear, strict=True)}
            for _ in range(5)
        ]
        now, before, culprit = hours[4], hours[:4], TWENTY[random.randrange(20)]
        now[culprit] += times * usual
        impact = sum(now.values()) - median(sum(past.values()) for past in before)
        if impact < 3.5 * usual:
            continue
        trial += 1
        names = [cause.workload for cause in caused(now, before, impact)]
        right += culprit in names
        wrong += len(names) - (culprit in names)
    return trial, right, wrong


@pytest.mark.parametrize(
    ("dear", "noise", "times", "expected"),
    [("alike", 0.5, 6, (300, 300, 8)), ("few dear ones", 0.2, 4, (206, 206, 22))],
)
def test_of_twenty_that_vary_the_one_that_did_it_is_named(
    dear: str, noise: float, times: float, expected: tuple[int, int, int]
) -> None:
    """Always, and of all that are named less than one in ten only varied."""
    trial, right, wrong = named(DEAR[dear], noise, times)
    assert (trial, right, wrong) == expected
    assert wrong < 0.1 * (right + wrong)
