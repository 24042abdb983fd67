"""Which workloads a budget's scope takes, of those that spend in its namespaces.

By name, also by the name of what a workload is part of; or by the labels that its pods had at the time of
use. A line keeps the labels that were asked for then, "" where the pods had none: a label that it does not
keep was not asked for, and whether it would be selected is unknown, which is neither yes nor no. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aibudget.api.budget import Budget, ClusterAIBudget
from aibudget.api.scope import WorkloadReference
from aibudget.api.selector import LabelSelector
from aibudget.inventory.lineage import BY_KIND
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import Workload

MOST_KEYS: Final = 32
"""The labels of pods that selectors of all budgets together may speak of."""
TEAM: Final = "Team"
"""The kind of what is charged to a team and has no namespace, as a gateway's tokens."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A scope, as lines are asked about it. All parts None: everything in its namespaces.

    `teams` are those whose usage without a namespace counts; `meters` those that count.
    """

    selector: LabelSelector | None = None
    workloads: tuple[WorkloadReference, ...] | None = None
    meters: frozenset[str] | None = None
    teams: frozenset[str] = frozenset()

    @property
    def is_whole(self) -> bool:
        """Whether it takes all there is in its namespaces, and nothing else."""
        return self.takes_all_workloads and self.meters is None and not self.teams

    @property
    def takes_all_workloads(self) -> bool:
        """Whether it takes each workload in its namespaces."""
        return self.selector is None and self.workloads is None

    @property
    def keys(self) -> frozenset[str]:
        """The labels that it has to know of pods."""
        return frozenset() if self.selector is None else keys_of(self.selector)

    def counts(self, meter: str) -> bool:
        """Whether this meter's cost counts."""
        return self.meters is None or meter in self.meters

    def takes(self, workload: Workload, labels: Mapping[str, str], owners: OwnerBook) -> bool | None:
        """Whether a workload, under these labels of its time, is taken; None where that is unknown."""
        if not workload.namespace:
            return workload.kind == TEAM and workload.name in self.teams
        if self.takes_all_workloads:
            return True
        if self.workloads and _is_named(workload, self.workloads, owners):
            return True
        return False if self.selector is None else _selected(self.selector, labels)


EVERYTHING: Final = Selection()


def selection_of(budget: Budget) -> Selection:
    """The selection of a budget's scope."""
    scope = budget.spec.scope
    if scope is None:
        return EVERYTHING
    meters = None if scope.meters is None else frozenset(scope.meters)
    if isinstance(budget, ClusterAIBudget):
        teams = frozenset(budget.spec.scope.teams or ())
        return Selection(scope.workload_selector, None, meters, teams)
    assert budget.spec.scope is not None, "a scope that is absent takes everything"
    return Selection(scope.workload_selector, budget.spec.scope.workloads, meters)


def clusters_of(budget: Budget) -> tuple[str, ...]:
    """The clusters besides its own in which its scope counts, as far as it names any."""
    return (budget.spec.scope.clusters or ()) if isinstance(budget, ClusterAIBudget) else ()


def keys_of(selector: LabelSelector) -> frozenset[str]:
    """The labels that a selector speaks of."""
    return frozenset(selector.match_labels).union(one.key for one in selector.match_expressions)


def _selected(selector: LabelSelector, labels: Mapping[str, str]) -> bool | None:
    said = {key: value for key, value in labels.items() if value}
    verdicts = [
        said.get(key) == value if key in labels else None for key, value in selector.match_labels.items()
    ]
    verdicts += [one.matches(said) if one.key in labels else None for one in selector.match_expressions]
    if False in verdicts:
        return False
    return None if None in verdicts else True


def _is_named(workload: Workload, named: Sequence[WorkloadReference], owners: OwnerBook) -> bool:
    return any(_is_same(one, member) for member in owners.chain(workload) for one in named)


def _is_same(reference: WorkloadReference, workload: Workload) -> bool:
    if (reference.kind, reference.name) != (workload.kind, workload.name):
        return False
    # Metrics name a kind without its group; of the kinds that are known, only one group's is meant.
    kin = BY_KIND.get(workload.kind)
    return kin is None or any(reference.group == resource.group for resource in kin.resources)


def labels_wanted(budgets: Iterable[Budget]) -> Mapping[str, frozenset[str]]:
    """The labels that pods have to be asked for, by namespace, "" for all: those that scopes speak of.

    At most `MOST_KEYS` in all, and those of ClusterAIBudgets and then of the oldest budgets first: nobody can
    make all usage be kept apart by labels without end.
    """
    found: dict[str, set[str]] = defaultdict(set)
    known: set[str] = set()
    asking = [(budget, keys) for budget in budgets if (keys := selection_of(budget).keys)]
    for budget, keys in sorted(asking, key=lambda one: _seniority(one[0])):
        for key in sorted(keys):
            if key in known or len(known) < MOST_KEYS:
                known.add(key)
                found[budget.namespace or ""].add(key)
    return {namespace: frozenset(keys) for namespace, keys in found.items()}


def _seniority(budget: Budget) -> tuple[bool, str, str]:
    since = budget.metadata.creation_timestamp
    return budget.namespace is not None, since.isoformat() if since else "", budget.uid
