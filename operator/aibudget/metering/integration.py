"""From samples of what is held to quantities: units by step, summed by slot, pod and SKU.

Units are weighed by the share of a device that each is, once for a whole cell and rounded down: so the parts
of a device never add up to more than it.
Each known sample counts for the step before it. A bridge over a short gap counts what the same pod held on
both of its sides, and says that it is estimated. Nothing is inferred from absence. Pure; a million samples
take about a second.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import repeat
from math import fsum
from typing import NamedTuple, Protocol

from aibudget.inventory.workload import PodKey
from aibudget.metering.coverage import Known
from aibudget.metering.devices import Devices, Observed, Row
from aibudget.metering.holding import Holding, Samples, Who
from aibudget.metering.nodes import Dimensions, Nodes
from aibudget.metering.shares import WHOLE, part_of, share_of
from aibudget.metering.slices import Slices
from aibudget.metering.slots import slot_of
from aibudget.metering.usage import Sku
from aibudget.metering.utilisation import Span

MILLISECONDS = 1000
MOST_ALIKE = 1024
"""How many ways to hold are remembered: pods that are told alike mostly follow each other."""


class Step(NamedTuple):
    """Units held in a step that ends at `t`, and for how many milliseconds of it."""

    t: float
    units: float
    milliseconds: int


class Cell(NamedTuple):
    """What one amount is about: a pod on a node, in a slot, and what it holds."""

    slot: int
    pod: PodKey
    node: str
    sku: Sku


_cell_of = partial(tuple.__new__, Cell)
"""As `Cell(*parts)`, in a third of the time: there is one for each pod and slot."""


@dataclass(slots=True)
class Amount:
    """Device-milliseconds of one cell; `busy` of those `observed`, and how much of both is settled. While it
    is counted, `quantity` and `estimated` are units, of which each is `share` of a device; None is unknown,
    and they stay units.
    """

    quantity: int = 0
    estimated: int = 0
    observed: float = 0.0
    busy: float = 0.0
    share: Fraction | None = WHOLE
    settled_observed: float = 0.0
    settled_busy: float = 0.0

    def add(self, other: "Amount") -> None:
        """Of the same unit, and weighed."""
        self.quantity += other.quantity
        self.estimated += other.estimated
        self.observed += other.observed
        self.busy += other.busy
        self.settled_observed += other.settled_observed
        self.settled_busy += other.settled_busy

    def weigh(self) -> None:
        """Make units device time."""
        if self.share is not WHOLE:
            self.quantity = part_of(self.quantity, self.share)
            self.estimated = part_of(self.estimated, self.share)


class Timed(Protocol):
    """What knows when holds began and ended."""

    @property
    def dated(self) -> Collection[PodKey]:
        """The pods of which any time is known."""

    def steps(self, key: Holding, samples: Samples, known: Known) -> list[Step] | None:
        """The holding's steps where one of them is no whole one, else None."""

    def unseen(self, held: Mapping[Holding, Samples], known: Known) -> Iterator[tuple[Holding, list[Step]]]:
        """Holdings that no sample saw while they lasted, and their steps."""


def integrate(
    held: Mapping[Holding, Samples], known: Known, nodes: Nodes, devices: Devices, timed: Timed | None = None
) -> Iterator[tuple[Cell, Amount]]:
    """Every cell once, over the instants of `known.grid`; samples around it close bridges and edges."""
    cells: dict[Cell, Amount] = {}
    worth = known.grid.step * MILLISECONDS
    slices = Slices(known.grid, lambda units: round(units * worth))
    alike = _Alike(slices, nodes, devices.span, weighed=not known.bridges)
    several, together = _several(held), defaultdict[Who, list[Holding]](list)
    dated = () if timed is None else timed.dated
    for key, samples in held.items():
        pod = key.pod
        timely = not dated or timed is None or pod not in dated or timed.steps(key, samples, known) is None
        alone = timely and not (several and pod[:2] in several)
        row = devices.sole(pod.namespace, pod.name) if alone else None
        counted = None if row is None else alike.counted(key, samples, row)
        if counted is None or row is None:
            together[pod[:2]].append(key)
            continue
        sku, share, parts = counted
        for part in parts:
            cell, amount = _cell_of((part.slot, pod, key.node, sku)), part.amount(row.values, share)
            if known.bridges:
                cells[cell] = amount
            else:
                # Nothing is added to it: of a hundred thousand pods none is kept.
                yield cell, amount
    for who, keys in together.items():
        exact = {} if timed is None else _exact(timed, keys, held, known)
        seen = devices.of(*who)
        for key in sorted(keys):
            samples = held[key]
            steps = exact.get(key) or zip(samples.times, samples.units, repeat(worth))
            _count(cells, key, steps, known, nodes, seen, devices.span.settled)
    for key in held if known.bridges else ():
        _bridge(cells, key, held[key], known, nodes)
    for key, unseen in () if timed is None else timed.unseen(held, known):
        _count(cells, key, unseen, known, nodes, {}, devices.span.settled)
    for amount in cells.values():
        amount.weigh()
    yield from cells.items()


def _several(held: Collection[Holding]) -> frozenset[Who]:
    """The pods that have several holdings, or came again."""
    # Their names alone mostly tell that there are none.
    if len({key.pod.name for key in held}) == len(held):
        return frozenset()
    times = Counter(key.pod[:2] for key in held)
    return frozenset(who for who, count in times.items() if count > 1)


class _Share(NamedTuple):
    """What pods held alike have of one slot: `worth` of the SKU. The values of their rows from `first`
    up to `end` (not with it) tell how busy `watched` device-milliseconds were, each; those before
    `middle` are settled.
    """

    slot: int
    worth: int
    watched: float = 0.0
    first: int = 0
    middle: int = 0
    end: int = 0

    def amount(self, values: "array[float]", share: Fraction | None) -> Amount:
        """What one pod has of it, with the values of its row."""
        _, worth, watched, first, middle, end = self
        if not watched:
            return Amount(worth, share=share)
        settled = watched * fsum(values[first:middle])
        busy = settled + watched * fsum(values[middle:end])
        return Amount(worth, 0, watched * (end - first), busy, share, watched * (middle - first), settled)


class _Alike:
    """Counts pods slot by slot, as `_count` would step by step: what they have is found once for all that
    share their samples, and how busy it was for each.

    Nearly every pod has one holding, of one size, on a node that stays what it is, and was seen all the
    while or never. Amounts are weighed where nothing is added to them.
    """

    def __init__(self, slices: Slices, nodes: Nodes, span: Span, *, weighed: bool) -> None:
        self._slices = slices
        self._nodes = nodes
        self._span = span
        self._weighed = weighed
        self._skus: dict[tuple[str, str, Dimensions], tuple[Sku | None, Fraction | None]] = {}
        self._shares: dict[tuple[int, int, float, int], Sequence[_Share]] = {}

    def counted(
        self, key: Holding, samples: Samples, row: Row
    ) -> tuple[Sku, Fraction | None, Sequence[_Share]] | None:
        """What the holding is, and what it has of each slot; None where it is to be counted step by step."""
        what = key[2:]
        known = self._skus.get(what)
        if known is None:
            known = self._skus[what] = self._sku(*what)
        sku, share = known
        if sku is None:
            return None
        (_, _, _, weight), times, _ = row
        ids = id(samples), id(times), weight, id(sku)
        shares = self._shares.get(ids)
        if shares is None:
            if len(self._shares) >= MOST_ALIKE:
                self._shares.clear()
            shares = self._shares[ids] = self._told(samples, row, weight, share)
        if not shares:
            return None
        return sku, share, shares

    def _sku(self, node: str, resource: str, told: Dimensions) -> tuple[Sku | None, Fraction | None]:
        """None for no one SKU."""
        if self._nodes.changes(node):
            return None, None
        sku = self._nodes.sku(node, resource, 0, told)
        return sku, share_of(sku.dimension("share"))

    def _told(self, samples: Samples, row: Row, weight: float, share: Fraction | None) -> list[_Share]:
        """By slot; none where that cannot be told from samples as a whole."""
        slices, times, found = self._slices, samples.times, list[_Share]()
        for part in slices.of(*samples):
            worth = part_of(part.worth, share) if self._weighed else part.worth
            after = bisect_right(times, self._span.since, part.first, part.end)
            if not row.times or share is None or part.level == 0 or after == part.end:
                found.append(_Share(part.slot, worth))
                continue
            first = bisect_left(row.times, times[after])
            end = first + part.end - after
            if part.level is None or row.times[first:end] != times[after : part.end]:
                return []
            middle = first + bisect_right(times, self._span.settled, after, part.end) - after
            taken = min(1.0, part.level * float(share) / weight) * weight
            watched = taken * slices.step * MILLISECONDS
            found.append(_Share(part.slot, worth, watched, first, middle, end))
        return found


def _exact(
    timed: Timed, keys: Iterable[Holding], held: Mapping[Holding, Samples], known: Known
) -> dict[Holding, list[Step]]:
    steps = ((key, timed.steps(key, held[key], known)) for key in keys)
    return {key: found for key, found in steps if found is not None}


def _count(
    cells: dict[Cell, Amount],
    key: Holding,
    steps: Iterable[tuple[float, float, int]],
    known: Known,
    nodes: Nodes,
    seen: dict[float, Observed],
    settled: float,
) -> None:
    """Add a holding's steps. What it takes of the pod's devices is taken out of `seen`; of what was seen,
    that up to `settled` changes no more.
    """
    grid = known.grid
    first, last = grid.instants.start, grid.interval.end
    steady = not nodes.changes(key.node)
    slot, amount = -1, Amount()
    for t, units, worth in steps:
        if not first <= t <= last:
            continue
        here = slot_of(int(t) - grid.step)
        if here != slot or not steady:
            slot, amount = here, _cell(cells, key, nodes, int(t), here)
        amount.quantity += round(units * worth)
        if seen and t in seen and amount.share is not None:
            devices, busy = seen[t]
            part = min(1.0, units * float(amount.share) / devices)
            amount.observed += devices * part * worth
            amount.busy += busy * part * worth
            if t <= settled:
                amount.settled_observed += devices * part * worth
                amount.settled_busy += busy * part * worth
            seen[t] = Observed(devices - devices * part, busy - busy * part)
            if part == 1.0:
                del seen[t]


def _bridge(cells: dict[Cell, Amount], key: Holding, samples: Samples, known: Known, nodes: Nodes) -> None:
    for t, units in bridged(samples, known):
        worth = round(units * known.grid.step * MILLISECONDS)
        amount = _cell(cells, key, nodes, t, slot_of(t - known.grid.step))
        amount.quantity += worth
        amount.estimated += worth


def bridged(samples: Samples, known: Known) -> Iterator[tuple[int, float]]:
    """The instants of short gaps, and what was held on both sides of each."""
    for bridge in known.bridges:
        units = min(samples.at(bridge[0]), samples.at(bridge[1]))
        if not units:
            continue
        for t in known.gap(bridge):
            if t in known.grid.instants and not samples.at(t):
                yield t, units


def _cell(cells: dict[Cell, Amount], key: Holding, nodes: Nodes, t: int, slot: int) -> Amount:
    sku = nodes.sku(key.node, key.resource, t, key.told)
    cell = Cell(slot, key.pod, key.node, sku)
    found = cells.get(cell)
    if found is None:
        found = cells[cell] = Amount(share=share_of(sku.dimension("share")))
    return found
