"""The measuring part of a cycle, run in the worker.

Accounts brought up to date, and whether they can be acted on. Prometheus being away, slow or partial is no
error here but a state of the data: spend stays what is known. What cannot be gone on without, the ledger
and the right to write it, is raised.
"""

import logging
from collections import Counter
from dataclasses import dataclass
from typing import Final

from aibudget.api.conditions import Reason
from aibudget.budgeting.gate import LEAST_PERCENT, Gate, gate
from aibudget.budgeting.share import Recent
from aibudget.controller.accounts import Accounts
from aibudget.controller.head import Backfill, Head, Labels
from aibudget.errors import AIBudgetError, Conflict, Stalled
from aibudget.metering.slots import iso
from aibudget.metering.usage import Coverage
from aibudget.pricing.book import PriceBook
from aibudget.reporting.facts import DataState

STALE_SECONDS: Final = 300
"""How old the newest known usage may be before it is too old to act on."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a measurement came to. `now` is Prometheus's time, or ours where it did not say."""

    now: int
    gate: Gate
    data: DataState
    covered: Coverage
    age: int | None
    repriced: bool
    newest: Recent
    stalled: Stalled | None = None
    backfill: Backfill | None = None


class Measuring:
    """Counts what went wrong; for the worker's thread."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.errors: Counter[str] = Counter()

    def measure(self, book: PriceBook, labels: Labels, wanted: int, now: int) -> Measured:
        """Read, post, and price again what is open since `wanted` if the prices are others."""
        accounts = self._accounts
        problem: AIBudgetError | None = None
        at, repriced = now, False
        try:
            at = accounts.advance(book, labels)
            repriced = accounts.rerate(book, wanted, at) > 0
        except AIBudgetError as error:
            problem = _bearable(error)
            self.errors[error.reason] += 1
            log.warning("not measured: %s", error.message, extra={"reason": error.reason})
        covered = accounts.covered(at)
        head = accounts.head
        age = None if head is None or head.as_of is None else max(0, at - head.as_of)
        opened = _gate(accounts.meter, problem, covered, head, at)
        return Measured(
            now=at,
            gate=opened,
            data=_state(problem, covered, opened, accounts.problems),
            covered=covered,
            age=age,
            repriced=repriced,
            newest=accounts.newest(at),
            stalled=problem if isinstance(problem, Stalled) else None,
            backfill=accounts.past(wanted),
        )

    def fill(self, wanted: int, book: PriceBook, labels: Labels, deadline: float) -> bool:
        """Go on with the past until the deadline; whether to go on at once with more of it."""
        try:
            self._accounts.fill(wanted, book, labels, deadline)
        except AIBudgetError as error:
            self.errors[_bearable(error).reason] += 1
            log.warning("the past is not read on: %s", error.message, extra={"reason": error.reason})
            return False
        past = self._accounts.past(wanted)
        return past is not None and not past.done


def _bearable(error: AIBudgetError) -> AIBudgetError:
    """The error, if the process can go on with it; raises it otherwise."""
    lost = isinstance(error, Conflict) and error.reason == "LedgerTakenOver"
    broken = isinstance(error, Stalled) and error.reason.startswith("Ledger")
    if lost or broken:
        raise error
    return error


def _gate(meter: str, problem: AIBudgetError | None, recent: Coverage, head: Head | None, now: int) -> Gate:
    if problem is not None:
        return Gate(fresh=False, reasons=(problem.message,))
    return gate(meter, recent, None if head is None else head.as_of, now, STALE_SECONDS)


def _state(
    problem: AIBudgetError | None, recent: Coverage, opened: Gate, remarks: tuple[str, ...]
) -> DataState:
    said = " ".join([*opened.reasons, *remarks])
    if problem is not None:
        reason = Reason.USAGE_SOURCE_UNAVAILABLE
        return DataState(fresh=False, reason=reason, message=problem.message)
    if opened.fresh:
        return DataState(
            fresh=True, reason=Reason.FRESH, message=said or "Usage of the last 30 minutes is known."
        )
    low = recent.total_seconds > 0 and recent.percent < LEAST_PERCENT
    return DataState(fresh=False, reason=Reason.LOW_COVERAGE if low else Reason.STALE, message=said)


def progress(backfill: Backfill | None) -> str | None:
    """A sentence on what of the past is still to be read; None when nothing is."""
    if backfill is None or backfill.done:
        return None
    return f"Usage is read back to {iso(backfill.begins)} so far; {iso(backfill.wanted)} is needed."
