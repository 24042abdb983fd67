"""However a range is cut, its parts are billed as the whole is."""

from collections import Counter
from itertools import pairwise

from hypothesis import example, given, settings
from hypothesis import strategies as st

from aibudget.metering.meter import read_gpu
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Reading, Usage
from unit.metering.fake import BEGIN, FakePrometheus, Life, every

SLOTS = 5
END = SLOTS * 900

lives = st.builds(
    lambda name, bound, length, units: Life(name, bound, bound + length, units, uid=f"{name}{bound}"),
    st.sampled_from("abc"),
    st.integers(-900, END),
    st.integers(1, 3000),
    st.sampled_from([1.0, 2.0, 8.0]),
)
gaps = st.tuples(st.integers(-600, END), st.integers(30, 700))


def sums(*readings: Reading) -> Counter[tuple[object, ...]]:
    """Quantities and estimates by slot, workload and SKU."""
    total: Counter[tuple[object, ...]] = Counter()
    for reading in readings:
        for usage in reading.usages:
            total[_about(usage), "quantity"] += usage.quantity
            total[_about(usage), "estimated"] += usage.estimated
    return total


def _about(usage: Usage) -> tuple[object, ...]:
    return usage.slot, usage.workload, usage.sku


@settings(max_examples=60)
@given(
    st.lists(lives, max_size=6),
    st.lists(gaps, max_size=2),
    st.sets(st.integers(1, SLOTS - 1)),
    st.sampled_from([30, 60, 90, 180]),
    st.integers(0, 29),
)
@example([], [(-243, 511), (298, 510)], {1}, 30, 27)
def test_parts_add_up_to_the_whole(
    pods: list[Life], holes: list[tuple[int, int]], cuts: set[int], step: int, offset: int
) -> None:
    """Pods, gaps and cuts at any place: sums, estimates and coverage are those of the range in one piece."""
    scrapes = every(
        30, -2400, END + 1200, offset, lambda t: any(start <= t < start + length for start, length in holes)
    )
    source, chosen = FakePrometheus(pods, scrapes), MeterSettings(step=step)
    edges = [0, *sorted(cuts), SLOTS]
    whole = read_gpu(source, Interval(BEGIN, BEGIN + END), chosen)
    parts = [
        read_gpu(source, Interval(BEGIN + start * 900, BEGIN + end * 900), chosen)
        for start, end in pairwise(edges)
    ]
    assert sums(*parts) == sums(whole)
    assert {slot: part for one in parts for slot, part in one.coverage.items()} == whole.coverage


@settings(max_examples=30)
@given(st.lists(lives, max_size=6), st.integers(1, 40))
def test_halving_changes_nothing(pods: list[Life], limit: int) -> None:
    """A Prometheus that can bear only a few steps at once gives the same bill."""
    scrapes = every(30, -2400, END + 1200)
    interval = Interval(BEGIN, BEGIN + END)
    whole = read_gpu(FakePrometheus(pods, scrapes), interval, MeterSettings())
    pieces = read_gpu(FakePrometheus(pods, scrapes, limit=limit), interval, MeterSettings())
    assert pieces.usages == whole.usages
    assert pieces.coverage == whole.coverage


def test_a_step_that_cannot_be_read_is_a_gap() -> None:
    """What even one step alone is too much for becomes a gap, and is told."""
    refused = {BEGIN + t for t in range(1200, 2100, 30)}
    source = FakePrometheus([Life("a", -900, 9000)], every(30, -2400, END + 1200), refused=refused)
    reading = read_gpu(source, Interval(BEGIN, BEGIN + END), MeterSettings())
    assert sum(usage.quantity for usage in reading.usages) == (END - 900) * 1000
    assert sum(coverage.covered_seconds for coverage in reading.coverage.values()) == END - 900
    assert any("too much for Prometheus" in problem for problem in reading.problems)
