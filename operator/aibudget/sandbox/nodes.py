"""The sandbox's GPU nodes: as their clouds and NVIDIA's labellers would describe them, made Ready by kwok."""

from collections.abc import Sequence
from dataclasses import dataclass

from aibudget.sandbox.client import JsonObject, KubernetesClient
from aibudget.sandbox.process import wait_until

GPU = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class NodeShape:
    """An instance type: what a node of it offers. `product` is the label value of GPU feature discovery."""

    instance_type: str
    product: str
    gpus: int
    gpu_memory_mib: int
    cpus: int
    memory_gib: int


P5 = NodeShape("p5.48xlarge", "NVIDIA-H100-80GB-HBM3", 8, 81559, 192, 2048)
G6 = NodeShape("g6.12xlarge", "NVIDIA-L4", 4, 23034, 48, 192)
SMALL_CLUSTER: tuple[tuple[str, NodeShape], ...] = (
    ("h100-1", P5),
    ("h100-2", P5),
    ("l4-1", G6),
    ("l4-2", G6),
)


def node(name: str, shape: NodeShape, *, capacity_type: str = "on-demand") -> JsonObject:
    """A Node manifest in us-east-1, capacity included."""
    offered = {
        "cpu": str(shape.cpus),
        "memory": f"{shape.memory_gib}Gi",
        "ephemeral-storage": "1000Gi",
        "pods": "110",
        GPU: str(shape.gpus),
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": shape.instance_type,
                "topology.kubernetes.io/region": "us-east-1",
                "topology.kubernetes.io/zone": "us-east-1a",
                "karpenter.sh/capacity-type": capacity_type,
                "nvidia.com/gpu.product": shape.product,
                "nvidia.com/gpu.count": str(shape.gpus),
                "nvidia.com/gpu.memory": str(shape.gpu_memory_mib),
                "nvidia.com/mig.strategy": "single",
                "nvidia.com/gpu.sharing-strategy": "none",
                "nvidia.com/gpu.replicas": "1",
            },
        },
        "spec": {"providerID": f"aws:///us-east-1a/i-{name}"},
        "status": {"capacity": offered, "allocatable": offered},
    }


def add_nodes(
    client: KubernetesClient, shapes: Sequence[tuple[str, NodeShape]] = SMALL_CLUSTER, timeout: float = 60
) -> None:
    """Create the nodes that are not there yet and wait until kwok has made all of them Ready."""
    for name, shape in shapes:
        if not client.exists(f"/api/v1/nodes/{name}"):
            client.create("/api/v1/nodes", node(name, shape))
    wait_until(
        lambda: all(is_ready(client, name) for name, _ in shapes), timeout, "kwok to make the nodes Ready"
    )


def is_ready(client: KubernetesClient, name: str) -> bool:
    """Whether the node's Ready condition is True."""
    conditions = client.get(f"/api/v1/nodes/{name}").get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
