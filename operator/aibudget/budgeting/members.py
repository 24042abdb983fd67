"""The lines of a statement by workload and version of its labels: what a scope is asked about.

Sorted once for all budgets over parts of namespaces; each then asks its scope about the members of its
namespaces, and adds up the lines of those that it takes. Pure.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from aibudget.api.budget import Budget, ClusterAIBudget
from aibudget.budgeting.caps import Counting, wanted
from aibudget.budgeting.limits import Counted
from aibudget.budgeting.selection import Selection
from aibudget.budgeting.tally import Prices, Subject
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Member:
    """A workload under one version of its labels and of its namespace's.

    Its lines of the interval, those of the newest so many seconds, those of the last half hour or so, and
    what caps count of it.
    """

    workload: Workload
    labels: Mapping[str, str]
    namespace_labels: Mapping[str, str]
    lines: list[SpendLine] = field(default_factory=list)
    recent: list[tuple[SpendLine, int]] = field(default_factory=list)
    watched: list[SpendLine] = field(default_factory=list)
    countings: list[Counting] = field(default_factory=list)

    def into(self, subject: Subject, prices: Prices, selection: Selection) -> None:
        """Add its lines of the meters that count."""
        for line in self.lines:
            if selection.counts(line.sku.meter):
                subject.add(line, prices)
        for line, seconds in self.recent:
            if selection.counts(line.sku.meter):
                subject.add_recent(line, seconds, prices)
        for line in self.watched:
            if selection.counts(line.sku.meter):
                subject.watch(line)
        # A cap names its own meter, whatever meters the scope's money comes from.
        for counting in self.countings:
            subject.count(counting)

    def spends(self, selection: Selection, caps: frozenset[Counted]) -> bool:
        """Whether any of its usage counts, for money or for these caps."""
        lines = (*self.lines, *(line for line, _ in self.recent))
        counts = any(selection.counts(line.sku.meter) for line in lines)
        return counts or any(counting.counted in caps for counting in self.countings)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a scope takes; the labels that it would have to know of others; and what it does not take."""

    members: tuple[Member, ...]
    unlabelled: frozenset[str]
    outside: frozenset[Workload]


class Members:
    """Of one interval."""

    def __init__(self, owners: OwnerBook) -> None:
        self._owners = owners
        self._found: dict[tuple[Workload, int, int], Member] = {}
        self._alike: dict[tuple[Workload, Labels, Labels], Member] = {}
        self._by_namespace: dict[str, list[Member]] = defaultdict(list)

    def of(self, line: SpendLine) -> Member:
        """The member that a line belongs to."""
        # Lines share their labels' mappings, and are kept for as long as these.
        key = (line.workload, id(line.labels), id(line.namespace_labels))
        member = self._found.get(key)
        if member is None:
            member = self._found[key] = self._first(line)
        return member

    def taken(self, budget: Budget, selection: Selection) -> Taken:
        """What the scope of a budget takes of its namespaces."""
        members: list[Member] = []
        unlabelled: set[str] = set()
        outside: set[Workload] = set()
        caps = wanted([budget])
        for member in self._within(budget):
            verdict = selection.takes(member.workload, member.labels, self._owners)
            if verdict:
                members.append(member)
            elif verdict is False:
                outside.add(member.workload)
            elif member.spends(selection, caps):
                unlabelled |= selection.keys - member.labels.keys()
        inside = {member.workload for member in members}
        return Taken(tuple(members), frozenset(unlabelled), frozenset(outside - inside))

    def _first(self, line: SpendLine) -> Member:
        spelled = tuple(sorted(line.labels.items())), tuple(sorted(line.namespace_labels.items()))
        key = (line.workload, *spelled)
        member = self._alike.get(key)
        if member is None:
            member = self._alike[key] = Member(line.workload, line.labels, line.namespace_labels)
            self._by_namespace[line.workload.namespace].append(member)
        return member

    def _within(self, budget: Budget) -> Iterator[Member]:
        if not isinstance(budget, ClusterAIBudget):
            yield from self._by_namespace.get(budget.namespace or "", ())
            return
        covers = budget.spec.scope.covers
        for namespace, members in self._by_namespace.items():
            known: dict[int, bool] = {}
            for member in members:
                labels = member.namespace_labels
                if id(labels) not in known:
                    known[id(labels)] = not namespace or covers(namespace, labels)
                if known[id(labels)]:
                    yield member
