"""Budgets around budgets: which of those that count the same usage binds, and whether limits fit inside.

A workload counts in every budget that selects it. One budget is above another if it counts all that the other
counts, which is told from their scopes alone and so only anew when those or the namespaces change. Of a
budget and those above it the tightest binds. Limits of budgets inside another may add up to more than its
own: that is told, for it may be reached before they are, and forbidden to nobody. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import itemgetter
from typing import Final

from aibudget.api.budget import Budget, ClusterAIBudget
from aibudget.budgeting.evaluation import BudgetKey, Evaluation
from aibudget.budgeting.selection import Selection, clusters_of, selection_of

Namespaces = Mapping[str, Mapping[str, str]]
"""Labels by name."""


@dataclass(frozen=True, slots=True)
class Place:
    """A budget among the others. `binding` is the tightest of it and those above it; None without any.

    `committed` is what the limits of the `children` budgets inside it add up to, where that is more than its
    own limit; `largest` is the one of them with the highest limit.
    """

    binding: BudgetKey | None = None
    committed: Decimal | None = None
    children: int = 0
    largest: BudgetKey | None = None


NOWHERE: Final = Place()


@dataclass(frozen=True, slots=True)
class _Reach:
    """What a budget counts: all workloads of these namespaces, or `part` of them, here and in `clusters`."""

    uid: str
    namespaces: frozenset[str]
    selection: Selection
    is_whole: bool
    comparable: tuple[object, ...]
    clusters: frozenset[str] = frozenset()

    def is_above(self, other: "_Reach") -> bool:
        if self.uid == other.uid or not self.is_whole or not other.clusters <= self.clusters:
            return False
        return _within(other.selection, self.selection) and other.namespaces <= self.namespaces


@dataclass(frozen=True, slots=True)
class _Room:
    """What can be spent of a budget in one place inside it: as much as the tightest of `wholes`, or else as
    much as the dearest kind of `parts` together.
    """

    wholes: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]

    def committed(self, limits: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
        """The limits that count here, by uid."""
        known = {uid: limits[uid] for uid in self.wholes if uid in limits}
        if known:
            tightest = min(known, key=known.__getitem__)
            return {tightest: known[tightest]}
        kinds = [{uid: limits[uid] for uid in kind if uid in limits} for kind in self.parts]
        return max(kinds, key=lambda of: (sum(of.values()), len(of)), default={})


class Hierarchy:
    """Of all budgets, kept from one cycle to the next."""

    def __init__(self) -> None:
        self._known: tuple[object, ...] = ()
        self._namespaces: Namespaces = {}
        self._above: dict[str, tuple[str, ...]] = {}
        self._inside: dict[str, tuple[_Room, ...]] = {}

    def places(
        self, judged: Sequence[tuple[Budget, Evaluation]], namespaces: Namespaces
    ) -> Mapping[str, Place]:
        """Each budget's place by its uid, of those that have any."""
        self._arrange([budget for budget, _ in judged], namespaces)
        found = {evaluation.budget.uid: evaluation for _, evaluation in judged}
        limits = {uid: one.limit for uid, one in found.items() if one.limit is not None}
        tight = {uid: _tightness(evaluation) for uid, evaluation in found.items()}
        places: dict[str, Place] = {}
        for uid in self._above.keys() | self._inside.keys():
            inside = {
                one: limit
                for room in self._inside.get(uid, ())
                for one, limit in room.committed(limits).items()
            }
            binding = self._binding(uid, tight)
            bound = None if binding is None else found[binding].budget
            committed = sum(inside.values(), Decimal(0))
            if uid not in limits or committed <= limits[uid]:
                places[uid] = Place(bound)
                continue
            largest = max(inside, key=lambda one: (inside[one], one))
            places[uid] = Place(bound, committed, len(inside), found[largest].budget)
        return places

    def _binding(self, uid: str, tight: Mapping[str, float | None]) -> str | None:
        known = [
            (share, one) for one in (uid, *self._above.get(uid, ())) if (share := tight[one]) is not None
        ]
        if uid not in self._above or not known:
            return None
        # Of equal ones it is the budget itself.
        return max(known, key=itemgetter(0))[1]

    def _arrange(self, budgets: Sequence[Budget], namespaces: Namespaces) -> None:
        known = tuple((budget.uid, budget.metadata.generation) for budget in budgets)
        if known == self._known and namespaces == self._namespaces:
            return
        self._known, self._namespaces = known, namespaces
        reaches = [_reach(budget, namespaces) for budget in budgets]
        many = [reach for reach, budget in zip(reaches, budgets, strict=True) if budget.namespace is None]
        by_namespace: dict[str, list[_Reach]] = defaultdict(list)
        for reach, budget in zip(reaches, budgets, strict=True):
            if budget.namespace is not None:
                by_namespace[budget.namespace].append(reach)
        around: dict[str, list[_Reach]] = defaultdict(list)
        for reach in many:
            for name in reach.namespaces:
                around[name].append(reach)
        self._above = {}
        for name, own in by_namespace.items():
            self._find_above(own, [*own, *around.get(name, ())])
        self._find_above(many, many)
        self._inside = {reach.uid: rooms for reach in many if (rooms := _rooms(reach, many, by_namespace))}
        for own in by_namespace.values():
            for reach in own:
                parts = _parts(reach, own)
                if reach.is_whole and parts:
                    self._inside[reach.uid] = (_Room((), parts),)

    def _find_above(self, some: Iterable[_Reach], candidates: Sequence[_Reach]) -> None:
        for reach in some:
            if above := tuple(one.uid for one in candidates if one.is_above(reach)):
                self._above[reach.uid] = above


def _reach(budget: Budget, namespaces: Namespaces) -> _Reach:
    selection = selection_of(budget)
    if isinstance(budget, ClusterAIBudget):
        covers = budget.spec.scope.covers
        found = {name for name, labels in namespaces.items() if covers(name, labels)}
        # What is charged to a team without a namespace is in the budgets that name the team alone.
        found |= {f"Team/{team}" for team in selection.teams}
    else:
        found = {budget.namespace or ""}
    comparable = (budget.spec.currency, budget.spec.period)
    whole, clusters = selection.takes_all_workloads, frozenset(clusters_of(budget))
    return _Reach(budget.uid, frozenset(found), selection, whole, comparable, clusters)


def _within(part: Selection, whole: Selection) -> bool:
    """Whether the meters of one count in the other."""
    return whole.meters is None or (part.meters is not None and part.meters <= whole.meters)


def _rooms(
    parent: _Reach, many: Iterable[_Reach], by_namespace: Mapping[str, Sequence[_Reach]]
) -> tuple[_Room, ...]:
    """Budgets over some of its namespaces, the widest first and none twice; then those of what is left."""
    if not parent.is_whole:
        return ()
    rooms: list[_Room] = []
    left = set(parent.namespaces)
    inner = [one for one in many if one.is_whole and _is_inside(one, parent)]
    inner = [one for one in inner if one.namespaces and one.namespaces < parent.namespaces]
    for one in sorted(inner, key=lambda one: (-len(one.namespaces), one.uid)):
        if one.selection.meters == parent.selection.meters and one.namespaces <= left:
            rooms.append(_Room((one.uid,), ()))
            left -= one.namespaces
    for name in sorted(left):
        own = by_namespace.get(name, ())
        alike = [one for one in own if one.is_whole and one.selection.meters == parent.selection.meters]
        wholes = tuple(one.uid for one in alike if _is_inside(one, parent))
        parts = _parts(parent, own)
        if wholes or parts:
            rooms.append(_Room(wholes, parts))
    return tuple(rooms)


def _parts(parent: _Reach, own: Iterable[_Reach]) -> tuple[tuple[str, ...], ...]:
    """Budgets over parts of a namespace that can be compared with the parent, by the meters they count: those
    of two kinds may count the same usage, and are not added up.
    """
    kinds: dict[frozenset[str] | None, list[str]] = defaultdict(list)
    for one in own:
        is_part = not one.is_whole or one.selection.meters != parent.selection.meters
        if one.uid != parent.uid and is_part and _is_inside(one, parent):
            kinds[one.selection.meters].append(one.uid)
    return tuple(tuple(kind) for kind in kinds.values())


def _is_inside(child: _Reach, parent: _Reach) -> bool:
    return child.comparable == parent.comparable and parent.is_above(child)


def _tightness(evaluation: Evaluation) -> float | None:
    """How much is used of that limit, or cap, of which most is; None where nothing is known.

    To the precision of a float, which is told and stops nothing; equal shares are equal.
    """
    shares = [
        one.used.numerator * one.limit.denominator / (one.used.denominator * one.limit.numerator)
        for one in evaluation.measures
        if one.used is not None
    ]
    return max(shares, default=None)
