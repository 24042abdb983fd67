"""`Facts`: the world as one cycle has just read it, never from a cache. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aibudget.api.hold import Hold
from aibudget.enforcement.live import Live
from aibudget.enforcement.order import Crew
from aibudget.inventory.workload import Workload


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """What a namespace says of itself."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Untouchable:
    """Namespaces where nothing is ever written: the cluster's own, the operator's, and configured ones."""

    namespaces: frozenset[str]

    def __contains__(self, namespace: object) -> bool:
        return isinstance(namespace, str) and (namespace.startswith("kube-") or namespace in self.namespaces)


@dataclass(frozen=True, slots=True)
class Facts:
    """The world as it was just read, never from a cache.

    `lives`: None for a workload whose GET answered 404; a missing key for one that could not be read.
    `namespaces`: likewise without those that could not be read. `gone`: uids of budgets that are no more.
    `crews`: of whatever may be held anew, without those that could not be read. `settling`: uids of budgets
    for which something came back lately, so that what it spends is not measured yet.
    `along`: for a workload what runs because of it and is stopped with it, each of which is in `lives`, too.
    """

    holds: tuple[Hold, ...]
    lives: Mapping[Workload, Live | None]
    namespaces: Mapping[str, NamespaceFacts]
    gone: frozenset[str]
    paused: bool
    untouchable: Untouchable
    crews: Mapping[Workload, Crew] = field(default_factory=dict)
    settling: frozenset[str] = frozenset()
    along: Mapping[Workload, Sequence[Workload]] = field(default_factory=dict)
