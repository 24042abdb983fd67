"""`make backtest`: the forecast at earlier moments of real series, beside what dashboards do, as a table.

At days 5 to 25 of each of the last months the month's total is foreseen from what was known then. The table
of `anomalies` follows, and that of `noise`. Ends with 1 where a goal is missed.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Final

from aibudget.budgeting.forecast import Forecast, Spent, forecast
from backtest import anomalies, noise
from backtest.series import CHOSEN_ON, HOUR, WEEK, Hourly, production, public

DAYS: Final = (5, 10, 15, 20, 25)
MONTHS: Final = 18
LEAST_HISTORY: Final = 8 * WEEK
KEPT: Final = 25 * 31 * 24
"""How many hours of a budget are kept: two years, so that a year can be judged by the one before."""
FIRST_GOAL: Final = 6.1
"""Percent, at day 5, in the mean of the public series."""
WAYS: Final = ("linear burn", "7-day run rate", "AIBudget")
COVERED: Final = (75, 85)
"""Percent of the months that the interval of 80 % must hold."""


@dataclass(slots=True)
class Errors:
    """Percent of the month's total, by day, of each way to foresee it; and how often the interval held it."""

    burn: dict[int, list[float]] = field(default_factory=lambda: {day: [] for day in DAYS})
    pace: dict[int, list[float]] = field(default_factory=lambda: {day: [] for day in DAYS})
    ours: dict[int, list[float]] = field(default_factory=lambda: {day: [] for day in DAYS})
    held: list[bool] = field(default_factory=list)

    def at(self, day: int) -> tuple[float, float, float]:
        """Means: linear burn, run rate of 7 days, ours."""
        return fmean(self.burn[day]), fmean(self.pace[day]), fmean(self.ours[day])


def judge(series: Hourly, months: int = MONTHS, least_history: int = LEAST_HISTORY) -> Errors:
    """Every way to foresee, at every day of every month."""
    errors = Errors()
    for first, end in series.months(months, least_history):
        actual = sum(series.hours[first:end])
        for day in DAYS:
            now = first + 24 * day
            spent, left = sum(series.hours[first:now]), end - now
            pace = sum(series.hours[now - WEEK : now]) / WEEK
            ours = foreseen(series, spent, now, end)
            errors.burn[day].append(_percent(spent * (end - first) / (now - first), actual))
            errors.pace[day].append(_percent(spent + pace * left, actual))
            errors.ours[day].append(_percent(ours.amount, actual))
            if ours.low is not None and ours.high is not None:
                errors.held.append(ours.low <= actual <= ours.high)
    return errors


def foreseen(series: Hourly, spent: float, now: int, end: int) -> Forecast:
    """The forecast as a budget would have had it then."""
    so_far = Spent(spent, now * HOUR, end * HOUR, float("inf"))
    found = forecast(series.hours[max(0, now - KEPT) : now], now * HOUR, so_far)
    if found is None:
        raise ValueError(f"{series.name} has too little history at hour {now}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where every goal is met."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "aibudget" / "series")
    cache = options.parse_args(arguments).cache
    judged = {series.name: judge(series) for series in public(cache)}
    unusual = {_title(series.name): anomalies.judged(series) for series in public(cache)}
    said = [*_rows(judged), *_means(judged)]
    missed = [*_too_far(judged), *_no_better(judged), *anomalies.missed(unusual)]
    if (trace := production()) is None:
        said.append("gpu_cluster: its trace is not here (shared/data/openb_pod_list_default.csv)")
    else:
        alone = {trace.name: judge(trace, least_history=3 * WEEK)}
        said += _rows(alone)
        missed += _no_better(alone)
        unusual[trace.name] = anomalies.judged(trace)
        missed += anomalies.worse({trace.name: unusual[trace.name]})
    varied = noise.judged()
    missed += noise.missed(varied)
    said += ["", *anomalies.rows(unusual), "", *noise.rows(varied)]
    sys.stdout.write("\n".join([*said, "", *(missed or ["Every goal is met."])]) + "\n")
    return 1 if missed else 0


def _no_better(judged: Mapping[str, Errors]) -> Iterator[str]:
    for name, errors in judged.items():
        burn, pace, ours = errors.at(DAYS[0])
        if ours >= min(burn, pace):
            yield f"{name}: {ours:.1f} % at day 5 is no better than {min(burn, pace):.1f} % without us"


def _too_far(judged: Mapping[str, Errors]) -> Iterator[str]:
    mean = fmean(errors.at(DAYS[0])[2] for errors in judged.values())
    if mean > FIRST_GOAL:
        yield f"the mean at day 5 is {mean:.2f} %, more than {FIRST_GOAL} %"
    held = [one for errors in judged.values() for one in errors.held]
    covered = 100 * sum(held) / len(held)
    if not COVERED[0] <= covered <= COVERED[1]:
        yield f"the interval of 80 % holds {covered:.0f} % of the months"


def _rows(judged: Mapping[str, Errors]) -> Iterator[str]:
    yield _row("error of the month, %", "", [f"day {day}" for day in DAYS], "in 80 %")
    for name, errors in judged.items():
        title = _title(name)
        for place, way in enumerate(WAYS):
            held = f"{100 * fmean(errors.held):.0f} %" if way == WAYS[-1] and errors.held else ""
            means = [f"{errors.at(day)[place]:.2f}" for day in DAYS]
            yield _row("" if place else title, way, means, held)


def _means(judged: Mapping[str, Errors]) -> Iterator[str]:
    for place, way in enumerate(WAYS):
        means = [fmean(errors.at(day)[place] for errors in judged.values()) for day in DAYS]
        yield _row("" if place else "mean", way, [f"{mean:.2f}" for mean in means], "")


def _title(name: str) -> str:
    return f"{name} (chosen on)" if name in CHOSEN_ON else name


def _row(title: str, way: str, cells: Sequence[str], last: str) -> str:
    return f"{title:<24}{way:<16}" + "".join(f"{cell:>8}" for cell in cells) + f"{last:>10}"


def _percent(foreseen: float, actual: float) -> float:
    return abs(foreseen - actual) / actual * 100


if __name__ == "__main__":
    sys.exit(main())
