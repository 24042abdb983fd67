"""The text of gauges: what Prometheus's own reader of the format makes of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from aibudget.reporting.exposition import PART, Gauge, ending, told


def text(gauge: Gauge) -> str:
    """All that is scraped of it."""
    return b"".join(gauge.spelled()).decode()


@given(st.text(max_size=20), st.floats(allow_nan=False))
def test_whatever_is_told_is_read_back(value: str, number: float) -> None:
    """Names of people's own making and any number, to the last digit."""
    gauge = Gauge("aibudget_x", "What x is.", ("name", "unit"))
    gauge.add(told(name=value, unit="h"), number)
    (family,) = text_string_to_metric_families(text(gauge))
    (sample,) = family.samples
    assert (sample.name, sample.labels, sample.value) == ("aibudget_x", {"name": value, "unit": "h"}, number)


def test_lines_that_are_alike_say_what_each_says_alone() -> None:
    """What many budgets share is spelled once, and read as if it had not been."""
    alone, together = (Gauge("aibudget_x", "What x is.", ("name", "state")) for _ in range(2))
    endings = [ending(told(state=state), float(state == "up")) for state in ("up", "down")]
    for name in ("a", "b"):
        together.add_all(told(name=name), endings)
        for state in ("up", "down"):
            alone.add(told(name=name, state=state), float(state == "up"))
    assert text(together) == text(alone)


def test_all_parts_of_many_lines_are_there() -> None:
    """Each once, and in order, whatever is left for the last part."""
    gauge = Gauge("aibudget_x", "What x is.", ("name",))
    for number in range(2 * PART + 1):
        gauge.add(told(name=f"{number}"), float(number))
    (family,) = text_string_to_metric_families(text(gauge))
    assert [sample.value for sample in family.samples] == [*range(2 * PART + 1)]


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, 1e300, 1_795_000_000.0])
def test_odd_numbers_are_numbers(number: float) -> None:
    """A scrape with one line that cannot be read is lost as a whole."""
    gauge = Gauge("aibudget_x", "What x is: a \\ and\na line.", ("name",))
    gauge.add(told(name="a"), number)
    (family,) = text_string_to_metric_families(text(gauge))
    assert family.documentation == "What x is: a \\ and\na line."
    assert repr(family.samples[0].value) == repr(number)
