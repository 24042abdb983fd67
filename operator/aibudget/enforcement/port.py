"""What enforcement needs of the API server, and the few reads and writes that its steps are made of.

Every write to a workload is one JSON patch with a `test` of the resourceVersion that was looked at, so that
whoever wrote in between wins. What stops something asks the lease and the kill switch right before; what
gives something back asks the lease alone.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from aibudget.api.names import FIELD_MANAGER, KILL_SWITCH
from aibudget.enforcement.autoscaler import Autoscaler, Target, by_target, fit, scaler_of
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.live import Live, read, stop_of
from aibudget.enforcement.pods import AcceleratorPod, Lister, Pods
from aibudget.enforcement.refusal import SpareReason
from aibudget.errors import AIBudgetError, Stalled, Transient
from aibudget.inventory.kubernetes import Json, Patch
from aibudget.inventory.resource import CONFIG_MAPS, HORIZONTAL_POD_AUTOSCALERS, Resource
from aibudget.inventory.workload import Workload
from aibudget.ledger.decision import Decision

FOLLOWED: Final = (0.02, 0.1, 0.5, None)
"""Seconds until the next attempt after each that found the object written meanwhile; None: it was the last.

A Deployment's controller writes several times while pods come and go: without a pause all attempts are over
before it is.
"""

MOST_AGED_SECONDS: Final = 300.0
"""So far may the API server's clock have moved since the cycle began: nothing is stopped on older figures."""


class Port(Lister, Protocol):
    """What enforcement needs of the API server; `inventory.kubernetes.Cluster` is one."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Json | None: ...

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


class Journal(Protocol):
    """Where it is written down what is about to be done, durably."""

    async def write(self, decisions: Sequence[Decision]) -> None:
        """All of it; raises `AIBudgetError` where that cannot be."""

    async def note(self, decisions: Sequence[Decision]) -> None:
        """All of it, at the latest when that can be again."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where and when steps are taken. `may_write` asks the lease, at the last moment before each write.

    `pods` is this cycle's reading; None where there was none. `autoscalers` are those read so far.
    Without a `journal` nothing is written down.
    """

    cluster: Port
    operator_namespace: str
    may_write: Callable[[], bool]
    now: datetime
    pods: Pods | None = None
    clock: Callable[[], float] | None = None
    autoscalers: dict[str, Mapping[Target, Autoscaler]] = field(default_factory=dict)
    journal: Journal | None = None

    async def note(self, decisions: Sequence[Decision]) -> None:
        """Write down what holds nobody back, such as that something is given back."""
        if self.journal is not None and decisions:
            await self.journal.note(decisions)

    def pods_of(self, live: Live) -> tuple[AcceleratorPod, ...]:
        """The accelerator pods of a workload; raises `Transient` where they are not known."""
        if self.pods is None:
            raise Transient("PodsUnknown", "The cluster's pods could not be read; they are read again.")
        return self.pods.of(live.uid)

    async def autoscaler_of(self, live: Live) -> Autoscaler | None:
        """The one that scales a workload; those of a namespace are read once in a cycle."""
        if not stop_of(live).is_count:
            return None
        namespace = live.workload.namespace
        if namespace not in self.autoscalers:
            objects = await self.cluster.list(HORIZONTAL_POD_AUTOSCALERS, namespace)
            self.autoscalers[namespace] = by_target(objects)
        return scaler_of(live, self.autoscalers[namespace])

    def check_lease(self) -> None:
        """Raise `Transient` unless we still lead."""
        if not self.may_write():
            raise Transient("NotLeader", "Another replica leads now and goes on with this.")

    async def check_may_act(self) -> None:
        """Raise unless we still lead, nobody has set the kill switch, and what was judged is still so.

        For all that stops something. A process that was suspended finds its monotonic clock, and with it its
        lease, where it left them: the API server's own time, by its answer of just now, does not lie.
        """
        self.check_lease()
        if await is_paused(self.cluster, self.operator_namespace):
            raise Stalled(
                "EnforcementPaused",
                f"ConfigMap {KILL_SWITCH} in {self.operator_namespace} stops new acts; delete it to go on.",
            )
        aged = 0.0 if self.clock is None else abs(self.clock() - self.now.timestamp())
        if aged > MOST_AGED_SECONDS:
            raise Transient(
                "ClockMoved", f"This cycle's figures are {aged:.0f} s away from now; it is judged anew."
            )
        self.check_lease()


async def is_paused(cluster: Port, operator_namespace: str) -> bool:
    """Whether the kill switch is set: its ConfigMap exists and `enabled` is not "false"."""
    switch = await cluster.get(CONFIG_MAPS, KILL_SWITCH, operator_namespace)
    return switch is not None and (switch.get("data") or {}).get("enabled", "true") != "false"


async def look(cluster: Port, workload: Workload) -> Live | None:
    """The workload as it is now; None where it is gone. Only for kinds of the catalogue."""
    resource = KINDS[workload.kind].resource
    obj = await cluster.get(resource, workload.name, workload.namespace)
    return None if obj is None else read(obj)


async def started_by(cluster: Port, namespace: str, uids: Collection[str]) -> list[Live]:
    """What these objects have started that has not ended, and that is stopped and given back with them."""
    kinds = [kind for kind in KINDS.values() if kind.parent is not None]
    objects = [obj for kind in kinds for obj in await cluster.list(kind.resource, namespace)]
    started = [live for live in map(read, objects) if live.controller and live.controller.uid in uids]
    return [live for live in started if not live.refusal or live.refusal[0] is not SpareReason.FINISHED]


async def fitted(site: Site, live: Live, original: str | None) -> tuple[str | None, str]:
    """What to put back for this original (JSON text, None: absent), and a sentence where it is another value.

    Autoscalers that cannot be read change nothing: they correct the number themselves.
    """
    if not stop_of(live).accepts(original):
        return original, ""
    try:
        return fit(original, await site.autoscaler_of(live))
    except AIBudgetError as error:
        return original, f" Whether an autoscaler bounds it could not be read ({error.reason})."


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
