"""The periods of all budgets in one process: what the ledger knows of them, and what each cycle makes of it.

Rows are read once and kept, since nobody else writes them while this process leads; what a cycle changes is
gathered, and written with the decisions of the same moment in one transaction before anything is done by
them. While the ledger cannot be written periods go on by the clock, and the next cycle finds the same
changes again. Without a register nothing outlives the process. For the worker's thread.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Final

from aibudget.api.budget import AIBudget, Budget, ClusterAIBudget
from aibudget.api.budgetstatus import PastPeriod
from aibudget.budgeting.evaluation import BudgetKey, Evaluation
from aibudget.budgeting.inputs import crossed, named
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import current
from aibudget.budgeting.share import Share
from aibudget.budgeting.turning import (
    SETTLING_SECONDS,
    ClockBehind,
    Turn,
    closed,
    scope_of,
    standing,
    turned,
)
from aibudget.controller.cache import Seen
from aibudget.controller.scribe import tell
from aibudget.ledger.decision import Decision, Facts
from aibudget.ledger.periodrow import PeriodCorrection, PeriodRow, PeriodState
from aibudget.ledger.periods import KEPT_IN_MIND
from aibudget.ledger.register import Register
from aibudget.metering.slots import Interval, iso
from aibudget.pricing.charge import amount_of
from aibudget.reporting.status import HISTORY, past_period

LOOKED_AT_SECONDS: Final = 30 * 24 * 3600
"""For how long after its close a period that was not wholly known is looked at again, once an hour."""
_HOUR: Final = 3600

Older = Callable[[], Sequence[PastPeriod]]


@dataclass(slots=True)
class _Changes:
    """What one cycle has found: rows by uid and id, decisions and corrections in their order."""

    rows: defaultdict[str, dict[str, PeriodRow]] = field(default_factory=lambda: defaultdict(dict))
    decisions: list[Decision] = field(default_factory=list)
    corrections: list[PeriodCorrection] = field(default_factory=list)


class Calendar:
    """One process's. `behind` is by how many seconds the clock was behind a period in the last cycle.

    `watched` is for how many this process has gone on looking; a clock that jumps adds no more than an hour.
    """

    def __init__(self, register: Register | None = None) -> None:
        self._register = register
        self._rows: defaultdict[str, list[PeriodRow]] = defaultdict(list)
        self._corrected: dict[tuple[str, str], Decimal] = {}
        self._checked: dict[tuple[str, str], int] = {}
        self._older: dict[str, tuple[PastPeriod, ...]] = {}
        self._changes = _Changes()
        self._recounting: Interval | None = None
        self._looked: int | None = None
        self.behind = self.watched = 0
        if register is not None:
            for row in register.periods():
                self._rows[row.owner.uid].append(row)
            for one in register.corrections():
                self._corrected[one.uid, one.period_id] = one.spent

    def begin(self, now: int) -> None:
        """A new cycle, at `now` (Unix seconds).

        Periods that could not be written are found again, what was decided is kept.
        """
        left = self._changes
        decisions = {(one.subject, one.event): one for one in left.decisions}
        self._changes = _Changes(decisions=list(decisions.values()), corrections=left.corrections)
        self._recounting = None
        self.behind = 0
        self.watched += 0 if self._looked is None else min(max(0, now - self._looked), _HOUR)
        self._looked = now

    def earliest(self, budgets: Iterable[Seen], now: int) -> int:
        """The start of the earliest period that is not closed."""
        starts = [now]
        for seen in budgets:
            if isinstance(seen.model, AIBudget | ClusterAIBudget):
                starts.append(current(seen.model.spec.period, now).interval.start)
                rows = self._rows.get(seen.uid, ())
                starts += [row.interval.start for row in rows if row.state != "Closed"]
        return min(starts)

    def turn(self, budget: Budget, memory: Memory, now: int) -> Turn:
        """Which period of the budget runs. Raises `ClockBehind`."""
        try:
            turn = turned(budget, self._rows.get(budget.uid, ()), memory, now)
        except ClockBehind as error:
            self.behind = max(self.behind, error.seconds)
            raise
        for row in turn.changed:
            self._change(row)
        return turn

    def ended_at(self, uid: str, instant: int) -> PeriodRow | None:
        """The period of a budget that ended where another began."""
        return next((row for row in self._standing(uid) if row.interval.end == instant), None)

    def settling(self, uid: str) -> tuple[PeriodRow, ...]:
        """The periods of a budget that are over and not closed yet."""
        return tuple(row for row in self._standing(uid) if row.state == "Settling")

    def may_close(self, row: PeriodRow) -> bool:
        """Whether it is written down that the period is over, and this cycle has room to count it."""
        return row in self._rows.get(row.owner.uid, ()) and self.may_recount(row.interval)

    def may_recount(self, interval: Interval) -> bool:
        """Whether a cycle has room for counting this interval from its beginning; it has for one."""
        self._recounting = self._recounting or interval
        return self._recounting == interval

    def close(self, row: PeriodRow, share: Share | None, now: int) -> None:
        """For good, with what was counted."""
        self._change(closed(row, share, now))

    def wants_recount(self, budget: Budget, repriced: int, now: int) -> PeriodRow | None:
        """The last closed period of a budget, where more may be known of it than at its close."""
        rows = [row for row in self._rows.get(budget.uid, ()) if row.state == "Closed"]
        if not rows or rows[-1].spent is None:
            return None
        row, last = rows[-1], self._checked.get(rows[-1].key, 0)
        assert row.closed is not None, "it is closed"
        priced = repriced > max(row.closed, last)
        late = row.coverage_percent != 100 and now - row.closed < LOOKED_AT_SECONDS and now - last >= _HOUR
        # What another scope counts is no correction.
        return row if (priced or late) and row.scope == scope_of(budget) else None

    def recounted(self, row: PeriodRow, share: Share, now: int) -> None:
        """What a closed period comes to now: a correction beside it, where that is another amount."""
        self._checked[row.key] = now
        spent = amount_of(share.units)
        if share.currencies - {row.currency} or not share.complete:
            return
        if spent != self._corrected.get(row.key, row.spent):
            self._changes.corrections.append(PeriodCorrection(row.owner.uid, row.id, now, spent))
            subject = f"period/{row.owner.uid}/{row.id}/{now}"
            facts = {**_about(row), "spent": str(row.spent), "corrected": str(spent)}
            self._changes.decisions.append(Decision(subject, "Corrected", now, facts))

    def judged(self, turn: Turn, told: Memory, evaluation: Evaluation) -> None:
        """What an evaluation leaves to be remembered, and which thresholds stand otherwise than before."""
        self._changes.decisions += [crossed(evaluation, state) for state in evaluation.changes]
        if turn.row is not None and turn.row.state == "Open":
            after = standing(turn.row, evaluation, told)
            if after is not turn.row:
                self._change(after)

    def history(
        self, uid: str, running: str, provisional: Mapping[str, Decimal], older: Older
    ) -> tuple[PastPeriod, ...] | None:
        """The periods before the one that runs, newest first; None where the ledger knows of none.

        `provisional` is what those that are settling come to so far, by their ids; `older` says what the
        status remembers from before the ledger does.
        """
        rows = [row for row in self._standing(uid) if row.id != running]
        if not rows:
            return None
        if uid not in self._older:
            self._older[uid] = tuple(past for past in older() if past.id < rows[0].id)
        known = [past for row in rows[::-1] if (past := self._past(row, provisional)) is not None]
        return (*known, *self._older[uid])[:HISTORY]

    def abandon(self, present: Collection[str], now: int) -> None:
        """Close what is over of budgets that are gone: there is nobody left to count for."""
        for uid in self._rows.keys() - set(present):
            for row in self._rows[uid]:
                if row.state != "Closed" and now - row.interval.end >= SETTLING_SECONDS:
                    self.close(row, None, now)

    def commit(self) -> None:
        """Write what this cycle has found, and take it for true from then on.

        Raises `Transient` where that cannot be, and `Conflict` once another process leads.
        """
        changes = self._changes
        rows = [row for of_one in changes.rows.values() for row in of_one.values()]
        decisions = [*(_turned(row) for row in rows if self._is_turned(row)), *changes.decisions]
        if rows or decisions:
            self._write(decisions, rows, changes.corrections)
        for row in rows:
            self._keep(row)
        for one in changes.corrections:
            self._corrected[one.uid, one.period_id] = one.spent
        self._changes = _Changes()

    def _write(
        self,
        decisions: Sequence[Decision],
        rows: Sequence[PeriodRow],
        corrections: Sequence[PeriodCorrection],
    ) -> None:
        if self._register is not None:
            head, added = self._register.write(decisions, rows, corrections)
            if added:
                tell(head, len(added))

    def _is_turned(self, row: PeriodRow) -> bool:
        return all(one.id != row.id or one.state != row.state for one in self._rows.get(row.owner.uid, ()))

    def _keep(self, row: PeriodRow) -> None:
        rows = [one for one in self._rows[row.owner.uid] if one.id != row.id]
        self._rows[row.owner.uid] = sorted((*rows, row), key=_start)[-KEPT_IN_MIND:]

    def _change(self, row: PeriodRow) -> None:
        self._changes.rows[row.owner.uid][row.id] = row

    def _standing(self, uid: str) -> Sequence[PeriodRow]:
        """A budget's rows with what this cycle has found of them, in the order of time."""
        known, changed = self._rows.get(uid, ()), self._changes.rows.get(uid)
        if not changed:
            return known
        rows = {row.id: row for row in known} | changed
        return sorted(rows.values(), key=_start)

    def _past(self, row: PeriodRow, provisional: Mapping[str, Decimal]) -> PastPeriod | None:
        spent = provisional.get(row.id) if row.state == "Settling" else row.spent
        if spent is None or row.limit is None:
            return None
        return _past(row.id, row.limit, spent, row.state, self._corrected.get(row.key))


@lru_cache(maxsize=16_384)
def _past(
    period_id: str, limit: Decimal, spent: Decimal, state: PeriodState, corrected: Decimal | None
) -> PastPeriod:
    """The same for as long as nothing of it changes; a thousand budgets tell of twelve each."""
    return past_period(period_id, limit, spent, state=state, corrected=corrected)


def _start(row: PeriodRow) -> int:
    return row.interval.start


def _turned(row: PeriodRow) -> Decision:
    """That a period is opened, over, or closed, with what was known of it then."""
    event, at = {
        "Open": ("Opened", row.opened),
        "Settling": ("Settling", row.ended),
        "Closed": ("Closed", row.closed),
    }[row.state]
    facts: dict[str, object] = {**_about(row), "limit": _text(row.limit), "currency": row.currency}
    if row.state == "Closed":
        facts |= {"spent": _text(row.spent), "coveragePercent": row.coverage_percent}
    assert at is not None, "each state has its moment"
    return Decision(f"period/{row.owner.uid}/{row.id}", event, at, facts)


def _about(row: PeriodRow) -> Facts:
    owner, between = row.owner, row.interval
    budget = BudgetKey(owner.kind, owner.namespace, owner.name, owner.uid)
    return {**named(budget), "period": row.id, "from": iso(between.start), "to": iso(between.end)}


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
