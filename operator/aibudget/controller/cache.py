"""What the API server was last heard to hold.

Budgets, price lists, meters, Holds and namespaces, parsed once per change. Fed by watch events and by lists;
whichever is newer wins, by resourceVersion. A list also ends what it does not hold any more: a watch that
had to start anew never tells what was deleted meanwhile. An object that no model accepts is kept as the
error that it is. Knows neither kopf nor the API server, and no two threads.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeVar

from aibudget.api.budget import AIBudget, ClusterAIBudget
from aibudget.api.hold import Hold
from aibudget.api.kinds import parse
from aibudget.api.meter import AIMeter
from aibudget.api.model import Metadata
from aibudget.api.pricelist import AIPriceList
from aibudget.controller.stored import packed
from aibudget.errors import InvalidManifest
from aibudget.inventory.claims import Claim, Held, Offered, claim, holds, offers
from aibudget.inventory.devices import Slice, TaintRule, device_slice, taint_rule
from aibudget.inventory.resource import (
    AIBUDGETS,
    CLUSTER_AIBUDGETS,
    DEVICE_TAINT_RULES,
    HOLDS,
    METERS,
    NAMESPACES,
    PRICE_LISTS,
    RESOURCE_CLAIMS,
    RESOURCE_SLICES,
    Resource,
)

OPTIONAL: Final = (RESOURCE_CLAIMS, RESOURCE_SLICES)
"""What not every API server has: before Kubernetes 1.34 there is no resource.k8s.io/v1."""
WATCHED: Final = (AIBUDGETS, CLUSTER_AIBUDGETS, PRICE_LISTS, METERS, HOLDS, NAMESPACES, *OPTIONAL)

_FACTS: Final[Mapping[str, Callable[[Mapping[str, Any]], Claim | Slice | TaintRule | None]]] = {
    RESOURCE_CLAIMS.plural: claim,
    RESOURCE_SLICES.plural: device_slice,
    DEVICE_TAINT_RULES[0].plural: taint_rule,
}
Fact = TypeVar("Fact", Claim, Slice, TaintRule)

log = logging.getLogger(__name__)

Model = AIBudget | ClusterAIBudget | AIPriceList | AIMeter | Hold


@dataclass(frozen=True, slots=True)
class Seen:
    """One object of our group.

    `model` is what it says, or why it says nothing; `stored` is its status, packed: as objects, the
    statuses of a thousand budgets would take more than all else that is known of them.
    """

    resource: Resource
    metadata: Metadata
    model: Model | InvalidManifest
    stored: str

    @property
    def uid(self) -> str:
        return self.metadata.uid


@dataclass(frozen=True, slots=True)
class NamespaceSeen:
    """A namespace's own words: selectors read the labels, protection the annotations."""

    metadata: Metadata

    @property
    def uid(self) -> str:
        return self.metadata.uid


@dataclass(frozen=True, slots=True)
class DevicesSeen:
    """What a claim holds, what a slice says of devices, or which of them are tainted."""

    metadata: Metadata
    fact: Claim | Slice | TaintRule | None

    @property
    def uid(self) -> str:
        return self.metadata.uid


AnySeen = Seen | NamespaceSeen | DevicesSeen


@dataclass(frozen=True, slots=True)
class World:
    """A moment of the cache, consistent enough for one cycle. Holds are read afresh by who acts on them."""

    budgets: tuple[Seen, ...]
    price_lists: tuple[Seen, ...]
    namespaces: Mapping[str, Metadata]
    meters: tuple[Seen, ...] = ()


def read(resource: Resource, obj: Mapping[str, Any]) -> AnySeen:
    """An object as the API server gives it."""
    if resource is NAMESPACES:
        return NamespaceSeen(_metadata(obj))
    if resource.plural in _FACTS:
        return DevicesSeen(_metadata(obj), _FACTS[resource.plural](obj))
    status = obj.get("status")
    stored = packed(status)
    # Lists and watches of some servers leave out what each item is. The status is read when it is needed.
    spoken = {key: value for key, value in obj.items() if key != "status"}
    try:
        model = parse({**spoken, "apiVersion": resource.api_version, "kind": resource.kind})
    except InvalidManifest as invalid:
        return Seen(resource, _metadata(obj), invalid, stored)
    return Seen(resource, model.metadata, model, stored)


def _metadata(obj: Mapping[str, Any]) -> Metadata:
    return Metadata.model_validate(obj["metadata"], by_alias=True, by_name=False)


def read_all(
    resource: Resource,
    objects: Iterable[Mapping[str, Any]],
    known: Mapping[str, AnySeen] = MappingProxyType({}),
) -> list[AnySeen]:
    """A list as the API server gives it; an object that has not even readable metadata is left out.

    What is `known`, by uid, in the same version is not read again.
    """
    found = []
    for obj in objects:
        try:
            metadata = obj["metadata"]
            before = known.get(metadata.get("uid", ""))
            same = before is not None and before.metadata.resource_version == metadata.get("resourceVersion")
            found.append(before if before is not None and same else read(resource, obj))
        except (KeyError, TypeError, ValueError):
            log.exception("an object of %s cannot be read and is left out", resource.plural)
    return found


class Cache:
    """Call it from one thread. `apply` and `replace` tell whether a cycle should run early."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, AnySeen]] = {r.plural: {} for r in (*WATCHED, *DEVICE_TAINT_RULES)}
        self._gone: set[str] = set()

    def apply(self, resource: Resource, seen: AnySeen, *, deleted: bool) -> bool:
        """One watch event."""
        objects = self._objects[resource.plural]
        before = objects.get(seen.uid)
        if deleted:
            self._gone.add(seen.uid)
            objects.pop(seen.uid, None)
            return isinstance(seen, Seen)
        if seen.uid in self._gone or (before is not None and _version(before) >= _version(seen)):
            return False
        objects[seen.uid] = seen
        return _calls_for_a_cycle(before, seen)

    def known(self, resource: Resource) -> Mapping[str, AnySeen]:
        """What is here of it, by uid, as it changes."""
        return self._objects[resource.plural]

    def before_list(self, resource: Resource) -> int:
        """To be called before a list is asked for; what it returns goes to `replace`."""
        self._gone.clear()
        return max(map(_version, self._objects[resource.plural].values()), default=0)

    def replace(self, resource: Resource, listed: Iterable[AnySeen], known: int) -> bool:
        """A whole list, asked for when the newest resourceVersion in the cache was `known`."""
        objects, found = self._objects[resource.plural], {seen.uid: seen for seen in listed}
        wakes = [self.apply(resource, seen, deleted=False) for seen in found.values()]
        # What came after the list was asked for is not in it, and is not gone.
        missing = [seen for uid, seen in objects.items() if uid not in found and _version(seen) <= known]
        wakes += [self.apply(resource, seen, deleted=True) for seen in missing]
        return any(wakes)

    def world(self) -> World:
        """Everything, as it is now."""
        namespaces = (seen.metadata for seen in self._objects[NAMESPACES.plural].values())
        return World(
            budgets=(*self._seen(AIBUDGETS), *self._seen(CLUSTER_AIBUDGETS)),
            price_lists=self._seen(PRICE_LISTS),
            namespaces={metadata.name: metadata for metadata in namespaces},
            meters=self._seen(METERS),
        )

    def devices_held(self) -> Mapping[Held, int]:
        """How many devices of each kind each pod holds by its claims. May be called from any thread."""
        return holds(self._facts(RESOURCE_CLAIMS, Claim), self._facts(RESOURCE_SLICES, Slice))

    def devices_offered(self) -> Mapping[Offered, int]:
        """How many devices of each kind there are for claims. May be called from any thread."""
        return offers(
            self._facts(RESOURCE_CLAIMS, Claim),
            self._facts(RESOURCE_SLICES, Slice),
            self._facts(DEVICE_TAINT_RULES[0], TaintRule),
        )

    def _facts(self, resource: Resource, kind: type[Fact]) -> list[Fact]:
        seen = list(self._objects[resource.plural].values())
        return [one.fact for one in seen if isinstance(one, DevicesSeen) and isinstance(one.fact, kind)]

    def _seen(self, resource: Resource) -> tuple[Seen, ...]:
        return tuple(s for s in self._objects[resource.plural].values() if isinstance(s, Seen))


def _calls_for_a_cycle(before: AnySeen | None, after: AnySeen) -> bool:
    if not isinstance(after, Seen):
        return False
    if isinstance(after.model, Hold):
        # Our own writes move a Hold, too; only what a person may have decided is worth another look.
        return before is not None and before.metadata.generation != after.metadata.generation
    return before is None or before.metadata.generation != after.metadata.generation


def _version(seen: AnySeen) -> int:
    # Comparable integers since Kubernetes 1.35 by contract, and since ever by etcd's revisions.
    text = seen.metadata.resource_version
    return int(text) if text.isdecimal() else 0
