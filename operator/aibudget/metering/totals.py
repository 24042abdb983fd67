"""What was held, added up while it is counted: by who held it, and by where it was.

Of a hundred thousand pods no cell is kept: they come one after the other, and two sums grow. Workloads and
SKUs are mostly the same objects, so that they are told apart by identity first and put together by value at
the end: hashing them for each pod would take longer than all the rest. Pure.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from aibudget.inventory.owners import Resolution
from aibudget.inventory.workload import PodKey, Workload
from aibudget.metering.integration import Amount, Cell
from aibudget.metering.usage import Sku, Usage
from aibudget.metering.utilisation import NOTHING, By, Observed


class Place(NamedTuple):
    """Where device time was, in which slot."""

    slot: int
    node: str
    sku: Sku


class Totals:
    """Of one reading. `owned` says whose each of the pods is; where it is None nobody asks for usages.

    `strangers` are the pods that were counted and of which that is not known to its end.
    """

    def __init__(self, owned: Mapping[PodKey, Resolution] | None = None) -> None:
        self.strangers = set[PodKey]()
        self._owned = owned
        self._skus: dict[int, Sku] = {}
        self._workloads: dict[int, Workload] = {}
        self._held: dict[tuple[int, str, int], int] = {}
        self._used: dict[tuple[int, int, int], Amount] = {}

    def add(self, cells: Iterable[tuple[Cell, Amount]]) -> None:
        """Count these, too; the cells of a pod follow each other."""
        owned, held, used, skus = self._owned, self._held, self._used, self._skus
        last: PodKey | None = None
        payer = 0
        for (slot, pod, node, sku), amount in cells:
            what = id(sku)
            if what not in skus:
                skus[what] = sku
            place = slot, node, what
            held[place] = held.get(place, 0) + amount.quantity
            if owned is None:
                continue
            if pod is not last:
                last, payer = pod, self._payer(pod, owned[pod])
            total = used.get((slot, payer, what))
            if total is None:
                total = used[slot, payer, what] = Amount()
            total.add(amount)

    def _payer(self, pod: PodKey, of: Resolution) -> int:
        if not of.complete:
            self.strangers.add(pod)
        payer = id(of.workload)
        if payer not in self._workloads:
            self._workloads[payer] = of.workload
        return payer

    @property
    def skus(self) -> Collection[Sku]:
        """What was held; one may be there several times."""
        return self._skus.values()

    def places(self) -> Mapping[Place, int]:
        """What was held at each place, in the meter's smallest unit."""
        found = Counter[Place]()
        for (slot, node, what), quantity in self._held.items():
            found[Place(slot, node, self._skus[what])] += quantity
        return found

    def usages(self, before: Mapping[By, Observed] = MappingProxyType({})) -> tuple[Usage, ...]:
        """One for each slot, workload and SKU, in that order. Device time nobody observed stays unknown, now
        or `before`.
        """
        return tuple(
            _usage(of, total, before.get(of, NOTHING)) for of, total in sorted(self._by().items(), key=_order)
        )

    def settled(self) -> Mapping[By, Observed]:
        """What was seen of the part that changes no more."""
        return {
            of: Observed(total.settled_observed, total.settled_busy)
            for of, total in self._by().items()
            if total.settled_observed
        }

    def _by(self) -> dict[By, Amount]:
        sums: dict[By, Amount] = {}
        for (slot, payer, what), amount in self._used.items():
            sums.setdefault((slot, self._workloads[payer], self._skus[what]), Amount()).add(amount)
        return sums


def _usage(of: By, total: Amount, before: Observed) -> Usage:
    slot, workload, sku = of
    observed, busy = total.observed + before.observed, total.busy + before.busy
    if not observed:
        return Usage(slot, workload, sku, total.quantity, total.estimated)
    # Nobody was seen with more than was held: shares are rounded down, and what was held may be unread now.
    known = min(1.0, total.quantity / observed)
    return Usage(
        slot,
        workload,
        sku,
        total.quantity,
        total.estimated,
        busy=round(busy * known),
        observed=round(observed * known),
    )


def _order(item: tuple[By, Amount]) -> tuple[int, str, str, str, tuple[object, ...]]:
    """Plain values: comparing the dataclasses themselves takes ten times as long."""
    slot, workload, sku = item[0]
    return slot, workload.namespace, workload.kind, workload.name, sku.dimensions
