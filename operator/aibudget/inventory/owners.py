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
_UNSEEN: Final = Owner("", "")


class Child(NamedTuple):
    """An object that may have a controller. `uid` is known for pods alone; elsewhere it is ""."""

    namespace: str
    kind: str
    name: str
    uid: str = ""

    @classmethod
    def of(cls, pod: PodKey) -> "Child":
        return cls(pod.namespace, "Pod", pod.name, pod.uid)

    @property
    def key(self) -> "PodKey | Child":
        """How a book knows it: a hundred thousand pods are looked up as they are."""
        return PodKey(self.namespace, self.name, self.uid) if self.kind == "Pod" else self


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

    A hundred thousand pods are looked up in every cycle, so that what cannot change any more is remembered:
    the workload above an owner in a namespace, one answer for all its pods, and of which pods it is known.
    """

    owners: Mapping[PodKey | Child, Owner | None] = field(default_factory=lambda: MappingProxyType({}))
    _settled: dict[tuple[str, Owner], Resolution] = field(default_factory=dict, compare=False, repr=False)
    _known: dict[PodKey, Resolution] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, links: Iterable[OwnerLink]) -> "OwnerBook":
        return cls().with_links(links)

    def with_links(
        self, links: Iterable[OwnerLink], pods: Mapping[PodKey, PodKey] = MappingProxyType({})
    ) -> "OwnerBook":
        """This book and what the links add to it; a known owner is never replaced.

        Of two owners that are told at once, the first by name stands. `pods` are kept as the very objects
        that they are, where links tell of them: others have them, too.
        """
        told: dict[PodKey | Child, Owner | None] = {}
        for child, owner in links:
            key = child.key
            if self.owners.get(key) is None:
                other = told.get(key)
                known = pods.get(key, key) if isinstance(key, PodKey) else key
                told[known] = owner if other is None else min(other, owner or other)
        news = {key: owner for key, owner in told.items() if owner or key not in self.owners}
        if not news:
            return self
        return OwnerBook(MappingProxyType({**self.owners, **news}), dict(self._settled), dict(self._known))

    def links(self) -> tuple[OwnerLink, ...]:
        return self.since(OwnerBook())

    def since(self, earlier: "OwnerBook") -> tuple[OwnerLink, ...]:
        """The links that are new or changed against an earlier book: what is to be stored."""
        if self is earlier:
            return ()
        before = earlier.owners
        return tuple(
            OwnerLink(Child.of(key) if isinstance(key, PodKey) else key, owner)
            for key, owner in self.owners.items()
            if before.get(key, _UNSEEN) != owner
        )

    def knows(self, child: Child) -> bool:
        return child.key in self.owners

    def resolve(self, pod: PodKey) -> Resolution:
        """The workload of the pod, as far as it was ever seen. A pod of no known owner is itself."""
        owner = self.owners.get(pod)
        if owner is None:
            return Resolution(Workload(pod.namespace, "Pod", pod.name), pod in self.owners)
        return self._settled.get((pod.namespace, owner)) or self._climbed(pod.namespace, owner)

    def _climbed(self, namespace: str, first: Owner) -> Resolution:
        owner: Owner | None = first
        for _ in range(DEPTH):
            if owner is None:
                break
            child = Child(namespace, *owner)
            if owner.kind not in LINKS:
                found = Resolution(Workload(*child[:3]), complete=True)
                return self._settled.setdefault((namespace, first), found)
            owner = self.owners.get(child)
        return Resolution(Workload(*child[:3]), self.knows(child))

    def resolved(self, pods: Collection[PodKey]) -> Mapping[PodKey, Resolution]:
        """As `resolve`, of these pods, and of others whose workload is known for good."""
        open_ended: dict[PodKey, Resolution] = {}
        for pod in self._open(pods):
            owner, found = self.owners.get(pod), self.resolve(pod)
            is_settled = owner is not None and (pod.namespace, owner) in self._settled
            (self._known if is_settled else open_ended)[pod] = found
        return {**self._known, **open_ended} if open_ended else self._known

    def unknown(self, pods: Collection[PodKey]) -> set[PodKey]:
        """Those of which it was not seen whose they are."""
        return {pod for pod in self._open(pods) if pod not in self.owners}

    def _open(self, pods: Collection[PodKey]) -> set[PodKey]:
        """Those whose workload is not known for good: of a hundred thousand pods hardly one."""
        # A set asks a dict by the hashes that it has; anything else would hash each pod anew.
        return (pods if isinstance(pods, set) else set(pods)).difference(self._known)

    def chain(self, workload: Workload) -> tuple[Workload, ...]:
        """The workload and what it is part of, upwards, as far as it was ever seen.

        The last one is what a person knows. Selectors match any member.
        """
        members = [Child(workload.namespace, workload.kind, workload.name)]
        while len(members) < CHAIN:
            owner = self.owners.get(members[-1].key)
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

    def missing(self, pods: Collection[PodKey]) -> dict[str, set[str]]:
        """Kind → names of objects whose owner must still be asked for, to complete these pods' chains."""
        wanted: dict[str, set[str]] = {}
        for pod in self._open(pods):
            owner = self.owners.get(pod)
            if owner and owner.kind in LINKS and Child(pod.namespace, *owner) not in self.owners:
                wanted.setdefault(owner.kind, set()).add(owner.name)
        return wanted
