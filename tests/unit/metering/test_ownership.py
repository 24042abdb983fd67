"""Owners of pods, whichever meter found them."""

from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import PodKey, Workload
from aibudget.metering.ownership import learn
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import Interval
from unit.metering.fake import BEGIN, FakePrometheus, Life, every

HOUR = Interval(BEGIN, BEGIN + 3600)
QUERIES = MeterSettings().queries
SET = ("ReplicaSet", "web-1")


def prometheus() -> FakePrometheus:
    lives = [
        Life("web-1-x", 0, 3600, uid="u", owner=SET),
        Life("other", 0, 3600, uid="v", owner=("Job", "other")),
    ]
    return FakePrometheus(lives, every(30, 0, 3600), replica_sets={"web-1": ("Deployment", "web")})


def test_a_pod_without_uid_is_known_by_name() -> None:
    """A server's own metrics tell no uid; its pod has the owner that the pod with the uid has."""
    pods = [PodKey("team", "web-1-x", "u"), PodKey("team", "web-1-x", "")]
    book = learn(prometheus(), QUERIES, HOUR, pods, OwnerBook())
    assert [book.resolve(pod).workload for pod in pods] == [Workload("team", "Deployment", "web")] * 2


def test_a_second_meter_asks_for_nothing() -> None:
    """The owners that one meter learnt serve all others."""
    source = prometheus()
    pods = [PodKey("team", "web-1-x", "")]
    book = learn(source, QUERIES, HOUR, pods, OwnerBook())
    asked = len(source.asked)
    assert learn(source, QUERIES, HOUR, pods, book) == book
    assert len(source.asked) == asked


def test_pods_nobody_asked_for_are_left_out() -> None:
    """An answer may hold more than was asked for; the ledger is not to keep it."""
    book = learn(prometheus(), QUERIES, HOUR, [PodKey("team", "web-1-x", "u")], OwnerBook())
    assert {link.child.name for link in book.links()} == {"web-1-x", "web-1"}


def test_pods_are_kept_as_who_asked_has_them() -> None:
    """A hundred thousand of them need not be there twice."""
    pod = PodKey("team", "web-1-x", "u")
    book = learn(prometheus(), QUERIES, HOUR, [pod], OwnerBook())
    assert any(known is pod for known in book.owners)
