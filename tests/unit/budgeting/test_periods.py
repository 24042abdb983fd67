"""Periods follow the civil calendar of their zone and tile time without gap or overlap."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.api.budget import Period as Spec
from aibudget.budgeting.period import current, following, preceding, steady
from aibudget.metering.slots import SLOT_SECONDS

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Pacific/Apia",
    "Pacific/Chatham",
    "America/Havana",
    "Atlantic/Azores",
    "Africa/Casablanca",
    "Asia/Tehran",
    "America/St_Johns",
    "Pacific/Kwajalein",
]


def at(text: str) -> int:
    """An instant written in ISO 8601."""
    return int(datetime.fromisoformat(text).timestamp())


def spec(kind: str, zone: str = "UTC", **more: object) -> Spec:
    """A period as written in a budget."""
    return Spec.model_validate({"type": kind, "timeZone": zone, **more}, by_alias=True)


def shown(kind: str, zone: str, now: str, **more: object) -> tuple[str, str, str]:
    """Name, start and end of the current period; the ends in the zone's own time."""
    period = current(spec(kind, zone, **more), at(now))
    start, end = (
        datetime.fromtimestamp(t, ZoneInfo(zone)).isoformat()
        for t in (period.interval.start, period.interval.end)
    )
    return period.id, start, end


@pytest.mark.parametrize(
    ("kind", "more", "wanted"),
    [
        ("Daily", {}, ("2026-11-21", "2026-11-21", "2026-11-22")),
        ("Weekly", {}, ("2026-W47", "2026-11-16", "2026-11-23")),
        ("Weekly", {"startDay": "Sunday"}, ("2026-W47", "2026-11-15", "2026-11-22")),
        ("Weekly", {"startDay": "Saturday"}, ("2026-W48", "2026-11-21", "2026-11-28")),
        ("Monthly", {}, ("2026-11", "2026-11-01", "2026-12-01")),
        ("Quarterly", {}, ("2026-Q4", "2026-10-01", "2027-01-01")),
        ("Yearly", {}, ("2026", "2026-01-01", "2027-01-01")),
    ],
)
def test_periods_begin_at_midnight_of_their_zone(
    kind: str, more: dict[str, str], wanted: tuple[str, ...]
) -> None:
    """Each type's first and last day, and its name."""
    name, start, end = shown(kind, "Europe/Berlin", "2026-11-21T12:00:00+01:00", **more)
    assert (name, start[:10], end[:10]) == (f"{wanted[0]}@Europe/Berlin", *wanted[1:])
    assert start[10:19] == end[10:19] == "T00:00:00"


@pytest.mark.parametrize(
    ("zone", "now", "hours"),
    [
        ("Europe/Berlin", "2026-03-29T12:00:00+02:00", 23),
        ("Europe/Berlin", "2026-10-25T12:00:00+01:00", 25),
        ("Australia/Lord_Howe", "2026-10-04T12:00:00+11:00", 23.5),
        ("Australia/Lord_Howe", "2026-04-05T12:00:00+10:30", 24.5),
    ],
)
def test_days_are_as_long_as_the_clocks_make_them(zone: str, now: str, hours: float) -> None:
    """Summer time begins and ends, by an hour or by half of one."""
    assert current(spec("Daily", zone), at(now)).interval.seconds == hours * 3600


@pytest.mark.parametrize(
    ("zone", "now", "start", "hours"),
    [
        ("America/Sao_Paulo", "2018-11-04T12:00:00-02:00", "2018-11-04T01:00:00-02:00", 23),
        ("Asia/Beirut", "2026-03-29T12:00:00+03:00", "2026-03-29T01:00:00+03:00", 23),
        ("Africa/Cairo", "2026-04-24T12:00:00+03:00", "2026-04-24T01:00:00+03:00", 23),
        ("America/Havana", "2026-03-08T12:00:00-04:00", "2026-03-08T01:00:00-04:00", 23),
        ("America/Havana", "2026-11-01T12:00:00-05:00", "2026-11-01T00:00:00-04:00", 25),
    ],
)
def test_a_day_without_midnight_begins_when_the_clocks_change(
    zone: str, now: str, start: str, hours: int
) -> None:
    """Where midnight is skipped the first instant of the date counts; where it comes twice, the first one."""
    period = current(spec("Daily", zone), at(now))
    assert (period.interval.start, period.interval.seconds) == (at(start), hours * 3600)


def test_a_date_that_a_zone_skipped_is_no_period() -> None:
    """Apia went from 29 to 31 December 2011; the days on both sides touch."""
    days = spec("Daily", "Pacific/Apia")
    before = current(days, at("2011-12-29T12:00:00-10:00"))
    after = following(days, before)
    assert after is not None
    assert (before.id, after.id) == ("2011-12-29@Pacific/Apia", "2011-12-31@Pacific/Apia")
    assert before.interval.end == after.interval.start
    assert preceding(days, after) == before


def test_a_month_is_a_month_whatever_its_length() -> None:
    """From the 31st of January the next month is February, leap years included."""
    months = spec("Monthly")
    january = current(months, at("2028-01-31T23:59:59+00:00"))
    february = following(months, january)
    assert february is not None
    assert (february.id, february.interval.seconds) == ("2028-02@UTC", 29 * 86_400)


def test_a_fixed_period_has_a_time_before_and_after() -> None:
    """It is ahead, running or over, always with the same name, and has no neighbours."""
    once = spec("Fixed", startTime="2026-11-01T00:00:00Z", endTime="2026-11-15T12:00:00Z")
    moments = ["2026-10-31T23:59:59", "2026-11-01T00:00:00", "2026-11-15T11:59:59", "2026-11-15T12:00:00"]
    periods = [current(once, at(f"{moment}+00:00")) for moment in moments]
    assert [period.standing for period in periods] == ["Ahead", "Running", "Running", "Over"]
    assert {period.id for period in periods} == {"fixed:2026-11-01T00:00:00Z/2026-11-15T12:00:00Z"}
    assert following(once, periods[1]) is None
    assert preceding(once, periods[1]) is None


def test_a_clock_set_back_does_not_begin_the_old_period_again() -> None:
    """Minutes back across midnight stay in the new period; a clock that was a month ahead is not believed."""
    months = spec("Monthly")
    december = at("2026-12-01T00:00:00+00:00")
    assert steady(months, december - 120, december).id == "2026-12@UTC"
    assert steady(months, december - 86_400, december).id == "2026-11@UTC"
    assert steady(months, december - 120, None).id == "2026-11@UTC"


def test_a_week_is_called_as_iso_calls_it() -> None:
    """Also around New Year, where the year of the week is not that of the day."""
    weeks = spec("Weekly")
    for day in ("2026-12-31", "2027-01-03", "2027-01-04", "2024-12-30"):
        year, week, _ = datetime.fromisoformat(day).isocalendar()
        assert current(weeks, at(f"{day}T12:00:00+00:00")).id == f"{year}-W{week:02}@UTC"


kinds = st.sampled_from(["Daily", "Weekly", "Monthly", "Quarterly", "Yearly"])
instants = st.integers(at("1900-01-01T00:00:00+00:00"), at("2090-01-01T00:00:00+00:00"))


@given(kinds, st.sampled_from(ZONES), st.sampled_from(WEEKDAYS), instants)
def test_periods_tile_time(kind: str, zone: str, weekday: str, now: int) -> None:
    """Any instant lies in exactly one period, whose neighbours touch it, sort around it and lie on slots."""
    periods = spec(kind, zone, **({"startDay": weekday} if kind == "Weekly" else {}))
    this = current(periods, now)
    after, before = following(periods, this), preceding(periods, this)
    assert after is not None
    assert before is not None
    assert now in this.interval
    assert before.interval.end == this.interval.start
    assert this.interval.end == after.interval.start
    assert before.id < this.id < after.id
    assert this.interval.start % SLOT_SECONDS == this.interval.end % SLOT_SECONDS == 0
    assert current(periods, this.interval.start) == current(periods, this.interval.end - 1) == this


@given(st.sampled_from(ZONES), st.integers(at("1990-01-01T00:00:00+00:00"), at("2040-01-01T00:00:00+00:00")))
def test_boundaries_of_present_zones_are_exact(zone: str, now: int) -> None:
    """No boundary had to be moved to lie on a slot: just before it is the day before, at it the new day."""
    start = current(spec("Daily", zone), now).interval.start
    local, earlier = (datetime.fromtimestamp(t, UTC).astimezone(ZoneInfo(zone)) for t in (start, start - 1))
    assert earlier.date() < local.date()
