"""The evaluating part of a cycle, run in the worker: each budget against its spend, each in its own guard.

Whatever is wrong with one budget is its own: it is Stalled, or tried again, and the others go on. What is
known of many budgets at once (statements of the same period, lines by namespace) is asked for and sorted
once.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from aibudget.api.budget import AIBudget, Budget, ClusterAIBudget
from aibudget.api.budgetstatus import BudgetStatus, PastPeriod
from aibudget.api.conditions import Reason
from aibudget.budgeting import caps
from aibudget.budgeting.evaluation import BudgetKey, Evaluation
from aibudget.budgeting.fleet import silence
from aibudget.budgeting.foreseen import UNFORESEEN, Foreseen
from aibudget.budgeting.gate import Gate, all_of
from aibudget.budgeting.hierarchy import NOWHERE, Hierarchy, Namespaces, Place
from aibudget.budgeting.limits import Rollover, allowance, allowances_ahead, rolled_over
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import Period
from aibudget.budgeting.selection import clusters_of, selection_of
from aibudget.budgeting.share import Share, Shares
from aibudget.budgeting.sharing import Allotments
from aibudget.budgeting.turning import Turn, is_known, is_overdue, recalled
from aibudget.budgeting.verdict import Moment, evaluate
from aibudget.budgeting.vigil import UNWATCHED
from aibudget.controller.books import Books
from aibudget.controller.cache import Seen
from aibudget.controller.calendar import Calendar
from aibudget.controller.fleet import Fleet, View
from aibudget.controller.foresight import Foresight, Later, Seeing
from aibudget.controller.grounds import Grounds
from aibudget.controller.head import Backfill
from aibudget.controller.lookout import Lookout
from aibudget.controller.measuring import Knowledge, Measured
from aibudget.errors import AIBudgetError, InvalidManifest, Stalled
from aibudget.metering.slots import Interval, snapped
from aibudget.pricing.charge import amount_of
from aibudget.reporting.facts import DataState

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judged:
    """One budget after its evaluation; `evaluation` is None where `problem` kept it from happening.

    `data` is the state of the meters that its spend comes from; `history` None is what it was before.
    `owed` is what of the past its figures still wait for; `place` is the budget's among the others.
    """

    seen: Seen
    evaluation: Evaluation | None = None
    problem: AIBudgetError | None = None
    history: tuple[PastPeriod, ...] | None = None
    data: DataState | None = None
    owed: Backfill | None = None
    place: Place = NOWHERE

    @property
    def key(self) -> BudgetKey:
        """Which budget it is, however little of it could be read."""
        metadata = self.seen.metadata
        return BudgetKey(self.seen.resource.kind, metadata.namespace, metadata.name, metadata.uid)


class Past(Protocol):
    """What is remembered of a budget: little of it at each evaluation, all of it as a period ends."""

    def memory(self, seen: Seen) -> Memory:
        """How it stood when it was last looked at."""

    def before(self, seen: Seen) -> BudgetStatus:
        """Its status as it stands."""

    def unchanged(self, seen: Seen, now: int) -> None:
        """It was looked at, and stands as it is remembered."""


def placed(judged: Sequence[Judged], hierarchy: Hierarchy, namespaces: Namespaces) -> tuple[Judged, ...]:
    """All of them with their places among each other."""
    known = [
        (one.seen.model, one.evaluation)
        for one in judged
        if one.evaluation is not None and isinstance(one.seen.model, AIBudget | ClusterAIBudget)
    ]
    places = hierarchy.places(known, namespaces)
    return tuple(replace(one, place=place) if (place := places.get(one.seen.uid)) else one for one in judged)


class Judge:
    """For one cycle and the worker's thread."""

    def __init__(
        self,
        books: Books,
        measured: Measured,
        now: int,
        calendar: Calendar,
        grounds: Grounds,
    ) -> None:
        self._books = books
        self._calendar = calendar
        self._grounds = grounds
        self._capped: tuple[Budget, ...] = ()
        self.foresight: Foresight | None = None
        self.lookout: Lookout | None = None
        self.fleet = Fleet()
        self._allotments: dict[tuple[Interval, str], Allotments] = {}
        self._measured = measured
        self._now = now
        self._shares: dict[tuple[Interval, str], Shares] = {}
        self._recounts: dict[tuple[Interval, str], Shares] = {}
        self._knowledge: dict[frozenset[str], Knowledge] = {}

    def judge(self, budgets: Iterable[Seen], past: Past) -> tuple[Judged, ...]:
        """All budgets. What is to be remembered of it waits in the calendar to be written."""
        budgets = tuple(budgets)
        models = (seen.model for seen in budgets if isinstance(seen.model, AIBudget | ClusterAIBudget))
        self._capped = tuple(budget for budget in models if budget.spec.caps or budget.spec.unit_costs)
        self._calendar.begin(self._now)
        judged = tuple(self._guarded(seen, past) for seen in budgets)
        self._calendar.abandon({one.seen.uid for one in judged}, self._now)
        return judged

    def _guarded(self, seen: Seen, past: Past) -> Judged:
        stalled = self._measured.stalled
        if isinstance(seen.model, InvalidManifest):
            return Judged(seen, problem=seen.model)
        if stalled is not None:
            return Judged(seen, problem=stalled)
        try:
            return self._one(seen, past)
        except AIBudgetError as error:
            return Judged(seen, problem=error)
        except Exception as error:
            log.exception("a budget could not be evaluated", extra={"budget": str(seen.model)})
            said = (
                f"AIBudget failed on this budget ({type(error).__name__}); the operator's log has its trace."
            )
            return Judged(seen, problem=Stalled("InternalError", f"{said} Report it, please."))

    def _one(self, seen: Seen, past: Past) -> Judged:
        budget = seen.model
        assert isinstance(budget, AIBudget | ClusterAIBudget), "only budgets are evaluated"
        told = past.memory(seen)
        turn = self._calendar.turn(budget, told, self._now)
        memory = recalled(turn, told)
        period = turn.period
        self._grounds.check(budget)
        share = self._share(budget, period.interval)
        capped = frozenset(cap.meter for cap in budget.spec.caps or ())
        known = self._known(share.meters | capped)
        history = self._history(seen, budget, past, turn)
        rollover = self._rollover(budget, turn)
        later = self._later(budget, turn, rollover)
        money = allowance(budget.spec, period, self._now, rollover)
        limit = None if money is None else money.amount
        quiet, repriced = silence(share.clusters), max(self._measured.repriced, self.fleet.repriced(budget))
        moment = Moment(
            self._now,
            all_of((known.gate if not capped else self._known(share.meters).gate, quiet)),
            repriced=repriced > memory.evaluated or bool(self._grounds.restated & (share.meters | capped)),
            gates={
                meter: all_of((one.gate, quiet))
                for meter, one in self._measured.meters.items()
                if meter in capped
            },
            rollover=rollover,
            foreseen=self._foreseen(budget, turn, share, memory, (limit, later)),
            watched=UNWATCHED if self.lookout is None else self.lookout.look(budget, period, limit, told),
            later=later,
        )
        evaluation = evaluate(budget, period, share, memory, moment)
        self._calendar.judged(turn, told, evaluation)
        if not evaluation.changes:
            past.unchanged(seen, self._now)
        shared = self._shared(budget, period.interval)
        if shared is not None:
            evaluation = replace(evaluation, shared=shared)
        owed = self._owed(budget, share, period)
        return Judged(seen, evaluation, history=history, data=_data(known.data, quiet), owed=owed)

    def _owed(self, budget: Budget, share: Share, period: Period) -> Backfill | None:
        """What of the past its own figures wait for, however much others need."""
        owed = self._measured.owed(self._counting(budget, share))
        settling = self._calendar.settling(budget.uid)
        since = min(period.interval.start, *(row.interval.start for row in settling), self._now)
        return None if owed is None else owed.since(since)

    def _counting(self, budget: Budget, share: Share) -> frozenset[str]:
        """The meters that its figures may come from: what has a price, and what caps and unit costs count."""
        priced = selection_of(budget).meters or self._measured.priced
        return share.meters | priced | {meter for meter, _ in caps.wanted([budget])}

    def _later(self, budget: Budget, turn: Turn, rollover: Rollover | None) -> Later:
        """The limits that come into force later in the period."""
        found = allowances_ahead(budget.spec, turn.period, self._now, rollover)
        return tuple((start, one.amount) for start, one in found)

    def _foreseen(
        self, budget: Budget, turn: Turn, share: Share, memory: Memory, limits: tuple[Decimal | None, Later]
    ) -> Foreseen:
        if self.foresight is None:
            return UNFORESEEN
        limit, later = limits
        elsewhere = self.fleet.namesakes(budget)
        seeing = Seeing(self._now, self._measured.repriced, limit, later, elsewhere)
        return self.foresight.look(budget, turn.period, share, memory, seeing)

    def _known(self, meters: frozenset[str]) -> Knowledge:
        found = self._knowledge.get(meters)
        if found is None:
            found = self._knowledge[meters] = self._measured.of(meters)
        return found

    def _share(self, budget: Budget, interval: Interval) -> Share:
        return self.fleet.together(budget, self._own(budget, interval), interval, self._view)

    @property
    def _view(self) -> View:
        return View(self._now, self._measured.priced, self._grounds, self._capped)

    def _own(self, budget: Budget, interval: Interval) -> Share:
        whole, currency = snapped(interval), budget.spec.currency
        found = self._shares.get((whole, currency))
        if found is None:
            statements, measured = self._grounds.told(self._books.statements(whole)), self._measured
            counted = self._grounds.countings(self._capped, self._books, statements, whole)
            owners = self._grounds.owners
            found = Shares(statements, measured.newest, measured.priced, currency, owners, counted)
            self._shares[whole, currency] = found
        return found.of(budget)

    def _shared(self, budget: Budget, interval: Interval) -> Decimal | None:
        # What is given to namespaces belongs to no part of one, and is divided in each cluster by itself.
        divided = self._grounds.sharing.divides and not clusters_of(budget)
        if not divided or not selection_of(budget).is_whole:
            return None
        whole, currency = snapped(interval), budget.spec.currency
        found = self._allotments.get((whole, currency))
        if found is None:
            found = Allotments(self._books.statements(whole).values(), self._grounds.sharing, currency)
            self._allotments[whole, currency] = found
        return amount_of(found.of(budget))

    def _history(self, seen: Seen, budget: Budget, past: Past, turn: Turn) -> tuple[PastPeriod, ...] | None:
        """The periods before this one; those that are over are counted, and closed when all is known."""
        calendar, provisional = self._calendar, {}
        for row in calendar.settling(seen.uid):
            share = self._share(budget, row.interval)
            provisional[row.id] = amount_of(share.units)
            overdue = is_overdue(row, share, self._now, calendar.watched)
            if (overdue or is_known(row, share)) and calendar.may_close(row):
                counted = self._recount(budget, row.interval)
                # What was just read is known and not posted yet.
                if overdue or is_known(row, counted):
                    calendar.close(row, counted, self._now)
        row_again = calendar.wants_recount(budget, self._measured.repriced, self._now)
        if row_again is not None and calendar.may_recount(row_again.interval):
            share = self._recount(budget, row_again.interval)
            calendar.recounted(row_again, share, self._now)
        return calendar.history(seen.uid, turn.period.id, provisional, lambda: past.before(seen).history)

    def _rollover(self, budget: Budget, turn: Turn) -> Rollover | None:
        """What came over from the period before, fixed once that is closed; None where it is not known."""
        row, spec = turn.row, budget.spec
        if spec.rollover is None or row is None:
            return None
        last = self._calendar.ended_at(budget.uid, row.interval.start)
        if last is None or last.limit is None or last.currency != spec.currency:
            return None
        if last.state == "Closed" and row.rolled_over is not None:
            left: Decimal | None = row.rolled_over
        else:
            left = self._share(budget, last.interval).left_of(last.limit, last.spent)
        if left is None:
            return None
        return rolled_over(spec, turn.period, self._now, left, provisional=last.state != "Closed")

    def _recount(self, budget: Budget, interval: Interval) -> Share:
        """From the slots themselves, whatever running totals say."""
        whole, currency = snapped(interval), budget.spec.currency
        found = self._recounts.get((whole, currency))
        if found is None:
            statements, measured = self._grounds.told(self._books.recount(whole)), self._measured
            found = Shares(statements, measured.newest, measured.priced, currency, self._grounds.owners)
            self._recounts[whole, currency] = found
        return self.fleet.together(budget, found.of(budget), interval, self._view, anew=True)


def _data(own: DataState, quiet: Gate) -> DataState:
    """The state of the data of all clusters; this one's comes first."""
    if quiet.fresh or not own.fresh:
        return own
    return DataState(fresh=False, reason=Reason.CLUSTER_SILENT, message=f"{'; '.join(quiet.reasons)}.")
