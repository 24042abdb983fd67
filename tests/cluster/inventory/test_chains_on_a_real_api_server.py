"""Chains climbed on a real API server: metadata alone, and kinds that are not installed."""

import asyncio
from typing import Any

import pytest

from aibudget.inventory.climb import Climber
from aibudget.inventory.kubernetes import Cluster
from aibudget.inventory.owners import Child, OwnerLink
from aibudget.inventory.resource import DEPLOYMENTS, REPLICA_SETS
from aibudget.inventory.workload import Owner
from aibudget.sandbox.controlplane import ControlPlane

pytestmark = pytest.mark.cluster


def workload(name: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    references = [] if owner is None else [{**owner, "controller": True}]
    return {
        "metadata": {"name": name, "ownerReferences": references},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }


def test_a_chain_is_climbed(api_server: ControlPlane) -> None:
    """From a ReplicaSet to a Deployment, and to an InferenceService that this server does not know."""

    async def work() -> tuple[OwnerLink, ...]:
        async with await Cluster.connect(api_server.kubeconfig) as cluster:
            service = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService"}
            above = {**service, "name": "llm", "uid": "00000000-0000-0000-0000-000000000001"}
            made = await cluster.create(DEPLOYMENTS, workload("llm-predictor", above), "default")
            below = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm-predictor"}
            uid = made["metadata"]["uid"]
            await cluster.create(REPLICA_SETS, workload("llm-predictor-1", {**below, "uid": uid}), "default")
            got = await cluster.get(DEPLOYMENTS, "llm-predictor", "default", metadata_only=True)
            assert got is not None
            assert got["kind"] == "PartialObjectMetadata"
            assert "spec" not in got
            climber = Climber(cluster)
            await climber.climb([Child("default", "RayCluster", "none"), Child("default", "Job", "none")])
            return await climber.climb([Child("default", "ReplicaSet", "llm-predictor-1")])

    assert asyncio.run(work()) == (
        OwnerLink(Child("default", "ReplicaSet", "llm-predictor-1"), Owner("Deployment", "llm-predictor")),
        OwnerLink(Child("default", "Deployment", "llm-predictor"), Owner("InferenceService", "llm")),
    )
