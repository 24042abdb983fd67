"""What an exporter sees of a cluster at one moment: pods, nodes, owners and namespaces as plain values.

Made from the API server's JSON by `exporter`, or from a told past by `history`; turned into metrics by
`exposition`. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

UTILISATION_ANNOTATION = "sandbox.aibudget.io/gpu-utilisation"
BUSY_BY_DEFAULT = 90.0
GPU = "nvidia.com/gpu"

# Longest first, so that "Mi" is not read as "M" or "m".
_MULTIPLES = {
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    "m": Decimal("0.001"),
}


@dataclass(frozen=True, slots=True)
class Owner:
    """One ownerReference."""

    kind: str
    name: str
    controller: bool = True


@dataclass(frozen=True, slots=True)
class Container:
    """A container's name and what it requests, by Kubernetes resource name, in cores, bytes or pieces."""

    name: str
    requests: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod; times are unix seconds, None when not (yet) known. `utilisation` is of its GPUs, 0 to 100."""

    namespace: str
    name: str
    uid: str
    containers: tuple[Container, ...]
    created: float
    node: str = ""
    phase: str = "Pending"
    owners: tuple[Owner, ...] = ()
    scheduled: float | None = None
    started: float | None = None
    completed: float | None = None
    host_ip: str = ""
    pod_ip: str = ""
    priority_class: str = ""
    host_network: bool = False
    restart_policy: str = "Always"
    utilisation: float = BUSY_BY_DEFAULT

    @property
    def holds_devices(self) -> bool:
        """Bound and not finished: the time in which a pod keeps its GPUs from others."""
        return bool(self.node) and self.phase in {"Pending", "Running"}


@dataclass(frozen=True, slots=True)
class Node:
    """A node; amounts by Kubernetes resource name, in cores, bytes or pieces. `ready` is its condition's
    status: true, false or unknown.
    """

    name: str
    labels: Mapping[str, str]
    capacity: Mapping[str, float]
    allocatable: Mapping[str, float]
    info: Mapping[str, str] = field(default_factory=dict)
    ready: str = "true"
    unschedulable: bool = False


@dataclass(frozen=True, slots=True)
class Owned:
    """A ReplicaSet or Job with its owners."""

    kind: str
    namespace: str
    name: str
    owners: tuple[Owner, ...] = ()


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace and its labels."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All of it at one moment."""

    pods: tuple[Pod, ...] = ()
    nodes: tuple[Node, ...] = ()
    owned: tuple[Owned, ...] = ()
    namespaces: tuple[Namespace, ...] = ()


def quantity(text: str) -> float:
    """A Kubernetes quantity (`500m`, `2Gi`, `4`) as a number; decimal.InvalidOperation on anything else."""
    for suffix, multiple in _MULTIPLES.items():
        if text.endswith(suffix):
            return float(Decimal(text.removesuffix(suffix)) * multiple)
    return float(Decimal(text))


def pod_from(item: Mapping[str, Any]) -> Pod:
    """A Pod of the API server's JSON."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        containers=tuple(
            Container(one["name"], _amounts(one.get("resources", {}).get("requests")))
            for one in spec["containers"]
        ),
        created=_seconds(metadata["creationTimestamp"]),
        node=spec.get("nodeName", ""),
        phase=status.get("phase", ""),
        owners=_owners(metadata),
        scheduled=next(
            (
                _seconds(condition["lastTransitionTime"])
                for condition in status.get("conditions", [])
                if condition["type"] == "PodScheduled" and condition["status"] == "True"
            ),
            None,
        ),
        started=_seconds(status["startTime"]) if "startTime" in status else None,
        completed=_completion(status),
        host_ip=status.get("hostIP", ""),
        pod_ip=status.get("podIP", ""),
        priority_class=spec.get("priorityClassName", ""),
        host_network=spec.get("hostNetwork", False),
        restart_policy=spec.get("restartPolicy", "Always"),
        utilisation=float(metadata.get("annotations", {}).get(UTILISATION_ANNOTATION, BUSY_BY_DEFAULT)),
    )


def node_from(item: Mapping[str, Any]) -> Node:
    """A Node of the API server's JSON."""
    status = item.get("status", {})
    addresses = {address["type"]: address["address"] for address in status.get("addresses", [])}
    said = status.get("nodeInfo", {})
    return Node(
        name=item["metadata"]["name"],
        labels=item["metadata"].get("labels", {}),
        capacity=_amounts(status.get("capacity")),
        allocatable=_amounts(status.get("allocatable")),
        info={
            "kernel_version": said.get("kernelVersion", ""),
            "os_image": said.get("osImage", ""),
            "container_runtime_version": said.get("containerRuntimeVersion", ""),
            "kubelet_version": said.get("kubeletVersion", ""),
            "kubeproxy_version": "deprecated",
            "provider_id": item.get("spec", {}).get("providerID", ""),
            "pod_cidr": item.get("spec", {}).get("podCIDR", ""),
            "system_uuid": said.get("systemUUID", ""),
            "internal_ip": addresses.get("InternalIP", ""),
        },
        ready=next(
            (one["status"].lower() for one in status.get("conditions", ()) if one["type"] == "Ready"),
            "unknown",
        ),
        unschedulable=item.get("spec", {}).get("unschedulable", False),
    )


def owned_from(kind: str, item: Mapping[str, Any]) -> Owned:
    """A ReplicaSet or Job of the API server's JSON; lists do not name their items' kind."""
    metadata = item["metadata"]
    return Owned(kind, metadata["namespace"], metadata["name"], _owners(metadata))


def namespace_from(item: Mapping[str, Any]) -> Namespace:
    """A Namespace of the API server's JSON."""
    return Namespace(item["metadata"]["name"], item["metadata"].get("labels", {}))


def _amounts(quantities: Mapping[str, str] | None) -> dict[str, float]:
    return {resource: quantity(str(amount)) for resource, amount in (quantities or {}).items()}


def _owners(metadata: Mapping[str, Any]) -> tuple[Owner, ...]:
    references: Iterable[Mapping[str, Any]] = metadata.get("ownerReferences", [])
    return tuple(Owner(one["kind"], one["name"], one.get("controller", False)) for one in references)


def _completion(status: Mapping[str, Any]) -> float | None:
    ends = [
        _seconds(ended["finishedAt"])
        for one in status.get("containerStatuses", [])
        if (ended := one.get("state", {}).get("terminated")) and ended.get("finishedAt")
    ]
    return max(ends, default=None)


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
