"""Bad samples: each has an exact bill, and a word where something could not be known."""

import math
from array import array
from collections import Counter
from dataclasses import replace

import pytest

from aibudget.inventory.owners import OwnerBook
from aibudget.metering.counters import CountedMeter, read_counters
from aibudget.metering.families import Family
from aibudget.metering.holding import holdings
from aibudget.metering.levels import UP
from aibudget.metering.memory import Memory
from aibudget.metering.meter import read_gpu
from aibudget.metering.scene import MeterSettings, Scenes
from aibudget.metering.slots import Interval
from aibudget.metering.source import PromSource, Result, Series
from aibudget.metering.usage import Reading
from unit.metering.fake import BEGIN, FakePrometheus, Life, Machine, every, series
from unit.metering.ticking import Ticking, Ticks

HOUR = Interval(BEGIN, BEGIN + 3600)
SCRAPES = every(30, -2400, 6000)
SENTINEL = 9223372036854775794.0


def read(*lives: Life, scrapes: list[float] = SCRAPES, machines: tuple[Machine, ...] = ()) -> Reading:
    """The hour."""
    return read_gpu(FakePrometheus(lives, scrapes, machines=machines), HOUR, MeterSettings())


def billed(reading: Reading) -> Counter[str]:
    """GPU-seconds by workload."""
    found: Counter[str] = Counter()
    for usage in reading.usages:
        found[usage.workload.name] += usage.quantity
    return Counter({name: quantity // 1000 for name, quantity in found.items()})


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, SENTINEL])
def test_what_is_no_count_is_not_counted_and_not_covered(value: float) -> None:
    """Ten minutes of one pod of two are unknown: that half of the time is not covered, and it is told."""
    broken = Life("a", 0, 600, uid="a"), Life("a", 600, 1200, value, "a"), Life("a", 1200, 3600, uid="a")
    reading = read(*broken, Life("b", 0, 3600, uid="b"))
    assert billed(reading) == {"a": 3000, "b": 3600}
    assert [one.covered_seconds for one in reading.coverage.values()] == [750, 750, 900, 900]
    assert any("no count of devices" in problem for problem in reading.problems)
    assert reading.head == HOUR.end


def test_one_of_many_is_a_small_doubt_and_never_none() -> None:
    """One broken series does not switch off what can be known of a hundred others."""
    others = [Life(f"p{n}", 0, 3600, uid=f"p{n}") for n in range(99)]
    reading = read(Life("a", -900, 3600, math.nan, "a"), *others)
    assert billed(reading).total() == 99 * 3600
    assert [one.covered_seconds for one in reading.coverage.values()] == [891] * 4
    assert all(one.percent == 99 for one in reading.coverage.values())


def test_a_value_that_another_exporter_tells_is_in_no_doubt() -> None:
    """Of two that tell of one container, the one that makes sense is believed."""
    labels = {"namespace": "a", "pod": "p", "uid": "u", "container": "c", "node": "n", "resource": "r"}
    held, lost = holdings([series(labels, [30, 60], [math.nan, 1.0]), series(labels, [30], [2.0])])
    assert [list(samples.units) for samples in held.values()] == [[2.0, 1.0]]
    assert not lost


def test_capacity_beside_what_makes_no_sense_is_not_idle() -> None:
    """Whoever asks for NaN devices may hold all that is left of them."""
    node = Machine("n", -2400, 6000, 4.0)
    broken = Life("a", -900, 1800, math.nan, "a"), Life("a", 1800, 6000, 1.0, "a")
    (idle,) = read(*broken, machines=(node,)).beside
    states: Counter[str | None] = Counter()
    for usage in idle.usages:
        states[usage.sku.dimension("state")] += usage.quantity // 1000
    assert states == {"unknown": 4 * 1800, "idle": 3 * 1800}


def test_samples_that_come_late_and_out_of_order_count_when_they_are_there() -> None:
    """What is asked again after a remote write has caught up is as if it had never been late."""
    late = [t for t in SCRAPES if not 600 <= t < 1800]
    first, again = read(Life("a", 0, 3600), scrapes=late), read(Life("a", 0, 3600))
    assert billed(first) == {"a": 2400}
    assert sum(one.covered_seconds for one in first.coverage.values()) == 2400
    assert billed(again) == {"a": 3600}
    assert all(one.percent == 100 for one in again.coverage.values())


def test_a_node_that_was_deleted_is_priced_as_what_it_was() -> None:
    """Its labels went with it, before anybody read them: the last that were scraped stand for its pods."""
    labels = {"label_nvidia_com_gpu_product": "NVIDIA-L4"}
    node = Machine("n", -2400, 1500, 1.0, labels=((-2400, labels),))
    reading = read(Life("a", 0, 1800), machines=(node,))
    assert billed(reading) == {"a": 1800}
    assert {usage.sku.dimension("gpuProduct") for usage in reading.usages} == {"NVIDIA-L4"}


def test_a_node_that_nobody_ever_described_is_told() -> None:
    """Its usage is counted, and has no product to be priced by."""
    reading = read(Life("a", 0, 1800))
    assert billed(reading) == {"a": 1800}
    assert {usage.sku.dimension("gpuProduct") for usage in reading.usages} == {None}
    assert any("--metric-labels-allowlist" in problem for problem in reading.problems)


def test_memory_beside_a_gpu_is_no_count_of_devices() -> None:
    """HAMi asks for MiB: 16,000 of them are neither a mistake nor in doubt."""
    who = {"namespace": "a", "pod": "p", "uid": "u", "container": "c", "node": "n"}
    asked = {"nvidia_com_gpu": 1.0, "nvidia_com_gpucores": 25.0, "nvidia_com_gpumem": 16_000.0}
    held, lost = holdings([series({**who, "resource": name}, [30], [units]) for name, units in asked.items()])
    ((key, samples),) = held.items()
    assert dict(key.told)["share"] == "1/4"
    assert list(samples.units) == [1.0]
    assert not lost


FAMILY = Family(name="servers", query="tokens", dimensions={"model": "model_name"})


def tokens(*counters: Ticks) -> Ticking:
    """Counters and the scrapes of an hour and a bit."""
    return Ticking(counters, list(range(-1200, 4801, 60)), 4800)


def count(source: PromSource) -> Reading:
    """The hour of them."""
    meter = CountedMeter("tokens", {FAMILY.name: FAMILY})
    scenes, moment = Scenes(source, MeterSettings()), (HOUR, BEGIN + 4800)
    return read_counters(scenes, moment, meter, Memory(), OwnerBook())


class Many:
    """A `PromSource` of ten thousand counters that differ in one label; the n-th counts n % 7, at once."""

    def time(self) -> float:
        """After the hour."""
        return BEGIN + 4800

    def query(self, _promql: str, _at: float) -> Result:
        """Nobody is told of."""
        return Result([])

    def query_range(self, _promql: str, start: int, end: int, step: int) -> Result:
        """Levels, and that all of it was scraped."""
        up = array("d", range(start, end + 1, step))
        times = array("d", (t for t in up if BEGIN + 3480 <= t <= BEGIN + 3600))
        values = [array("d", (5.0 + n * (t >= BEGIN + 3540) for t in times)) for n in range(7)]
        told = {"aibudget_family": FAMILY.name, "namespace": "team", "instance": "i"}
        models = [Series({**told, "model_name": f"m{n}"}, times, values[n % 7]) for n in range(10_000)]
        return Result([Series({"aibudget_family": UP}, up, up), *(models if times else ())])


def test_a_label_of_ten_thousand_values_is_ten_thousand_lines() -> None:
    """Each is its own and none is folded or lost: what may not grow is for those to say who add meters."""
    reading = count(Many())
    assert sum(usage.quantity for usage in reading.usages) == sum(n % 7 for n in range(10_000))
    assert len({usage.sku for usage in reading.usages}) == sum(n % 7 > 0 for n in range(10_000))


def test_counters_that_nobody_is_seen_to_scrape_are_told() -> None:
    """Where `up` was left out of a federation nothing is counted, nothing is covered, and it is said why."""
    told = [(t, 2.0 * t) for t in range(0, 4800, 60)]
    reading = count(replace(tokens(Ticks(FAMILY.name, {"instance": "i"}, told)), up=[]))
    assert reading.usages == ()
    assert {one.covered_seconds for one in reading.coverage.values()} == {0}
    assert any("Let `up` be where they are" in problem for problem in reading.problems)


@pytest.mark.parametrize("away", ["dcgm", "kepler"])
def test_what_two_exporters_tell_of_counts_once_while_one_is_away(away: str) -> None:
    """For 35 minutes one of them is not scraped, and what it counted then comes in one piece: of it nothing
    is left that the other has not told. Alone it would be all there is to be known.
    """
    times = range(-1200, 4801, 60)
    there = [t for t in times if not 900 < t <= 3000]
    labels = {"namespace": "team", "pod": "llm", "instance": "i"}
    both = [
        Ticks(name, labels, [(t, 500.0 * (t + 1200)) for t in (there if name == away else times)])
        for name in ("dcgm", "kepler")
    ]
    families = {
        name: Family(name=name, query=name, fixed={"component": "gpu"}) for name in ("dcgm", "kepler")
    }
    for told, several in ((both, families), ([both[0]], {"dcgm": families["dcgm"]})):
        scenes = Scenes(Ticking(told, list(times), 4800), MeterSettings())
        meter = CountedMeter("energy", several)
        reading = read_counters(scenes, (HOUR, BEGIN + 4800), meter, Memory(), OwnerBook())
        billed = sum(usage.quantity for usage in reading.usages)
        assert abs(billed - 500 * 3600) <= 500 * 3600 // 100
