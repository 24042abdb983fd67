"""Climbs owner references by asking the API server, where Prometheus tells none.

There is no metric for the owner of a StatefulSet, nor for that of any custom resource. Each object is asked
for once, its metadata alone; what is learnt is an `OwnerLink` like any other. What cannot be asked for (a
kind that is not served or not allowed, an object that is gone) stays unknown and is no error: chains are for
people to read, and nothing is billed or stopped by them.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from aibudget.inventory.kubernetes import Forbidden, Json, NotServed
from aibudget.inventory.lineage import BY_KIND, named_by
from aibudget.inventory.owners import LINKS, Child, OwnerLink
from aibudget.inventory.resource import Refused, Resource
from aibudget.inventory.workload import Owner

MOST: Final = 250
"""How many objects are asked for in one cycle: the rest has its turn in the next."""
PATIENCE: Final = 60
"""After how many cycles what could not be told is asked for again."""


class Getter(Protocol):
    """What climbing needs of the API server."""

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, metadata_only: bool = False
    ) -> Json | None: ...


class Climber:
    """Remembers what could not be told, so as not to ask for it in every cycle."""

    def __init__(self, api: Getter) -> None:
        self._api = api
        self._silent: dict[Child | str, int] = {}
        self._cycle = 0

    async def climb(self, ends: Iterable[Child]) -> tuple[OwnerLink, ...]:
        """Links from these objects upwards, as far as the API server tells; at most `MOST` are asked for.

        Raises `Transient` where it cannot be reached.
        """
        self._cycle += 1
        self._silent = {key: until for key, until in self._silent.items() if until > self._cycle}
        found: dict[Child, OwnerLink] = {}
        waiting = deque(ends)
        asked: set[Child] = set()
        while waiting and len(asked) < MOST:
            child = waiting.popleft()
            if child in asked or not self._may_ask(child):
                continue
            asked.add(child)
            link = await self._ask(child)
            if link is not None:
                found[child] = link
                if link.owner is not None:
                    waiting.appendleft(Child(child.namespace, *link.owner))
        return tuple(found.values())

    def _may_ask(self, child: Child) -> bool:
        return child.kind in BY_KIND and child not in self._silent and child.kind not in self._silent

    async def _ask(self, child: Child) -> OwnerLink | None:
        for resource in BY_KIND[child.kind].resources:
            try:
                obj = await self._api.get(resource, child.name, child.namespace, metadata_only=True)
            except NotServed:
                continue
            except Forbidden:
                break
            except Refused:
                # Names come from labels of metrics as well, and not all of them are names.
                obj = None
            if obj is not None:
                return OwnerLink(child, owner_of(child.kind, obj["metadata"]))
            self._silent[child] = self._cycle + PATIENCE
            return None
        self._silent[child.kind] = self._cycle + PATIENCE
        return None


def owner_of(kind: str, metadata: Mapping[str, Any]) -> Owner | None:
    """Its controller, or what its labels name where it has none.

    Labels are anybody's to write: they may say what a workload is part of, and never whose a pod is.
    """
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            return Owner(reference["kind"], reference["name"])
    named = None if kind in (*LINKS, "Pod") else named_by(metadata.get("labels") or {})
    return None if named == Owner(kind, metadata["name"]) else named
