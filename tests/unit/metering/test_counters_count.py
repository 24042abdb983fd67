"""What counters counted, whatever happened to them meanwhile, is counted once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aibudget.inventory.owners import OwnerBook
from aibudget.metering.counters import CountedMeter, read_counters
from aibudget.metering.families import Family
from aibudget.metering.growth import LONGEST_BRIDGE
from aibudget.metering.memory import Memory
from aibudget.metering.scene import MeterSettings, Scenes
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Reading
from unit.metering.ticking import BEGIN, Ticking, Ticks

HOUR = 3600
FAMILY = Family(name="server-output", query="tokens", cap=1e6)
METER = CountedMeter("tokens", {FAMILY.name: FAMILY})
LABELS = {"namespace": "team", "pod": "llm-0", "instance": "10.0.0.1:8000"}


def read(
    source: Ticking, start: int, end: int, memory: Memory | None = None, meter: CountedMeter = METER
) -> Reading:
    """A reading of [start, end), in seconds after `BEGIN`."""
    interval, now = Interval(BEGIN + start, BEGIN + end), int(source.time())
    scenes = Scenes(source, MeterSettings())
    return read_counters(scenes, (interval, now), meter, memory or Memory(), OwnerBook())


def total(reading: Reading) -> int:
    """What was counted in all."""
    return sum(usage.quantity for usage in reading.usages)


def by_slot(reading: Reading) -> dict[int, int]:
    """What was counted in each slot, in slots after `BEGIN`."""
    found: dict[int, int] = {}
    for usage in reading.usages:
        slot = (usage.slot - BEGIN) // SLOT_SECONDS
        found[slot] = found.get(slot, 0) + usage.quantity
    return found


def ticks(samples: Sequence[tuple[float, float]], born: float | None = None, **labels: str) -> Ticks:
    """One counter's samples."""
    return Ticks(FAMILY.name, {**LABELS, **labels}, samples, born)


def source(*series: Ticks, now: int = 4 * HOUR, dark: Sequence[range] = ()) -> Ticking:
    """Prometheus, which scrapes something each 30 s but in the dark."""
    up = [t for t in range(-3 * HOUR, now + 1, 30) if not any(t in gap for gap in dark)]
    return Ticking(series, up, now)


def steady(
    rate: float, begin: int = -3 * HOUR, end: int = 4 * HOUR, base: float = 0
) -> list[tuple[float, float]]:
    """A counter that grows evenly, scraped each 30 s."""
    return [(float(t), base + rate * (t - begin)) for t in range(begin, end + 1, 30)]


def without(samples: Sequence[tuple[float, float]], *gaps: range) -> list[tuple[float, float]]:
    """Samples that were not scraped."""
    return [(t, v) for t, v in samples if not any(int(t) in gap for gap in gaps)]


def test_growth_is_counted() -> None:
    """Each slot has what was counted in it; a base of before is no one's."""
    reading = read(source(ticks(steady(2, base=1e6))), 0, HOUR)
    assert by_slot(reading) == dict.fromkeys(range(4), 1800)
    assert reading.head == BEGIN + HOUR
    assert all(coverage.percent == 100 for coverage in reading.coverage.values())
    assert not any(usage.estimated for usage in reading.usages)


@pytest.mark.parametrize("minutes", [20, 70])
def test_a_gap_is_spread(minutes: int) -> None:
    """What was counted while nothing was scraped belongs to that time, in whole numbers, and is estimated."""
    gap = range(1000, 1000 + minutes * 60)
    reading = read(source(ticks(without(steady(3), gap)), dark=[gap]), 0, 3 * HOUR)
    assert total(reading) == 3 * 3 * HOUR
    assert all(abs(counted - 2700) <= 200 for counted in by_slot(reading).values())
    assert minutes * 60 * 3 <= sum(usage.estimated for usage in reading.usages) <= (minutes + 3) * 60 * 3
    assert all(coverage.percent == 100 for coverage in reading.coverage.values())


def test_a_gap_that_is_open_is_unknown() -> None:
    """Until something is scraped again nobody knows, and the slots are asked for again then."""
    gap = range(1000, 9 * HOUR)
    reading = read(source(ticks(without(steady(3), gap)), now=HOUR, dark=[gap]), 0, HOUR)
    assert reading.head == BEGIN + 1020
    assert sum(coverage.covered_seconds for coverage in reading.coverage.values()) == 1020


def test_a_target_that_was_away_is_counted_when_it_is_back() -> None:
    """Where all else was scraped the slots before are settled: the amount belongs to the last step."""
    reading = read(source(ticks(without(steady(1), range(1000, 2300)))), 0, HOUR)
    assert total(reading) == HOUR
    assert by_slot(reading)[2] > 1200


def test_a_restart_counts_from_nothing() -> None:
    """A level that fell counts as a whole."""
    before = [(t, v) for t, v in steady(1, base=5000) if t < 1500]
    after = [(float(t), float(t - 1500)) for t in range(1500, 4 * HOUR, 30)]
    reading = read(source(ticks(before + after)), 0, HOUR)
    assert HOUR - 60 <= total(reading) <= HOUR


def test_a_dedup_artefact_is_no_restart() -> None:
    """A fall by next to nothing is another replica's view."""
    samples = [(t, v - (400 if t == 1500 else 0)) for t, v in steady(1, base=1e6)]
    assert total(read(source(ticks(samples)), 0, HOUR)) == HOUR


def test_a_leap_is_not_believed() -> None:
    """A value beyond what is possible changes nothing, and is told."""
    samples = [(t, v + (1e12 if t == 1500 else 0)) for t, v in steady(1)]
    reading = read(source(ticks(samples)), 0, HOUR)
    assert total(reading) == HOUR
    assert any("grew faster than is possible" in problem for problem in reading.problems)


@pytest.mark.parametrize("odd", [float("nan"), 9223372036854775794.0, -1.0, float("inf")])
def test_what_is_no_count_is_left_out(odd: float) -> None:
    """NaN, sentinels and negative values are told and counted by nobody."""
    samples = [(t, odd if t in (1500, 1530) else v) for t, v in steady(1)]
    reading = read(source(ticks(samples)), 0, HOUR)
    assert total(reading) == HOUR
    assert any("were no counts" in problem for problem in reading.problems)


def test_two_that_tell_the_same_are_one() -> None:
    """Two replicas, of which one lags, and a label twin: one counter."""
    samples = steady(1)
    other = [(t + 10, v) for t, v in samples]
    twin = {"exported_namespace": "team", "exported_pod": "llm-0", "namespace": "monitoring", "pod": "agent"}
    reading = read(source(ticks(samples), Ticks(FAMILY.name, {**LABELS, **twin}, other)), 0, HOUR)
    assert total(reading) == HOUR
    assert {usage.workload.name for usage in reading.usages} == {"llm-0"}


def test_a_process_that_began_is_counted_from_the_start() -> None:
    """Its first value counts where its process began just before; of an older one nobody knows."""
    late = [(t, v) for t, v in steady(1, begin=990, base=500) if t >= 1020]
    known = read(source(ticks(late, born=990.0)), 0, HOUR)
    assert total(known) == 500 + HOUR - 990
    old = read(source(ticks(late, born=-9000.0)), 0, HOUR)
    assert total(old) < HOUR - 990
    assert any("first seen with a value" in problem for problem in old.problems)
    assert total(read(source(ticks(late)), 0, HOUR)) < HOUR - 990


def test_a_counter_beside_older_ones_is_new() -> None:
    """A model that is asked for the first time counts from nothing: its server was seen without it."""
    late = [(t, v) for t, v in steady(1, begin=990, base=500) if t >= 1020]
    reading = read(source(ticks(steady(1)), ticks(late, model="b")), 0, HOUR)
    assert total(reading) == HOUR + 500 + HOUR - 990


def test_a_device_is_older_than_its_labels() -> None:
    """A device's counter never counts its first value."""
    family = Family(name="server-output", query="q", is_new_counted=False)
    meter = CountedMeter("tokens", {family.name: family})
    late = ticks([(t, v) for t, v in steady(1, begin=990, base=5e9) if t >= 1020], born=990.0)
    assert total(read(source(late, ticks(steady(1), gpu="b")), 0, HOUR, meter=meter)) < 2 * HOUR


def test_an_outage_loses_nothing_however_long() -> None:
    """Read on hour by hour as it happens: what was counted in the dark is booked once when it is over, also
    where no reading sees both of its ends.
    """
    gap = range(HOUR, 7 * HOUR)
    samples = without(steady(1, end=9 * HOUR), gap)
    counted, memory = 0, Memory()
    for hour in range(9):
        seen = [(t, v) for t, v in samples if t <= (hour + 1) * HOUR]
        reading = read(
            source(ticks(seen), now=(hour + 1) * HOUR, dark=[gap]), hour * HOUR, (hour + 1) * HOUR, memory
        )
        memory = reading.memories[BEGIN + (hour + 1) * HOUR]
        counted += total(reading)
    assert counted == 9 * HOUR


def test_what_came_late_is_counted_on_top_of_what_is_remembered() -> None:
    """A level that was lower when its slot was posted: the rest of it belongs to the next slot."""
    whole = source(ticks(steady(1)))
    (counter, level), *_ = read(whole, 0, HOUR).memories[BEGIN + HOUR].levels.items()
    late = Memory(BEGIN + HOUR, {counter: level._replace(value=level.value - 50)})
    reading = read(whole, HOUR, 2 * HOUR, late)
    assert total(reading) == HOUR + 50
    assert not reading.problems


def test_one_query_is_enough() -> None:
    """While nothing is new and owners are known, a piece of a range is asked for once."""
    prometheus = source(ticks(steady(1)), ticks(steady(1), model="b"))
    memory = read(prometheus, 0, HOUR).memories[BEGIN + HOUR]
    assert not any("process_start_time_seconds" in query for query in prometheus.asked)
    prometheus.asked.clear()
    prometheus.now = HOUR + 900
    read(prometheus, HOUR, HOUR + 900, memory)
    assert sum("label_replace" in query for query in prometheus.asked) == 1


@dataclass(slots=True)
class Story:
    """A counter's true life: what it counted by second, as its scrapes saw it."""

    series: list[Ticks]
    truth: int
    dark: list[range] = field(default_factory=list)


LENGTH = 3 * HOUR


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Several counters on the grid of scrapes, with restarts, in a Prometheus with gaps of any length.

    Restarts are on the grid and never in the dark: what a process counts after its last scrape nobody knows.
    """
    gaps = draw(st.lists(st.tuples(st.integers(2, 175), st.integers(1, 80)), max_size=3))
    dark = [range(60 * at + 1, 60 * (at + length)) for at, length in gaps]
    instants = [t for t in range(-3 * HOUR, LENGTH + 3 * HOUR + 1, 60) if not any(t in gap for gap in dark)]
    series, truth = [], 0
    for number in range(draw(st.integers(1, 2))):
        rates = draw(st.lists(st.integers(0, 5000), min_size=5, max_size=5))
        restarts = set(draw(st.lists(st.sampled_from(instants), max_size=3)))
        value, samples, before = 10_000_000, [], None
        for t in instants:
            counted = 0 if before is None else rates[(t // 60) % 5] * (t - before) // 60
            value = counted if t in restarts and counted < value * 0.9 else value + counted
            samples.append((float(t), float(value)))
            truth += counted if 0 < t <= LENGTH else 0
            before = t
        series.append(ticks(samples, model=f"m{number}"))
    return Story(series, truth, dark)


def _edges_are_lit(story: Story) -> bool:
    return not any(0 in gap or LENGTH in gap for gap in story.dark)


def _is_dark_for_long(story: Story) -> bool:
    dark = {t for gap in story.dark for t in gap}
    return any(dark.issuperset(range(t + 1, t + LONGEST_BRIDGE)) for t in range(0, LENGTH, 60))


@settings(max_examples=20)
@given(stories(), st.lists(st.integers(1, 11), max_size=3, unique=True), st.booleans())
def test_however_it_is_cut_the_sum_is_the_truth(story: Story, cuts: Sequence[int], remembers: bool) -> None:
    """Whatever the restarts, the gaps and the cuts, with what was remembered or without: once, and all.

    Without it, across a darkness longer than anyone looks back over, nobody knows what was counted before.
    """
    if not _edges_are_lit(story):
        return
    prometheus = source(*story.series, now=LENGTH + 3 * HOUR, dark=story.dark)
    whole = read(prometheus, 0, LENGTH)
    assert total(whole) == story.truth
    pieces: dict[int, int] = {}
    memory = Memory()
    edges = [0, *(cut * SLOT_SECONDS for cut in sorted(cuts)), LENGTH]
    for start, end in pairwise(edges):
        part = read(prometheus, start, end, memory if remembers or _is_dark_for_long(story) else None)
        memory = part.memories[BEGIN + end]
        pieces |= by_slot(part)
    assert _filled(pieces) == _filled(by_slot(whole))


def _filled(slots: Mapping[int, int]) -> dict[int, int]:
    return {slot: counted for slot, counted in slots.items() if counted}
