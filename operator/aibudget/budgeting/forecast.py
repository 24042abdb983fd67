"""Where a budget will end: its spend by the hour, carried on to the end of the period.

The level of the last weeks is carried on in the shape of an hour-of-week profile. Which weeks make the level,
and whether its drift or last year's turn at this season counts, is chosen by how each choice would have done
at earlier moments of this very budget; the errors made there are the interval, so that it is as wide as this
budget is hard to foresee. Hours that are unknown, or in which something was held, teach nothing: they are
taken to be like those of the week before. Too little history gives no forecast, and few trials give no
interval. Pure.

Amounts are floats: what is foreseen has no cents. What is spent stays exact elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil, floor
from statistics import fmean, linear_regression, median
from typing import Final

from aibudget.metering.slots import Interval

HOUR: Final = 3600
WEEK: Final = 168
YEAR: Final = 52 * WEEK
"""Hours, and a whole number of weeks: the same days of the week meet."""
PROFILE_WEEKS: Final = 8
DRIFT_WEEKS: Final = 4
LEAST_HOURS: Final = 72
"""Less history than this gives no forecast."""

TRIALS: Final = 52
TRIAL_EVERY: Final = 84
"""How many earlier moments are tried, and how many hours lie between two of them."""
LEAST_TRIALS: Final = 9
"""With fewer, nothing can be said of one in ten."""
LONGEST_TRIAL: Final = 4 * WEEK
OUTSIDE: Final = 0.1
"""How much of the distribution lies below `low`, and above `high`."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The total of the period when it ends: `amount` in the middle, with 80 % of what may come between `low`
    and `high`, which are None where too few earlier forecasts can be judged.

    `exhausted` is when the limit is reached (Unix seconds), None if not in this period. `error_percent` is
    the mean error that the same forecast made at earlier moments as long before an end, in percent of the
    amount. `before` is what will be spent at each of the instants at which another limit comes into force.
    """

    amount: float
    low: float | None
    high: float | None
    exhausted: int | None
    error_percent: float | None
    model: str
    before: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """`level(sums, at, ahead)` is the mean of the `ahead` hours after hour `at`, by running sums of hours."""

    name: str
    level: Callable[[Sequence[float], int, int], float]


@dataclass(frozen=True, slots=True)
class _Record:
    """What a model did at earlier moments: actual over foreseen, and its mean error."""

    ratios: tuple[float, ...]
    error: float


@dataclass(frozen=True, slots=True)
class Spent:
    """What a period has cost up to an instant (`at`), when it ends (Unix seconds), and its limit.

    `later` are limits that come into force later in it, each with its instant, in their order.
    """

    amount: float
    at: int
    period_end: int
    limit: float
    later: tuple[tuple[int, float], ...] = ()


def forecast(hours: Sequence[float | None], end: int, spent: Spent) -> Forecast | None:
    """Where the period ends.

    `hours` is spend by the hour, oldest first, the last hour ending at `end` (Unix seconds), not after
    `spent.at`; None where an hour is unknown or something was held in it. None where there is too little of
    it to say anything.
    """
    if sum(hour is not None for hour in hours) < LEAST_HOURS:
        return None
    known = filled(hours)
    sums = (0.0, *accumulate(known))
    ahead = max(0, ceil((spent.period_end - end) / HOUR))
    records = {model: _record(model, sums, ahead) for model in MODELS}
    model = _best(records)
    shape = _shaped(known, model.level(sums, len(known), max(ahead, 1)), ahead)
    coming = [(_within(end + place * HOUR, spent), hour) for place, hour in enumerate(shape)]
    record = records[model]
    total = sum(part.seconds / HOUR * hour for part, hour in coming)
    low, high = _interval(record.ratios)
    amount = spent.amount + total
    return Forecast(
        amount=amount,
        low=None if low is None else spent.amount + total * low,
        high=None if high is None else spent.amount + total * high,
        exhausted=_exhausted(coming, spent),
        error_percent=record.error * 100 * total / amount if record.ratios and amount else None,
        model=model.name,
        before=tuple(spent.amount + _until(coming, instant) for instant, _ in spent.later),
    )


def filled(hours: Sequence[float | None]) -> list[float]:
    """The hours with what is not known taken from the week before, or from the mean of all that is."""
    mean = fmean(hour for hour in hours if hour is not None)
    found: list[float] = []
    for place, hour in enumerate(hours):
        if hour is not None:
            found.append(hour)
        else:
            found.append(found[place - WEEK] if place >= WEEK else mean)
    return found


def last_week(sums: Sequence[float], at: int, ahead: int) -> float:
    """The mean of the last seven days, or of as much as there is."""
    first = max(0, at - WEEK)
    return (sums[at] - sums[first]) / (at - first)


def two_weeks(sums: Sequence[float], at: int, ahead: int) -> float:
    """The last week counts two thirds, the one before a third."""
    if at < 2 * WEEK:
        return last_week(sums, at, ahead)
    return (2 * last_week(sums, at, ahead) + last_week(sums, at - WEEK, ahead)) / 3


def drift(sums: Sequence[float], at: int, ahead: int) -> float:
    """The level of two weeks, growing or shrinking on as it did over the last four."""
    level = two_weeks(sums, at, ahead)
    if at < DRIFT_WEEKS * WEEK:
        return level
    weeks = [last_week(sums, at - week * WEEK, ahead) for week in range(DRIFT_WEEKS)]
    slope = linear_regression([-week for week in range(DRIFT_WEEKS)], weeks).slope
    # From the middle of those two weeks, the last counting double, to the middle of what is ahead.
    return max(0.0, level + slope * (ahead / WEEK / 2 + 5 / 6))


def turn_of_the_year(sums: Sequence[float], at: int, ahead: int) -> float:
    """The level of two weeks, with half of what followed on these weeks a year ago."""
    then, level = at - YEAR, two_weeks(sums, at, ahead)
    if then < 2 * WEEK:
        return level
    before = (sums[then] - sums[then - 2 * WEEK]) / (2 * WEEK)
    after = (sums[then + ahead] - sums[then]) / ahead
    return level * (after / before) ** 0.5 if before > 0 and after > 0 else level


MODELS: Final = (
    Model("two-weeks", two_weeks),
    Model("last-week", last_week),
    Model("drift", drift),
    Model("turn-of-the-year", turn_of_the_year),
)
"""The first is taken where earlier moments do not tell them apart."""


def _record(model: Model, sums: Sequence[float], ahead: int) -> _Record:
    reach = max(24, min(ahead, LONGEST_TRIAL))
    ratios, errors = [], []
    first = len(sums) - 1 - reach
    for at in range(first, max(2 * WEEK, first - TRIALS * TRIAL_EVERY), -TRIAL_EVERY):
        actual, foreseen = (sums[at + reach] - sums[at]) / reach, model.level(sums, at, reach)
        if actual > 0 and foreseen > 0:
            ratios.append(actual / foreseen)
            errors.append(abs(foreseen - actual) / actual)
    return _Record(tuple(ratios), fmean(errors) if errors else 0.0)


def _best(records: dict[Model, _Record]) -> Model:
    return min(records, key=lambda model: records[model].error)


def _interval(ratios: Sequence[float]) -> tuple[float | None, float | None]:
    """By rank among the trials, as if this time were one more of them: few of them make it wider."""
    if len(ratios) < LEAST_TRIALS:
        return None, None
    ordered, rank = sorted(ratios), OUTSIDE * (len(ratios) + 1)
    return ordered[max(0, floor(rank) - 1)], ordered[min(len(ordered), ceil(len(ordered) + 1 - rank)) - 1]


def _shaped(known: Sequence[float], level: float, ahead: int) -> list[float]:
    """The hours to come: the level in the shape of the week."""
    profile = _profile(known)
    if profile is None:
        return [level] * ahead
    return [level * profile[place % WEEK] for place in range(ahead)]


def _profile(known: Sequence[float]) -> list[float] | None:
    """Each hour of the week that follows, over the mean; None without two whole weeks of anything."""
    weeks = [known[end - WEEK : end] for end in range(len(known), WEEK - 1, -WEEK)][:PROFILE_WEEKS]
    levels = [fmean(week) for week in weeks]
    ratios = [[hour / level for hour in week] for week, level in zip(weeks, levels, strict=True) if level > 0]
    if len(ratios) < 2:
        return None
    shape = [median(hour) for hour in zip(*ratios, strict=True)]
    mean = fmean(shape)
    return [hour / mean for hour in shape] if mean > 0 else None


def _within(hour: int, spent: Spent) -> Interval:
    """The part of an hour that is still to come in the period."""
    start = max(hour, spent.at)
    return Interval(start, max(start, min(hour + HOUR, spent.period_end)))


def _exhausted(coming: Sequence[tuple[Interval, float]], spent: Spent) -> int | None:
    """When as much is spent as the limit of that time."""
    total, limit, later = spent.amount, spent.limit, list(spent.later)
    if total >= limit:
        return spent.at
    for part, hour in coming:
        for piece in _pieces(part, [instant for instant, _ in later]):
            while later and later[0][0] <= piece.start:
                limit = later.pop(0)[1]
            if total >= limit:
                return piece.start
            costs = hour * piece.seconds / HOUR
            if total + costs >= limit and costs > 0:
                return piece.start + round((limit - total) / costs * piece.seconds)
            total += costs
    return None


def _until(coming: Sequence[tuple[Interval, float]], instant: int) -> float:
    """What is still to be spent before an instant."""
    return sum(
        hour * (min(part.end, instant) - part.start) / HOUR for part, hour in coming if part.start < instant
    )


def _pieces(part: Interval, instants: Sequence[int]) -> list[Interval]:
    """A part of an hour, cut where another limit begins."""
    within = [instant for instant in instants if part.start < instant < part.end]
    return [Interval(one, other) for one, other in pairwise((part.start, *within, part.end))]
