"""From a workload to what a person made, by the API server's word where metrics tell nothing."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from aibudget.inventory.climb import MOST, PATIENCE, Climber
from aibudget.inventory.kubernetes import Forbidden, Json, NotServed, Unavailable
from aibudget.inventory.lineage import KIN, LABELS, named_by
from aibudget.inventory.owners import Child, OwnerBook, OwnerLink
from aibudget.inventory.resource import Resource
from aibudget.inventory.workload import Owner, Workload


@dataclass
class Api:
    """An API server with these objects (kind/name → metadata); some kinds it does not serve, or not to us."""

    objects: Mapping[str, Json]
    unserved: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()
    down: bool = False
    asked: list[str] = field(default_factory=list)

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, metadata_only: bool = False
    ) -> Json | None:
        """Metadata alone, which is all that climbing may ask for."""
        assert metadata_only
        key = f"{resource.kind}/{name}"
        self.asked.append(key)
        if self.down:
            raise Unavailable("APIServerUnreachable", "down")
        if resource.kind in self.unserved:
            raise NotServed("NotServed", "unknown kind")
        if resource.kind in self.forbidden:
            raise Forbidden("Forbidden", "no")
        found = self.objects.get(key)
        return None if found is None else {"metadata": {"name": name, "namespace": namespace, **found}}


def owned(kind: str, name: str) -> dict[str, Any]:
    """An object with a controller, and another owner that is none."""
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "o"}
    return {"ownerReferences": [other, {"kind": kind, "name": name, "uid": "u", "controller": True}]}


def child(kind: str, name: str) -> Child:
    return Child("team", kind, name)


def climb(api: Api, *ends: Child, cycles: int = 1) -> tuple[OwnerLink, ...]:
    async def work() -> tuple[OwnerLink, ...]:
        climber = Climber(api)
        for _ in range(cycles - 1):
            await climber.climb(ends)
        return await climber.climb(ends)

    return asyncio.run(work())


CHAINS: tuple[tuple[str, ...], ...] = (
    ("Deployment/llm", "InferenceService/llm"),
    ("Deployment/llm-1", "Revision/llm-1", "Configuration/llm", "Service/llm", "InferenceService/llm"),
    ("Deployment/kserve", "LLMInferenceService/kserve"),
    ("RayCluster/x-abc", "RayJob/x"),
    ("RayCluster/y-abc", "RayService/y"),
    ("JobSet/t", "TrainJob/t"),
    ("StatefulSet/nb", "Notebook/nb"),
    ("StatefulSet/group-0", "Pod/group-0", "StatefulSet/group", "LeaderWorkerSet/group"),
    ("Deployment/nim", "NIMService/nim"),
    ("Workflow/nightly-1", "CronWorkflow/nightly"),
    ("Deployment/alone",),
)


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain[-1])
def test_a_chain_is_climbed_to_its_top(chain: tuple[str, ...]) -> None:
    """Each object is asked for once, and the last is known to have nothing above it."""
    above = pairwise(chain)
    objects: dict[str, Json] = {one: owned(*other.split("/")) for one, other in above}
    api = Api({**objects, chain[-1]: {}})
    bottom, top = (Workload("team", *end.split("/")) for end in (chain[0], chain[-1]))
    book = OwnerBook()
    links = climb(api, *book.ends([bottom]))
    assert api.asked == list(chain)
    known = book.with_links(links)
    assert known.top(bottom) == top
    assert not known.ends([bottom])


@pytest.mark.parametrize("kind", ["PyTorchJob", "TFJob", "MPIJob", "Rollout", "SparkApplication"])
def test_kinds_that_hold_pods_themselves_are_known(kind: str) -> None:
    """They are workloads on their own, and it is asked whether something made them."""
    links = climb(Api({f"{kind}/x": owned("Workflow", "w"), "Workflow/w": {}}), child(kind, "x"))
    assert OwnerLink(child(kind, "x"), Owner("Workflow", "w")) in links


def test_a_label_stands_in_for_an_owner() -> None:
    """A RayCluster of a RayService, and a Deployment of KServe, say so even without a reference."""
    labels = {"ray.io/originated-from-cr-name": "y", "ray.io/originated-from-crd": "RayService"}
    links = climb(Api({"RayCluster/y-abc": {"labels": labels}}), child("RayCluster", "y-abc"))
    assert links == (OwnerLink(child("RayCluster", "y-abc"), Owner("RayService", "y")),)


@pytest.mark.parametrize("kind", ["Pod", "Job", "ReplicaSet"])
def test_a_label_never_says_whose_a_pod_is(kind: str) -> None:
    """Labels are anybody's to write: a Job that could be stopped must not vanish behind one."""
    labels = {"jobset.sigs.k8s.io/jobset-name": "other"}
    links = climb(Api({f"{kind}/x": {"labels": labels}}), child(kind, "x"))
    assert links == (OwnerLink(child(kind, "x"), None),)


def test_an_object_is_not_its_own_owner() -> None:
    """A RayCluster carries its own name as a label."""
    labels = {"ray.io/cluster": "mine", "ray.io/originated-from-crd": "RayCluster"}
    links = climb(Api({"RayCluster/mine": {"labels": labels}}), child("RayCluster", "mine"))
    assert links == (OwnerLink(child("RayCluster", "mine"), None),)


@pytest.mark.parametrize("how", ["unserved", "forbidden", "gone"])
def test_what_cannot_be_told_stays_unknown(how: str) -> None:
    """It is no link that says "nothing above", and it is not asked for again in every cycle."""
    kinds = frozenset({"RayCluster"})
    unserved, forbidden = (kinds if how == one else frozenset() for one in ("unserved", "forbidden"))
    api = Api({}, unserved=unserved, forbidden=forbidden)
    assert climb(api, child("RayCluster", "a"), cycles=3) == ()
    assert api.asked == ["RayCluster/a"]
    climb(api, child("RayCluster", "a"), cycles=PATIENCE + 2)
    assert len(api.asked) == 3


def test_a_name_that_is_none_is_asked_for_once() -> None:
    """Metrics may name anything; the others are learnt all the same."""

    class Strict(Api):
        async def get(
            self, resource: Resource, name: str, namespace: str | None = None, *, metadata_only: bool = False
        ) -> Json | None:
            resource.path(namespace, name)
            return await super().get(resource, name, namespace, metadata_only=metadata_only)

    api = Strict({"Deployment/web": {}})
    odd = [child("Deployment", "../secrets"), Child("", "Deployment", "x"), child("Deployment", "web")]
    assert climb(api, *odd, cycles=3) == (OwnerLink(child("Deployment", "web"), None),)


def test_an_older_version_is_asked_as_well() -> None:
    """Clusters serve a kind in the version that they have."""

    class Older(Api):
        async def get(
            self, resource: Resource, name: str, namespace: str | None = None, *, metadata_only: bool = False
        ) -> Json | None:
            if resource.api_version == "kubeflow.org/v2beta1":
                raise NotServed("NotServed", "not in this version")
            return await super().get(resource, name, namespace, metadata_only=metadata_only)

    links = climb(Older({"MPIJob/x": owned("Workflow", "w")}), child("MPIJob", "x"))
    assert links == (OwnerLink(child("MPIJob", "x"), Owner("Workflow", "w")),)


def test_an_unknown_kind_ends_the_chain() -> None:
    """Nobody knows where such an object is served."""
    links = climb(Api({"Deployment/a": owned("Platform", "p")}), child("Deployment", "a"))
    assert links == (OwnerLink(child("Deployment", "a"), Owner("Platform", "p")),)


def test_one_cycle_asks_for_few() -> None:
    """A cluster of thousands is learnt over some cycles."""
    api = Api({})
    climb(api, *(child("Deployment", str(n)) for n in range(3 * MOST)))
    assert len(api.asked) == MOST
    climb(api, *(child("Deployment", str(n)) for n in range(3 * MOST)), cycles=4)
    assert len(set(api.asked)) == 3 * MOST


def test_an_api_server_that_is_away_says_nothing() -> None:
    """Its silence is told, and not taken for an answer."""
    with pytest.raises(Unavailable):
        climb(Api({}, down=True), child("Deployment", "a"))


def test_the_outermost_label_names_the_whole() -> None:
    """A pod of KServe on Knative carries both names."""
    labels = {"serving.knative.dev/service": "llm-predictor", "serving.kserve.io/inferenceservice": "llm"}
    assert named_by(labels) == Owner("InferenceService", "llm")
    assert named_by({"app.kubernetes.io/name": "web"}) is None
    part_of = {"app.kubernetes.io/name": "chat", "app.kubernetes.io/part-of": "llminferenceservice"}
    assert named_by(part_of) == Owner("LLMInferenceService", "chat")
    assert set(part_of) <= set(LABELS)


def test_each_kind_is_one_row() -> None:
    """Two rows of a kind would ask in two places."""
    assert len({kin.kind for kin in KIN}) == len(KIN)
