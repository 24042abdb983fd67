"""What is told of an unusual budget: an anomaly from its first hour to its last, once.

A deviation is told when it costs enough, and then lasts for as long as hours keep being unusual to the same
side; a day after the last of them it is over. What stands in the budget's status is the memory, so that a
restart tells nothing twice. Which hours are unusual is for `anomaly` to say; knows no ledger. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final, Literal

from aibudget.api import budgetstatus
from aibudget.budgeting.anomaly import QUIET_HOURS, Deviation
from aibudget.inventory.workload import Workload

HOUR: Final = 3600
MONTH_SECONDS: Final = 30 * 86_400
KEPT: Final = 3
"""How many anomalies are remembered, the newest first."""
KEPT_SECONDS: Final = 7 * 86_400
"""For how long one that is over is remembered."""
CENTS: Final = 2
"""Digits: what is remembered is what is shown."""
CAUSES: Final = 2
"""How many workloads are named for one."""
LEAST_PART: Final = 0.2
"""What has a smaller part of it is no cause."""
MOST_PART: Final = 0.5
"""What has so much of it is a cause, however much it varies."""

# AsUsual, Unusual.
# Learning: fewer than four weeks of hours are known. Unknown: the newest hour is not, or something was held.
# Planned: it lies in a planned window.
Standing = Literal["AsUsual", "Unusual", "Learning", "Unknown", "Planned"]


@dataclass(frozen=True, slots=True)
class Least:
    """What is worth telling: both an amount of money and a percentage of the limit."""

    amount: float = 10.0
    percent: float = 0.5

    def of(self, limit: float | None, period_seconds: int) -> float:
        """In money. Of a long period a month's part counts; where there is no limit, the amount alone."""
        if limit is None:
            return self.amount
        return max(self.amount, limit * min(1.0, MONTH_SECONDS / period_seconds) * self.percent / 100)


@dataclass(frozen=True, slots=True)
class Cause:
    """A workload and its part of what was unusual: more or, below zero, less than it cost in such hours.

    `change` says what happened to it lately, as far as that is known.
    """

    workload: Workload
    amount: float
    change: str = ""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """[`start`, `told`) cost `actual` where `expected` would be usual. `ended` is None while it lasts.

    Times are Unix seconds.
    """

    start: int
    told: int
    actual: float
    expected: float
    causes: tuple[Cause, ...] = ()
    ended: int | None = None

    @property
    def impact(self) -> float:
        """Actual minus expected, of either sign."""
        return self.actual - self.expected


@dataclass(frozen=True, slots=True)
class Watched:
    """What is unusual about a budget, the newest first; `standing` is None before it was looked at.

    `seen` is the end of the newest unusual hours of the one that lasts.
    """

    standing: Standing | None = None
    anomalies: tuple[Anomaly, ...] = ()
    seen: int = 0

    @property
    def lasting(self) -> Anomaly | None:
        """The one that is not over."""
        return next((one for one in self.anomalies if one.ended is None), None)

    @property
    def impact(self) -> float | None:
        """What lasts costs more, or below zero less, than usual; None where that is not known."""
        if self.standing == "Unusual" and self.lasting is not None:
            return self.lasting.impact
        return 0.0 if self.standing == "AsUsual" else None


UNWATCHED: Final = Watched()


def looked(before: Watched, found: Deviation | None, end: int, standing: Standing) -> Watched:
    """After the hour up to `end`: what was found in it that is worth telling.

    `standing` is that of an hour in which nothing was found.
    """
    lasting, seen, anomalies = before.lasting, before.seen or end, before.anomalies
    quiet = end - seen > QUIET_HOURS * HOUR
    if lasting is not None and found is not None and not quiet and _side(lasting) == _side(found):
        return Watched("Unusual", _kept(anomalies, end), end)
    if lasting is not None and found is None and not quiet:
        return Watched("Unusual", _kept(anomalies, end), seen)
    anomalies = tuple(replace(one, ended=seen) if one is lasting else one for one in anomalies)
    if found is None:
        return Watched(standing, _kept(anomalies, end))
    new = Anomaly(end - found.hours * HOUR, end, round(found.actual, CENTS), round(found.expected, CENTS))
    return Watched("Unusual", _kept((new, *anomalies), end), end)


def caused(
    now: Mapping[Workload, float], before: Sequence[Mapping[Workload, float]], impact: float
) -> tuple[Cause, ...]:
    """Who is behind it: those with a real part of it, beyond all that they cost in like hours before.

    Of twenty that vary one is always at its dearest: who has less than half of it must have gone beyond by
    more than those hours lie apart.
    """
    if len(before) < 2:
        return ()
    side = 1 if impact > 0 else -1
    found = []
    for workload in {*now, *(workload for past in before for workload in past)}:
        usual = [past.get(workload, 0.0) for past in before]
        amount = now.get(workload, 0.0) - median(usual)
        beyond = min(side * (now.get(workload, 0.0) - one) for one in usual)
        spread = 0.0 if side * amount >= MOST_PART * abs(impact) else max(usual) - min(usual)
        if beyond > spread and side * amount >= LEAST_PART * abs(impact):
            found.append(Cause(workload, round(amount, CENTS)))
    return tuple(sorted(found, key=lambda one: (-abs(one.amount), one.workload))[:CAUSES])


def remembered(told: Sequence[budgetstatus.Anomaly]) -> tuple[Anomaly, ...]:
    """What a status says was told; whose namespace it leaves out is not needed any more."""
    return tuple(
        Anomaly(
            start=int(one.start_time.timestamp()),
            told=int(one.detected_time.timestamp()),
            actual=float(one.amount),
            expected=float(one.expected),
            causes=tuple(
                Cause(Workload(by.namespace or "", by.kind, by.name), float(by.amount), by.change)
                for by in one.workloads
            ),
            ended=None if one.end_time is None else int(one.end_time.timestamp()),
        )
        for one in told
    )


def _side(one: Anomaly | Deviation) -> bool:
    return one.impact > 0


def _kept(anomalies: Sequence[Anomaly], now: int) -> tuple[Anomaly, ...]:
    return tuple(one for one in anomalies if one.ended is None or now - one.ended < KEPT_SECONDS)[:KEPT]
