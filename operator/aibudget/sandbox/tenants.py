"""Three teams that share the sandbox's GPUs, and the past month of what they ran.

They make the demo and a first try of one's own worth looking at: a training team on H100s, a chat service on
L4s, and the platform's gateway, which is protected. The past is told of the pods that really run (as if they
had always run) and of nightly jobs that are long gone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from aibudget.sandbox.client import JsonObject, KubernetesClient
from aibudget.sandbox.exporter import observe
from aibudget.sandbox.history import (
    History,
    PodHistory,
    Present,
    ScrapeHistory,
    dcgm_scrapes,
    write_history,
)
from aibudget.sandbox.process import wait_until
from aibudget.sandbox.snapshot import (
    GPU,
    UTILISATION_ANNOTATION,
    Container,
    Namespace,
    Node,
    Owned,
    Owner,
    Pod,
    Snapshot,
)

DAY = 86_400
PAST_DAYS = 31
PAST_INTERVAL = 300.0
RECENT = 3_600
NIGHTLY_HOURS = 3

# What the operator and `aibudget usage` ask for, and no more: a month of everything would be slow to load.
FAMILIES = frozenset(
    {
        "up",
        "kube_node_info",
        "kube_node_labels",
        "kube_node_status_capacity",
        "kube_node_status_allocatable",
        "kube_node_status_condition",
        "kube_node_spec_unschedulable",
        "kube_namespace_labels",
        "kube_pod_owner",
        "kube_replicaset_owner",
        "kube_job_owner",
        "kube_pod_container_resource_requests",
        "kube_pod_status_phase",
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_PROF_GR_ENGINE_ACTIVE",
    }
)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A Deployment of GPU pods. `product` is the node label's value, `utilisation` of its GPUs 0 to 100."""

    namespace: str
    team: str
    department: str
    name: str
    replicas: int
    gpus: int
    product: str
    utilisation: int
    protected: bool = False


TENANTS = (
    Tenant("team-vision", "vision", "research", "detector", 3, 2, "NVIDIA-H100-80GB-HBM3", 92),
    Tenant("team-vision", "vision", "research", "labeler", 1, 1, "NVIDIA-H100-80GB-HBM3", 3),
    Tenant("team-nlp", "nlp", "research", "chat", 2, 1, "NVIDIA-L4", 55),
    Tenant("platform", "platform", "infrastructure", "gateway", 1, 1, "NVIDIA-L4", 40, protected=True),
)


def add_tenants(client: KubernetesClient, timeout: float = 60) -> None:
    """Create the namespaces and Deployments, and wait until every pod runs."""
    for tenant in TENANTS:
        client.apply(_namespace(tenant))
        client.apply(_deployment(tenant))
    wait_until(
        lambda: all(_is_available(client, tenant) for tenant in TENANTS), timeout, "the tenants' pods to run"
    )


def write_past(client: KubernetesClient, file: Path, *, now: float, interval: float) -> int:
    """Write what Prometheus would have seen in the past month: coarse, then at `interval` in the last hour.

    The fine part ends at `now`, where live scrapes begin. Returns the number of samples.
    """
    start = now - now % DAY - PAST_DAYS * DAY
    recent = now - now % 900 - RECENT
    history = _history(observe(client), start, now)
    scrapes = [
        scrape
        for begin, end, step in ((start, recent, PAST_INTERVAL), (recent, now, interval))
        for scrape in (ScrapeHistory(begin, end, step), dcgm_scrapes(begin, end, step))
    ]
    return write_history(file, history, scrapes, FAMILIES)


def _namespace(tenant: Tenant) -> JsonObject:
    labels = {"aibudget.io/team": tenant.team, "department": tenant.department}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": tenant.namespace, "labels": labels},
    }


def _deployment(tenant: Tenant) -> JsonObject:
    labels = {"app.kubernetes.io/name": tenant.name}
    container = {
        "name": "main",
        "image": f"registry.example/{tenant.name}:1",
        "resources": {
            "requests": {"cpu": "4", "memory": "16Gi", GPU: str(tenant.gpus)},
            "limits": {GPU: str(tenant.gpus)},
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": tenant.name,
            "namespace": tenant.namespace,
            "labels": labels,
            "annotations": {"aibudget.io/protected": "true"} if tenant.protected else {},
        },
        "spec": {
            "replicas": tenant.replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {
                    "labels": labels,
                    "annotations": {UTILISATION_ANNOTATION: str(tenant.utilisation)},
                },
                "spec": {
                    "nodeSelector": {"nvidia.com/gpu.product": tenant.product},
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                },
            },
        },
    }


def _is_available(client: KubernetesClient, tenant: Tenant) -> bool:
    found = client.get(f"/apis/apps/v1/namespaces/{tenant.namespace}/deployments/{tenant.name}")
    return bool(found.get("status", {}).get("availableReplicas", 0) == tenant.replicas)


def _history(seen: Snapshot, start: float, now: float) -> History:
    taken: dict[str, int] = {}
    lives = []
    for pod in seen.pods:
        count = sum(int(container.requests.get(GPU, 0)) for container in pod.containers)
        if not count:
            continue
        first = taken.get(pod.node, 0)
        taken[pod.node] = first + count
        born = replace(pod, created=start)
        lives.append(
            PodHistory(pod=born, bound=start, started=start, devices=tuple(range(first, first + count)))
        )
    nights = list(_nights(start, now))
    things: list[Node | Owned | Namespace] = [*seen.nodes, *seen.owned, *seen.namespaces]
    present = [Present(thing) for thing in things]
    present += [
        Present(
            Owned("Job", night.pod.namespace, night.pod.owners[0].name, (Owner("CronJob", "nightly"),)),
            night.pod.created,
            night.removed,
        )
        for night in nights
    ]
    return History(pods=[*lives, *nights], present=present)


def _nights(start: float, now: float) -> Iterator[PodHistory]:
    """A CronJob of team-vision, `nightly`: three hours on four H100s, each night at two."""
    for day in range(PAST_DAYS):
        begin = start + day * DAY + 2 * 3_600
        end = begin + NIGHTLY_HOURS * 3_600
        if end > now - RECENT:
            return
        job = f"nightly-{int(begin) // 60}"
        pod = Pod(
            namespace="team-vision",
            name=f"{job}-x7k2p",
            uid=f"00000000-0000-4000-8000-{day:012d}",
            containers=(Container("train", {GPU: 4.0}),),
            created=begin - 20,
            node="h100-2",
            owners=(Owner("Job", job),),
            utilisation=97.0,
        )
        yield PodHistory(
            pod=pod, bound=begin, started=begin + 60, ended=end, removed=end + 900, devices=(4, 5, 6, 7)
        )
