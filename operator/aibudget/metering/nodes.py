"""What a node is made of, as price dimensions, and since when.

`kube_node_labels` come as appearances: the moments at which a node's label set was new. Looking one up is
total: the last known at or before the instant, else the first after, else nothing, so that neither a
label's change nor its absence can drop or double usage. Pure.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aibudget.inventory.accelerators import from_metrics
from aibudget.metering.source import Series
from aibudget.metering.usage import Sku, sku

GKE_POOL = "label_cloud_google_com_gke_nodepool"
AKS_POOL = "label_kubernetes_azure_com_agentpool"

# Dimension → labels that tell it, best first.
SOURCES: Mapping[str, tuple[str, ...]] = {
    "gpuProduct": (
        "label_nvidia_com_gpu_product",
        "label_amd_com_gpu_product_name",
        "label_cloud_google_com_gke_accelerator",
        "label_cloud_google_com_gke_tpu_accelerator",
    ),
    "instanceType": ("label_node_kubernetes_io_instance_type", "label_beta_kubernetes_io_instance_type"),
    "region": ("label_topology_kubernetes_io_region", "label_failure_domain_beta_kubernetes_io_region"),
    "nodePool": ("label_karpenter_sh_nodepool", "label_eks_amazonaws_com_nodegroup", GKE_POOL, AKS_POOL),
}
CAPACITY = ("label_karpenter_sh_capacity_type", "label_eks_amazonaws_com_capacity_type")
GKE_SPOT = ("label_cloud_google_com_gke_spot", "label_cloud_google_com_gke_preemptible")
AKS_PRIORITY = "label_kubernetes_azure_com_scalesetpriority"
SHARING = "label_nvidia_com_gpu_sharing_strategy"

NODE_LABELS = (
    *(label for labels in SOURCES.values() for label in labels),
    *CAPACITY,
    *GKE_SPOT,
    AKS_PRIORITY,
    SHARING,
)

CAPACITY_TYPES = {"capacity_block": "reserved", "on_demand": "on-demand", "on-demand": "on-demand"}


def label_in_metrics(key: str) -> str:
    """A key as kube-state-metrics spells it: `example.com/nodePool` is label_example_com_node_pool."""
    sanitised = re.sub(r"[^a-zA-Z0-9_]", "_", key)
    return "label_" + re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", sanitised).lower()


def dimensions(labels: Mapping[str, str], pool_label: str = "") -> dict[str, str]:
    """Price dimensions of a node, of those labels that are there. `share` is there only when it is
    unknown. `pool_label`, as metrics spell it, tells the node pool before any other label does.
    """
    found = {
        dimension: next((labels[name] for name in names if labels.get(name)), "")
        for dimension, names in SOURCES.items()
    }
    found["nodePool"] = labels.get(pool_label) or found["nodePool"]
    found["capacityType"] = capacity_type(labels)
    product, shared = _physical(found["gpuProduct"])
    found["gpuProduct"] = product
    if shared or labels.get(SHARING, "none") not in ("", "none"):
        found["share"] = "unknown"
    return {dimension: value for dimension, value in found.items() if value}


def capacity_type(labels: Mapping[str, str]) -> str:
    """on-demand, spot or reserved, whichever cloud says it; "" where none does."""
    for name in CAPACITY:
        if said := labels.get(name, "").lower():
            return CAPACITY_TYPES.get(said, said)
    if any(labels.get(name) == "true" for name in GKE_SPOT) or labels.get(AKS_PRIORITY) == "spot":
        return "spot"
    # GKE and AKS label only what is spot.
    return "on-demand" if labels.get(GKE_POOL) or labels.get(AKS_POOL) or labels.get(AKS_PRIORITY) else ""


def _physical(product: str) -> tuple[str, bool]:
    """The device's own name, and whether its label said that units are parts of it."""
    whole = product.removesuffix("-SHARED").partition("-MIG-")[0]
    return whole, whole != product


@dataclass(slots=True)
class _Past:
    """One node's dimensions: `known[i]` from `since[i]` on."""

    since: list[float] = field(default_factory=list)
    known: list[dict[str, str]] = field(default_factory=list)

    def place(self, instant: float) -> int:
        return max(0, bisect_right(self.since, instant) - 1)


class Nodes:
    """Dimensions by node and instant. Built from the series of `Queries.node_labels`."""

    def __init__(self, appearances: Iterable[Series], pool_label: str = "") -> None:
        seen: dict[str, dict[float, dict[str, str]]] = {}
        for labels, times, _ in appearances:
            found, node = dimensions(labels, pool_label), own(labels, "node")
            for instant in times:
                # Of two that appear at once the one that says more stands, whatever the order.
                seen.setdefault(node, {})[instant] = max(
                    found, seen[node].get(instant, {}) if node in seen else {}, key=_fullness
                )
        self._pasts = {node: _past(moments) for node, moments in seen.items()}
        self._skus: dict[tuple[str, str, int], Sku] = {}

    def changes(self, node: str) -> bool:
        """Whether the node's dimensions ever change here: if not, any instant will do."""
        return node in self._pasts and len(self._pasts[node].since) > 1

    def dimensions_at(self, node: str, instant: float) -> Mapping[str, str]:
        """What is known of the node at that instant, whatever is used of it."""
        past = self._pasts.get(node)
        known = past.known[past.place(instant)] if past else {}
        return {dimension: value for dimension, value in known.items() if dimension != "share"}

    def sku(self, node: str, resource: str, instant: float) -> Sku:
        """What a unit of the resource (as metrics spell it) on the node is, at that instant."""
        past = self._pasts.get(node)
        place = past.place(instant) if past else 0
        found = self._skus.get((node, resource, place))
        if found is None:
            known = past.known[place] if past else {}
            share = {"share": "unknown"} if resource.endswith("_shared") or "_mig_" in resource else {}
            whose = {"resource": from_metrics(resource), **share}
            found = self._skus[node, resource, place] = sku("gpu", {**known, **whose})
        return found


def own(labels: Mapping[str, str], name: str) -> str:
    """The exporter's own label, whichever way its scrape was configured: `exported_` has it when not
    honored.
    """
    return labels.get(f"exported_{name}") or labels.get(name, "")


def _past(moments: Mapping[float, dict[str, str]]) -> _Past:
    past = _Past()
    for instant in sorted(moments):
        if not past.known or past.known[-1] != moments[instant]:
            past.since.append(instant)
            past.known.append(moments[instant])
    return past


def _fullness(found: Mapping[str, str]) -> tuple[int, list[tuple[str, str]]]:
    return len(found), sorted(found.items())
