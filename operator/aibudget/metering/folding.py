"""The most lines that a meter may have in a slot; what is beyond is folded, and nothing of it is lost.

A label with ten thousand values would otherwise be ten thousand lines, for good. The largest lines stay as
they are. What is left of a namespace becomes one line of it without dimensions, so that it stays in its
budgets; if even these are too many, the smallest become one line of nobody. Pure.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from aibudget.inventory.workload import Workload
from aibudget.metering.usage import Sku, Usage

OVERFLOW: Final = "Overflow"
"""The kind of the workload that folded lines are charged to."""


class Folded(NamedTuple):
    """`lines` is the most that a slot had before, `folded` the most that were folded in one."""

    usages: tuple[Usage, ...]
    lines: int
    folded: int


def folded(usages: Iterable[Usage], most: int) -> Folded:
    """The usages with at most so many lines in a slot, and in each as many for the rest at most."""
    slots: dict[int, list[Usage]] = defaultdict(list)
    for usage in usages:
        slots[usage.slot].append(usage)
    kept: list[Usage] = []
    for _, found in sorted(slots.items()):
        kept += found if len(found) <= most else _fold(found, most)
    largest = max(map(len, slots.values()), default=0)
    return Folded(tuple(kept), largest, max(0, largest - most))


def _fold(usages: Sequence[Usage], most: int) -> list[Usage]:
    ordered = sorted(usages, key=_largest)
    rest = _joined(ordered[most:], lambda usage: usage.workload.namespace)
    if len(rest) > most:
        # Nobody's last: it takes what is left.
        rest = sorted(rest, key=lambda usage: (not usage.workload.namespace, _largest(usage)))
        rest = rest[: most - 1] + _joined(rest[most - 1 :], lambda _: "")
    return ordered[:most] + rest


def _largest(usage: Usage) -> tuple[int, Workload, Sku]:
    return -usage.quantity, usage.workload, usage.sku


def _joined(usages: Iterable[Usage], namespace: Callable[[Usage], str]) -> list[Usage]:
    sums: dict[str, Usage] = {}
    for usage in usages:
        name = namespace(usage)
        before = sums.get(name)
        if before is None:
            workload, sku = Workload(name, OVERFLOW, ""), Sku(usage.sku.meter)
            sums[name] = Usage(usage.slot, workload, sku, usage.quantity, usage.estimated)
        else:
            quantity, estimated = before.quantity + usage.quantity, before.estimated + usage.estimated
            sums[name] = replace(before, quantity=quantity, estimated=estimated)
    return [sums[name] for name in sorted(sums)]
