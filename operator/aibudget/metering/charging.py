"""To whom what was counted is charged, as which SKU, and what of it somebody else counts as well.

A server tells its own tokens better than the gateway before it, and of two exporters of one device's energy
the one that tells more is nearer to the truth: the other is a duplicate, left out and told of; what one of
them counted while it was missing, the other has told already. What is part
of another amount, as cached input is of input, is taken out of it, so that amounts of one meter add up. Pure.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final

from aibudget.api.meter import Attribution
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import PodKey, Workload
from aibudget.metering.families import DEVICE, NODE
from aibudget.metering.levels import NOBODY, Holder
from aibudget.metering.memory import Counter
from aibudget.metering.nodes import Nodes
from aibudget.metering.slots import Interval
from aibudget.metering.tally import Amount, Cell, Tally
from aibudget.metering.usage import Sku, Usage, sku

UNSAID: Final = ("", "None", "unknown")
"""What exporters write where they know nothing."""
TYPE: Final = "tokenType"
WITHIN: Final = {"cachedInput": "input", "transferredInput": "input"}
"""Types of tokens that servers and gateways count among those of another type."""
Line = tuple[int, Workload, Sku, str]
"""Slot, who, of what, and the source that says so."""


class Charging:
    """What a tally came to. `nodes` are those of each part of its time."""

    def __init__(self, meter: str, tally: Tally, nodes: Sequence[tuple[Interval, Nodes]] = ()) -> None:
        self._meter = meter
        self._families = tally.families
        self._nodes = nodes
        self._skus: dict[tuple[Counter, int], Sku] = {}
        self._doubled: set[tuple[str, str, str]] = set()
        self._chained: set[tuple[str, ...]] = set()
        self._cells = self._without_doubles(tally)

    def pods(self) -> set[PodKey]:
        """Whose owners have to be known."""
        return {
            PodKey(holder.namespace, holder.pod, "")
            for cell in self._cells
            if (holder := self._holder(cell)) != NOBODY and not self._team(cell.counter)
        }

    def usages(self, book: OwnerBook) -> tuple[Usage, ...]:
        """One usage for each slot, workload and SKU."""
        lines: dict[Line, Amount] = defaultdict(Amount)
        parts: list[tuple[Line, Line]] = []
        for cell, amount in self._cells.items():
            family = self._families[cell.counter.family]
            line = cell.slot, self._payer(cell, book), self._sku(cell), family.name
            lines[line].quantity += amount.quantity
            lines[line].estimated += amount.estimated
            if container := WITHIN.get(line[2].dimension(TYPE) or ""):
                whole = sku(self._meter, {**dict(line[2].dimensions), TYPE: container})
                parts.append((line, (cell.slot, line[1], whole, family.name)))
        for inner, outer in dict.fromkeys(parts):
            _take_out(lines, inner, outer)
        return _summed(lines)

    def problems(self) -> Iterator[str]:
        """What was left out because somebody else counts it."""
        for source, other, of in sorted(self._doubled):
            yield (
                f"What {source} tells of {self._meter}{of} is a duplicateOf what {other} tells, and left out."
            )
        for model, *several in sorted(self._chained):
            yield (
                f"{' and '.join(several)} both tell of {self._meter} of {model}, and are added up. If one "
                "passes on to the other, let only one of them be scraped."
            )

    def _without_doubles(self, tally: Tally) -> dict[Cell, Amount]:
        if self._meter == "energy":
            return self._highest(tally.cells)
        servers: dict[tuple[int, str], str] = {}
        for counter, slot in tally.told:
            family = self._families[counter.family]
            if not family.is_gateway:
                servers |= {(slot, model): family.name for model in _models(counter)}
        kept: dict[Cell, Amount] = {}
        gateways: dict[tuple[int, str], set[str]] = defaultdict(set)
        for cell, amount in tally.cells.items():
            family, models = self._families[cell.counter.family], _models(cell.counter)
            served = next((model for model in models if (cell.slot, model) in servers), None)
            if family.is_gateway and served is not None:
                self._doubled.add((family.name, servers[cell.slot, served], f" of {served}"))
                continue
            kept[cell] = amount
            if family.is_gateway and models:
                gateways[cell.slot, models[-1]].add(family.name)
        self._chained |= {(model, *sorted(told)) for (_, model), told in gateways.items() if len(told) > 1}
        return kept

    def _highest(self, cells: Mapping[Cell, Amount]) -> dict[Cell, Amount]:
        """Of each pod's component in each slot what the source says that says most."""
        sums: dict[tuple[object, ...], dict[str, Amount]] = defaultdict(lambda: defaultdict(Amount))
        for cell, amount in cells.items():
            said = sums[self._device(cell)][self._families[cell.counter.family].name]
            said.quantity += amount.quantity
            said.older += amount.older
        kept: dict[Cell, Amount] = {}
        for cell, amount in cells.items():
            source, several = self._families[cell.counter.family].name, sums[self._device(cell)]
            best, told = _best(several)
            if source == best:
                kept[cell] = _without(amount, told)
            else:
                self._doubled.add((source, best, ""))
        return kept

    def _device(self, cell: Cell) -> tuple[object, ...]:
        family, holder = self._families[cell.counter.family], self._holder(cell)
        whose = cell.counter.label(DEVICE) if holder == NOBODY else holder
        label = family.dimensions.get("component", "")
        return cell.slot, whose, family.fixed.get("component") or cell.counter.label(label)

    def _payer(self, cell: Cell, book: OwnerBook) -> Workload:
        if team := self._team(cell.counter):
            return Workload("", "Team", team)
        holder, labels = self._holder(cell), self._families[cell.counter.family].attribution
        named = labels or Attribution(
            namespace="namespace", workload_kind="workload_kind", workload="workload"
        )
        if named.workload and named.workload_kind:
            kind, name = cell.counter.label(named.workload_kind), cell.counter.label(named.workload)
            if labels is not None or (kind and name):
                return Workload(holder.namespace, kind, name)
        if holder.pod:
            return book.resolve(PodKey(holder.namespace, holder.pod, "")).workload
        if cell.counter.label(DEVICE):
            return Workload("", "NodePool", self._where(cell).get("nodePool", ""))
        return Workload(holder.namespace, "Team", "")

    def _holder(self, cell: Cell) -> Holder:
        if cell.counter.label(DEVICE):
            return cell.holder
        labels = self._families[cell.counter.family].attribution
        namespace, pod = (labels.namespace, labels.pod) if labels else ("namespace", "pod")
        # A gateway's tokens that no team is named for are those of the gateway.
        return Holder(cell.counter.label(namespace or "namespace"), cell.counter.label(pod or "pod"))

    def _team(self, counter: Counter) -> str:
        labels = self._families[counter.family].attribution
        said = counter.label(labels.team) if labels and labels.team else ""
        return "" if said in UNSAID else said

    def _sku(self, cell: Cell) -> Sku:
        key = cell.counter, cell.slot
        if key not in self._skus:
            self._skus[key] = self._described(cell)
        return self._skus[key]

    def _described(self, cell: Cell) -> Sku:
        counter, family = cell.counter, self._families[cell.counter.family]
        named = {name: counter.label(label) for name, label in family.dimensions.items()}
        told = {name: value for name, value in named.items() if value not in UNSAID}
        return sku(self._meter, {**self._where(cell), **told, **family.fixed})

    def _where(self, cell: Cell) -> Mapping[str, str]:
        node = next((said for name in NODE if (said := cell.counter.label(name))), "")
        nodes = next((known for part, known in self._nodes if cell.slot in part), None)
        return nodes.dimensions_at(node, cell.slot) if nodes is not None and node else {}


def _models(counter: Counter) -> list[str]:
    """Every name that the counter has for its model, the shortest last: gateways know it by several, and put
    the provider before it.
    """
    names = [value for name, value in counter.labels if "model" in name and value not in UNSAID]
    parts = [name.split("/") for name in dict.fromkeys(names)]
    found = {"/".join(part[place:]) for part in parts for place in range(len(part))}
    return sorted(found, key=lambda name: (-len(name), name))


def _best(several: Mapping[str, Amount]) -> tuple[str, Fraction]:
    """Which of several sources says most of a slot, and how much of what it counted before it, while it was
    missing, the others have told then: as much of it as they tell of the slot.
    """
    now = {name: said.quantity - said.older for name, said in several.items()}
    others = [now[name] for name, said in several.items() if not said.older]
    if not others:
        return max(sorted(several), key=lambda name: several[name].quantity), Fraction(0)
    best = max(sorted(now), key=now.__getitem__)
    return best, Fraction(max(others), now[best]) if now[best] else Fraction(1)


def _without(amount: Amount, told: Fraction) -> Amount:
    quantity = amount.quantity - int(amount.older * told)
    return Amount(quantity, min(amount.estimated, quantity))


def _take_out(lines: dict[Line, Amount], part: Line, whole: Line) -> None:
    """Leave of the whole what is not in the part; a part is never more than its whole."""
    container, inner = lines.get(whole, Amount()), lines[part]
    if inner.quantity > container.quantity:
        inner.estimated = min(inner.estimated, container.quantity)
        inner.quantity = container.quantity
    container.quantity -= inner.quantity
    container.estimated = min(container.estimated, container.quantity)


def _summed(lines: Mapping[Line, Amount]) -> tuple[Usage, ...]:
    sums: dict[tuple[int, Workload, Sku], Amount] = defaultdict(Amount)
    for (slot, workload, of, _), amount in lines.items():
        if amount.quantity:
            sums[slot, workload, of].quantity += amount.quantity
            sums[slot, workload, of].estimated += amount.estimated
    return tuple(
        Usage(slot, workload, of, amount.quantity, amount.estimated)
        for (slot, workload, of), amount in sorted(sums.items(), key=_order)
    )


def _order(item: tuple[tuple[int, Workload, Sku], Amount]) -> tuple[int, str, str, str, Iterable[object]]:
    slot, workload, of = item[0]
    return slot, workload.namespace, workload.kind, workload.name, of.dimensions
