"""What is not scraped is unknown; a short gap is bridged, and both are said."""

import pytest

from aibudget.metering.coverage import Grid, Sighting, known
from aibudget.metering.meter import gpu_parts, read_gpu
from aibudget.metering.scene import MeterSettings, Scenes
from aibudget.metering.slots import Interval
from unit.metering.fake import BEGIN, FakePrometheus, Life, every

HOUR = Interval(BEGIN, BEGIN + 3600)
AROUND = 1200


def reading(missing: range, *lives: Life, end: int = 3600 + AROUND):  # type: ignore[no-untyped-def]
    """An hour, read with a hole in its scrapes."""
    scrapes = every(30, -AROUND, end, missing=lambda t: t in missing)
    return read_gpu(FakePrometheus(lives, scrapes), HOUR, MeterSettings())


def test_a_full_hour_is_whole() -> None:
    """Without a gap every second is billed and nothing is estimated."""
    whole = reading(range(0), Life("a", -900, 9000, units=2))
    assert sum(usage.quantity for usage in whole.usages) == 2 * 3_600_000
    assert not any(usage.estimated for usage in whole.usages)
    assert whole.head == HOUR.end
    assert whole.step == 30
    assert whole.scrape_interval == 30


@pytest.mark.parametrize("seconds", [30, 60, 270, 300])
def test_a_short_gap_is_bridged(seconds: int) -> None:
    """Up to five minutes, what was held on both sides goes on, as an estimate; the time counts as known."""
    filled = reading(range(1000, 1000 + seconds), Life("a", -900, 9000))
    assert sum(usage.quantity for usage in filled.usages) == 3_600_000
    assert 0 < sum(usage.estimated for usage in filled.usages) <= seconds * 1000
    assert all(coverage.percent == 100 for coverage in filled.coverage.values())


def test_a_longer_gap_is_unknown() -> None:
    """Beyond five minutes nothing is made up."""
    holed = reading(range(1000, 1390), Life("a", -900, 9000))
    billed = sum(usage.quantity for usage in holed.usages)
    covered = sum(coverage.covered_seconds for coverage in holed.coverage.values())
    assert billed == covered * 1000 < 3_600_000
    assert not any(usage.estimated for usage in holed.usages)


def test_only_the_same_life_is_bridged() -> None:
    """A pod that came back under its name with another uid did not run through the gap."""
    lives = Life("db-0", -900, 1020, uid="a"), Life("db-0", 1100, 9000, uid="b")
    filled = reading(range(1000, 1120), *lives)
    assert not any(usage.estimated for usage in filled.usages)


def test_a_gap_at_the_head_is_not_bridged() -> None:
    """Nobody knows yet what comes after it: the head stays where the scrapes end."""
    open_end = reading(range(3000, 9000), Life("a", -900, 9000))
    assert open_end.head == BEGIN + 3000
    assert sum(usage.quantity for usage in open_end.usages) == 3_000_000


def test_a_pod_that_ends_in_a_gap_is_billed_to_its_last_scrape() -> None:
    """The part of the gap that it may have run is not guessed."""
    short = reading(range(1000, 1120), Life("a", 600, 1050))
    assert sum(usage.quantity for usage in short.usages) == 14 * 30_000


def shard(t: int, nodes: float, **instances: float) -> tuple[int, Sighting]:
    """One instant's sighting."""
    return t, Sighting(instances=instances, clusters={""}, nodes=nodes)


def test_a_lost_shard_is_a_gap() -> None:
    """While a shard is away its pods are unknown, until another instance takes its place."""
    grid = Grid(Interval(0, 1800), 30)
    seen = dict(shard(t, 10, a=5, b=5) for t in range(30, 600, 30))
    seen |= dict(shard(t, 5, a=5) for t in range(600, 1200, 30))
    seen |= dict(shard(t, 10, a=5, c=5) for t in range(1200, 1801, 30))
    assert sorted(set(grid.instants) - known(grid, seen).covered) == list(range(600, 1200, 30))


def test_one_of_two_that_tell_the_same_is_not_missed() -> None:
    """Neither a roll-over nor the end of a second replica is a gap, nor are nodes that leave."""
    grid = Grid(Interval(0, 900), 30)
    seen = dict(shard(t, 10, a=10, b=10) for t in range(30, 300, 30))
    seen |= dict(shard(t, 10, b=10) for t in range(300, 600, 30))
    seen |= dict(shard(t, 3, b=3) for t in range(600, 901, 30))
    assert known(grid, seen).covered == frozenset(grid.instants)


def test_nodes_that_leave_with_one_of_two_are_not_missed() -> None:
    """Where the one that stays no longer tells of them either, they are gone, and no shard is."""
    grid = Grid(Interval(0, 900), 30)
    seen = dict(shard(t, 10, a=10, b=10) for t in range(30, 300, 30))
    seen |= dict(shard(t, 3, b=3) for t in range(300, 901, 30))
    assert known(grid, seen).covered == frozenset(grid.instants)


def test_what_comes_back_was_missing_before() -> None:
    """A reading that begins while a shard is away learns of it when it is back; a new replica is no shard."""
    grid = Grid(Interval(0, 900), 30)
    seen = dict(shard(t, 5, a=5) for t in range(30, 300, 30))
    back = seen | dict(shard(t, 10, a=5, b=5) for t in range(300, 901, 30))
    assert sorted(known(grid, back).covered) == list(range(300, 901, 30))
    joined = seen | dict(shard(t, 5, a=5, b=5) for t in range(300, 901, 30))
    assert known(grid, joined).covered == frozenset(grid.instants)


def test_a_shard_without_nodes_is_missed() -> None:
    """It tells of pods and of no node: that it could not be scraped is all that is known of it."""
    grid = Grid(Interval(0, 900), 30)
    seen = dict(shard(t, 10, a=5, b=5) for t in range(30, 901, 30))
    for t in range(300, 600, 30):
        seen[t].down.add("c")
    assert sorted(set(grid.instants) - known(grid, seen).covered) == list(range(300, 600, 30))
    spare = dict(shard(t, 10, a=10) for t in range(30, 901, 30))
    for one in spare.values():
        one.down.add("b")
    assert known(grid, spare).covered == frozenset(grid.instants)


@pytest.mark.parametrize(("hours", "covered"), [(2, 0), (26, 900)])
def test_a_shard_that_stays_away_is_missed_in_each_reading(hours: int, covered: int) -> None:
    """A cycle looks back no further than a quarter of an hour or so. After a day what is there is all."""
    source = FakePrometheus([Life("a", -900, 200_000)], every(30, -AROUND, 200_000), shards={"a": (1, 10**9)})
    source.shards["b"] = (1, 600)
    scenes = Scenes(source, MeterSettings())
    for start in (0, 900, 900 + 3600 * hours):
        (reading,) = gpu_parts(scenes, Interval(BEGIN + start, BEGIN + start + 900))
        scenes.forget()
    assert [one.covered_seconds for one in reading.coverage.values()] == [covered]
