"""A range that Prometheus was too slow for is asked for in parts from then on, until it is quick again."""

from array import array

import pytest

from aibudget.metering.asking import Answer, over_range
from aibudget.metering.coverage import Grid
from aibudget.metering.portions import Portions
from aibudget.metering.slots import Interval
from aibudget.metering.source import Result, Series, TooManySamples, TooMuchAtOnce

START, STEP, INSTANTS = 1_795_000_500, 30, 16
GRID = Grid(Interval(START, START + STEP * INSTANTS), STEP)


class Slow:
    """Takes so many seconds for each instant and gives up after 30; `asked` are the ranges, in instants."""

    def __init__(self) -> None:
        self.each = 3.0
        self.now = 0.0
        self.fails: type[TooManySamples] = TooMuchAtOnce
        self.asked: list[int] = []

    def time(self) -> float:
        return self.now

    def query(self, promql: str, at: float) -> Result:
        raise AssertionError("nobody asks for one instant")

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        instants = range(start, end + 1, step)
        self.asked.append(len(instants))
        took = self.each * len(instants)
        self.now += min(took, 30.0)
        if took > 30.0:
            raise self.fails("too slow")
        times = array("d", map(float, instants))
        return Result([Series({"query": promql}, times, times)])


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def portions(slow: Slow) -> Portions:
    return Portions(slow, slow.time)


def told(answer: Answer) -> list[float]:
    assert not answer.unread
    return sorted(t for series in answer.series for t in series.times)


def test_the_same_range_is_asked_for_in_parts_at_once(slow: Slow, portions: Portions) -> None:
    """Nothing of it is lost, and no time either."""
    first = told(over_range(portions, "held", GRID))
    assert slow.asked == [16, 8, 8]
    assert told(over_range(portions, "held", GRID)) == first == [float(t) for t in GRID.instants]
    assert slow.asked == [16, 8, 8, 8, 8]


def test_another_expression_is_tried_whole(slow: Slow, portions: Portions) -> None:
    """It may be a light one."""
    over_range(portions, "held", GRID)
    slow.each = 0.1
    over_range(portions, "light", GRID)
    assert slow.asked[-1] == 16


def test_what_is_quick_again_is_asked_for_whole(slow: Slow, portions: Portions) -> None:
    """An hour of an overloaded Prometheus is not remembered for good."""
    over_range(portions, "held", GRID)
    slow.each = 0.1
    over_range(portions, "held", GRID)
    over_range(portions, "held", GRID)
    assert slow.asked[3:] == [8, 8, 16]


def test_it_finds_its_way_back_from_single_instants(slow: Slow, portions: Portions) -> None:
    """However little was possible for a while."""
    slow.each = 20.0
    over_range(portions, "held", GRID)
    slow.each = 0.1
    over_range(portions, "held", GRID)
    slow.asked.clear()
    over_range(portions, "held", GRID)
    assert slow.asked == [16]


def test_what_fails_for_another_reason_is_asked_for_each_time(slow: Slow, portions: Portions) -> None:
    """Such as a join that is ambiguous at some instants, or a cycle whose time is nearly over."""
    slow.fails = TooManySamples
    over_range(portions, "held", GRID)
    over_range(portions, "held", GRID)
    assert slow.asked == [16, 8, 8] * 2


def test_one_instant_is_asked_for_whatever_was(slow: Slow, portions: Portions) -> None:
    """There is no less to ask for, and what nobody asked for would be a gap."""
    slow.each = 40.0
    assert over_range(portions, "held", GRID).unread == set(GRID.instants)
    slow.each = 3.0
    assert told(over_range(portions, "held", GRID)) == [float(t) for t in GRID.instants]
