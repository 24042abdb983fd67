"""Block: one key of one ConfigMap for each blocked namespace; the chart's admission policy reads it.

The same ConfigMap remembers what people vetoed in a namespace. Every write is a JSON patch of one key with a
`test` of the resourceVersion, so that two leaders lose nothing of each other. Who is exempt is looked up in
every cycle, and written into the key.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aibudget.api.conditions import Reason
from aibudget.api.hold import Hold
from aibudget.api.names import BLOCK_POLICY, FENCES
from aibudget.enforcement import record
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.edits import put
from aibudget.enforcement.fences import Fence, Sight
from aibudget.enforcement.freeze import Effect
from aibudget.enforcement.hold import approved
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.live import Live, read
from aibudget.enforcement.placard import block_path, exempt_in, mark_in, value_of
from aibudget.enforcement.port import FOLLOWED, Site
from aibudget.enforcement.sparing import spared_by_person
from aibudget.errors import Conflict, Stalled
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import BLOCK_BINDINGS, BLOCK_POLICIES, CONFIG_MAPS, PODS, REPLICA_SETS

_NAMED: Final = ("Deployment", "CronJob")
"""Their pods' owners are made anew, and named after them: the policy knows these by name."""


@dataclass(slots=True)
class Board:
    """The ConfigMap as it was read last; None where there is none."""

    site: Site
    content: Json | None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def read(cls, site: Site) -> "Board":
        """As it is now."""
        return cls(site, await site.cluster.get(CONFIG_MAPS, FENCES, site.operator_namespace))

    @property
    def data(self) -> Mapping[str, str]:
        """Its keys."""
        return (self.content or {}).get("data") or {}

    async def edit(self, key: str, change: Callable[[str | None], str | None]) -> None:
        """Set or remove (None) one key, by what it is now."""
        async with self._lock:
            for pause in FOLLOWED:
                try:
                    return await self._write(key, change(self.data.get(key)))
                except Conflict:
                    await asyncio.sleep(pause or 0)
                    site = self.site
                    self.content = await site.cluster.get(CONFIG_MAPS, FENCES, site.operator_namespace)
                    if pause is None:
                        raise
        return None

    async def _write(self, key: str, value: str | None) -> None:
        namespace = self.site.operator_namespace
        if value == self.data.get(key):
            return
        if self.content is None:
            raise Stalled(
                "FencesMissing",
                f"ConfigMap {FENCES} is not in {namespace}: run helm upgrade, which makes it.",
            )
        version = self.content["metadata"]["resourceVersion"]
        operations: list[Json] = [{"op": "test", "path": "/metadata/resourceVersion", "value": version}]
        if not self.data:
            operations.append(put("/data", {}))
        path = f"/data/{key}"
        operations.append({"op": "remove", "path": path} if value is None else put(path, value))
        self.site.check_lease()
        self.content = await self.site.cluster.patch(CONFIG_MAPS, FENCES, operations, namespace)


@dataclass(slots=True)
class Block:
    """One namespace's key while a cycle works on it. `claimants` are the budgets known now, by uid."""

    site: Site
    fence: Fence
    board: Board
    claimants: Mapping[str, Claimant]

    async def see(self, hold: Hold) -> Sight:
        """What is there of it, as the board was read."""
        value = self.board.data.get(self.fence.place.name)
        mark = None if value is None else mark_in(value)
        return Sight(begun=value is not None, stands=mark is not None and mark.uid == hold.uid)

    async def put_up(self, hold: Hold) -> None:
        """Write the key, with those who are exempt in it from the first moment on."""
        exempt = await self._exempt(hold)
        await self.site.check_may_act()
        value = value_of(self.fence, hold, exempt or frozenset())
        await self.board.edit(self.fence.place.name, lambda _: value)

    async def keep_up(self, hold: Hold) -> Hold:
        """Its words and who is exempt as they should be; and the Hold says what was written."""
        before = exempt_in(self.board.data.get(self.fence.place.name, ""))
        exempt = await self._exempt(hold)
        if exempt is None or not self.fence.due:
            # Nothing is tightened by what is not known now, or while nothing new may happen.
            exempt = before | (exempt or frozenset())
        value = value_of(self.fence, hold, exempt)
        await self.board.edit(self.fence.place.name, lambda _: value)
        if hold.spec.original:
            return hold
        self.site.check_lease()
        return await record.kept(self.site.cluster, hold, block_path(self.fence.place.name), None)

    async def effect(self) -> Effect:
        """Whether there is a policy that reads the key."""
        for resource in (BLOCK_POLICIES, BLOCK_BINDINGS):
            if await self.site.cluster.get(resource, BLOCK_POLICY) is None:
                said = f"{resource.kind} {BLOCK_POLICY} is not there: run helm upgrade, which makes it."
                return False, Reason.NOT_REFUSING, said
        return True, Reason.REFUSING, "New pods that ask for accelerators are refused."

    async def take_down(self, hold: Hold) -> None:
        """Remove the key."""
        del hold
        await self.board.edit(self.fence.place.name, lambda _: None)

    async def _exempt(self, hold: Hold) -> frozenset[str] | None:
        """The owners whose pods pass, as the policy reads them; None where a budget cannot be asked now."""
        asking = [self.claimants.get(claim.uid) for claim in approved(hold)]
        known = [claimant for claimant in asking if claimant is not None]
        if len(known) < len(asking):
            return None
        return await exempt_owners(self.site, self.fence.place.name, known)


async def exempt_owners(site: Site, namespace: str, claimants: Sequence[Claimant]) -> frozenset[str]:
    """Those that every one of these budgets spares by a person's decision."""
    if not claimants:
        return frozenset()
    kinds = [kind for kind in KINDS.values() if kind.resource is not PODS]
    lives = [
        read(obj)
        for kind in kinds
        for obj in await site.cluster.list(kind.resource, namespace, metadata_only=True)
    ]
    return frozenset(
        _line(live)
        for live in lives
        # A Deployment's annotations are copied to its ReplicaSets, and stay there when they are taken back.
        if not (live.kind.resource is REPLICA_SETS and live.controller is not None)
        and all(spared_by_person(claimant, live, site.now) for claimant in claimants)
    )


def _line(live: Live) -> str:
    kind = live.kind.name
    return f"{kind}/{live.workload.name}" if kind in _NAMED else live.uid
