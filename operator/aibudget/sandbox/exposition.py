"""Metrics as kube-state-metrics v2.20 and dcgm-exporter write them: names, labels, units, number format.

Takes the values of `snapshot` and `devices`, gives series and their text. Both the live exporter and
the written history speak through here. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from itertools import groupby
from typing import NamedTuple

from aibudget.sandbox.devices import Device
from aibudget.sandbox.snapshot import Namespace, Node, Owned, Owner, Pod, Snapshot

PHASES = ("Pending", "Succeeded", "Failed", "Unknown", "Running")
UNITS = {"cpu": "core", "memory": "byte", "ephemeral-storage": "byte", "pods": "integer"}
_NO_OWNER = (("owner_kind", ""), ("owner_name", ""), ("owner_is_controller", ""))
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

Labels = tuple[tuple[str, str], ...]


class Series(NamedTuple):
    """A gauge's name, its labels in the exporter's order, and its value now."""

    name: str
    labels: Labels
    value: float


def kube_state_metrics(snapshot: Snapshot) -> Iterator[Series]:
    """Everything that our kube-state-metrics says of a cluster."""
    for node in snapshot.nodes:
        yield from node_series(node)
    for namespace in snapshot.namespaces:
        yield namespace_series(namespace)
    for owned in snapshot.owned:
        yield from owned_series(owned)
    for pod in snapshot.pods:
        yield from pod_series(pod)


def pod_series(pod: Pod) -> Iterator[Series]:
    """The pod families; a finished pod keeps its requests until its object is deleted."""
    who: Labels = (("namespace", pod.namespace), ("pod", pod.name), ("uid", pod.uid))
    yield _pod_info(pod, who)
    for owner in _owner_labels(pod.owners):
        yield Series("kube_pod_owner", (*who, *owner), 1)
    if pod.phase:
        for phase in PHASES:
            yield Series("kube_pod_status_phase", (*who, ("phase", phase)), float(pod.phase == phase))
    for container in pod.containers:
        for resource, amount in container.requests.items():
            labels = (*who, ("container", container.name), ("node", pod.node), *_measured(resource))
            yield Series("kube_pod_container_resource_requests", labels, amount)
    yield Series("kube_pod_restart_policy", (*who, ("type", pod.restart_policy)), 1)
    times = {
        "kube_pod_created": pod.created,
        "kube_pod_status_scheduled_time": pod.scheduled,
        "kube_pod_start_time": pod.started,
        "kube_pod_completion_time": pod.completed,
    }
    yield from (Series(name, who, time) for name, time in times.items() if time is not None)


def node_series(node: Node) -> Iterator[Series]:
    """The node families, labels as with an allow-list of `*`."""
    yield Series("kube_node_info", (("node", node.name), *node.info.items()), 1)
    yield Series("kube_node_labels", (("node", node.name), *_label_labels(node.labels)), 1)
    for family, amounts in (("capacity", node.capacity), ("allocatable", node.allocatable)):
        for resource, amount in amounts.items():
            yield Series(f"kube_node_status_{family}", (("node", node.name), *_measured(resource)), amount)
    for status in ("true", "false", "unknown"):
        condition = (("node", node.name), ("condition", "Ready"), ("status", status))
        yield Series("kube_node_status_condition", condition, float(node.ready == status))
    yield Series("kube_node_spec_unschedulable", (("node", node.name),), float(node.unschedulable))


def owned_series(owned: Owned) -> Iterator[Series]:
    """kube_replicaset_owner or kube_job_owner."""
    family, own = (
        ("kube_job_owner", "job_name") if owned.kind == "Job" else ("kube_replicaset_owner", "replicaset")
    )
    for owner in _owner_labels(owned.owners):
        yield Series(family, (("namespace", owned.namespace), (own, owned.name), *owner), 1)


def namespace_series(namespace: Namespace) -> Series:
    """kube_namespace_labels, as with an allow-list of `*`."""
    return Series(
        "kube_namespace_labels", (("namespace", namespace.name), *_label_labels(namespace.labels)), 1
    )


def dcgm(devices: Iterable[Device]) -> Iterator[Series]:
    """dcgm-exporter's families; an idle device carries no pod labels."""
    for device in devices:
        labels: Labels = (
            ("gpu", str(device.index)),
            ("UUID", device.uuid),
            ("pci_bus_id", f"00000000:{0x10 + device.index:02X}:00.0"),
            ("device", f"nvidia{device.index}"),
            ("modelName", device.model),
            ("Hostname", device.node),
            ("DCGM_FI_DRIVER_VERSION", "580.82.07"),
        )
        if device.holder is not None:
            holder = device.holder
            labels += (("container", holder.container), ("namespace", holder.namespace), ("pod", holder.pod))
        yield Series("DCGM_FI_DEV_GPU_UTIL", labels, device.utilisation)
        yield Series("DCGM_FI_PROF_GR_ENGINE_ACTIVE", labels, device.utilisation / 100)
        yield Series("DCGM_FI_DEV_POWER_USAGE", labels, device.watts)
        yield Series("DCGM_FI_DEV_FB_USED", labels, device.used_mib)


def scraped(labels: Labels, target: Mapping[str, str], *, honor: bool) -> dict[str, str]:
    """Labels as Prometheus stores them: the target's win, the others become `exported_*`, unless honored."""
    if honor:
        return {**target, **dict(labels)}
    return {**{f"exported_{key}" if key in target else key: value for key, value in labels}, **target}


def text(series: Iterable[Series]) -> str:
    """A whole page in Prometheus's text format, families together and typed."""
    page: list[str] = []
    for name, members in groupby(sorted(series, key=lambda one: one.name), key=lambda one: one.name):
        page.append(f"# TYPE {name} gauge")
        page += [f"{selector(name, one.labels)} {number(one.value)}" for one in members]
    return "\n".join(page) + "\n"


def selector(name: str, labels: Iterable[tuple[str, str]]) -> str:
    """`name{key="value",…}` with the values escaped."""
    inside = ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in labels)
    return f"{name}{{{inside}}}"


def number(value: float) -> str:
    """A float as Go's 'g' format writes it, which both exporters use: 2, 0.9, 1.763751e+09, NaN."""
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(float(value))]
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    scientific = len(digits) + exponent - 1
    if -4 <= scientific < 6:
        return f"{Decimal((sign, digits, exponent)):f}"
    fraction = "".join(map(str, digits[1:]))
    return f"{'-' * sign}{digits[0]}{'.' * bool(fraction)}{fraction}e{scientific:+03d}"


def label_name(key: str) -> str:
    """A Kubernetes label key as kube-state-metrics names it: sanitised, snake_case, lower case."""
    sanitised = re.sub(r"[^a-zA-Z0-9_]", "_", key)
    return "label_" + re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", sanitised).lower()


def _label_labels(labels: Mapping[str, str]) -> Labels:
    return tuple((label_name(key), value) for key, value in sorted(labels.items()))


def _measured(resource: str) -> Labels:
    name = re.sub(r"[^a-zA-Z0-9_]", "_", resource)
    unit = "byte" if resource.startswith("hugepages-") else UNITS.get(resource, "integer")
    return (("resource", name), ("unit", unit))


def _owner_labels(owners: tuple[Owner, ...]) -> Iterator[Labels]:
    if not owners:
        yield _NO_OWNER
    for owner in owners:
        controller = str(owner.controller).lower()
        yield (("owner_kind", owner.kind), ("owner_name", owner.name), ("owner_is_controller", controller))


def _pod_info(pod: Pod, who: Labels) -> Series:
    creator = next((owner for owner in pod.owners if owner.controller), Owner("", ""))
    labels = (
        *who,
        ("host_ip", pod.host_ip),
        ("pod_ip", pod.pod_ip),
        ("node", pod.node),
        ("created_by_kind", creator.kind),
        ("created_by_name", creator.name),
        ("priority_class", pod.priority_class),
        ("host_network", str(pod.host_network).lower()),
    )
    return Series("kube_pod_info", labels, 1)
