"""What is told as unusual, of one series and of many, and what is not."""

from itertools import cycle, islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.budgeting.anomaly import (
    LEAST_WEEKS,
    RAREST,
    RECENT,
    WEEK,
    Deviation,
    deviation,
    learnt,
    unusual,
)

Hours = list[float | None]


def working(weeks: int, noise: float = 0.05) -> Hours:
    """Much in office hours, little beside them, never twice the same."""
    week = [10.0 if hour % 24 in range(8, 18) and hour < 120 else 1.0 for hour in range(WEEK)]
    random = Random(3)
    return [hour * (1 + random.uniform(-noise, noise)) for hour in islice(cycle(week), weeks * WEEK)]


def doubled(hours: Hours) -> Hours:
    """Twice as much."""
    return [None if hour is None else 2 * hour for hour in hours]


def judged(past: Hours, since: Hours) -> Deviation | None:
    """The most unusual window of the hours since what was learnt from."""
    normal = learnt(past)
    assert normal is not None
    return deviation(normal, [*past, *since][-RECENT:], len(since))


def told(past: Hours, since: Hours) -> Deviation | None:
    """It, if it is told of a budget that is alone."""
    found = judged(past, since)
    return None if found is None else unusual({"": found}).get("")


def test_a_monday_is_no_surprise_and_the_same_spend_at_night_is() -> None:
    """What an hour may cost depends on the hour of the week."""
    past = working(8)
    assert told(past, working(9)[-WEEK:][:12]) is None
    night = told(past, [1.0, 1.0, 10.0])
    assert night is not None
    assert (night.hours, night.actual) == (1, 10.0)
    assert night.impact == pytest.approx(9.0, abs=0.3)


def test_less_than_usual_is_told_as_well() -> None:
    """A Monday morning in which nothing runs."""
    found = told(working(8), [1.0] * 12)
    assert found is not None
    assert found.impact < -30


def test_a_step_is_unusual_once_and_then_the_new_normal() -> None:
    """Two days later nothing is left to tell, and coming back is the old normal."""
    past, twice = working(8), doubled(working(9)[-WEEK:])
    assert told(past, twice[:24]) is not None
    assert told([*past, *twice[:48]], twice[48:60]) is None
    assert told([*past, *twice[:96]], working(9)[-WEEK:][96:108]) is None


def test_what_is_not_known_is_neither_zero_nor_unusual() -> None:
    """A window with an unknown hour is not judged; where that is all of them, there is no verdict."""
    past = working(8)
    assert judged(past, [1.0] * 9 + [None]) is None
    gap = [*working(9)[-WEEK:][:11], None]
    assert told(past, gap) is None
    assert told(past, [*gap, 10.0, 10.0]) is None


def test_what_is_not_known_teaches_nothing() -> None:
    """Held for two weeks of eight, and as normal as before."""
    past = working(8)
    held: Hours = [*past[: 3 * WEEK], *[None] * (2 * WEEK), *past[5 * WEEK :]]
    assert told(held, working(9)[-WEEK:][:12]) is None
    assert told(held, [1.0, 1.0, 10.0]) is not None


def test_four_weeks_are_needed_and_most_of_their_hours() -> None:
    """Less of it teaches no hour of the week."""
    assert learnt(working(4)) is not None
    assert learnt(working(4)[1:]) is None
    assert learnt([None] * (3 * WEEK) + working(1)) is None
    assert learnt([None] * (8 * WEEK)) is None


def test_what_never_changed_may_change_a_little() -> None:
    """A deployment that always costs the same has no noise; a tenth more for an hour is no news yet."""
    still: Hours = [5.0] * (8 * WEEK)
    assert told(still, [5.2]) is None
    assert told(still, [10.0]) is not None


def test_spend_after_weeks_of_none_is_unusual() -> None:
    """A namespace that wakes up."""
    assert told([0.0] * (8 * WEEK), [3.0]) is not None
    assert told([0.0] * (8 * WEEK), [0.0]) is None


def test_many_budgets_need_more_to_be_told() -> None:
    """One in a thousand is rare of one budget, and no news of a thousand."""
    rare = Deviation(1, 2.0, 1.0, 0.9 * RAREST)
    usual = Deviation(1, 1.0, 1.0, 1.0)
    assert unusual({"one": rare}) == {"one": rare}
    many = {f"{place}": usual for place in range(1000)}
    assert unusual(many | {"one": rare}) == {}
    assert len(unusual(many | {f"rare-{place}": rare for place in range(10)})) == 10


@given(st.lists(st.floats(0, 1), max_size=200))
def test_what_is_told_keeps_the_rule_of_benjamini_and_hochberg(chances: list[float]) -> None:
    """Whatever is told together is at most as likely as a tenth of its part in all that was looked at."""
    found = {f"{place}": Deviation(1, 2.0, 1.0, chance) for place, chance in enumerate(chances)}
    some = unusual(found)
    assert all(one.chance <= min(RAREST, 0.1 * len(some) / len(found)) for one in some.values())
    left = [one.chance for name, one in found.items() if name not in some]
    assert not some or all(chance > max(one.chance for one in some.values()) for chance in left)


@settings(max_examples=10)
@given(st.floats(0.001, 1e9), st.integers(0, 11))
def test_the_currency_does_not_matter(scale: float, hour: int) -> None:
    """The same in yen and in dollars."""
    past, since = working(4), [*working(5)[-WEEK:][:11], 30.0]
    plain = judged(past, since[: hour + 1])
    scaled = judged([scale * (x or 0) for x in past], [scale * (x or 0) for x in since[: hour + 1]])
    assert plain is not None
    assert scaled is not None
    assert scaled.hours == plain.hours
    assert scaled.impact == pytest.approx(plain.impact * scale, rel=1e-6, abs=1e-6 * scale)


@pytest.mark.parametrize("week", [[1.0], [1.0] * 8 + [10.0] * 10 + [1.0] * 6], ids=["even", "by day"])
def test_of_what_only_varies_almost_nothing_is_told_after_four_weeks(week: list[float]) -> None:
    """One look in a thousand is meant; where the past is judged by what it taught itself, thirty are told."""
    random, past, looks = Random(1), LEAST_WEEKS * WEEK, 24
    chances: list[float] = []
    for _ in range(20):
        series = [hour * random.gauss(1, 0.15) for hour in islice(cycle(week), past + looks)]
        normal = learnt(series[:past])
        assert normal is not None
        for since in range(1, looks + 1):
            found = deviation(normal, series[past + since - RECENT : past + since], since)
            assert found is not None
            chances.append(found.chance)
    assert sum(chance <= RAREST for chance in chances) <= 2
