"""The `gpu` meter's answers to what Prometheus can say of a cluster."""

import math
from collections import Counter

import pytest

from aibudget.errors import Stalled
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import Workload
from aibudget.metering.holding import holdings
from aibudget.metering.meter import read_gpu, read_parts
from aibudget.metering.scene import MeterSettings, Scrape
from aibudget.metering.slots import Interval
from unit.metering.fake import BEGIN, FakePrometheus, Life, every, family, series

HOUR = Interval(BEGIN, BEGIN + 3600)
SCRAPES = every(30, -2400, 6000)


def test_the_direct_owner_is_followed_up() -> None:
    """A pod is charged to its Deployment, and the links are there to be kept."""
    source = FakePrometheus(
        [Life("web-1-x", 0, 3600, uid="u", owner=("ReplicaSet", "web-1"))],
        SCRAPES,
        replica_sets={"web-1": ("Deployment", "web"), "other": ("Deployment", "other")},
    )
    reading = read_gpu(source, HOUR, MeterSettings())
    assert {usage.workload for usage in reading.usages} == {Workload("team", "Deployment", "web")}
    assert {link.child.name for link in reading.links} == {"web-1-x", "web-1"}

    source.asked.clear()
    again = read_gpu(source, HOUR, MeterSettings(), OwnerBook.of(reading.links))
    assert again.usages == reading.usages
    assert again.links == ()
    assert not any("owner" in promql for promql in source.asked)


def test_the_number_of_queries_does_not_grow() -> None:
    """One part asks at most nine times, be it for one pod or for hundreds."""
    lives = [Life(f"p{n}", 0, 3600, uid=str(n), owner=("ReplicaSet", f"r{n}")) for n in range(300)]
    source = FakePrometheus(lives, SCRAPES, replica_sets={f"r{n}": ("Deployment", "d") for n in range(300)})
    read_gpu(source, HOUR, MeterSettings())
    assert len(source.asked) <= 9, Counter(map(family, source.asked))


def test_several_clusters_stall() -> None:
    """Namesakes of another cluster must not be charged here."""
    source = FakePrometheus([Life("a", 0, 3600)], SCRAPES, clusters=("one", "two"))
    with pytest.raises(Stalled, match="cluster matchers") as stalled:
        read_gpu(source, HOUR, MeterSettings())
    assert stalled.value.reason == "AmbiguousCluster"


def test_no_source_is_unknown() -> None:
    """Without kube-state-metrics nothing is covered, which is not nothing used."""
    source = FakePrometheus([], every(30, 90_000, 96_000))
    reading = read_gpu(source, HOUR, MeterSettings())
    assert reading.head is None
    assert [coverage.covered_seconds for coverage in reading.coverage.values()] == [0, 0, 0, 0]
    assert "kube-state-metrics" in reading.problems[0]


def test_one_scrape_is_not_enough() -> None:
    """How often it is scraped cannot be known yet, so how long a sample stands for cannot either."""
    reading = read_gpu(FakePrometheus([Life("a", 0, 3600)], [3590.0]), HOUR, MeterSettings())
    assert reading.head is None
    assert reading.usages == ()


@pytest.mark.parametrize(
    ("interval", "wanted", "step"),
    [
        (30.0, None, 30),
        (15.0, None, 30),
        (60.0, None, 60),
        (30.4, None, 30),
        (29.9, None, 30),
        (45.0, None, 45),
        (5.0, None, 5),
        (1.0, None, 1),
        (120.0, None, 150),
        (30.0, 60, 60),
        (60.0, 30, 60),
        (2000.0, None, 900),
    ],
)
def test_the_step_suits_the_scrapes(interval: float, wanted: int | None, step: int) -> None:
    """Never finer than the scrapes, and 30 s where they are faster but not hurried."""
    assert Scrape(interval, 0, 0).step(wanted) == step


def test_a_step_divides_a_slot() -> None:
    """Other steps would put a sample into two slots."""
    with pytest.raises(Stalled, match="does not divide 900"):
        MeterSettings(step=70)


def test_a_long_range_is_read_in_whole_slots() -> None:
    """Many pods make many parts, none of which cuts a slot in two."""
    assert Scrape(30.0, 6_000, 6_000).seconds(30) == 2700
    assert Scrape(30.0, 1_000_000, 1_000_000).seconds(30) == 900
    source = FakePrometheus([Life("a", 0, 3600)], every(30, -2400, 90_000 * 2))
    parts = list(read_parts(source, Interval(BEGIN + 900, BEGIN + 2 * 86_400), MeterSettings()))
    assert all(part.interval.start % 900 == part.interval.end % 900 == 0 for part in parts)
    assert parts[0].interval.start == BEGIN + 900
    assert parts[-1].interval.end == BEGIN + 2 * 86_400


def test_what_is_no_count_is_left_out() -> None:
    """NaN, infinities, negative and absurd values are dropped and counted, the rest of the series stays."""
    labels = {"namespace": "a", "pod": "p", "uid": "u", "container": "c", "node": "n", "resource": "r"}
    values = [1.0, math.nan, -1.0, math.inf, -math.inf, 1e9, 2.0]
    held, lost = holdings([series(labels, range(7), values)])
    (samples,) = held.values()
    assert sorted(lost) == [1, 2, 3, 4, 5]
    assert list(samples.units) == [1.0, 2.0]
    assert list(samples.times) == [0.0, 6.0]


def test_two_answers_on_one_container_count_once() -> None:
    """Where labels are renamed, two exporters tell of one container twice: the larger value stands."""
    common = {
        "exported_namespace": "a",
        "exported_pod": "p",
        "uid": "u",
        "exported_node": "n",
        "resource": "r",
    }
    twice = [series({**common, "pod": f"ksm-{n}"}, [30.0 * n, 60.0], [1.0, 1.0]) for n in (0, 1)]
    held, _ = holdings(twice)
    ((key, samples),) = held.items()
    assert key.pod == ("a", "p", "u")
    assert list(samples.times) == [0.0, 30.0, 60.0]
    assert list(samples.units) == [1.0, 1.0, 1.0]
