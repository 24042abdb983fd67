"""A production cluster's busiest day as a history for Prometheus, and what it truly cost in GPU-seconds.

The pods are those of Alibaba's trace of 2023 (`openb_pod_list_default.csv`), the nodes its GPU nodes. What
the trace does not tell is added, from each pod's name alone so that every run is the same: namespaces of
uneven size, owners, nodes, and the ways in which kube-state-metrics makes a bill wrong.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from zlib import crc32

from aibudget.metering.slots import Interval
from aibudget.sandbox.exporter import ksm_target
from aibudget.sandbox.history import History, PodHistory, Present, ScrapeHistory
from aibudget.sandbox.snapshot import GPU, Container, Node, Owned, Owner, Pod

DAY = 86_400
BEGIN = 1_772_323_200  # 2026-03-01T00:00:00Z
AROUND = 1_800  # history on both sides of the day
LINGERING = 900
PULLING = 120
SHORT = 300
NAMESPACES = 12
FAMILIES = {
    "kube_node_info",
    "kube_node_labels",
    "kube_pod_container_resource_requests",
    "kube_pod_status_phase",
    "kube_pod_owner",
    "kube_replicaset_owner",
    "kube_job_owner",
}
PRODUCTS = {
    "T4": "Tesla-T4",
    "P100": "Tesla-P100-PCIE-16GB",
    "A10": "NVIDIA-A10",
    "V100M16": "Tesla-V100-SXM2-16GB",
}


@dataclass(frozen=True, slots=True)
class Life:
    """A pod's seconds: bound None for never; the GPUs are held in [bound, ended)."""

    name: str
    gpus: int
    created: int
    bound: int | None
    ended: int
    serving: bool

    @property
    def namespace(self) -> str:
        """Uneven: the k-th namespace has about 1/k of the pods of the first."""
        place = crc32(f"namespace {self.name}".encode()) / 2**32
        shares = [1 / (k + 1) for k in range(NAMESPACES)]
        for k, share in enumerate(shares):
            place -= share / sum(shares)
            if place < 0:
                return f"team-{k:02d}"
        return f"team-{NAMESPACES - 1:02d}"

    @property
    def lingers(self) -> bool:
        """Whether the finished pod's object stays for a while."""
        return crc32(f"linger {self.name}".encode()) % 2 == 0

    @property
    def removed(self) -> int:
        """When its object was deleted."""
        return self.ended + LINGERING * self.lingers

    @property
    def short(self) -> bool:
        """Whether it lived for less than five minutes."""
        return self.bound is not None and self.ended - self.bound < SHORT


def lives(pods: Path) -> list[Life]:
    """Every pod of the trace's last day, its end moved to the end of the day of `BEGIN`."""
    with pods.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    last = max(int(row["deletion_time"]) for row in rows)
    moved = BEGIN + DAY - last
    return [
        Life(
            row["name"],
            int(row["num_gpu"]),
            int(row["creation_time"]) + moved,
            int(row["scheduled_time"]) + moved if row["scheduled_time"] else None,
            # What runs to the trace's last second runs on.
            int(row["deletion_time"]) + moved + 2 * AROUND * (int(row["deletion_time"]) == last),
            row["qos"] == "LS",
        )
        for row in rows
        if int(row["deletion_time"]) > last - DAY
    ]


def truth(all_lives: list[Life], interval: Interval) -> dict[str, int]:
    """GPU-seconds of each life by its name, from its own seconds."""
    seconds = {}
    for life in all_lives:
        held = None if life.bound is None else Interval(life.bound, life.ended).intersection(interval)
        seconds[life.name] = life.gpus * held.seconds if held else 0
    return seconds


def history(all_lives: list[Life], nodes: Path) -> History:
    """The day as kube-state-metrics saw it. Every third serving pod is one of a StatefulSet, whose names
    return.
    """
    placed = _placed(all_lives, nodes)
    used = {node.name: node for node, _ in placed.values()}
    names = _names(all_lives)
    present = [one for node in used.values() for one in _node_past(node)]
    pods, owned = [], set()
    for life in all_lives:
        name, owner = names[life.name]
        node = placed[life.name][0].name if life.name in placed else ""
        pods.append(_pod(life, name, owner, node))
        if owner.kind == "ReplicaSet":
            owned.add(
                Owned(
                    "ReplicaSet",
                    life.namespace,
                    owner.name,
                    (Owner("Deployment", owner.name.rpartition("-")[0]),),
                )
            )
        elif owner.kind == "Job":
            owned.add(Owned("Job", life.namespace, owner.name))
    return History(pods, [*present, *(Present(one) for one in sorted(owned, key=repr))])


def scrapes(interval: float = 30.0) -> list[ScrapeHistory]:
    """Two instances one after the other, both there for a while: a roll-over in the middle of the day."""
    middle = BEGIN + DAY // 2 + 417
    first = ScrapeHistory(BEGIN - AROUND, middle + 75, interval, offset=7.3, jitter=0.4, target=ksm_target(0))
    second = ScrapeHistory(
        middle, BEGIN + DAY + AROUND, interval, offset=3.1, jitter=0.4, target=ksm_target(1)
    )
    return [first, second]


def _pod(life: Life, name: str, owner: Owner, node: str) -> PodHistory:
    requests = {"cpu": 4.0, **({GPU: float(life.gpus)} if life.gpus else {})}
    pod = Pod(
        life.namespace,
        name,
        f"uid-{life.name}",
        (Container("main", requests),),
        life.created,
        node,
        owners=(owner,),
        restart_policy="Never" if owner.kind == "Job" else "Always",
    )
    started = None if life.bound is None else life.bound + PULLING
    return PodHistory(pod, life.bound, started, life.ended, life.removed)


def _names(all_lives: list[Life]) -> dict[str, tuple[str, Owner]]:
    """The pod's name in the cluster and its owner. A StatefulSet's ordinal is free again when its pod is
    removed.
    """
    taken: dict[tuple[str, int], int] = defaultdict(lambda: 0)
    named = {}
    for life in sorted(all_lives, key=lambda life: life.created):
        kind = crc32(f"kind {life.name}".encode()) % 3
        if life.short:
            named[life.name] = life.name, Owner("Job", f"job-{life.name}")
        elif life.serving and kind == 0:
            ordinal = next(n for n in count() if taken[life.namespace, n] <= life.created)
            taken[life.namespace, ordinal] = life.removed
            named[life.name] = f"serving-{ordinal}", Owner("StatefulSet", "serving")
        elif life.serving:
            named[life.name] = f"web-{kind}-{life.name}", Owner("ReplicaSet", f"web-{kind}")
        else:
            named[life.name] = life.name, Owner("Job", f"job-{life.name}")
    return named


def _placed(all_lives: list[Life], nodes: Path) -> dict[str, tuple[Node, int]]:
    """Each bound pod on the first node with room for it."""
    with nodes.open(encoding="utf-8") as file:
        machines = [_node(row) for row in csv.DictReader(file)]
    until: dict[str, list[tuple[int, int]]] = defaultdict(list)
    placed = {}
    for life in sorted(
        (life for life in all_lives if life.bound is not None), key=lambda life: life.bound or 0
    ):
        for node in machines:
            held = [(end, gpus) for end, gpus in until[node.name] if end > (life.bound or 0)]
            if sum(gpus for _, gpus in held) + life.gpus <= node.capacity[GPU]:
                until[node.name] = [*held, (life.ended, life.gpus)]
                placed[life.name] = node, life.gpus
                break
    return placed


def _node(row: dict[str, str]) -> Node:
    product = PRODUCTS.get(row["model"], f"Trace-{row['model']}")
    labels = {
        "nvidia.com/gpu.product": product,
        "node.kubernetes.io/instance-type": f"trace-{row['model'].lower()}",
        "karpenter.sh/capacity-type": "on-demand",
        "topology.kubernetes.io/region": "trace-1",
    }
    amounts = {GPU: float(row["gpu"]), "cpu": int(row["cpu_milli"]) / 1000}
    return Node(row["sn"], labels, amounts, amounts)


def _node_past(node: Node) -> Iterator[Present]:
    """The node for ever, but for every seventh, whose capacity type changes in the day."""
    if crc32(node.name.encode()) % 7:
        yield Present(node)
        return
    changed = BEGIN + crc32(f"change {node.name}".encode()) % DAY
    spot = replace(node, labels={**node.labels, "karpenter.sh/capacity-type": "spot"})
    yield Present(node, end=changed)
    yield Present(spot, start=changed)
