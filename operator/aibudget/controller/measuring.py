"""The measuring part of a cycle, run in the worker.

Accounts brought up to date, and whether they can be acted on. Prometheus being away, slow or partial is no
error here but a state of the data: spend stays what is known. What cannot be gone on without, the ledger
and the right to write it, is raised.
"""

import logging
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from aibudget.api.conditions import Reason
from aibudget.budgeting.gate import LEAST_PERCENT, Gate, all_of, gate
from aibudget.budgeting.share import Recent
from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
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
class Knowledge:
    """How well one meter, or several together, are known: whether to act on them, and why not.

    `covered` is of the last half hour, `age` in seconds, None where nothing was read yet.
    """

    gate: Gate
    data: DataState
    covered: Coverage
    age: int | None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a measurement came to. `now` is Prometheus's time, or ours where it did not say.

    `first` names the meter that every budget counts on; `stalled` is what keeps it from being read at all.
    `repriced` is when posted usage last got another price, by the cluster's clock; 0 before the first time.
    `pasts` are how far the past of each meter is read, where anything is to be read of it.
    """

    now: int
    first: str
    meters: Mapping[str, Knowledge]
    repriced: int
    newest: Mapping[str, Recent]
    priced: frozenset[str]
    stalled: Stalled | None = None
    pasts: Mapping[str, Backfill] = field(default_factory=dict)

    def owed(self, used: Collection[str] = ()) -> Backfill | None:
        """How far the past is read by the least far of the first meter and those that are used."""
        known = (past for meter, past in self.pasts.items() if meter == self.first or meter in used)
        return max(known, key=lambda past: past.begins, default=None)

    def of(self, used: Collection[str] = ()) -> Knowledge:
        """The first meter's knowledge, and with it that of the others that are used."""
        names = [self.first, *(name for name in self.meters if name in used and name != self.first)]
        known = [self.meters[name] for name in names]
        if len(known) == 1:
            return known[0]
        ages = [one.age for one in known]
        worst = next((one.data for one in known if not one.data.fresh), known[0].data)
        said = " ".join(dict.fromkeys(one.data.message for one in known if one.data.fresh == worst.fresh))
        return Knowledge(
            gate=all_of(one.gate for one in known),
            data=replace(worst, message=said),
            covered=min((one.covered for one in known), key=lambda covered: covered.percent),
            age=None if None in ages else max(age for age in ages if age is not None),
        )


class Measuring:
    """Counts what went wrong; for the worker's thread."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.errors: Counter[str] = Counter()

    def measure(self, book: PriceBook, labels: Labels, wanted: int, now: int) -> Measured:
        """Read, post, and price again what is open since `wanted` if the prices are others."""
        books, first = self._books, self._books.first
        books.begin()
        at, known, stalled = now, {}, None
        for accounts in books.open(book):
            problem: AIBudgetError | None = None
            try:
                at = accounts.advance(book, labels)
            except AIBudgetError as error:
                problem = self._told(error, f"{accounts.meter} is not measured")
            if books.is_stated(accounts):
                known[accounts.meter] = _knowledge(accounts, problem, at)
            if accounts is first and isinstance(problem, Stalled):
                stalled = problem
        return Measured(
            now=at,
            first=first.meter,
            meters=known,
            repriced=self._repriced(book, wanted, now),
            newest=books.newest(at),
            priced=book.meters,
            stalled=stalled,
            pasts=books.pasts(wanted, book),
        )

    def fill(self, wanted: int, book: PriceBook, labels: Labels, deadline: float) -> bool:
        """Go on with the past until the deadline; whether to go on at once with more of it."""
        self._books.begin()
        failed = more = False
        for accounts in self._books.in_turn(book):
            try:
                more |= accounts.fill(wanted, book, labels, deadline)
            except AIBudgetError as error:
                failed = True
                self._told(error, f"the past of {accounts.meter} is not read on")
            if time.monotonic() >= deadline:
                break
        past = self._books.past(wanted, book)
        return not failed and (more or (past is not None and not past.done))

    def _repriced(self, book: PriceBook, wanted: int, now: int) -> int:
        try:
            self._books.rerate(book, wanted, now)
        except AIBudgetError as error:
            self._told(error, "prices are not renewed")
        return self._books.repriced()

    def _told(self, error: AIBudgetError, what: str) -> AIBudgetError:
        """The error, counted and told, if the process can go on with it; raises it otherwise."""
        problem = _bearable(error)
        self.errors[problem.reason] += 1
        log.warning("%s: %s", what, problem.message, extra={"reason": problem.reason})
        return problem


def _knowledge(accounts: Accounts, problem: AIBudgetError | None, now: int) -> Knowledge:
    covered, head = accounts.covered(now), accounts.head
    opened = _gate(accounts.meter, problem, covered, head, now)
    return Knowledge(
        gate=opened,
        data=_state(problem, covered, opened, accounts.problems),
        covered=covered,
        age=None if head is None or head.as_of is None else max(0, now - head.as_of),
    )


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
    why = [f"{'; '.join(opened.reasons)}."] if opened.reasons else []
    said = " ".join([*why, *remarks])
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
