"""What labels say of namespaces and of pods, of their time and no more than they may."""

import pytest

from aibudget.inventory.owners import Child, OwnerBook, OwnerLink
from aibudget.inventory.workload import Owner, PodKey, Workload
from aibudget.metering.labels import PodLabels, Teams, Wanted, read_kin
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import Interval
from aibudget.metering.source import Result, Series
from aibudget.metering.usage import Reading, Usage, sku
from unit.metering.fake import BEGIN, FakePrometheus, series

HOUR = Interval(BEGIN, BEGIN + 3600)
POD = PodKey("team", "llm-1-x", "u")
IN_SET = OwnerLink(Child.of(POD), Owner("ReplicaSet", "llm-1"))
DEPLOYED = OwnerLink(Child("team", "ReplicaSet", "llm-1"), Owner("Deployment", "llm"))
DEPLOYMENT = Workload("team", "Deployment", "llm")
GPU = sku("gpu", {})
OLD, NEW = (("v", "1"),), (("v", "2"),)
CHAT = {"label_serving_kserve_io_inferenceservice": "chat"}


class Labelled(FakePrometheus):
    """A Prometheus that tells of one pod's labels."""

    labels: dict[str, str]

    def query(self, promql: str, at: float) -> Result:
        """The pod, whatever is asked."""
        assert "kube_pod_labels" in promql
        return Result([self._pod(at)])

    def _pod(self, at: float) -> Series:
        who = {"namespace": POD.namespace, "pod": POD.name, "uid": POD.uid}
        return series({**who, **self.labels}, [at], [1.0])


def kin(labels: dict[str, str], *links: OwnerLink) -> OwnerBook:
    """The book after a look at the labels."""
    source = Labelled([], [0.0])
    source.labels = labels
    return read_kin(source, MeterSettings().queries, HOUR, OwnerBook.of(links))


def test_a_label_goes_on_where_the_chain_ends() -> None:
    """It never says whose a pod is, and no owner that was seen gives way to it."""
    book = kin(CHAT, IN_SET, DEPLOYED)
    assert book.resolve(POD).workload == DEPLOYMENT
    assert book.top(DEPLOYMENT) == Workload("team", "InferenceService", "chat")
    revision = OwnerLink(Child("team", "Deployment", "llm"), Owner("Revision", "chat-1"))
    names = [(one.kind, one.name) for one in kin(CHAT, IN_SET, DEPLOYED, revision).chain(DEPLOYMENT)]
    assert names == [("Deployment", "llm"), ("Revision", "chat-1"), ("InferenceService", "chat")]


@pytest.mark.parametrize(
    "links", [(), (IN_SET,), (OwnerLink(Child.of(POD), None),)], ids=["strange", "half-known", "bare"]
)
def test_a_label_makes_nobody_an_owner(links: tuple[OwnerLink, ...]) -> None:
    """A pod of no known workload, a ReplicaSet and a bare pod stay what they are."""
    book = kin(CHAT, *links)
    assert book.links() == OwnerBook.of(links).links()


def test_a_workload_that_is_named_is_not_its_own_part() -> None:
    """Nor is what stands in its chain already."""
    above = OwnerLink(Child("team", "Deployment", "llm"), Owner("InferenceService", "chat"))
    top = OwnerLink(Child("team", "InferenceService", "chat"), Owner("Platform", "p"))
    book = kin(CHAT, IN_SET, DEPLOYED, above, top)
    assert book.top(DEPLOYMENT) == Workload("team", "Platform", "p")


def test_usage_is_told_with_the_labels_of_most_pods() -> None:
    """During a rollout a workload has two versions of a label; what has none has none."""
    other = PodKey("team", "llm-1-y", "v")
    pods = {POD: NEW, other: OLD, PodKey("team", "llm-1-z", "w"): NEW, PodKey("x", "stranger", "s"): OLD}
    owned = [
        OwnerLink(Child.of(pod), Owner("ReplicaSet", "llm-1")) for pod in pods if pod.namespace == "team"
    ]
    book = OwnerBook.of([*owned, DEPLOYED])
    alone = Workload("team", "StatefulSet", "db")
    reading = Reading(HOUR, tuple(Usage(BEGIN, of, GPU, 1) for of in (DEPLOYMENT, alone)), {}, None)
    told = PodLabels(Wanted(("v",)), [(BEGIN, *one) for one in pods.items()]).on(reading, book)
    assert [usage.labels for usage in told.usages] == [NEW, ()]
    assert told.problems == ()
    (said,) = PodLabels(Wanted(("v",)), ()).on(reading, book).problems
    assert "--metric-labels-allowlist=pods=[v]" in said


def test_a_team_is_known_from_slot_to_slot() -> None:
    """The last known before, else the first after; of two in one slot the new one."""
    slot = 900
    told = [("a", slot, "old"), ("a", 2 * slot, "old"), ("a", 2 * slot, "new"), ("a", 3 * slot, "new")]
    teams = Teams([*told, ("b", 5 * slot, "late")])
    assert [teams.of("a", n * slot) for n in range(5)] == ["old", "old", "new", "new", "new"]
    assert teams.of("b", 0) == "late"
    assert teams.of("c", 0) == ""
    assert teams
    assert not Teams()
