"""Freeze: our ResourceQuota in a namespace, at what the API server itself counts as used there, and what
AIBudget keeps down at that moment.

It is created with a limit that nothing reaches, so that a namespace that is not counted yet is not refused
anything; when the quota controller has counted, one patch with a `test` of that very count makes it the
limit, and the Hold keeps it. A crash in between is found by looking again. Deleting the quota is the whole
restore; the quotas of others go on counting beside it.
"""

import asyncio
import json
from dataclasses import dataclass
from typing import Final

from aibudget.api.conditions import Reason
from aibudget.api.hold import Hold
from aibudget.api.names import FREEZE_QUOTA, HOLD_LABEL, ORIGINAL_ANNOTATION, REASON_ANNOTATION
from aibudget.enforcement import record
from aibudget.enforcement.demand import count, ending, kept_down
from aibudget.enforcement.edits import edit_map, put
from aibudget.enforcement.fences import Fence, Sight
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.placard import (
    DEVICES,
    HARD_PATH,
    REQUESTS,
    Mark,
    hard_of,
    mark_of,
    mark_text,
    words,
)
from aibudget.enforcement.port import Port, Site
from aibudget.errors import Stalled, Transient
from aibudget.inventory.accelerators import NAMES, is_accelerator
from aibudget.inventory.kubernetes import AlreadyExists, Json, NotServed
from aibudget.inventory.resource import DEVICE_CLASSES, NODES, PODS, RESOURCE_QUOTAS

UNCOUNTED: Final = "1G"
"""More devices than there are: the limit until the namespace is counted."""
_LOOKS: Final = 30
_PAUSE: Final = 0.1

Effect = tuple[bool, Reason, str]
"""Whether a fence is in force, and why."""


@dataclass(slots=True)
class Freeze:
    """One namespace's quota while a cycle works on it."""

    site: Site
    fence: Fence
    quota: Json | None = None

    async def see(self, hold: Hold) -> Sight:
        """What is there of it."""
        found = await self.site.cluster.get(RESOURCE_QUOTAS, FREEZE_QUOTA, self.fence.place.name)
        self.quota = found if found is not None and is_of(found, hold) else None
        if self.quota is None:
            return Sight(begun=False, stands=False)
        hard, recorded = _hard(self.quota), hard_of(hold)
        counted = UNCOUNTED not in hard.values()
        return Sight(begun=True, stands=counted and recorded in (None, hard))

    async def put_up(self, hold: Hold) -> None:
        """Create it, or complete what was begun; raises `Transient` while the namespace is not counted."""
        cluster, namespace = self.site.cluster, self.fence.place.name
        recorded = hard_of(hold)
        if self.quota is None:
            hard = recorded or dict.fromkeys(await _countable(cluster), UNCOUNTED)
            await self.site.check_may_act()
            try:
                self.quota = await cluster.create(RESOURCE_QUOTAS, self._body(hold, hard), namespace)
            except AlreadyExists as taken:
                said = f"ResourceQuota {FREEZE_QUOTA} in {namespace} is not this Hold's. Delete or rename it."
                raise Stalled("QuotaTaken", said) from taken
        if recorded is None:
            self.quota = await self._counted(namespace)
            recorded = await self._allowed(namespace, self.quota["status"]["used"])
        if _hard(self.quota) != recorded:
            await self.site.check_may_act()
            await self._patch([put(HARD_PATH, recorded)])

    async def keep_up(self, hold: Hold) -> Hold:
        """Its words and marks as they should be, and what it allows kept in the Hold."""
        assert self.quota is not None, "only what stands is kept up"
        metadata, wanted = self.quota["metadata"], self._body(hold, {})["metadata"]
        operations = [
            operation
            for part in ("labels", "annotations")
            for operation in edit_map(f"/metadata/{part}", metadata.get(part) or {}, wanted[part])
            if (metadata.get(part) or {}) | wanted[part] != (metadata.get(part) or {})
        ]
        if operations:
            self.site.check_lease()
            await self._patch(operations)
        if hold.spec.original:
            return hold
        self.site.check_lease()
        text = json.dumps(_hard(self.quota), separators=(",", ":"), sort_keys=True)
        return await record.kept(self.site.cluster, hold, HARD_PATH, text)

    async def effect(self) -> Effect:
        """Whether the API server enforces it, and whether it counts all that could be used."""
        assert self.quota is not None, "only what stands has an effect"
        hard = _hard(self.quota)
        if (self.quota.get("status") or {}).get("hard") != hard:
            return False, Reason.NOT_REFUSING, "The API server does not enforce the quota yet."
        missing = sorted(set(await _device_classes(self.site.cluster)) - hard.keys())
        if missing:
            names = ", ".join(name.removesuffix(DEVICES) for name in missing)
            return True, Reason.PARTIAL, f"Growth is refused, but in DRA device classes not counted: {names}."
        return True, Reason.REFUSING, "Growth in accelerators is refused."

    async def take_down(self, hold: Hold) -> None:
        """Delete it, if it is this Hold's."""
        if self.quota is not None and is_of(self.quota, hold):
            self.site.check_lease()
            await remove(self.site.cluster, self.quota)

    async def _allowed(self, namespace: str, used: dict[str, str]) -> dict[str, str]:
        """What is used, and what AIBudget itself keeps down at the moment: it may come back."""
        kinds = [kind for kind in KINDS.values() if kind.stop is not None]
        held = [
            obj
            for kind in kinds
            for obj in await self.site.cluster.list(kind.resource, namespace, labels=HOLD_LABEL)
        ]
        if not held:
            return dict(used)
        # What is ending is used still, and must not be counted twice.
        room = kept_down(held) - ending(await self.site.cluster.list(PODS, namespace))
        more = {f"{REQUESTS}{name}": number for name, number in room.items()}
        return {
            name: str(count(quantity) + more[name]) if name in more else quantity
            for name, quantity in used.items()
        }

    async def _counted(self, namespace: str) -> Json:
        for _ in range(_LOOKS):
            found = await self.site.cluster.get(RESOURCE_QUOTAS, FREEZE_QUOTA, namespace)
            status = (found or {}).get("status") or {}
            if found is not None and status.get("used") and status.get("hard") == _hard(found):
                return found
            await asyncio.sleep(_PAUSE)
        raise Transient(
            "NotCounted",
            f"What namespace {namespace} uses is not counted yet: it is frozen at a later cycle. See whether "
            "kube-controller-manager runs.",
        )

    async def _patch(self, operations: list[Json]) -> None:
        assert self.quota is not None, "only what is there is patched"
        metadata = self.quota["metadata"]
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]}
        self.quota = await self.site.cluster.patch(
            RESOURCE_QUOTAS, FREEZE_QUOTA, [test, *operations], metadata["namespace"]
        )

    def _body(self, hold: Hold, hard: dict[str, str]) -> Json:
        annotations = {ORIGINAL_ANNOTATION: mark_text(hold), REASON_ANNOTATION: words(self.fence, hold)}
        return {
            "apiVersion": RESOURCE_QUOTAS.api_version,
            "kind": RESOURCE_QUOTAS.kind,
            "metadata": {
                "name": FREEZE_QUOTA,
                "namespace": self.fence.place.name,
                "labels": {HOLD_LABEL: hold.name},
                "annotations": annotations,
            },
            "spec": {"hard": hard},
        }


def is_of(quota: Json, hold: Hold) -> bool:
    """Whether this quota was made for this very Hold."""
    mark = mark_on(quota)
    label = (quota["metadata"].get("labels") or {}).get(HOLD_LABEL)
    return label == hold.name and mark is not None and mark.uid == hold.uid


def mark_on(quota: Json) -> Mark | None:
    """What it says of whose it is."""
    return mark_of((quota["metadata"].get("annotations") or {}).get(ORIGINAL_ANNOTATION))


async def quotas(cluster: Port) -> list[Json]:
    """Every quota of ours in the cluster."""
    found = await cluster.list(RESOURCE_QUOTAS, labels=HOLD_LABEL)
    return [quota for quota in found if quota["metadata"]["name"] == FREEZE_QUOTA]


async def remove(cluster: Port, quota: Json) -> None:
    """Delete exactly this quota."""
    metadata = quota["metadata"]
    await cluster.delete(RESOURCE_QUOTAS, FREEZE_QUOTA, metadata["namespace"], uid=metadata["uid"])


def _hard(quota: Json) -> dict[str, str]:
    return (quota.get("spec") or {}).get("hard") or {}


async def _countable(cluster: Port) -> list[str]:
    """What a quota can count: known accelerators (a node of theirs may come yet), what nodes offer, DRA."""
    offered = {
        name
        for node in await cluster.list(NODES)
        for name in (node.get("status") or {}).get("capacity") or {}
        if is_accelerator(name)
    }
    return [*(f"{REQUESTS}{name}" for name in sorted({*NAMES, *offered})), *await _device_classes(cluster)]


async def _device_classes(cluster: Port) -> list[str]:
    try:
        found = await cluster.list(DEVICE_CLASSES, metadata_only=True)
    except NotServed:
        return []  # an API server without DRA has no claims either
    return sorted(f"{one['metadata']['name']}{DEVICES}" for one in found)
