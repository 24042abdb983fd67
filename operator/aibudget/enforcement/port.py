"""What enforcement needs of the API server, and the few reads and writes that its steps are made of.

Every write to a workload is one JSON patch with a `test` of the resourceVersion that was looked at, so that
whoever wrote in between wins. What stops something asks the lease and the kill switch right before; what
gives something back asks the lease alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from aibudget.api.names import FIELD_MANAGER, KILL_SWITCH
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.live import Live, read
from aibudget.errors import Stalled, Transient
from aibudget.inventory.accelerators import is_accelerator
from aibudget.inventory.kubernetes import Json, Objects, Patch
from aibudget.inventory.resource import CONFIG_MAPS, PODS, REPLICA_SETS, Resource
from aibudget.inventory.workload import Workload


class Port(Protocol):
    """What enforcement needs of the API server; `inventory.kubernetes.Cluster` is one."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Json | None: ...

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
    ) -> Objects: ...

    async def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None
    ) -> Json: ...

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Patch,
        namespace: str | None = None,
        *,
        status: bool = False,
    ) -> Json: ...

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> bool: ...


@dataclass(frozen=True, slots=True)
class Site:
    """Where and when steps are taken. `may_write` asks the lease, at the last moment before each write."""

    cluster: Port
    operator_namespace: str
    may_write: Callable[[], bool]
    now: datetime

    def check_lease(self) -> None:
        """Raise `Transient` unless we still lead."""
        if not self.may_write():
            raise Transient("NotLeader", "Another replica leads now and goes on with this.")

    async def check_may_act(self) -> None:
        """Raise unless we still lead and nobody has set the kill switch: for all that stops something."""
        self.check_lease()
        if await is_paused(self.cluster, self.operator_namespace):
            raise Stalled(
                "EnforcementPaused",
                f"ConfigMap {KILL_SWITCH} in {self.operator_namespace} stops new acts; delete it to go on.",
            )


async def is_paused(cluster: Port, operator_namespace: str) -> bool:
    """Whether the kill switch is set: its ConfigMap exists and `enabled` is not "false"."""
    switch = await cluster.get(CONFIG_MAPS, KILL_SWITCH, operator_namespace)
    return switch is not None and (switch.get("data") or {}).get("enabled", "true") != "false"


async def look(cluster: Port, workload: Workload) -> Live | None:
    """The workload as it is now; None where it is gone. Only for kinds of the catalogue."""
    resource = KINDS[workload.kind].resource
    obj = await cluster.get(resource, workload.name, workload.namespace)
    return None if obj is None else read(obj)


async def accelerator_pods(cluster: Port, live: Live) -> Objects:
    """The pods on nodes, not ended, that belong to this Deployment (by owners) and hold an accelerator."""
    namespace = live.workload.namespace
    sets = await cluster.list(REPLICA_SETS, namespace, labels=live.selector)
    mine = {one["metadata"]["uid"] for one in sets if _owner_uid(one) == live.uid}
    pods = await cluster.list(PODS, namespace, labels=live.selector)
    return [pod for pod in pods if _owner_uid(pod) in mine and _holds_accelerator(pod)]


async def write(cluster: Port, live: Live, operations: Sequence[Json]) -> Live:
    """One JSON patch on exactly the object that was looked at; raises `Conflict` if it changed since."""
    patch = [{"op": "test", "path": "/metadata/resourceVersion", "value": live.resource_version}, *operations]
    workload = live.workload
    return read(await cluster.patch(live.kind.resource, workload.name, patch, workload.namespace))


async def disown(cluster: Port, live: Live) -> Live:
    """Take our entry out of the managed fields, so that the owner's tools find no foreign manager."""
    others = [entry for entry in live.managed_fields if entry.get("manager") != FIELD_MANAGER]
    # An empty list would mean "leave them"; one empty entry erases them.
    return await write(
        cluster, live, [{"op": "replace", "path": "/metadata/managedFields", "value": others or [{}]}]
    )


def _owner_uid(obj: Json) -> str | None:
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((owner["uid"] for owner in owners if owner.get("controller")), None)


def _holds_accelerator(pod: Json) -> bool:
    spec, phase = pod["spec"], (pod.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return False
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    resources = [container.get("resources") or {} for container in containers]
    names = {name for r in resources for part in ("requests", "limits") for name in (r.get(part) or {})}
    return any(map(is_accelerator, names))
