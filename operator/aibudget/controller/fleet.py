"""The other clusters that ClusterAIBudgets count, as this cycle knows them. For the worker's thread.

Nothing is asked of the ledger until a budget names another cluster, and each of them once a cycle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aibudget.api.budget import Budget
from aibudget.budgeting import caps
from aibudget.budgeting.fleet import Elsewhere, together, until
from aibudget.budgeting.selection import clusters_of
from aibudget.budgeting.share import Recent, Share, Shares
from aibudget.controller.grounds import Grounds
from aibudget.controller.namesakes import Namesake
from aibudget.ledger.neighbours import Neighbour, Neighbours
from aibudget.ledger.spend import Statement
from aibudget.metering.catalogue import ENERGY, GPU
from aibudget.metering.slots import Interval, snapped
from aibudget.metering.usage import Coverage

_NOTHING: Final = Statement((), Coverage(0, 0), None, complete=False)


@dataclass(frozen=True, slots=True)
class View:
    """What a budget is looked at with: this cluster's time, its priced meters, and budgets that have caps."""

    now: int
    priced: frozenset[str]
    grounds: Grounds
    capped: Sequence[Budget]


class Fleet:
    """`here` is this cluster's name in the ledger; without `neighbours` nothing is known of any other."""

    def __init__(self, here: str = "", neighbours: Neighbours | None = None) -> None:
        self._here = here
        self._neighbours = neighbours
        self._found: dict[str, Neighbour | None] = {}
        self._shares: dict[tuple[str, Interval, str, bool], Shares] = {}

    def begin(self) -> None:
        """Another cycle: what others have posted meanwhile is seen from now on."""
        self._found.clear()
        self._shares.clear()

    def repriced(self, budget: Budget) -> int:
        """When another cluster's usage last got another price (Unix seconds); 0 before the first time."""
        known = (self._named(name) for name in self._others(budget))
        return max((one.repriced() for one in known if one is not None), default=0)

    def together(
        self, budget: Budget, own: Share, interval: Interval, view: View, *, anew: bool = False
    ) -> Share:
        """The budget's share with that of the other clusters; `anew` from the slots themselves."""
        if not clusters_of(budget):
            return own
        others = [self._elsewhere(name, budget, interval, view, anew=anew) for name in self._others(budget)]
        return together(own, self._here, others, view.now, view.grounds.absent)

    def namesakes(self, budget: Budget) -> tuple[Namesake, ...] | None:
        """The budget in the other clusters that it counts; None where one of them has none of its name."""
        found = []
        for name in self._others(budget):
            neighbour = self._named(name)
            if neighbour is None:
                return None
            uid = neighbour.namesake(budget.kind, budget.name, budget.spec.currency)
            if uid is None:
                return None
            found.append(Namesake(uid, neighbour.hours))
        return tuple(found)

    def _others(self, budget: Budget) -> list[str]:
        return [name for name in clusters_of(budget) if name != self._here]

    def _named(self, name: str) -> Neighbour | None:
        if name not in self._found:
            self._found[name] = None if self._neighbours is None else self._neighbours.named(name)
        return self._found[name]

    def _elsewhere(
        self, name: str, budget: Budget, interval: Interval, view: View, *, anew: bool
    ) -> Elsewhere:
        neighbour = self._named(name)
        if neighbour is None:
            return Elsewhere(name)
        key = (name, snapped(interval), budget.spec.currency, anew)
        if key not in self._shares:
            self._shares[key] = _shares(neighbour, key[1], budget.spec.currency, view, anew=anew)
        return Elsewhere(name, self._shares[key].of(budget), neighbour.watermark(GPU.name))


def _shares(neighbour: Neighbour, interval: Interval, currency: str, view: View, *, anew: bool) -> Shares:
    def stated(part: Interval) -> Mapping[str, Statement]:
        found = neighbour.recount(part) if anew else neighbour.statements(part)
        return until({GPU.name: _NOTHING} | dict(found), part, view.now, GPU.name)

    recent = {
        meter: Recent(one.lines, one.coverage.covered_seconds) for meter, one in neighbour.newest().items()
    }
    statements = stated(interval)
    counted = caps.countings(
        caps.wanted(view.capped),
        statements,
        view.grounds.carbon,
        lambda part: stated(part).get(ENERGY.name),
        interval,
    )
    return Shares(statements, recent, view.priced, currency, view.grounds.owners, counted)
