"""What all meters of a process share: one book of owners, and the labels of pods, each asked for once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from aibudget.controller.sources import EXPORTED_SECONDS, FORGET_SECONDS, PODS_KEPT_SECONDS, Upstream
from aibudget.inventory.owners import Child, OwnerLink
from aibudget.inventory.workload import Owner, PodKey, Workload
from aibudget.ledger.store import Ledger
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import Interval, slot_of
from aibudget.metering.source import PrometheusUnavailable, Result, Series
from aibudget.metering.usage import Reading, Usage
from unit.controller.meters import H100, LLM, MIDNIGHT
from unit.ledger.blank import blank
from unit.metering.fake import series

POD = PodKey("team", "llm-1-x", "u")
LINKS = (
    OwnerLink(Child.of(POD), Owner("ReplicaSet", "llm-1")),
    OwnerLink(Child("team", "ReplicaSet", "llm-1"), Owner("Deployment", "llm")),
)
SLOT = Interval(MIDNIGHT, MIDNIGHT + 900)


class Told:
    """A Prometheus that tells of the labels of one pod, and of the time."""

    def __init__(self) -> None:
        self.now = float(MIDNIGHT + 1000)
        self.asked = 0
        self.times = 0
        self.down = False
        self.pods = True

    def begin(self) -> None:
        """Nothing to spend."""

    def time(self) -> float:
        """As it is set."""
        self.times += 1
        if self.down:
            raise PrometheusUnavailable("away")
        return self.now

    def query(self, promql: str, at: float) -> Result:
        """One pod with one label."""
        self.asked += 1
        return Result([self._pod(at)] if self.pods else [])

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        """The same at the end of each slot."""
        assert (start, end, step) == (SLOT.end, SLOT.end, 900), promql
        return self.query(promql, end)

    def _pod(self, at: float) -> Series:
        labels = {"namespace": "team", "pod": POD.name, "uid": POD.uid, "label_tier": "gold"}
        return series(labels, [at], [1.0])


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def upstream(tmp_path: Path, told: Told) -> Iterator[Upstream]:
    """With one label that is asked for."""
    ledger = Ledger.open(blank(tmp_path / "l.db"), "test")
    yield Upstream(told, MeterSettings(workload_labels=("tier",)), ledger, lambda: told.now)  # type: ignore[arg-type]
    ledger.close()


def test_labels_are_asked_for_once_for_all_meters(upstream: Upstream, told: Told) -> None:
    """And again when a new cycle begins: they may have changed."""
    for _ in range(2):
        reading = Reading(SLOT, (Usage(MIDNIGHT, LLM, H100, 1),), {}, SLOT.end, links=LINKS)
        (usage,) = upstream.read(SLOT, lambda reading=reading: reading).usages  # type: ignore[misc]
        assert usage.labels == (("tier", "gold"),)
    assert told.asked == 1
    upstream.begin()
    upstream.read(SLOT, lambda: Reading(SLOT, (), {}, SLOT.end))
    assert told.asked == 2


def test_labels_of_selectors_are_kept_also_where_a_pod_has_none(upstream: Upstream, told: Told) -> None:
    """In the namespaces that they are about, once anybody tells of the label: else it is unknown."""

    def kept(interval: Interval, *namespaces: str) -> list[dict[str, str]]:
        upstream.begin()
        workloads = [Workload(one, "Deployment", "bare") for one in namespaces]
        usages = tuple(Usage(interval.start, of, H100, 1) for of in workloads)
        reading = Reading(interval, usages, {}, None, links=LINKS)
        return [dict(usage.labels) for usage in upstream.read(interval, lambda: reading).usages]

    upstream.select({"team": frozenset({"tier", "unheard-of"})})
    assert kept(SLOT, "team", "other") == [{"tier": ""}, {}]
    told.pods = False
    newest, past = Interval(SLOT.start, SLOT.end + 60), SLOT
    assert kept(newest, "team") == [{"tier": ""}], "a job that is not running now"
    assert kept(past, "team") == [{}], "nobody told of it at that time"
    told.now += EXPORTED_SECONDS + 1
    later = Interval(slot_of(int(told.now)), int(told.now))
    assert kept(later, "team") == [{}], "nobody has told of it for long"


def test_a_prometheus_that_is_away_is_waited_for_once(upstream: Upstream, told: Told) -> None:
    """Not by each meter anew, or a cycle would take as many time-outs; the next cycle asks again."""
    told.down = True
    for _ in range(5):
        with pytest.raises(PrometheusUnavailable):
            upstream.time()
    assert told.times == 1
    told.down = False
    upstream.begin()
    assert upstream.time() == told.now


def test_single_pods_are_let_go_of_after_a_while(upstream: Upstream, told: Told) -> None:
    """They are asked for anew if they still run; what owns them is kept."""
    upstream.time()
    upstream.remember(LINKS, int(told.now))
    for _ in range(PODS_KEPT_SECONDS // FORGET_SECONDS + 1):
        assert upstream.owners.knows(Child.of(POD))
        told.now += FORGET_SECONDS
        upstream.begin()
        upstream.time()
    assert not upstream.owners.knows(Child.of(POD))
    assert upstream.owners.knows(Child("team", "ReplicaSet", "llm-1"))


def test_a_book_that_a_reading_made_is_taken_as_it_is(upstream: Upstream, told: Told) -> None:
    """The book of a hundred thousand pods is not made twice; its links are stored all the same."""
    book = upstream.owners.with_links(LINKS)
    upstream.read(SLOT, lambda: Reading(SLOT, (), {}, SLOT.end, links=LINKS, owners=book))
    assert upstream.owners is book
    told.now += FORGET_SECONDS
    upstream.begin()
    upstream.time()
    assert upstream.owners is not book
    assert upstream.owners.knows(Child.of(POD))
