"""What the ledger answers: lines of spend, summed over an interval.

A line keeps the namespace's labels of the time of use, so a selector judges history by what was true then.
What is posted ends at the watermark; the provisional head, which changes every cycle, has the same shape and
is laid over it with `joined`. Pure values; `store.py` reads them from a database.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from aibudget.inventory.workload import Workload
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage, Sku
from aibudget.pricing.charge import Charge, cost, list_cost
from aibudget.pricing.rate import Rate

NO_LABELS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SpendLine:
    """Sums for one workload, SKU, rate and version of its labels and its namespace's.

    Units are the meter's smallest. `busy` and `observed` are None where nobody looked at the devices.
    `labels` are those of the workload's pods that usage is told with.
    """

    workload: Workload
    sku: Sku
    namespace_labels: Mapping[str, str]
    rate: Rate | None
    quantity: int
    estimated: int = 0
    busy: int | None = None
    observed: int | None = None
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)

    @property
    def cost(self) -> Decimal | None:
        """In the rate's currency, unrounded; None where no rate matched."""
        return None if self.rate is None else cost(self.quantity, self.rate)

    @property
    def list_cost(self) -> Decimal | None:
        """What it would cost without a contract, in the same currency; None where no rate matched."""
        return None if self.rate is None else list_cost(self.quantity, self.rate)


@dataclass(frozen=True, slots=True)
class Statement:
    """All lines of an interval, and how much of it the ledger has read.

    `coverage` counts the interval up to `as_of`; `as_of` is None where nothing of the meter is known at all.
    `complete` says that all of the interval up to `as_of` was asked for, from its start on. A ledger that
    begins later (new, lost, still catching up) is never complete, and its sums are a lower bound.
    """

    lines: tuple[SpendLine, ...]
    coverage: Coverage
    as_of: int | None
    complete: bool


@dataclass(frozen=True, slots=True)
class Correction:
    """A line of kind Correction: usage of a closed interval, known since `known` to cost something else.

    The quantity is the same; `was` is the rate until then, None where it had no price. It counts at the time
    it became known (FOCUS: ChargeClass Correction) and in no budget.
    """

    workload: Workload
    sku: Sku
    namespace_labels: Mapping[str, str]
    interval: Interval
    quantity: int
    was: Rate | None
    rate: Rate
    known: int

    @property
    def cost(self) -> Mapping[str, Decimal]:
        """What is to be added, by currency: less than 0 where it was charged too much."""
        amounts = {self.rate.currency: cost(self.quantity, self.rate)}
        if self.was is not None:
            amounts[self.was.currency] = amounts.get(self.was.currency, Decimal(0)) - cost(
                self.quantity, self.was
            )
        return amounts


def provisional(
    charges: Iterable[Charge],
    coverage: Mapping[int, Coverage],
    namespace_labels: Mapping[str, Mapping[str, str]],
    start: int,
    as_of: int | None,
) -> Statement:
    """What was just read and is not posted yet, from the slot of `start` on and known up to `as_of`."""
    lines = [
        SpendLine(
            workload=charge.usage.workload,
            sku=charge.usage.sku,
            namespace_labels=namespace_labels.get(charge.usage.workload.namespace, {}),
            rate=charge.rate,
            quantity=charge.usage.quantity,
            estimated=charge.usage.estimated,
            busy=charge.usage.busy,
            observed=charge.usage.observed,
            labels=dict(charge.usage.labels) if charge.usage.labels else NO_LABELS,
        )
        for charge in charges
        if charge.usage.slot >= start
    ]
    asked = [covered for slot, covered in coverage.items() if slot >= start]
    complete = as_of is not None and bool(coverage) and min(coverage) <= start
    return Statement(summed(lines), sum(asked, Coverage(0, 0)), as_of, complete)


def joined(posted: Statement, head: Statement) -> Statement:
    """The posted part of an interval and the head that follows it without a hole, as one statement."""
    if head.as_of is None:
        return posted
    follows = posted.as_of is not None and posted.complete
    return Statement(
        lines=summed((*posted.lines, *head.lines)),
        coverage=posted.coverage + head.coverage,
        as_of=max(head.as_of, posted.as_of or 0),
        complete=follows or (posted.as_of is None and head.complete),
    )


def summed(lines: Iterable[SpendLine]) -> tuple[SpendLine, ...]:
    """One line for each workload, SKU, rate and version of labels, in order of first appearance."""
    groups: dict[tuple[object, ...], SpendLine] = {}
    # Lines share their labels' mappings: sorting each of those once is enough.
    ordered: dict[int, tuple[Mapping[str, str], tuple[tuple[str, str], ...]]] = {}

    def version(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        if id(labels) not in ordered:
            ordered[id(labels)] = labels, tuple(sorted(labels.items()))
        return ordered[id(labels)][1]

    for line in lines:
        rate_id = line.rate.id if line.rate else ""
        key = (line.workload, line.sku, version(line.namespace_labels), version(line.labels), rate_id)
        groups[key] = _plus(groups[key], line) if key in groups else line
    return tuple(groups.values())


def slots_of(start: int, end: int) -> int:
    """How many slots lie in [start, end)."""
    return max(0, end - start) // SLOT_SECONDS


def _plus(one: SpendLine, other: SpendLine) -> SpendLine:
    return SpendLine(
        workload=one.workload,
        sku=one.sku,
        namespace_labels=one.namespace_labels,
        rate=one.rate,
        quantity=one.quantity + other.quantity,
        estimated=one.estimated + other.estimated,
        busy=_known(one.busy, other.busy),
        observed=_known(one.observed, other.observed),
        labels=one.labels,
    )


def _known(one: int | None, other: int | None) -> int | None:
    return one if other is None else other if one is None else one + other
