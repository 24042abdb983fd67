"""What caps count of a scope: quantities of meters, whatever they cost, and what their electricity emitted.

Lines come from the same statements as money. Carbon is energy times a dated factor, so a period in which a
factor changed is stated in parts. Where a meter tells nothing the quantity is None; where some energy has no
factor it is left out and named, like usage without a price. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from aibudget.api.budget import Budget
from aibudget.api.limit import CARBON
from aibudget.budgeting.limits import Counted, counted_by
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.catalogue import ENERGY
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.carbon import Carbon


class Counting(NamedTuple):
    """A line and how much of it a cap counts: the meter's smallest unit, or grams; None where unknown."""

    counted: Counted
    line: SpendLine
    quantity: int | Fraction | None


@dataclass(slots=True)
class Sum:
    """Of one scope: `known` says whether anything is in `quantity`; `missing` names what is not."""

    quantity: int | Fraction = 0
    known: bool = False
    missing: set[str] = field(default_factory=set)

    def add(self, other: "Sum") -> None:
        self.quantity += other.quantity
        self.known |= other.known
        self.missing |= other.missing


@dataclass(frozen=True, slots=True)
class Use:
    """What a scope used of what a cap counts; `quantity` is None where nothing is known of it.

    `missing` names the regions whose energy is not in it. `as_of` is until when the meter is known.
    """

    quantity: int | Fraction | None
    coverage: Coverage
    complete: bool
    missing: tuple[str, ...] = ()
    as_of: int | None = None


def wanted(budgets: Iterable[Budget]) -> frozenset[Counted]:
    """What the caps of all of them count, and the work that their unit costs are about."""
    budgets = tuple(budgets)
    capped = frozenset(counted_by(cap) for budget in budgets for cap in budget.spec.caps or ())
    return capped | {(one.meter, "") for budget in budgets for one in budget.spec.unit_costs or ()}


def countings(
    wanted: frozenset[Counted],
    statements: Mapping[str, Statement],
    carbon: Carbon,
    energy: Callable[[Interval], Statement | None],
    interval: Interval,
) -> Iterator[Counting]:
    """The lines of an interval that caps count; `energy` states a part of it, on slots."""
    for counted in sorted(wanted):
        meter, kind = counted
        if meter not in statements:
            continue
        if kind == CARBON:
            yield from _emitted(counted, statements[meter], carbon, energy, interval)
        else:
            yield from (Counting(counted, line, line.quantity) for line in statements[meter].lines)


def _emitted(
    counted: Counted,
    whole: Statement,
    carbon: Carbon,
    energy: Callable[[Interval], Statement | None],
    interval: Interval,
) -> Iterator[Counting]:
    edges = [interval.start, *carbon.changes(interval), interval.end]
    for start, end in pairwise(edges):
        part = whole if len(edges) == 2 else energy(Interval(start, end))
        for line in () if part is None else part.lines:
            factor = carbon.factor(line.sku.dimension("region"), start)
            grams = None if factor is None else Fraction(factor.grams) * line.quantity / ENERGY.scale
            yield Counting(counted, line, grams)


def use_of(total: Sum, statement: Statement | None) -> Use:
    """A scope's use, given the sum of its lines and the statement of the meter."""
    if statement is None or statement.as_of is None:
        return Use(None, Coverage(0, 0), complete=False)
    quantity = None if total.missing and not total.known else total.quantity
    missing = tuple(sorted(total.missing))
    return Use(quantity, statement.coverage, statement.complete, missing, statement.as_of)
