"""What the nodes could give, and what became of it: held, idle, unhealthy, unknown.

Of each node, slot and SKU: held + idle + unhealthy + unknown - over = capacity, in whole GPU-milliseconds.
`over`, what is held beyond the node's capacity, is the residual: 0 where every device is counted once, and
never clamped. Capacity that nobody was seen to hold is idle only at instants at which holders would have been
seen. Pure.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from sys import intern
from typing import NamedTuple

from aibudget.inventory.accelerators import SAME_DEVICES
from aibudget.metering.asking import Answer
from aibudget.metering.coverage import Known
from aibudget.metering.holding import Holding, Samples, joined, plausible
from aibudget.metering.integration import MILLISECONDS
from aibudget.metering.nodes import Dimensions, Nodes, own
from aibudget.metering.shares import part_of, share_of
from aibudget.metering.slots import SLOT_SECONDS, slot_of
from aibudget.metering.source import meaning
from aibudget.metering.totals import Place
from aibudget.metering.usage import Balance

NOTHING = Samples.of({})


class Offer(NamedTuple):
    """One resource of one node, as metrics spell it; `told` is as of a `Holding`."""

    node: str
    resource: str
    told: Dimensions = ()


@dataclass(frozen=True, slots=True)
class Capacity:
    """Units offered, and how many of them nobody could use; `unread` are instants without an answer."""

    offered: Mapping[Offer, Samples]
    unusable: Mapping[Offer, Samples]
    unread: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Sums:
    """Of one place, in unit-milliseconds, but `held`, which is counted in GPU-milliseconds already."""

    capacity: int = 0
    held: int = 0
    unhealthy: int = 0
    unknown: int = 0
    estimated: int = 0

    def balance(self, place: Place) -> Balance:
        """Rounded down as what is held is, so that parts of a device never add up to more than it."""
        share = share_of(place.sku.dimension("share"))
        capacity, unhealthy, unknown, estimated = (
            part_of(units, share) for units in (self.capacity, self.unhealthy, self.unknown, self.estimated)
        )
        free = max(0, capacity - self.held)
        unhealthy = min(unhealthy, free)
        unknown = min(unknown, free - unhealthy)
        idle = free - unhealthy - unknown
        over = max(0, self.held - capacity)
        return Balance(capacity, self.held, idle, unhealthy, unknown, over, min(estimated, idle))


def capacity(answer: Answer) -> Capacity:
    """The answer to `Queries.capacity`."""
    found: dict[str, dict[Offer, Samples]] = {"offered": {}, "unusable": {}}
    known: dict[tuple[int, int], Samples] = {}
    for labels, times, values in answer.series:
        name, offer = meaning(labels, _told)
        family, ids = found.get(name), (id(times), id(values))
        if family is None:
            continue
        if ids not in known:
            known[ids] = plausible(Samples(times, values))
        samples = known[ids]
        family[offer] = joined(family[offer], samples) if offer in family else samples
    return Capacity(found["offered"], found["unusable"], answer.unread)


def _told(labels: Mapping[str, str]) -> tuple[str, Offer]:
    family, node, resource = map(intern, (labels["family"], own(labels, "node"), labels.get("resource", "")))
    return family, Offer(node, resource)


def balances(
    capacity: Capacity,
    held: Mapping[Holding, Samples],
    places: Mapping[Place, int],
    known: Known,
    nodes: Nodes,
) -> tuple[dict[Place, Balance], frozenset[int]]:
    """What became of every node's capacity, and slots in which no node told of any though devices were held:
    there nothing is known. `places` are what `integrate` made of `held`, by place.
    """
    sums: dict[Place, _Sums] = defaultdict(_Sums)
    for offer, samples in capacity.offered.items():
        _offer(sums, offer, samples, known, nodes)
    told = {place.slot for place in sums}
    offers = {(place.slot, place.node, place.sku.dimension("resource")): place for place in sums}
    for place, quantity in places.items():
        offered = place
        if place not in sums:
            # A claim of which more is known than of the node's units in general, as HAMi's.
            offered = offers.get((place.slot, place.node, place.sku.dimension("resource")), place)
        sums[offered].held += quantity
    _Steps(sums, capacity, held, known, nodes).judge()
    _fold(sums, offers)
    found = ((place, sums[place].balance(place)) for place in sorted(sums))
    judged = {place: one for place, one in found if place.slot in told and (one.capacity or one.held)}
    return judged, frozenset(place.slot for place in places if place.slot not in told)


def _fold(sums: dict[Place, _Sums], offers: Mapping[tuple[int, str, str | None], Place]) -> None:
    """Devices that a node offers under several names are there once."""
    for place in [one for one in sums if one.sku.dimension("resource") in SAME_DEVICES]:
        named = [offers.get((place.slot, place.node, name)) for name in SAME_DEVICES]
        first = next((one for one in named if one is not None), place)
        if first != place and first in sums:
            sums[first].held += sums.pop(place).held


def _offer(sums: dict[Place, _Sums], offer: Offer, samples: Samples, known: Known, nodes: Nodes) -> None:
    """Slot by slot where the node stays what it is: a large cluster has a million samples."""
    grid = known.grid
    worth, times = grid.step * MILLISECONDS, samples.times
    if nodes.changes(offer.node):
        for t, units in zip(*samples, strict=True):
            if t in grid.instants:
                sums[_place(offer, int(t), known, nodes)].capacity += round(units * worth)
        return
    for slot in grid.interval.slots():
        first, last = max(grid.instants.start, slot + 1), min(slot + SLOT_SECONDS, grid.interval.end)
        units = sum(samples.units[bisect_left(times, first) : bisect_left(times, last + 1)])
        if units:
            sku = nodes.sku(offer.node, offer.resource, last, offer.told)
            sums[Place(slot, offer.node, sku)].capacity += round(units * worth)


class _Steps:
    """What a slot's sums cannot tell, step by step: few steps of few nodes, but for gaps."""

    def __init__(
        self,
        sums: dict[Place, _Sums],
        capacity: Capacity,
        held: Mapping[Holding, Samples],
        known: Known,
        nodes: Nodes,
    ) -> None:
        self._sums, self._capacity, self._held, self._known, self._nodes = sums, capacity, held, known, nodes

    @cached_property
    def _holdings(self) -> Mapping[Offer, list[Samples]]:
        found: dict[Offer, list[Samples]] = defaultdict(list)
        for key, samples in self._held.items():
            found[self._offer_of(key)].append(samples)
        return found

    def judge(self) -> None:
        """Tell unhealthy and unknown capacity from idle, and fill short gaps."""
        instants, known = self._known.grid.instants, self._known
        unsure = self._capacity.unread | set(known.doubted) | self._untold()
        dark = {t for t in instants if t not in known.covered or t in unsure}
        for offer, samples in self._capacity.unusable.items():
            for t, unusable in zip(*samples, strict=True):
                if t in instants and t not in dark:
                    free = max(0.0, self._offered(offer, t) - self._taken(offer, t))
                    self._at(offer, t).unhealthy += self._worth(min(unusable, free))
        for bridge in known.bridges:
            gap = [t for t in known.gap(bridge) if t in dark]
            dark.difference_update(gap)
            for offer in {*self._capacity.offered, *self._holdings} if gap else ():
                self._fill(offer, bridge, gap)
        for offer, t in self._present(dark) if dark else ():
            self._leave(offer, t)

    def _untold(self) -> set[int]:
        """Instants at which no node tells what it offers, as before the family was exported: what is held
        then is not beyond any capacity.
        """
        untold = set(self._known.grid.instants)
        for samples in self._capacity.offered.values():
            untold.difference_update(map(int, samples.times))
            if not untold:
                break
        return untold

    def _fill(self, offer: Offer, bridge: tuple[int, int], gap: Sequence[int]) -> None:
        """The steps of a short gap: free is what was free on both of its sides."""
        sides = [(self._offered(offer, t), self._taken(offer, t)) for t in bridge]
        free_on_both = min(max(0.0, offered - taken) for offered, taken in sides)
        unwell = self._capacity.unusable.get(offer, NOTHING)
        unhealthy = min(free_on_both, *(unwell.at(t) for t in bridge))
        for t in gap:
            told, taken = self._offered(offer, t), self._taken(offer, t, bridge)
            here = told or min(offered for offered, _ in sides)
            free = max(0.0, here - taken)
            sums = self._at(offer, t)
            # Where no capacity is told, there was at least what was held.
            sums.capacity += self._worth(here - told if here else taken)
            sums.unhealthy += self._worth(min(unhealthy, free))
            sums.unknown += self._worth(free - min(free_on_both, free))
            sums.estimated += self._worth(min(free_on_both, free))

    def _leave(self, offer: Offer, t: int) -> None:
        """A step in which part of the source was away: nothing that is missing then tells anything."""
        told, taken = self._offered(offer, t), self._taken(offer, t)
        sums = self._at(offer, t)
        sums.capacity += self._worth(max(0.0, taken - told))
        sums.unknown += self._worth(max(0.0, told - taken))

    def _present(self, dark: Collection[int]) -> Iterable[tuple[Offer, int]]:
        """The steps of these at which anything is told of a node, once each."""
        first, last = min(dark), max(dark)
        found: dict[tuple[Offer, int], None] = {}
        told_of: Iterable[tuple[Offer | Holding, Samples]] = chain(
            self._capacity.offered.items(), self._held.items()
        )
        for key, samples in told_of:
            if samples.times and first <= samples.times[-1] and samples.times[0] <= last:
                told = samples.times[bisect_left(samples.times, first) : bisect_left(samples.times, last + 1)]
                offer = key if isinstance(key, Offer) else self._offer_of(key)
                found |= dict.fromkeys((offer, int(t)) for t in told if t in dark)
        return found

    def _offer_of(self, key: Holding) -> Offer:
        """What is known of a claim alone is not known of the node's units in general."""
        exact = Offer(key.node, key.resource, key.told)
        return exact if exact in self._capacity.offered else Offer(key.node, key.resource)

    def _offered(self, offer: Offer, t: float) -> float:
        return self._capacity.offered.get(offer, NOTHING).at(int(t))

    def _taken(self, offer: Offer, t: float, bridge: tuple[int, int] | None = None) -> float:
        """Units held at an instant, as `integrate` counts them."""
        taken = 0.0
        for samples in self._holdings.get(offer, ()):
            units = samples.at(int(t))
            if not units and bridge is not None:
                units = min(samples.at(bridge[0]), samples.at(bridge[1]))
            taken += units
        return taken

    def _worth(self, units: float) -> int:
        return round(units * self._known.grid.step * MILLISECONDS)

    def _at(self, offer: Offer, t: float) -> _Sums:
        return self._sums[_place(offer, int(t), self._known, self._nodes)]


def _place(offer: Offer, t: int, known: Known, nodes: Nodes) -> Place:
    sku = nodes.sku(offer.node, offer.resource, t, offer.told)
    return Place(slot_of(t - known.grid.step), offer.node, sku)
