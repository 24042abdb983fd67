"""The evaluating part of a cycle, run in the worker: each budget against its spend, each in its own guard.

Whatever is wrong with one budget is its own: it is Stalled, or tried again, and the others go on. What is
known of many budgets at once (statements of the same period, lines by namespace) is asked for and sorted
once.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Protocol

from aibudget.api.budget import AIBudget, Budget, ClusterAIBudget
from aibudget.api.budgetstatus import BudgetStatus, PastPeriod
from aibudget.budgeting.evaluation import BudgetKey, Evaluation
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import preceding, steady
from aibudget.budgeting.share import Share, Shares
from aibudget.budgeting.sharing import Allotments, Sharing
from aibudget.budgeting.verdict import Moment, evaluate
from aibudget.controller.accounts import SETTLING_SECONDS
from aibudget.controller.books import Books
from aibudget.controller.cache import Seen
from aibudget.controller.measuring import Knowledge, Measured
from aibudget.errors import AIBudgetError, InvalidManifest, Stalled
from aibudget.metering.slots import Interval, snapped
from aibudget.pricing.charge import amount_of
from aibudget.reporting.facts import DataState
from aibudget.reporting.status import HISTORY, past_period

NOT_SHARED: Final = Sharing()

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judged:
    """One budget after its evaluation; `evaluation` is None where `problem` kept it from happening.

    `data` is the state of the meters that its spend comes from; `history` None is what it was before.
    """

    seen: Seen
    evaluation: Evaluation | None = None
    problem: AIBudgetError | None = None
    history: tuple[PastPeriod, ...] | None = None
    data: DataState | None = None

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


class Judge:
    """For one cycle and the worker's thread."""

    def __init__(self, books: Books, measured: Measured, now: int, sharing: Sharing = NOT_SHARED) -> None:
        self._books = books
        self._sharing = sharing
        self._allotments: dict[tuple[Interval, str], Allotments] = {}
        self._measured = measured
        self._now = now
        self._shares: dict[tuple[Interval, str], Shares] = {}
        self._knowledge: dict[frozenset[str], Knowledge] = {}

    def judge(self, budgets: Iterable[Seen], past: Past) -> tuple[Judged, ...]:
        """All budgets."""
        return tuple(self._guarded(seen, past) for seen in budgets)

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
        memory = past.memory(seen)
        period = steady(budget.spec.period, self._now, memory.period_start)
        share = self._share(budget, period.interval)
        known = self._known(share.meters)
        moment = Moment(self._now, known.gate, repriced=self._measured.repriced > memory.evaluated)
        evaluation = evaluate(budget, period, share, memory, moment)
        if not evaluation.changes:
            past.unchanged(seen, self._now)
        evaluation = replace(evaluation, shared=self._shared(budget, period.interval))
        history = self._history(seen, past, evaluation)
        return Judged(seen, evaluation, history=history, data=known.data)

    def _known(self, meters: frozenset[str]) -> Knowledge:
        found = self._knowledge.get(meters)
        if found is None:
            found = self._knowledge[meters] = self._measured.of(meters)
        return found

    def _share(self, budget: Budget, interval: Interval) -> Share:
        whole, currency = snapped(interval), budget.spec.limit.currency
        found = self._shares.get((whole, currency))
        if found is None:
            statements, measured = self._books.statements(whole), self._measured
            found = Shares(statements, measured.newest, measured.priced, currency)
            self._shares[whole, currency] = found
        return found.of(budget)

    def _shared(self, budget: Budget, interval: Interval) -> Decimal | None:
        if not self._sharing.divides:
            return None
        whole, currency = snapped(interval), budget.spec.limit.currency
        found = self._allotments.get((whole, currency))
        if found is None:
            found = Allotments(self._books.statements(whole).values(), self._sharing, currency)
            self._allotments[whole, currency] = found
        return amount_of(found.of(budget))

    def _history(self, seen: Seen, past: Past, evaluation: Evaluation) -> tuple[PastPeriod, ...] | None:
        """The periods before this one; the last of them is counted again while it may still grow."""
        budget = seen.model
        assert isinstance(budget, AIBudget | ClusterAIBudget), "only budgets have periods"
        last = preceding(budget.spec.period, evaluation.period)
        if last is None or self._now - last.interval.end > SETTLING_SECONDS:
            return None
        before = past.before(seen)
        known = next((past for past in before.history if past.id == last.id), None)
        if known is not None:
            limit = known.limit
        elif before.period is not None and before.period.id == last.id and before.limit is not None:
            limit = before.limit.amount
        else:
            return None
        spent = amount_of(self._share(budget, last.interval).units)
        earlier = (past for past in before.history if past.id != last.id)
        return (past_period(last.id, limit, spent), *earlier)[:HISTORY]
