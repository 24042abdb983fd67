"""Devices held by ResourceClaims are held: they prove what metrics say of a workload."""

import asyncio
from typing import Any

from aibudget.enforcement.pods import Pods, read_pods
from aibudget.inventory.claims import FOR_A_REQUEST
from aibudget.inventory.kubernetes import NotServed, Objects, Slim
from aibudget.inventory.resource import PODS, RESOURCE_CLAIMS, Resource


class Listed:
    """A `Lister` over objects by kind; None is a kind that is not served."""

    def __init__(self, claims: list[dict[str, Any]] | None, *pods: dict[str, Any]) -> None:
        self._objects = {PODS.plural: list(pods), RESOURCE_CLAIMS.plural: claims}
        self.asked: list[str] = []

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
        slim: Slim | None = None,
    ) -> Objects:
        self.asked.append(resource.plural)
        objects = self._objects.get(resource.plural, [])
        if objects is None:
            raise NotServed("NotServed", "no such kind")
        return objects if slim is None else [kept for obj in objects if (kept := slim(obj)) is not None]


def pod(uid: str, *, claims: bool, gpus: int = 0) -> dict[str, Any]:
    """A running pod of the StatefulSet `set`."""
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    claimed = {"resourceClaims": [{"name": "device", "resourceClaimName": "c"}]} if claims else {}
    owner = {"kind": "StatefulSet", "name": "set", "uid": "set", "controller": True}
    return {
        "metadata": {"name": uid, "namespace": "team", "uid": uid, "ownerReferences": [owner]},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "resources": {"limits": limits}}], **claimed},
        "status": {"phase": "Running"},
    }


def held(driver: str, devices: int, *uids: str) -> dict[str, Any]:
    """A claim on so many devices, reserved for these pods."""
    results = [{"driver": driver, "pool": "n", "device": f"gpu-{n}"} for n in range(devices)]
    return {
        "metadata": {"name": "c", "namespace": "team"},
        "status": {
            "allocation": {"devices": {"results": results}},
            "reservedFor": [{"resource": "pods", "name": uid, "uid": uid} for uid in uids],
        },
    }


def accelerators(listed: Listed) -> list[int]:
    """What each pod of the StatefulSet holds."""
    pods: Pods = asyncio.run(read_pods(listed))
    return sorted(one.accelerators for one in pods.of("set"))


def test_a_pod_holds_what_its_claims_hold() -> None:
    """Beside what it requests, and each pod of a shared claim all of it."""
    claims = [held("gpu.nvidia.com", 2, "a", "b"), held("gpu.nvidia.com", 1, "b")]
    both = (pod("a", claims=True), pod("b", claims=True, gpus=1))
    assert accelerators(Listed(claims, *both)) == [2, 4]


def test_claims_on_other_things_are_no_accelerators() -> None:
    """A network card is none, nor is a claim without an allocation."""
    claims = [held("nic.example.com", 1, "a"), held("gpu.nvidia.com", 0, "a")]
    assert accelerators(Listed(claims, pod("a", claims=True))) == []


def test_what_a_claim_serves_is_held_once() -> None:
    """Be the request one that is known by its name, or by the name of a class of devices alone."""
    claims = [held("gpu.nvidia.com", 2, "a"), held("gpu.nvidia.com", 3, "b"), held("gpu.nvidia.com", 1, "b")]
    for one in claims[:2]:
        one["metadata"]["annotations"] = {FOR_A_REQUEST: "true"}
    asks = (pod("a", claims=False, gpus=2), pod("b", claims=True))
    for one in asks:
        one["status"]["extendedResourceClaimStatus"] = {"resourceClaimName": "c", "requestMappings": []}
    assert accelerators(Listed(claims, *asks)) == [2, 4]


def test_where_claims_are_not_served_requests_count_alone() -> None:
    """That an API server is older than claims stops no enforcement."""
    both = (pod("a", claims=True), pod("b", claims=True, gpus=1))
    assert accelerators(Listed(None, *both)) == [1]


def test_claims_are_asked_for_only_where_a_pod_has_one() -> None:
    """Most clusters have none."""
    listed = Listed([], pod("a", claims=False, gpus=1))
    assert accelerators(listed) == [1]
    assert RESOURCE_CLAIMS.plural not in listed.asked
