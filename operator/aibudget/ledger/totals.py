"""Running totals: what has been posted since an instant, kept up to date slot by slot.

A thousand budgets share few beginnings of periods. For each of them four columns of 64-bit integers grow with
each posting, so that asking costs no scan of the month; a recount from the rows gives the same numbers.
Pure; `store.py` feeds it with what it writes and reads.
"""

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

REMEMBERED: Final = 64
"""Distinct beginnings that are kept; beyond them the one unused for longest is counted anew."""
PATIENCE: Final = 96
"""How many slots a beginning is kept up to date without being asked for: a day's worth. Periods do end."""


class Row(NamedTuple):
    """Usage as the ledger keeps it: of one line at one rate (0 is none), in the meter's smallest unit."""

    line_id: int
    rate_id: int
    quantity: int
    estimated: int
    busy: int
    observed: int

    @classmethod
    def of(cls, row: Any) -> "Row":
        """As a database has it: sums may be of a type of their own there, and no rate NULL."""
        quantities = int(row.quantity), int(row.estimated), int(row.busy), int(row.observed)
        return cls(row.line_id, row.rate_id or 0, *quantities)

    def plus(self, other: "Row") -> "Row":
        """Both of them, which are of one line and rate."""
        return Row(*self[:2], *(one + more for one, more in zip(self[2:], other[2:], strict=True)))

    def minus(self, other: "Row | None") -> "Row":
        """What is left without a part of it."""
        if other is None:
            return self
        return Row(
            *self[:2], *(all_of_it - part for all_of_it, part in zip(self[2:], other[2:], strict=True))
        )


@dataclass(frozen=True, slots=True)
class Covered:
    """How many slots were asked for, and how many seconds of how many were covered."""

    slots: int
    covered_seconds: int
    total_seconds: int

    def __add__(self, other: "Covered") -> "Covered":
        return Covered(
            self.slots + other.slots,
            self.covered_seconds + other.covered_seconds,
            self.total_seconds + other.total_seconds,
        )

    def __sub__(self, other: "Covered") -> "Covered":
        return self + Covered(-other.slots, -other.covered_seconds, -other.total_seconds)


NOTHING: Final = Covered(0, 0, 0)


def together(rows: Iterable[Row]) -> list[Row]:
    """One row for each line and rate."""
    found: dict[tuple[int, int], Row] = {}
    for row in rows:
        held = found.get(row[:2])
        found[row[:2]] = row if held is None else held.plus(row)
    return list(found.values())


@dataclass(slots=True)
class _Since:
    columns: tuple["array[int]", ...]
    covered: Covered = NOTHING
    unasked: int = 0


@dataclass(slots=True)
class Totals:
    """Of one meter at one revision of it."""

    revision: int
    _accounts: dict[tuple[int, int], int] = field(default_factory=dict)
    _starts: OrderedDict[int, _Since] = field(default_factory=OrderedDict)

    def asked(self, start: int) -> bool:
        """Whether this beginning is remembered; asking keeps it."""
        since = self._starts.get(start)
        if since is None:
            return False
        self._starts.move_to_end(start)
        since.unasked = 0
        return True

    def forget(self, before: int) -> None:
        """Let go of beginnings before an instant: the slots from there on are no longer whole."""
        for start in [start for start in self._starts if start < before]:
            del self._starts[start]

    def nearest(self, start: int, end: int) -> int:
        """The remembered beginning closest to this one, or the end: only time between needs counting."""
        return min((*self._starts, end), key=lambda known: abs(known - start))

    def remember(self, start: int, base: int, rows: Iterable[Row], covered: Covered) -> None:
        """Begin to keep the totals since `start`, given those of the time between it and `nearest(...)`."""
        known = self._starts.get(base)
        if known is None:
            since = _Since(tuple(array("q", bytes(8 * len(self._accounts))) for _ in range(4)))
        else:
            since = _Since(tuple(column[:] for column in known.columns), known.covered)
        self._starts[start] = since
        sign = 1 if start < base else -1
        since.covered = since.covered + covered if sign > 0 else since.covered - covered
        self._add([since], rows, sign)
        if len(self._starts) > REMEMBERED:
            self._starts.popitem(last=False)

    def move(self, slot: int, sign: int, rows: Iterable[Row], covered: Covered) -> None:
        """Add (1) or take away (-1) one slot everywhere it counts."""
        for start, since in list(self._starts.items()):
            since.unasked += 1
            if since.unasked > PATIENCE:
                del self._starts[start]
        affected = [since for start, since in self._starts.items() if start <= slot]
        for since in affected:
            since.covered = since.covered + covered if sign > 0 else since.covered - covered
        if affected:
            self._add(affected, rows, sign)

    def replace(
        self,
        held: Mapping[int, tuple[Iterable[Row], Covered]],
        posted: Mapping[int, tuple[Iterable[Row], Covered]],
    ) -> None:
        """Some slots hold other rows now."""
        for sign, several in ((-1, held), (1, posted)):
            for slot, (rows, covered) in several.items():
                self.move(slot, sign, rows, covered)

    def since(self, start: int) -> tuple[list[Row], Covered]:
        """The totals from a remembered beginning on; lines without usage are left out."""
        since = self._starts[start]
        quantity, estimated, busy, observed = since.columns
        rows = [
            Row(line_id, rate_id, quantity[i], estimated[i], busy[i], observed[i])
            for (line_id, rate_id), i in self._accounts.items()
            if quantity[i]
        ]
        return rows, since.covered

    def between(self, start: int, end: int) -> tuple[list[Row], Covered]:
        """The totals of [start, end), both remembered beginnings: what the later one has not."""
        late, covered = self.since(end)
        rows, all_covered = self.since(start)
        after = {(row.line_id, row.rate_id): row for row in late}
        before = (row.minus(after.get((row.line_id, row.rate_id))) for row in rows)
        return [row for row in before if row.quantity], all_covered - covered

    def _add(self, affected: list[_Since], rows: Iterable[Row], sign: int) -> None:
        for row in rows:
            at = self._account(row.line_id, row.rate_id)
            for since in affected:
                quantity, estimated, busy, observed = since.columns
                quantity[at] += sign * row.quantity
                estimated[at] += sign * row.estimated
                busy[at] += sign * row.busy
                observed[at] += sign * row.observed

    def _account(self, line_id: int, rate_id: int) -> int:
        key = (line_id, rate_id)
        at = self._accounts.get(key)
        if at is None:
            at = self._accounts[key] = len(self._accounts)
            for since in self._starts.values():
                for column in since.columns:
                    column.append(0)
        return at
