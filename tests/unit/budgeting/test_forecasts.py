"""Where a budget will end, how sure that is, and when the limit is reached."""

from fractions import Fraction
from itertools import cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.budgeting.forecast import HOUR, WEEK, Forecast, Spent, forecast
from aibudget.budgeting.foreseen import share_of

NOW = 500_000 * HOUR
NEVER = float("inf")


def foreseen(
    hours: list[float | None], ahead: int = WEEK, spent: float = 0.0, limit: float = NEVER
) -> Forecast:
    """The forecast of a period that ends in so many hours."""
    found = forecast(hours, NOW, Spent(spent, NOW, NOW + ahead * HOUR, limit))
    assert found is not None
    return found


def working(weeks: int, level: float = 1.0) -> list[float | None]:
    """Spend in office hours alone."""
    week = [level if hour % 24 in range(8, 18) and hour < 120 else 0.0 for hour in range(WEEK)]
    return list(islice(cycle(week), weeks * WEEK))


def test_what_never_changes_goes_on() -> None:
    """To the last unit, and as sure as it can be."""
    found = foreseen([2.0] * (30 * WEEK), ahead=100, spent=50.0)
    assert (found.amount, found.low, found.high) == (250.0, 250.0, 250.0)
    assert found.error_percent == 0


def test_the_shape_of_the_week_says_when_the_limit_is_reached() -> None:
    """Fifty office hours a week: the sixtieth to come is on the second Tuesday, not after sixty hours."""
    found = foreseen(working(12), ahead=3 * WEEK, limit=60.0)
    assert found.amount == pytest.approx(150)
    assert found.exhausted is not None
    assert (found.exhausted - NOW) / HOUR == pytest.approx(WEEK + 18)


def test_a_limit_that_holds_is_never_reached_and_one_that_is_passed_is_reached_now() -> None:
    """Within this period."""
    assert foreseen([1.0] * 500, ahead=10, limit=11.0).exhausted is None
    assert foreseen([1.0] * 500, ahead=10, spent=5.0, limit=5.0).exhausted == NOW


@pytest.mark.parametrize(
    ("later", "hours", "share"),
    [
        ((), 10, Fraction(24, 10)),
        (((8, 30.0),), None, Fraction(8, 10)),
        (((12, 30.0),), 10, Fraction(12, 10)),
        (((8, 15.0),), 15, Fraction(24, 15)),
        (((2, 8.0), (4, 30.0)), None, Fraction(24, 30)),
        (((4, 3.0),), 4, Fraction(24, 3)),
        (((4.5, 4.75),), 4.75, Fraction(24) / Fraction("4.75")),
    ],
)
def test_the_limit_of_the_time_is_what_is_reached(
    later: tuple[tuple[float, float], ...], hours: float | None, share: Fraction
) -> None:
    """One an hour for a day: a raise that comes before the money is gone counts, and so does a cut.

    The most of a limit that is spent is what thresholds look at.
    """
    steps = tuple((NOW + round(at * HOUR), limit) for at, limit in later)
    found = forecast([1.0] * 500, NOW, Spent(0.0, NOW, NOW + 24 * HOUR, 10.0, steps))
    assert found is not None
    assert found.exhausted == (None if hours is None else NOW + round(hours * HOUR))
    told = share_of(found, Fraction(10), (Fraction(str(limit)) for _, limit in later))
    assert float(told) == pytest.approx(float(share))


def test_a_stop_does_not_teach_that_all_is_well() -> None:
    """What was held goes on to be foreseen as in the week before, however long it was held."""
    free: list[float | None] = [3.0] * (10 * WEEK)
    held: list[float | None] = [*free, *([None] * (2 * WEEK))]
    assert foreseen(held).amount == pytest.approx(foreseen(free).amount)


def test_too_little_history_says_nothing() -> None:
    """Three days are needed, of hours that are known."""
    soon = Spent(0.0, NOW, NOW + HOUR, NEVER)
    assert forecast([1.0] * 71 + [None] * 500, NOW, soon) is None
    assert forecast([1.0] * 72, NOW, soon) is not None


def test_a_young_budget_has_no_interval() -> None:
    """Of three weeks nothing is known of what happens one time in ten."""
    found = foreseen(working(3))
    assert (found.low, found.high) == (None, None)
    assert found.amount > 0


def test_growth_that_has_shown_itself_is_carried_on() -> None:
    """A run rate would be too low every single week."""
    hours: list[float | None] = [10.0 + week for week in range(30) for _ in range(WEEK)]
    found = foreseen(hours, ahead=4 * WEEK)
    actual = sum(10.0 + week for week in range(30, 34)) * WEEK
    assert found.model == "drift"
    assert found.amount == pytest.approx(actual, rel=0.01)


def test_a_season_that_has_returned_before_is_expected() -> None:
    """Last year's rise after these weeks counts half, once a year of forecasts can be judged by it."""
    year = [1.0 if week < 26 else 3.0 for week in range(52)]
    hours: list[float | None] = [level for level in [*year, *year, *year[:26]] for _ in range(WEEK)]
    assert foreseen(hours, ahead=4 * WEEK).amount > 1.3 * 4 * WEEK


def test_nothing_spent_is_nothing_foreseen() -> None:
    """A budget that nobody uses yet has a forecast, of nothing."""
    assert foreseen([0.0] * 1000).amount == 0


@given(
    hours=st.lists(st.none() | st.floats(0, 1e6), min_size=5, max_size=30),
    times=st.integers(3, 60),
    ahead=st.integers(0, 800),
    spent=st.floats(0, 1e9),
)
def test_a_forecast_is_no_less_than_what_is_spent_and_lies_in_its_interval(
    hours: list[float | None], times: int, ahead: int, spent: float
) -> None:
    """Whatever the past was like, holes and all."""
    found = forecast(hours * times, NOW, Spent(spent, NOW, NOW + ahead * HOUR, NEVER))
    if found is None:
        assert sum(hour is not None for hour in hours * times) < 72
        return
    assert found.amount >= spent
    if found.low is not None and found.high is not None:
        assert spent <= found.low <= found.high


@given(scale=st.floats(1e-3, 1e3), weeks=st.integers(3, 30))
def test_the_currency_does_not_matter(scale: float, weeks: int) -> None:
    """A thousand times the money is a thousand times the forecast."""
    hours = [1.0 + (place * 7919 % 101) / 50 for place in range(weeks * WEEK)]
    one, many = foreseen(list(hours)), foreseen([hour * scale for hour in hours])
    assert many.amount == pytest.approx(one.amount * scale, rel=1e-6)
