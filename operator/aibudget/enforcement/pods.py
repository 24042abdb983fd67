"""`Pods`: the accelerator pods of the cluster as one reading shows them, by whoever owns them.

One list for all workloads of a cycle: asked for each by itself, the API server would look through the pods of
a namespace again for every workload in it. Owners are followed upwards by uid: pod, ReplicaSet, Deployment;
pod, Job, CronJob. A page is reduced as it comes in, so that ten thousand pods fit into little memory.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from aibudget.api.fields import parse_instant
from aibudget.inventory.accelerators import is_accelerator
from aibudget.inventory.claims import claim
from aibudget.inventory.kubernetes import Forbidden, Json, NotServed, Objects, Slim
from aibudget.inventory.resource import JOBS, PODS, REPLICA_SETS, RESOURCE_CLAIMS, Resource

_MOST_LEVELS = 4
_GRACE_SECONDS = 30


class Lister(Protocol):
    """What reading needs of the API server."""

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
        slim: Slim | None = None,
    ) -> Objects: ...


@dataclass(frozen=True, slots=True)
class AcceleratorPod:
    """A pod on a node, not ended, that holds `accelerators` of them; it may take `grace` seconds to end.

    `priority` and `started` are None where the pod does not say.
    """

    owner: str | None
    accelerators: int
    grace: int
    priority: int | None = None
    started: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ready: bool = False


@dataclass(frozen=True, slots=True)
class Pods:
    """`total` counts every accelerator pod of the cluster, whoever owns it."""

    total: int = 0
    by_owner: Mapping[str, tuple[AcceleratorPod, ...]] = field(default_factory=dict)

    def of(self, uid: str) -> tuple[AcceleratorPod, ...]:
        """Those that the object of this uid owns, also by way of others."""
        return self.by_owner.get(uid, ())


async def read_pods(cluster: Lister) -> Pods:
    """The cluster's accelerator pods as they are now; API errors are the caller's."""
    found = await cluster.list(PODS, slim=_slim_pod)
    claimed = await _claimed(cluster) if any(obj["claims"] for obj in found) else _Claimed()
    everyone = (claimed.with_devices(obj["pod"], obj["uid"]) for obj in found)
    pods = [pod for pod in everyone if pod.accelerators]
    owners: dict[str, str] = {}
    for resource in (REPLICA_SETS, JOBS) if pods else ():
        owned = await cluster.list(resource, metadata_only=True, slim=_slim_owned)
        owners |= {obj["uid"]: obj["owner"] for obj in owned}
    return index(pods, owners)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """Devices held by ResourceClaims, by the pod's uid; what several pods share, each of them holds. Those
    that were `requested` may be among the accelerators that the pod asks for by name.
    """

    own: Counter[str] = field(default_factory=Counter)
    requested: Counter[str] = field(default_factory=Counter)

    def with_devices(self, pod: AcceleratorPod, uid: str) -> AcceleratorPod:
        held = max(pod.accelerators, self.requested[uid]) + self.own[uid]
        return pod if held == pod.accelerators else replace(pod, accelerators=held)


async def _claimed(cluster: Lister) -> _Claimed:
    """Where claims are not served, or not ours to read, nothing is known of them: that is no proof of
    devices.
    """
    found = _Claimed()
    try:
        held = await cluster.list(RESOURCE_CLAIMS, slim=_slim_claim)
    except (NotServed, Forbidden):
        return found
    for obj in held:
        (found.requested if obj["requested"] else found.own).update(obj["held"])
    return found


def index(pods: Iterable[AcceleratorPod], owners: Mapping[str, str]) -> Pods:
    """`owners`: the uid of each object that is owned itself, to that of its owner."""
    found: dict[str, list[AcceleratorPod]] = {}
    total = 0
    for pod in pods:
        total += 1
        uid = pod.owner
        for _ in range(_MOST_LEVELS):
            if uid is None:
                break
            found.setdefault(uid, []).append(pod)
            uid = owners.get(uid)
    return Pods(total, {uid: tuple(mine) for uid, mine in found.items()})


def accelerators_of(spec: Mapping[str, Any]) -> int:
    """How many accelerators a pod of this spec holds: its containers' together, or one init container's."""
    together = sum(map(_held, spec.get("containers") or ()))
    return max([together, *map(_held, spec.get("initContainers") or ())])


def _slim_pod(obj: Json) -> Json | None:
    spec, phase = obj["spec"], (obj.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return None
    served = (obj.get("status") or {}).get("extendedResourceClaimStatus")
    accelerators, claims = accelerators_of(spec), bool(spec.get("resourceClaims") or served)
    if not accelerators and not claims:
        return None
    grace = spec.get("terminationGracePeriodSeconds")
    conditions = (obj.get("status") or {}).get("conditions") or ()
    pod = AcceleratorPod(
        owner=_owner_uid(obj["metadata"]),
        accelerators=accelerators,
        grace=_GRACE_SECONDS if grace is None else grace,
        priority=spec.get("priority"),
        started=_started(obj),
        labels=obj["metadata"].get("labels") or {},
        ready=any(one["type"] == "Ready" and one["status"] == "True" for one in conditions),
    )
    return {"pod": pod, "claims": claims, "uid": obj["metadata"].get("uid", "")}


def _slim_claim(obj: Json) -> Json | None:
    found = claim(obj)
    held = Counter({consumer.uid: len(found.grants) for consumer in found.consumers})
    return {"held": held, "requested": found.requested} if found.grants and held else None


def _started(obj: Json) -> datetime | None:
    started = (obj.get("status") or {}).get("startTime")
    return None if started is None else parse_instant(started)


def _slim_owned(obj: Json) -> Json | None:
    owner = _owner_uid(obj["metadata"])
    return None if owner is None else {"uid": obj["metadata"]["uid"], "owner": owner}


def _owner_uid(metadata: Json) -> str | None:
    owners = metadata.get("ownerReferences") or ()
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)


def _held(container: Mapping[str, Any]) -> int:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return sum(_count(amount) for name, amount in asked.items() if is_accelerator(name))


def _count(amount: object) -> int:
    # Extended resources are whole numbers; whatever else stands there still means that something is held.
    text = str(amount)
    return int(text) if text.isascii() and text.isdigit() else 1
