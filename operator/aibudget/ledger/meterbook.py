"""What a process knows of one meter's postings: its integer, its lines, and sums that hold at one revision.

Statements come from running totals, which are trusted only at the revision of the meter that they were made
for. Works inside the transactions of `store.py`, which tells it what it has posted and let go of.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection

from aibudget.ledger import meters, slots
from aibudget.ledger.lines import Lines, Rates
from aibudget.ledger.posting import MeterState
from aibudget.ledger.slots import Slot
from aibudget.ledger.spend import SpendLine, Statement, slots_of
from aibudget.ledger.totals import Covered, Row, Totals
from aibudget.metering.memory import Memory
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage

STATEMENTS_KEPT: Final = 64

_Count = Callable[[Interval], tuple[Sequence[Row], Covered]]


class MeterBook:
    """Of one cluster; `rates` are those of the whole ledger. `memory` is what its counters stood at."""

    def __init__(self, meter_id: int, lines: Lines, rates: Rates) -> None:
        self.id: Final = meter_id
        self.lines: Final = lines
        self.memory = Memory()
        self._rates = rates
        self._totals = Totals(revision=0)
        self._statements: dict[Interval, Statement] = {}

    def statement(self, connection: Connection, interval: Interval) -> Statement:
        """All that is posted of an interval."""
        state = meters.state(connection, self.id)
        if self._totals.revision != state.revision:
            self._totals = Totals(state.revision)
            self._statements.clear()
        found = self._statements.get(interval)
        if found is None:
            count = partial(slots.summed, connection, self.id, self._totals, watermark=state.watermark or 0)
            found = self._of(connection, state, interval, count)
            if len(self._statements) >= STATEMENTS_KEPT:
                self._statements.clear()
            self._statements[interval] = found
        return found

    def recount(self, connection: Connection, interval: Interval) -> Statement:
        """As `statement`, added up from the slots anew."""
        count = partial(slots.counted, connection, self.id)
        return self._of(connection, meters.state(connection, self.id), interval, count)

    def passing(self, connection: Connection, interval: Interval) -> Statement:
        """As `statement`, of an interval that is not asked for again: from days, and remembered nowhere."""
        state = meters.state(connection, self.id)
        count = partial(slots.known, connection, self.id, watermark=state.watermark or 0)
        return self._of(connection, state, interval, count)

    def spend(self, connection: Connection, rows: Sequence[Row]) -> tuple[SpendLine, ...]:
        """What the rows say."""
        lines = self.lines.of(connection, [row.line_id for row in rows])
        rates = self._rates.of(connection, (row.rate_id for row in rows))
        return tuple(
            SpendLine(
                workload=lines[row.line_id].workload,
                sku=lines[row.line_id].sku,
                namespace_labels=lines[row.line_id].namespace_labels,
                rate=rates.get(row.rate_id),
                quantity=row.quantity,
                estimated=row.estimated,
                busy=row.busy if row.observed else None,
                observed=row.observed or None,
                labels=lines[row.line_id].labels,
            )
            for row in rows
        )

    def posted(
        self, before: MeterState, after: MeterState, held: Mapping[int, Slot], holds: Mapping[int, Slot]
    ) -> None:
        """Some slots have held this, and hold that now; it is committed."""
        if self._totals.revision == before.revision:
            self._totals.replace(held, holds)
            self._totals.revision = after.revision
            self._statements.clear()

    def expired(self, before: int) -> None:
        """Slots from before an instant are no longer whole; it is committed."""
        self._totals.forget(before)
        self._statements.clear()

    def forget_links(self) -> None:
        """Owners of ReplicaSets and Jobs were learnt."""
        if self.lines.forget_links():
            self._statements.clear()

    def _of(self, connection: Connection, state: MeterState, interval: Interval, count: _Count) -> Statement:
        if state.watermark is None or state.begins is None:
            return Statement((), Coverage(0, 0), None, complete=False)
        end = min(interval.end, state.watermark)
        if end <= interval.start:
            return Statement((), Coverage(0, 0), state.watermark, complete=state.begins <= interval.start)
        rows, covered = count(Interval(interval.start, end))
        return Statement(
            lines=self.spend(connection, rows),
            coverage=Coverage(covered.covered_seconds, covered.total_seconds),
            as_of=end,
            complete=covered.slots == slots_of(interval.start, end),
        )
