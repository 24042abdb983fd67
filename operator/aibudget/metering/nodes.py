"""What a node is made of, as price dimensions, and since when.

`kube_node_labels` and how many units of a resource a node has come as appearances: the moments at which a
label set or a number was new. From both follow the SKU and the share of a unit. Looking one up is total: the
last known at or before the instant, else the first after, else nothing, so that neither a label's change nor
its absence can drop or double usage. Pure.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from sys import intern
from types import MappingProxyType
from typing import NamedTuple

from aibudget.inventory.accelerators import MIG, from_metrics
from aibudget.metering.shares import (
    AMD_PRODUCT,
    GKE_PRODUCT,
    INSTANCE,
    PRODUCT,
    SHARE_LABELS,
    physical,
    unit,
)
from aibudget.metering.source import Series, meaning
from aibudget.metering.usage import Sku, sku

GKE_POOL = "label_cloud_google_com_gke_nodepool"
AKS_POOL = "label_kubernetes_azure_com_agentpool"

MOST_KINDS = 4096
"""How many different nodes are remembered."""

# Dimension → labels that tell it, best first.
SOURCES: Mapping[str, tuple[str, ...]] = {
    "gpuProduct": (
        PRODUCT,
        AMD_PRODUCT,
        GKE_PRODUCT,
        "label_cloud_google_com_gke_tpu_accelerator",
    ),
    "instanceType": (INSTANCE, "label_beta_kubernetes_io_instance_type"),
    "region": ("label_topology_kubernetes_io_region", "label_failure_domain_beta_kubernetes_io_region"),
    "nodePool": ("label_karpenter_sh_nodepool", "label_eks_amazonaws_com_nodegroup", GKE_POOL, AKS_POOL),
}
CAPACITY = ("label_karpenter_sh_capacity_type", "label_eks_amazonaws_com_capacity_type")
GKE_SPOT = ("label_cloud_google_com_gke_spot", "label_cloud_google_com_gke_preemptible")
AKS_PRIORITY = "label_kubernetes_azure_com_scalesetpriority"

NODE_LABELS = (
    *(label for labels in SOURCES.values() for label in labels),
    *CAPACITY,
    *GKE_SPOT,
    AKS_PRIORITY,
    *SHARE_LABELS,
)

CAPACITY_TYPES = {"capacity_block": "reserved", "on_demand": "on-demand", "on-demand": "on-demand"}


def label_in_metrics(key: str) -> str:
    """A key as kube-state-metrics spells it: `example.com/nodePool` is label_example_com_node_pool."""
    sanitised = re.sub(r"[^a-zA-Z0-9_]", "_", key)
    return "label_" + re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", sanitised).lower()


def dimensions(labels: Mapping[str, str], pool_label: str = "") -> dict[str, str]:
    """Price dimensions of a node, of those labels that are there. `pool_label`, as metrics spell it, tells
    the node pool before any other label does.
    """
    found = {
        dimension: next((labels[name] for name in names if labels.get(name)), "")
        for dimension, names in SOURCES.items()
    }
    found["nodePool"] = labels.get(pool_label) or found["nodePool"]
    found["capacityType"] = capacity_type(labels)
    found["gpuProduct"] = physical(found["gpuProduct"])
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


Dimensions = tuple[tuple[str, str], ...]


class _State(NamedTuple):
    """A node at one time: its labels, how many units it has of each resource, and what it is priced by."""

    labels: Mapping[str, str]
    offered: Mapping[str, float]
    dimensions: Mapping[str, str]


_NOTHING: Mapping[str, str] = MappingProxyType({})
_UNTOLD = _State(_NOTHING, {}, {})
# The labels that name a node; all others say what it is made of.
_NAMES = ("node", "exported_node")


@dataclass(slots=True)
class _Past:
    """One node's states: `known[i]` from `since[i]` on."""

    since: list[float] = field(default_factory=list)
    known: list[_State] = field(default_factory=list)

    def place(self, instant: float) -> int:
        return max(0, bisect_right(self.since, instant) - 1)


class _Appearance(NamedTuple):
    """One series of the answer: the labels of a node, or how many units of a resource it has."""

    resource: str
    labels: Mapping[str, str]
    times: "array[float]"
    values: "array[float]"


class Nodes:
    """Dimensions by node and instant. Built from the series of `Queries.nodes`."""

    def __init__(self, appearances: Iterable[Series], pool_label: str = "") -> None:
        told: dict[str, list[_Appearance]] = {}
        for labels, times, values in appearances:
            node, resource, others = meaning(labels, _told)
            told.setdefault(node, []).append(_Appearance(resource, others, times, values))
        states = _States(pool_label)
        # The nodes of a pool differ by their names alone, and so do their pasts.
        alike: dict[tuple[tuple[str, int, int, int], ...], _Past] = {}
        self._pasts: dict[str, _Past] = {}
        for node, of in told.items():
            key = tuple([(name, id(labels), id(times), id(values)) for name, labels, times, values in of])
            if key not in alike:
                alike[key] = _past(of, states)
            if alike[key].known:
                self._pasts[node] = alike[key]
        self._skus: dict[tuple[int, str, Dimensions], Sku] = {}

    def changes(self, node: str) -> bool:
        """Whether the node ever changes here: if not, any instant will do."""
        return node in self._pasts and len(self._pasts[node].since) > 1

    def dimensions_at(self, node: str, instant: float) -> Mapping[str, str]:
        """What is known of the node at that instant, whatever is used of it."""
        past = self._pasts.get(node)
        return past.known[past.place(instant)].dimensions if past else {}

    def sku(self, node: str, resource: str, instant: float, told: Dimensions = ()) -> Sku:
        """What a unit of the resource (as metrics spell it) on the node is, at that instant. `told` is known
        otherwise, and better.
        """
        past = self._pasts.get(node)
        state = past.known[past.place(instant)] if past else _UNTOLD
        found = self._skus.get((id(state), resource, told))
        if found is None:
            labels, offered, known = state
            name = from_metrics(resource)
            one = {"resource": name, **unit(name, labels, offered).dimensions(), **dict(told)}
            found = sku("gpu", {**known, **one})
            self._skus[id(state), resource, told] = found
        return found


def own(labels: Mapping[str, str], name: str) -> str:
    """The exporter's own label, whichever way its scrape was configured: `exported_` has it when not
    honored.
    """
    return labels.get(_exported(name)) or labels.get(name, "")


@cache
def _exported(name: str) -> str:
    """Made once for each of the few names, for these are looked up a million times."""
    return f"exported_{name}"


def _told(labels: Mapping[str, str]) -> tuple[str, str, Mapping[str, str]]:
    """Of which node, of which resource or none, and what else is said."""
    others = tuple([(name, value) for name, value in labels.items() if name not in _NAMES])
    resource = labels.get("resource", "")
    return intern(own(labels, "node")), intern(from_metrics(resource)) if resource else "", _shared(others)


@lru_cache(maxsize=MOST_KINDS)
def _shared(pairs: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    """One for all nodes that say the same."""
    return MappingProxyType(dict(pairs))


class _States:
    """One for all times at which nodes were the same."""

    def __init__(self, pool_label: str) -> None:
        self._pool_label = pool_label
        self._known: dict[tuple[int, tuple[tuple[str, float], ...]], _State] = {}

    def of(self, labels: Mapping[str, str], offered: Mapping[str, float]) -> _State:
        key = id(labels), tuple(offered.items())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = _State(labels, offered, dimensions(labels, self._pool_label))
        return found


def _past(appearances: Iterable[_Appearance], states: _States) -> _Past:
    """Both histories as one. What is told later holds before, too, where nothing else was told."""
    told: dict[float, Mapping[str, str]] = {}
    amounts: dict[str, dict[float, float]] = {}
    for resource, said, times, values in appearances:
        if resource:
            amounts.setdefault(resource, {}).update(zip(times, values, strict=True))
            continue
        for instant in times:
            # Of two that appear at once the one that says more stands, whatever the order.
            told[instant] = max(said, told.get(instant, _NOTHING), key=_fullness)
    labels = told[min(told)] if told else _NOTHING
    offered = {name: units[min(units)] for name, units in amounts.items() if units}
    past = _Past()
    for instant in sorted({*told, *(t for units in amounts.values() for t in units)}):
        labels = told.get(instant, labels)
        offered = offered | {
            name: units[instant] for name, units in amounts.items() if _counts(name, units.get(instant))
        }
        state = states.of(labels, offered)
        if not past.known or past.known[-1] != state:
            past.since.append(instant)
            past.known.append(state)
    return past


def _counts(resource: str, units: float | None) -> bool:
    """None of a whole resource is a device plugin that is away; none of a MIG profile is how it ends."""
    return units is not None and (units > 0 or resource.startswith(MIG))


def _fullness(labels: Mapping[str, str]) -> tuple[int, list[tuple[str, str]]]:
    said = sorted((name, value) for name, value in labels.items() if value)
    return len(said), said
