"""What is read of a meter before it is posted: the port it is read through, and the values it comes as."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Protocol

from aibudget.ledger.spend import Statement, provisional
from aibudget.metering.memory import Memory
from aibudget.metering.slots import SLOT_SECONDS, Interval, slot_of
from aibudget.metering.usage import Coverage, Reading
from aibudget.pricing.book import PriceBook
from aibudget.pricing.charge import Charge

Labels = Mapping[str, Mapping[str, str]]
"""The labels of each namespace."""


class Source(Protocol):
    """One meter, as the accounts need it. Raises `Transient` and `Stalled`."""

    def time(self) -> int:
        """Prometheus's own clock, Unix seconds."""

    def lag(self) -> int:
        """How many seconds samples may take to be complete."""

    def wanted(self, book: PriceBook) -> bool:
        """Whether to read it: not while its source is absent, or nothing would price what it counts."""

    def read(self, interval: Interval) -> Reading:
        """Everything used in the interval."""


@dataclass(frozen=True, slots=True)
class Head:
    """What is read and not posted yet: from `start` (Unix seconds) up to `as_of`.

    `memories` are what counters stood at, by the ends of slots that may be posted next. `book` priced it.
    """

    start: int
    as_of: int | None
    charges: tuple[Charge, ...]
    coverage: Mapping[int, Coverage]
    labels: Labels
    memories: Mapping[int, Memory] = field(default_factory=dict)
    book: PriceBook | None = None

    def covered(self, slot: int) -> int:
        """Seconds of the slot that are known."""
        found = self.coverage.get(slot)
        return 0 if found is None else found.covered_seconds

    def statement(self, start: int, end: int) -> Statement:
        """What is known of the slots of [start, end)."""
        charges = (charge for charge in self.charges if charge.usage.slot < end)
        coverage = {slot: covered for slot, covered in self.coverage.items() if slot < end}
        as_of = None if self.as_of is None else min(self.as_of, end)
        return provisional(charges, coverage, self.labels, start, as_of)


@dataclass(frozen=True, slots=True)
class Backfill:
    """How far the past is read: from `begins` on, where `wanted` is needed."""

    begins: int
    wanted: int

    @property
    def done(self) -> bool:
        return self.begins <= self.wanted

    def since(self, instant: int) -> "Backfill":
        """Where no more is needed than from an instant on."""
        return replace(self, wanted=max(self.wanted, slot_of(instant)))


def runs(slots: Iterable[int], most: int) -> Iterable[Interval]:
    """Neighbouring slots as intervals of at most so many seconds, oldest first."""
    ordered = sorted(slots)
    if not ordered:
        return
    start = ordered[0]
    for slot, following in pairwise([*ordered, ordered[-1] + 2 * SLOT_SECONDS]):
        if following != slot + SLOT_SECONDS or following - start >= most:
            yield Interval(start, slot + SLOT_SECONDS)
            start = following
