"""From a pod to the workload that a person knows: Pod → ReplicaSet → Deployment, Pod → Job → CronJob.

Metrics tell direct owners only, one link at a time, and forget them with the object. The book keeps every
link it has seen, for good: the first owner stands, and a ReplicaSet never becomes a workload once its
Deployment was seen. A link that says "no owner" is an answer too, but gives way to an owner. Pure value; the
ledger stores its links.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from aibudget.inventory.workload import Owner, PodKey, Workload

# What is never named by people, so that its own owner is looked for.
LINKS = ("ReplicaSet", "Job")
DEPTH = 4


class Child(NamedTuple):
    """An object that may have a controller. `uid` is known for pods alone; elsewhere it is ""."""

    namespace: str
    kind: str
    name: str
    uid: str = ""


class OwnerLink(NamedTuple):
    """`owner` is None where the child was seen to have no controller."""

    child: Child
    owner: Owner | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """`complete` is False while a link of the chain was never seen: then `workload` is its last known
    member.
    """

    workload: Workload
    complete: bool


@dataclass(frozen=True, slots=True)
class OwnerBook:
    """Every link ever seen. Make it with `OwnerBook.of`; `with_links` gives a wiser one."""

    _owners: Mapping[Child, Owner | None] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, links: Iterable[OwnerLink]) -> "OwnerBook":
        return cls().with_links(links)

    def with_links(self, links: Iterable[OwnerLink]) -> "OwnerBook":
        """This book and what the links add to it; a known owner is never replaced."""
        owners = dict(self._owners)
        for child, owner in sorted(links, key=lambda link: (link.child, link.owner or Owner("", ""))):
            if owners.get(child) is None:
                owners[child] = owner
        return OwnerBook(MappingProxyType(owners))

    def links(self) -> tuple[OwnerLink, ...]:
        return tuple(OwnerLink(child, owner) for child, owner in self._owners.items())

    def since(self, earlier: "OwnerBook") -> tuple[OwnerLink, ...]:
        """The links that are new or changed against an earlier book: what is to be stored."""
        return tuple(link for link in self.links() if link not in earlier)

    def __contains__(self, link: object) -> bool:
        return (
            isinstance(link, OwnerLink)
            and link.child in self._owners
            and self._owners[link.child] == link.owner
        )

    def knows(self, child: Child) -> bool:
        return child in self._owners

    def resolve(self, pod: PodKey) -> Resolution:
        """The top of the pod's chain, as far as it was ever seen. A pod of no known owner is itself."""
        child = Child(pod.namespace, "Pod", pod.name, pod.uid)
        for _ in range(DEPTH):
            owner = self._owners.get(child)
            if owner is None:
                break
            child = Child(pod.namespace, owner.kind, owner.name)
            if owner.kind not in LINKS:
                return Resolution(Workload(pod.namespace, owner.kind, owner.name), complete=True)
        return Resolution(Workload(pod.namespace, child.kind, child.name), self.knows(child))

    def missing(self, pods: Iterable[PodKey]) -> dict[str, set[str]]:
        """Kind → names of objects whose owner must still be asked for, to complete these pods' chains."""
        wanted: dict[str, set[str]] = {}
        for pod in pods:
            owner = self._owners.get(Child(pod.namespace, "Pod", pod.name, pod.uid))
            if owner and owner.kind in LINKS and not self.knows(Child(pod.namespace, *owner)):
                wanted.setdefault(owner.kind, set()).add(owner.name)
        return wanted
