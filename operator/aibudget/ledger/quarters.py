"""`Quarters`: what one line used at one rate in the quarter-hours of a UTC day, as integers and as bytes.

The bytes are four JSON lists from the first to the last slot with usage, deflated: nothing is rounded or left
out, and a checksum is in them. A month of slots takes less than a tenth of its space so. Pure; which days are
kept like this is not known here.
"""

import json
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from aibudget.metering.slots import SLOT_SECONDS, Interval

DAY: Final = 86_400
SLOTS_A_DAY: Final = DAY // SLOT_SECONDS
_LEVEL: Final = 6


class Amounts(NamedTuple):
    """Of one or several slots, in the meter's smallest unit."""

    quantity: int
    estimated: int
    busy: int
    observed: int


class Cells:
    """A day that is being collected, slot by slot."""

    def __init__(self, day: int) -> None:
        self._day = day
        self._columns = [array("q", bytes(8 * SLOTS_A_DAY)) for _ in Amounts._fields]

    def put(self, slot: int, amounts: Sequence[int]) -> None:
        """What was used in one slot."""
        place = (slot - self._day) // SLOT_SECONDS
        for column, amount in zip(self._columns, amounts, strict=True):
            if amount:
                column[place] = amount

    def quarters(self) -> "Quarters | None":
        """What was collected; None where that is nothing."""
        used = [place for place, amounts in enumerate(zip(*self._columns, strict=True)) if any(amounts)]
        if not used:
            return None
        part = slice(used[0], used[-1] + 1)
        columns = tuple(column[part].tolist() for column in self._columns)
        return Quarters(self._day + used[0] * SLOT_SECONDS, columns)


@dataclass(frozen=True, slots=True)
class Quarters:
    """`columns` are the `Amounts` of the slots from `first` on; one that is empty has no amounts but 0."""

    first: int
    columns: Sequence[Sequence[int]]

    @classmethod
    def unpacked(cls, first: int, content: bytes) -> "Quarters":
        """From bytes. Raises ValueError where they are not what was packed."""
        try:
            columns = json.loads(zlib.decompress(content))
        except zlib.error as error:
            raise ValueError(str(error)) from error
        return cls(first, columns)

    def packed(self) -> bytes:
        """As bytes."""
        columns = [column if any(column) else [] for column in self.columns]
        return zlib.compress(json.dumps(columns, separators=(",", ":")).encode(), _LEVEL)

    @property
    def end(self) -> int:
        """The end of the last slot."""
        return self.first + max(map(len, self.columns)) * SLOT_SECONDS

    def slots(self) -> Iterator[tuple[int, Amounts]]:
        """Each slot in which anything was used."""
        length = max(map(len, self.columns))
        whole = (column or [0] * length for column in self.columns)
        for place, amounts in enumerate(zip(*whole, strict=True)):
            if any(amounts):
                yield self.first + place * SLOT_SECONDS, Amounts(*amounts)

    def sums(self, span: Interval) -> Amounts | None:
        """What was used in a span on slots; None where nothing was."""
        start = max(0, (span.start - self.first) // SLOT_SECONDS)
        end = max(0, (span.end - self.first) // SLOT_SECONDS)
        found = Amounts(*(sum(column[start:end]) for column in self.columns))
        return found if any(found) else None
