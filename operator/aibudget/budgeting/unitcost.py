"""What a unit of useful work costs: money of the workloads that did it, over how much they did.

The numerator is the direct cost of those workloads of the scope that have any of the denominator, in the
period so far. Nothing is said of less work than the ceiling is for, nor where part of the cost or of the work
is not known: one without the other would be a wrong figure, and no lower bound. Once above its ceiling a unit
cost counts as above until it is 5 % below it, so that one at its ceiling does not come and go. Pure.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from aibudget.api.unitcost import UnitCost
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import Statement
from aibudget.metering.catalogue import scale_of
from aibudget.metering.usage import Coverage
from aibudget.pricing.charge import UNITS, Units

LEAST_COVERED_PERCENT: Final = 95
"""How much of the period must be covered, of the cost's meters and of the work's."""
BAND_PERCENT: Final = 5

UnitCostState = Literal["Unknown", "Within", "Above"]


@dataclass(frozen=True, slots=True)
class Output:
    """Work done and what it cost: the meter's smallest unit, and `UNITS` of money."""

    quantity: int
    units: Units


@dataclass(frozen=True, slots=True)
class UnitCosting:
    """Where a unit cost stands; `amount` is None where nothing can be said."""

    spec: UnitCost
    amount: Fraction | None
    state: UnitCostState


def costings(
    wanted: Iterable[UnitCost], outputs: Mapping[str, Output | None], above: Collection[str]
) -> tuple[UnitCosting, ...]:
    """Each unit cost, given what was done by meter, and which of them were above their ceilings before."""
    return tuple(_costing(one, outputs.get(one.meter), was_above=one.name in above) for one in wanted)


def _costing(of: UnitCost, output: Output | None, *, was_above: bool) -> UnitCosting:
    if output is None or output.quantity < of.per * scale_of(of.meter):
        return UnitCosting(of, None, "Unknown")
    work = Fraction(output.quantity, scale_of(of.meter))
    amount = Fraction(output.units) / UNITS * of.per / work
    line = of.ceiling * (100 - BAND_PERCENT) / 100 if was_above else of.ceiling
    return UnitCosting(of, amount, "Above" if amount > Fraction(line) else "Within")


def is_known(coverage: Coverage, *, complete: bool) -> bool:
    """Whether enough of the period is known of a meter to divide by it, or what it cost by something."""
    return complete and coverage.total_seconds > 0 and coverage.percent >= LEAST_COVERED_PERCENT


def output_of(
    statement: Statement | None,
    done: Mapping[Workload, int],
    spent: Mapping[Workload, Units],
    unpriced: Collection[Workload],
) -> Output | None:
    """What the workloads that did any work did and cost; None where part of either is not known."""
    if statement is None or not is_known(statement.coverage, complete=statement.complete):
        return None
    working = {workload for workload, quantity in done.items() if quantity}
    # Who has spent nothing at all is priced by nothing: that is not free.
    if working & set(unpriced) or (working and not working & spent.keys()):
        return None
    units = sum((spent.get(workload, 0) for workload in working), start=0)
    return Output(sum(done.values()), units)


def shown(amount: Fraction) -> Decimal:
    """For people: to six digits after the point, of which two are always there."""
    micro = round(amount * 1_000_000)
    whole = Decimal(micro) / 1_000_000
    cents = whole.quantize(Decimal("0.01"))
    return cents if cents == whole else whole.normalize()
