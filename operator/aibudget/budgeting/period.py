"""Periods: which civil day, week, month, quarter or year of a zone an instant falls into, and until when.

A boundary is the first instant of a civil date in the zone, found anew for each date: never "86,400 seconds
later". Where the clocks skip midnight (Beirut, Cairo) that is the instant of the change; a date that a zone
skipped altogether (Apia, 30 December 2011) is no period. Boundaries of today's zones lie on slots; those of
historic offsets with odd seconds are moved back to the slot's start. Pure; `now` is given.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from aibudget.api import budget as api
from aibudget.metering.slots import Interval, iso, slot_of

Standing = Literal["Ahead", "Running", "Over"]
"""Only a Fixed period can be ahead of us or over; the others always have one that is running."""

STEP_BACK: Final = 3600
"""Seconds by which a clock may be set back without an ended period beginning again."""

_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Period:
    """`id` names it for people and sorts by time among the periods of one budget: `2026-11@Europe/Berlin`."""

    id: str
    interval: Interval
    standing: Standing = "Running"


def current(spec: api.Period, now: int) -> Period:
    """The period that holds the instant; for Fixed, its only one, whether now is in it or not."""
    if spec.type == "Fixed":
        return _fixed(spec, now)
    # Boundaries lie on slots, and thousands of budgets have few different periods.
    return _holding(spec, slot_of(now))


@lru_cache(maxsize=1024)
def _holding(spec: api.Period, now: int) -> Period:
    zone = ZoneInfo(spec.time_zone)
    day = _first_day(spec, datetime.fromtimestamp(now, zone).date())
    # The civil date is a good guess, but where the clocks change a date may come twice or be cut short.
    while now < _instant(day, zone):
        day = _first_day(spec, day - timedelta(days=1))
    while now >= (end := _instant(_day_after(spec, day), zone)):
        day = _day_after(spec, day)
    return Period(f"{_label(spec, day)}@{spec.time_zone}", Interval(_instant(day, zone), end))


def following(spec: api.Period, period: Period) -> Period | None:
    """The period that begins where this one ends; None after a Fixed one."""
    return None if spec.type == "Fixed" else current(spec, period.interval.end)


def preceding(spec: api.Period, period: Period) -> Period | None:
    """The period that ends where this one begins; None before a Fixed one."""
    return None if spec.type == "Fixed" else current(spec, period.interval.start - 1)


def steady(spec: api.Period, now: int, known_start: int | None) -> Period:
    """As `current`, but a clock set back by up to `STEP_BACK` stays in the period that had begun already.

    `known_start` is the start of the period in status. A clock that was wrong by more is believed when it is
    corrected: else a budget would wait for a month that never began.
    """
    if known_start is not None and now < known_start <= now + STEP_BACK:
        return current(spec, known_start)
    return current(spec, now)


def _fixed(spec: api.Period, now: int) -> Period:
    if spec.start_time is None or spec.end_time is None:
        raise ValueError("a Fixed period has a startTime and an endTime")
    interval = Interval(int(spec.start_time.timestamp()), int(spec.end_time.timestamp()))
    standing: Standing = "Ahead" if now < interval.start else "Over" if now >= interval.end else "Running"
    return Period(_fixed_id(interval), interval, standing)


@lru_cache(maxsize=16_384)
def _fixed_id(interval: Interval) -> str:
    return f"fixed:{iso(interval.start)}/{iso(interval.end)}"


def _first_day(spec: api.Period, day: date) -> date:
    """The first civil date of the period that the date belongs to."""
    match spec.type:
        case "Weekly":
            return day - timedelta(days=(day.weekday() - _WEEKDAYS.index(spec.start_day or "Monday")) % 7)
        case "Monthly":
            return day.replace(day=1)
        case "Quarterly":
            return day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        case "Yearly":
            return day.replace(month=1, day=1)
        case _:
            return day


def _day_after(spec: api.Period, first: date) -> date:
    """The first civil date of the next period."""
    match spec.type:
        case "Weekly":
            return first + timedelta(days=7)
        case "Monthly":
            return _months_later(first, 1)
        case "Quarterly":
            return _months_later(first, 3)
        case "Yearly":
            return first.replace(year=first.year + 1)
        case _:
            return first + timedelta(days=1)


def _months_later(first: date, months: int) -> date:
    years, month = divmod(first.month - 1 + months, 12)
    return first.replace(year=first.year + years, month=month + 1)


def _label(spec: api.Period, first: date) -> str:
    match spec.type:
        case "Weekly":
            # Named by the ISO week that holds its middle; from Monday on that is the ISO week itself.
            year, week, _ = (first + timedelta(days=3)).isocalendar()
            return f"{year}-W{week:02}"
        case "Monthly":
            return f"{first:%Y-%m}"
        case "Quarterly":
            return f"{first:%Y}-Q{(first.month + 2) // 3}"
        case "Yearly":
            return f"{first:%Y}"
        case _:
            return f"{first:%Y-%m-%d}"


@lru_cache(maxsize=4096)
def _instant(day: date, zone: ZoneInfo) -> int:
    """The first instant at which the zone's calendar shows the date or a later one, on its slot."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    instant = midnight.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != midnight.replace(tzinfo=None):
        instant = _end_of_gap(day, zone, instant)
    return slot_of(int(instant.timestamp()))


def _end_of_gap(day: date, zone: ZoneInfo, after: datetime) -> datetime:
    """Where midnight is skipped: the instant of the change, at most two days before `after`."""
    early, late = int(after.timestamp()) - 2 * 86_400, int(after.timestamp())
    while late - early > 1:
        middle = (early + late) // 2
        if datetime.fromtimestamp(middle, zone).date() < day:
            early = middle
        else:
            late = middle
    return datetime.fromtimestamp(late, UTC)
