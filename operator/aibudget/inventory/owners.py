"""From a pod to the workload that spends, Pod → ReplicaSet → Deployment, and on to what a person knows.

Metrics tell direct owners only, one link at a time, and forget them with the object. The book keeps every
link it has seen, for good: the first owner stands, and a ReplicaSet never becomes a workload once its
Deployment was seen. A link that says "no owner" is an answer too, but gives way to an owner.

The workload is what the ledger names and enforcement acts on. What it is part of, such as the
InferenceService above a Deployment, is its `chain`: for people, groups and selectors. Knowing more of a
chain never changes whom a bill names. Pure value; the ledger stores its links.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from aibudget.inventory.workload import Owner, PodKey, Workload

LINKS: Final = ("ReplicaSet", "Job")
"""What is never named by people, so that its own owner is looked for."""
DEPTH: Final = 4
"""The most links from a pod to its workload."""
CHAIN: Final = 8
"""The most members of a chain, from a workload upwards."""


class Child(NamedTuple):
    """An object that may have a controller. `uid` is known for pods alone; elsewhere it is ""."""

    namespace: str
    kind: str
    name: str
    uid: str = ""

    @classmethod
    def of(cls, pod: PodKey) -> "Child":
        return cls(pod.namespace, "Pod", pod.name, pod.uid)


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
    """Every link ever seen. Make it with `OwnerBook.of`; `with_links` gives a wiser one.

    A hundred thousand pods are looked up in every cycle, so that what cannot change any more is remembered: a
    pod whose workload is known, and one answer for all pods of a workload.
    """

    _owners: Mapping[Child, Owner | None] = field(default_factory=lambda: MappingProxyType({}))
    _settled: dict[PodKey, Resolution] = field(default_factory=dict, compare=False, repr=False)
    _shared: dict[Workload, Resolution] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, links: Iterable[OwnerLink]) -> "OwnerBook":
        return cls().with_links(links)

    def with_links(self, links: Iterable[OwnerLink]) -> "OwnerBook":
        """This book and what the links add to it; a known owner is never replaced.

        Of two owners that are told at once, the first by name stands.
        """
        told: dict[Child, Owner | None] = {}
        for child, owner in links:
            if self._owners.get(child) is None:
                other = told.get(child)
                told[child] = owner if other is None else min(other, owner or other)
        news = {child: owner for child, owner in told.items() if owner or child not in self._owners}
        if not news:
            return self
        return OwnerBook(MappingProxyType({**self._owners, **news}), dict(self._settled), dict(self._shared))

    def links(self) -> tuple[OwnerLink, ...]:
        return tuple(OwnerLink(child, owner) for child, owner in self._owners.items())

    def since(self, earlier: "OwnerBook") -> tuple[OwnerLink, ...]:
        """The links that are new or changed against an earlier book: what is to be stored."""
        if self is earlier:
            return ()
        return tuple(link for link in map(OwnerLink._make, self._owners.items()) if not earlier.has(link))

    def has(self, link: OwnerLink) -> bool:
        """Whether the link is one of the book's."""
        return self.knows(link.child) and self._owners[link.child] == link.owner

    def knows(self, child: Child) -> bool:
        return child in self._owners

    def resolve(self, pod: PodKey) -> Resolution:
        """The workload of the pod, as far as it was ever seen. A pod of no known owner is itself."""
        settled = self._settled.get(pod)
        if settled is not None:
            return settled
        child = Child.of(pod)
        for _ in range(DEPTH):
            owner = self._owners.get(child)
            if owner is None:
                break
            child = Child(pod.namespace, owner.kind, owner.name)
            if owner.kind not in LINKS:
                workload = Workload(pod.namespace, owner.kind, owner.name)
                found = self._shared.setdefault(workload, Resolution(workload, complete=True))
                return self._settled.setdefault(pod, found)
        return Resolution(Workload(pod.namespace, child.kind, child.name), self.knows(child))

    def resolved(self, pods: Iterable[PodKey]) -> dict[PodKey, Resolution]:
        """As `resolve`, of many pods."""
        settled = self._settled.get
        return {pod: settled(pod) or self.resolve(pod) for pod in pods}

    def unknown(self, pods: Collection[PodKey]) -> set[PodKey]:
        """Those of which it was not seen whose they are."""
        return {pod for pod in pods if pod not in self._settled and Child.of(pod) not in self._owners}

    def chain(self, workload: Workload) -> tuple[Workload, ...]:
        """The workload and what it is part of, upwards, as far as it was ever seen.

        The last one is what a person knows. Selectors match any member.
        """
        members = [Child(workload.namespace, workload.kind, workload.name)]
        while len(members) < CHAIN:
            owner = self._owners.get(members[-1])
            above = None if owner is None else Child(workload.namespace, owner.kind, owner.name)
            if above is None or above in members:
                break
            members.append(above)
        return (workload, *(Workload(above.namespace, above.kind, above.name) for above in members[1:]))

    def top(self, workload: Workload) -> Workload:
        """What a person knows it as: the InferenceService of a Deployment, or the workload itself."""
        return self.chain(workload)[-1]

    def ends(self, workloads: Iterable[Workload]) -> frozenset[Child]:
        """Where these chains end without it having been seen that there is nothing above."""
        tops = map(self.top, workloads)
        children = (Child(top.namespace, top.kind, top.name) for top in tops)
        return frozenset(child for child in children if not self.knows(child))

    def missing(self, pods: Iterable[PodKey]) -> dict[str, set[str]]:
        """Kind → names of objects whose owner must still be asked for, to complete these pods' chains."""
        wanted: dict[str, set[str]] = {}
        for pod in pods:
            if pod in self._settled:
                continue
            owner = self._owners.get(Child.of(pod))
            if owner and owner.kind in LINKS and not self.knows(Child(pod.namespace, *owner)):
                wanted.setdefault(owner.kind, set()).add(owner.name)
        return wanted
