"""Compares each budget's period with the one before it, once an hour and between cycles.

All budgets whose periods begin together share two sums of lines: of the running period up to the newest
settled hour, and of the same part of the one before. Sums grow by what is new, and are counted anew where
what was posted has changed. Kept in memory alone: after a restart the ledger is read once more, in steps.
For the worker's thread.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from aibudget.api.budget import AIBudget, Budget, ClusterAIBudget
from aibudget.budgeting.baskets import basket
from aibudget.budgeting.drivers import LEAST_PERCENT, Compared, Side, drivers, unknown
from aibudget.budgeting.members import Members
from aibudget.budgeting.period import Period, preceding
from aibudget.budgeting.selection import clusters_of, selection_of
from aibudget.budgeting.tally import Prices
from aibudget.budgeting.turning import SETTLING_SECONDS
from aibudget.controller.books import Books
from aibudget.controller.judge import Judged
from aibudget.inventory.owners import OwnerBook
from aibudget.ledger.hours import HOUR, HourBook
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.slots import Interval, iso

LEAST_STEP, MOST_STEP = 6 * HOUR, 31 * 24 * HOUR
"""How much is added up at once: each step is longer or shorter by how long the last one took."""
BRISK_SECONDS, SLOW_SECONDS = 0.1, 0.4
"""A step that took less may be followed by a longer one; one that took longer keeps a cycle waiting."""

_LineKey = tuple[object, ...]


class Pair(NamedTuple):
    """A period and the one before it, and the parts of them that are compared."""

    period: Period
    before: Period
    part: Interval
    part_before: Interval

    @property
    def place(self) -> tuple[int, int]:
        """What it has in common with others: the same periods, whatever they are called."""
        return self.before.interval.start, self.period.interval.start


@dataclass(slots=True)
class _Sum:
    """What all meters have posted from `start` up to `upto`, as of a revision of the ledger's hours."""

    start: int
    revision: int
    upto: int
    lines: dict[_LineKey, tuple[SpendLine, int]] = field(default_factory=dict)
    covered: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, stated: Mapping[str, Statement], end: int) -> None:
        """What the meters have posted from where it ends up to another end."""
        for meter, statement in stated.items():
            self.covered[meter] += statement.coverage.covered_seconds
            for line in statement.lines:
                # Lines share their labels' mappings, which the first of them keeps alive.
                rate = None if line.rate is None else line.rate.id
                key = (line.workload, line.sku, id(line.labels), id(line.namespace_labels), rate)
                first, quantity = self.lines.get(key, (line, 0))
                self.lines[key] = first, quantity + line.quantity
        self.upto = end

    def is_touched(self, changes: Mapping[int, int]) -> bool:
        """Whether any of it is among the hours that have changed since it was last asked."""
        self.revision = max(changes.values(), default=self.revision)
        return any(self.start - HOUR < hour < self.upto for hour in changes)

    def members(self, owners: OwnerBook) -> Members:
        """Its lines, sorted by whose they are."""
        found = Members(owners)
        for line, quantity in self.lines.values():
            found.of(line).lines.append(replace(line, quantity=quantity))
        return found


@dataclass(slots=True)
class _Subject:
    """A budget that is compared, and what was found by the keys of what it was found for."""

    budget: Budget
    period: Period
    found: dict[tuple[object, ...], Compared] = field(default_factory=dict)


class Comparisons:
    """One process's. `settled` is the end of the newest hour that all meters have posted, and `monotonic` the
    clock of deadlines; `owners` know what workloads are part of.
    """

    def __init__(
        self,
        books: Books,
        hours: HourBook,
        settled: Callable[[], int | None],
        owners: Callable[[], OwnerBook] = OwnerBook,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._books = books
        self._hours = hours
        self._settled = settled
        self._owners = owners
        self._monotonic = monotonic
        self._subjects: dict[str, _Subject] = {}
        self._sums: dict[tuple[int, int], list[_Sum]] = {}
        self._steps: Iterator[None] = iter(())
        self._compared_up_to: int | None = None
        self._step = LEAST_STEP

    def over(self, judged: Sequence[Judged]) -> tuple[Judged, ...]:
        """These with what is known of why they spend more or less; from now on they alone are compared."""
        for uid in self._subjects.keys() - {one.seen.uid for one in judged}:
            del self._subjects[uid]
        return tuple(map(self._with_drivers, judged))

    def work(self, deadline: float) -> bool:
        """Go on until the deadline, or by one step; whether there is more to be compared in this hour.

        Raises `Transient` where the ledger cannot be asked; it is asked again.
        """
        while True:
            for _ in self._steps:
                if self._monotonic() >= deadline:
                    return True
            end = self._settled()
            if end is None or end == self._compared_up_to:
                return False
            wanted = self._wanted(end)
            if not wanted:
                self._compared_up_to = end
                return False
            self._steps = self._round(wanted, end)

    def _with_drivers(self, one: Judged) -> Judged:
        budget, evaluation = one.seen.model, one.evaluation
        if evaluation is None or not isinstance(budget, AIBudget | ClusterAIBudget):
            return one
        if clusters_of(budget):
            # Of the others it is known what was spent, and not by whom.
            self._subjects.pop(budget.uid, None)
            return one
        subject = self._subjects.get(budget.uid)
        if subject is None or subject.period != evaluation.period:
            subject = self._subjects[budget.uid] = _Subject(budget, evaluation.period)
            self._compared_up_to = None
        elif subject.budget.metadata.generation != budget.metadata.generation:
            # What was found of another generation stands until it is found anew.
            self._compared_up_to = None
        subject.budget = budget
        found = tuple(subject.found.values())
        return replace(one, evaluation=replace(evaluation, drivers=found)) if found else one

    def _wanted(self, end: int) -> Mapping[Pair, list[_Subject]]:
        """What is not compared yet as of an instant, and for whom."""
        found: dict[Pair, list[_Subject]] = defaultdict(list)
        for subject in self._subjects.values():
            for pair in pairs(subject.budget, subject.period, end):
                if _key(subject, pair, end) not in subject.found:
                    found[pair].append(subject)
        return found

    def _round(self, wanted: Mapping[Pair, list[_Subject]], end: int) -> Iterator[None]:
        self._renew({pair.place for pair in wanted}, end)
        prices: dict[str, Prices] = {}
        for pair, subjects in wanted.items():
            if reason := self._unposted(pair):
                for subject in subjects:
                    _keep(subject, pair, end, _unknown(pair, reason))
                continue
            yield from self._count(pair, end)
            members = []
            for total in self._sums[pair.place]:
                members.append(total.members(self._owners()))
                yield
            for subject in subjects:
                _keep(subject, pair, end, self._compared(subject.budget, pair, members, prices))
                yield

    def _renew(self, wanted: set[tuple[int, int]], end: int) -> None:
        """Let go of sums that nobody asks for, and of those that are not what is posted any more."""
        running = {subject.period.interval.start for subject in self._subjects.values()}
        for place, known in list(self._sums.items()):
            touched = [one.is_touched(self._hours.changed(one.revision, end)) for one in known]
            if any(touched) or not (place in wanted or place[1] in running):
                del self._sums[place]

    def _count(self, pair: Pair, end: int) -> Iterator[None]:
        """Go on with the sums of a pair to the ends of its parts, step by step."""
        parts = (pair.part_before, pair.part)
        if pair.place not in self._sums:
            newest = self._hours.newest(end)
            self._sums[pair.place] = [_Sum(part.start, newest, part.start) for part in parts]
        for total, part in zip(self._sums[pair.place], parts, strict=True):
            while total.upto < part.end:
                chunk, began = Interval(total.upto, min(total.upto + self._step, part.end)), self._monotonic()
                # All of them or none: what fails halfway is asked again.
                stated = {meter: accounts.passing(chunk) for meter, accounts in self._books.kept().items()}
                total.add(stated, chunk.end)
                self._pace(self._monotonic() - began)
                yield

    def _pace(self, took: float) -> None:
        if took < BRISK_SECONDS:
            self._step = min(2 * self._step, MOST_STEP)
        elif took > SLOW_SECONDS:
            self._step = max(self._step // 2, LEAST_STEP)

    def _unposted(self, pair: Pair) -> str:
        """Why nothing needs to be counted to say that it is unknown; "" where it does."""
        part = pair.part_before
        begins = [accounts.posted().begins for accounts in self._books.kept().values()]
        first = min((one for one in begins if one is not None), default=part.end)
        known = part.end - max(part.start, min(first, part.end))
        if known * 100 >= LEAST_PERCENT * part.seconds:
            return ""
        return f"nothing is known of the time before {iso(first)}"

    def _compared(
        self, budget: Budget, pair: Pair, sides: Sequence[Members], prices: dict[str, Prices]
    ) -> Compared:
        currency, first = budget.spec.currency, self._books.first.meter
        of_currency = prices.setdefault(currency, Prices(currency, first))
        selection = selection_of(budget)
        before, after = (basket(budget, selection, members, of_currency) for members in sides)
        known = [
            Side(period.id, part.seconds, total.covered)
            for period, part, total in zip(
                (pair.before, pair.period), (pair.part_before, pair.part), self._sums[pair.place], strict=True
            )
        ]
        reason = unknown(known, before, after, selection.meters or frozenset({first}))
        if reason:
            return _unknown(pair, reason)
        return Compared(pair.period.id, pair.before.id, pair.part.end, drivers(before, after))


def pairs(budget: Budget, period: Period, end: int) -> Iterator[Pair]:
    """What a budget is compared by as of an instant: the period that runs, and the whole one before it."""
    before = preceding(budget.spec.period, period)
    if before is None or period.standing != "Running":
        return
    run, whole = period.interval, before.interval
    if run.start < end:
        cut = min(end, run.end)
        same = min(whole.start + cut - run.start, whole.end)
        yield Pair(period, before, Interval(run.start, cut), Interval(whole.start, same))
    earlier = preceding(budget.spec.period, before)
    if earlier is not None and whole.end <= end:
        yield Pair(before, earlier, whole, earlier.interval)


def _unknown(pair: Pair, reason: str) -> Compared:
    return Compared(pair.period.id, pair.before.id, pair.part.end, None, reason)


def _key(subject: _Subject, pair: Pair, end: int) -> tuple[object, ...]:
    """What a comparison holds for: one of a period that is over changes for as long as that settles."""
    settling = min(end, pair.period.interval.end + SETTLING_SECONDS)
    return (pair.period.id, subject.budget.metadata.generation, settling)


def _keep(subject: _Subject, pair: Pair, end: int, found: Compared) -> None:
    kept = {key: one for key, one in subject.found.items() if one.period != pair.period.id}
    kept[_key(subject, pair, end)] = found
    subject.found.clear()
    # The period that runs comes first.
    subject.found.update(sorted(kept.items(), key=lambda one: -one[1].until))
