"""An anomaly from its first hour to its last, who is behind it, and what is worth telling."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from aibudget.api import budgetstatus
from aibudget.budgeting.anomaly import QUIET_HOURS, Deviation
from aibudget.budgeting.vigil import (
    HOUR,
    KEPT,
    KEPT_SECONDS,
    Anomaly,
    Cause,
    Least,
    Watched,
    caused,
    looked,
    remembered,
)
from aibudget.inventory.workload import Workload
from aibudget.reporting.conditions import moment_of

NOW = 500_000 * HOUR
MORE, LESS = Deviation(1, 30.0, 10.0, 1e-6), Deviation(6, 10.0, 60.0, 1e-6)
LLM, TRAINER = Workload("team", "Deployment", "llm"), Workload("team", "Job", "trainer")


def through(*hours: Deviation | None) -> list[Watched]:
    """How it stands after each of these hours."""
    stood, found = Watched(), []
    for place, hour in enumerate(hours):
        stood = looked(stood, hour, NOW + place * HOUR, "AsUsual")
        found.append(stood)
    return found


def test_it_is_told_once_while_it_lasts_and_is_over_after_a_quiet_day() -> None:
    """A pause of less than a day is no end of it; its end is its last unusual hour."""
    stood = through(MORE, None, MORE, *[None] * (QUIET_HOURS + 1))
    assert {one.anomalies[0].told for one in stood} == {NOW}
    assert [one.standing for one in stood[-2:]] == ["Unusual", "AsUsual"]
    assert (stood[-1].anomalies[0].ended, stood[-1].lasting) == (NOW + 2 * HOUR, None)


def test_less_after_more_is_another_one() -> None:
    """Both are news."""
    stood = through(MORE, LESS)[-1]
    assert [(one.start, one.told, one.ended) for one in stood.anomalies] == [
        (NOW - 5 * HOUR, NOW + HOUR, None),
        (NOW - HOUR, NOW, NOW),
    ]


def test_what_is_over_is_forgotten_after_a_week_and_few_are_kept() -> None:
    """A status is no archive."""
    stood = through(MORE)[0]
    over = looked(stood, None, NOW + (QUIET_HOURS + 1) * HOUR, "AsUsual")
    assert looked(over, None, NOW + KEPT_SECONDS - 1, "AsUsual").anomalies
    assert not looked(over, None, NOW + KEPT_SECONDS, "AsUsual").anomalies
    assert len(through(*[MORE, LESS] * KEPT)[-1].anomalies) == KEPT


def test_an_hour_that_is_not_known_says_so_and_ends_nothing() -> None:
    """While an anomaly lasts it is what stands."""
    assert looked(Watched(), None, NOW, "Unknown").standing == "Unknown"
    lasting = looked(looked(Watched(), MORE, NOW, "AsUsual"), None, NOW + HOUR, "Unknown")
    assert (lasting.standing, lasting.seen) == ("Unusual", NOW)


@given(st.lists(st.sampled_from([MORE, LESS, None]), min_size=1, max_size=60), st.integers(0, 59))
def test_a_restart_tells_nothing_twice(hours: list[Deviation | None], restart: int) -> None:
    """What stands in the status is enough to go on: nothing new is told, though it may last for longer."""
    straight, stood = through(*hours), Watched()
    for place, hour in enumerate(hours):
        if place == restart:
            stood = Watched(anomalies=remembered([status_of(one) for one in stood.anomalies]))
        stood = looked(stood, hour, NOW + place * HOUR, "AsUsual")
    told = {one.told for after in straight for one in after.anomalies}
    assert {one.told for one in stood.anomalies} <= told


def status_of(one: Anomaly) -> budgetstatus.Anomaly:
    """As a status keeps it."""
    return budgetstatus.Anomaly(
        start_time=moment_of(one.start),
        detected_time=moment_of(one.told),
        amount=Decimal(str(one.actual)),
        expected=Decimal(str(one.expected)),
        end_time=None if one.ended is None else moment_of(one.ended),
    )


def test_who_is_behind_it_cost_more_than_ever_in_such_hours() -> None:
    """By its part of what is unusual; noise, and what was as dear last week, is no cause."""
    before = [{LLM: 10.0, TRAINER: 50.0}, {LLM: 12.0, TRAINER: 0.0}, {LLM: 11.0, TRAINER: 0.0}]
    assert caused({LLM: 40.0, TRAINER: 49.0}, before, 30.0) == (Cause(LLM, 29.0),)
    assert caused({LLM: 13.0, TRAINER: 0.0}, before, 30.0) == ()
    assert caused({LLM: 40.0}, before[:1], 30.0) == ()


def test_who_is_new_or_gone_is_behind_it_as_well() -> None:
    """Neither has a line on both sides."""
    steady = [{LLM: 10.0}] * 4
    assert caused({LLM: 10.0, TRAINER: 20.0}, steady, 20.0) == (Cause(TRAINER, 20.0),)
    assert caused({}, steady, -10.0) == (Cause(LLM, -10.0),)


def test_what_is_worth_telling_follows_the_limit() -> None:
    """Of a year's limit a month's part counts; where there is none, the amount alone."""
    least, day = Least(10.0, 0.5), 86_400
    assert least.of(12_000.0, 30 * day) == 60.0
    assert least.of(100.0, 30 * day) == 10.0
    assert least.of(120_000.0, 300 * day) == 60.0
    assert least.of(12_000.0, day) == 60.0
    assert least.of(None, 30 * day) == 10.0
