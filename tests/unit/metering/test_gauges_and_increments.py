"""What is held, and what PromQL counted itself, is added up step by step; nothing is told of the dark."""

from dataclasses import replace

import pytest

from aibudget.api.meter import MeterSpec
from aibudget.inventory.workload import Workload
from aibudget.metering.catalogue import CUSTOM_SCALE
from aibudget.metering.counters import CountedMeter
from aibudget.metering.families import Shape, families
from aibudget.metering.scene import MeterSettings
from unit.metering.test_counters_count import HOUR, LABELS, read, source, steady, without
from unit.metering.ticking import Ticks


def meter(kind: str, query: str, **source: object) -> CountedMeter:
    """A meter of a user with one source."""
    spec = MeterSpec.model_validate(
        {"unit": "Things", "type": kind, "sources": [{"name": "app", "query": query, **source}]}
    )
    return CountedMeter("things", families("things", spec, MeterSettings()))


def level(value: float) -> list[tuple[float, float]]:
    """The same value all the time."""
    return [(t, value) for t, _ in steady(0)]


@pytest.mark.parametrize(
    ("kind", "query", "shape"),
    [("Counter", "x", "Level"), ("Counter", "$delta(x) / 2", "Increment"), ("Gauge", "x", "Held")],
)
def test_the_shape_follows_from_type_and_macros(kind: str, query: str, shape: str) -> None:
    """Only levels are subtracted outside of Prometheus."""
    assert meter(kind, query).families["app"].shape is Shape(shape)


def test_what_is_held_is_counted_in_hours() -> None:
    """Three seats for an hour are three seat-hours, however the hour is cut."""
    seats = source(Ticks("app", LABELS, level(3)))
    whole = read(seats, 0, HOUR, meter=meter("Gauge", "seats"))
    assert sum(usage.quantity for usage in whole.usages) == 3 * CUSTOM_SCALE
    halves = [read(seats, start, start + 1800, meter=meter("Gauge", "seats")) for start in (0, 1800)]
    assert [usage for half in halves for usage in half.usages] == list(whole.usages)


def test_increments_are_added_up_as_they_are() -> None:
    """Each is that of its step; a divisor makes units of them."""
    counted = read(
        source(Ticks("app", LABELS, level(5))),
        0,
        HOUR,
        meter=meter("Counter", "$delta(x)", firstValue="Never"),
    )
    assert sum(usage.quantity for usage in counted.usages) == 5 * 60 * CUSTOM_SCALE
    cents = meter("Counter", "$delta(x)", firstValue="Never", divisor=100)
    hour = read(source(Ticks("app", LABELS, level(5))), 0, HOUR, meter=cents)
    assert sum(usage.quantity for usage in hour.usages) == 3 * CUSTOM_SCALE


def test_an_increment_that_cannot_be_is_left_out_and_told() -> None:
    """The cap holds for each step by itself."""
    samples = [(t, 1e6 if t == 1800 else 5.0) for t, _ in steady(0) if t % 60 == 0]
    capped = meter("Counter", "$delta(x)", firstValue="Never", maxPerSecond=1)
    counted = read(source(Ticks("app", LABELS, samples)), 0, HOUR, meter=capped)
    assert sum(usage.quantity for usage in counted.usages) == 5 * 59 * CUSTOM_SCALE
    assert any("faster than is possible" in problem for problem in counted.problems)


def test_what_was_held_in_the_dark_is_unknown() -> None:
    """A counter shows later what it counted meanwhile; a gauge does not."""
    dark = range(900, 1800)
    seats = source(Ticks("app", LABELS, without(level(1), dark)), dark=[dark])
    reading = read(seats, 0, HOUR, meter=meter("Gauge", "seats"))
    assert [coverage.percent for coverage in reading.coverage.values()][1] < 10
    assert sum(usage.quantity for usage in reading.usages) < CUSTOM_SCALE * 51 // 60


def test_two_that_scrape_the_same_are_counted_once() -> None:
    """Replicas of Prometheus differ in a label of theirs alone."""
    pair = [Ticks("app", {**LABELS, "prometheus_replica": name}, steady(2)) for name in ("a", "b")]
    counted = read(source(*pair), 0, HOUR, meter=meter("Counter", "x_total"))
    assert sum(usage.quantity for usage in counted.usages) == 2 * HOUR * CUSTOM_SCALE


def test_a_query_may_name_the_workload_itself() -> None:
    """By the labels that $pod_workload gives."""
    labels = {"namespace": "team", "workload_kind": "Deployment", "workload": "web"}
    counted = read(
        source(Ticks("app", labels, level(5))),
        0,
        HOUR,
        meter=meter("Counter", "$delta(x)", firstValue="Never"),
    )
    assert {usage.workload for usage in counted.usages} == {Workload("team", "Deployment", "web")}


def test_what_would_not_fit_the_ledger_is_left_out() -> None:
    """A level of bytes in units of one byte: a divisor mends it, an error would end every cycle."""
    counted = read(source(Ticks("app", LABELS, steady(1, base=1e13))), 0, HOUR, meter=meter("Counter", "x"))
    assert not counted.usages
    assert any("left out" in problem for problem in counted.problems)


def test_silence_is_told_where_something_is_expected() -> None:
    """A metric that was renamed would otherwise be usage of nothing; of built-in sources most are absent."""
    for expected in (True, False):
        asked = replace(meter("Counter", "x"), is_expected=expected)
        assert (
            any("Nothing is told by app" in one for one in read(source(), 0, HOUR, meter=asked).problems)
            == expected
        )
    told = replace(meter("Counter", "x"), is_expected=True)
    assert not read(source(Ticks("app", LABELS, steady(0))), 0, HOUR, meter=told).problems


def test_metrics_of_several_names_are_counters_of_their_own() -> None:
    """A selector may name more than one; what they have in common are their labels."""
    pair = [Ticks("app", {**LABELS, "__name__": name}, steady(2)) for name in ("a_total", "b_total")]
    counted = read(source(*pair), 0, HOUR, meter=meter("Counter", '{__name__=~"a_total|b_total"}'))
    assert sum(usage.quantity for usage in counted.usages) == 2 * 2 * HOUR * CUSTOM_SCALE
