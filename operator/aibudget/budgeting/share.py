"""Each budget's share of a statement, found without going through all lines for each budget.

Lines are first added up by subject, a namespace under one version of its labels. A namespaced budget looks
up its subjects; a ClusterAIBudget asks its selector once per subject, with the labels of the time of use.
Money is in whole `UNITS` all the way, so a thousand budgets and one sum agree to the last digit.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from aibudget.api.budget import Budget, ClusterAIBudget
from aibudget.budgeting.evaluation import Uncharged, WorkloadSpend
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.catalogue import scale_of
from aibudget.metering.usage import Coverage
from aibudget.pricing.charge import Units, amount_of, units_per_quantity
from aibudget.pricing.match import assumption, describe
from aibudget.pricing.rate import Rate

OBSERVED_PERCENT: Final = 80
"""Device time that must have been observed before a share of it is called idle."""
LEAST_WATCHED_SECONDS: Final = 900
"""How long devices must have been watched, up to now, before a workload is called idle."""
UNWATCHED_PERCENT: Final = 5
"""The most of that time that may have gone unobserved."""
BUSY_PERCENT: Final = 5
"""The most of one device's time in which an idle workload, all its devices together, may have been busy."""

SubjectKey = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Recent:
    """The lines of the newest covered time, at most some 15 minutes of it, and how many seconds that is.

    `watched` are those of the last half hour or so, for what takes longer to tell: whether anything is done.
    """

    lines: tuple[SpendLine, ...]
    seconds: int
    watched: tuple[SpendLine, ...] = ()
    watched_seconds: int = 0


@dataclass(slots=True)
class _Watch:
    """Device seconds of the last half hour: held, seen, and busy where seen."""

    held: int = 0
    seen: int = 0
    busy: int = 0

    def add(self, other: "_Watch") -> None:
        self.held += other.held
        self.seen += other.seen
        self.busy += other.busy

    def idle(self, seconds: int) -> bool | None:
        """Whether none of its devices did anything to speak of; None where one may not have been seen."""
        if seconds < LEAST_WATCHED_SECONDS or not self.held:
            return None
        unseen = self.held - self.seen
        if unseen * 100 > UNWATCHED_PERCENT * self.held or unseen * 2 > seconds:
            return None
        return self.busy * 100 <= BUSY_PERCENT * seconds


@dataclass(slots=True)
class _Tally:
    """Sums: money in UNITS (`units`, and `hourly` at the newest pace), devices in the meter's quantity."""

    units: Units = 0
    hourly: Units = 0
    quantity: int = 0
    busy: int = 0
    observed: int = 0
    watch: _Watch = field(default_factory=_Watch)
    assumed: set[str] = field(default_factory=set)

    def add(self, other: "_Tally") -> None:
        self.units += other.units
        self.hourly += other.hourly
        self.quantity += other.quantity
        self.busy += other.busy
        self.observed += other.observed
        self.watch.add(other.watch)
        self.assumed |= other.assumed


@dataclass(slots=True)
class _Subject:
    labels: dict[str, str]
    workloads: dict[Workload, _Tally] = field(default_factory=lambda: defaultdict(_Tally))
    units: Units = 0
    hourly: Units = 0
    estimated: Units = 0
    meters: set[str] = field(default_factory=set)
    currencies: set[str] = field(default_factory=set)
    unpriced: set[str] = field(default_factory=set)
    assumed: set[str] = field(default_factory=set)
    uncharged: dict[Workload, str] = field(default_factory=dict)
    spends: tuple[WorkloadSpend, ...] | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """What one budget's scope spent. Money in `UNITS` of `pricing.charge`.

    `hourly_units` is what an hour costs at the pace of the newest time, None where a meter does not know it.
    `currencies` are those of lines that are not in it for want of an exchange rate. `meters` are those its
    spend comes from, the first always among them; `coverage`, `as_of` and `complete` are the worst of theirs.
    """

    units: Units
    estimated_units: Units
    hourly_units: Units | None
    currencies: frozenset[str]
    unpriced: tuple[str, ...]
    assumed: tuple[str, ...]
    workloads: tuple[WorkloadSpend, ...]
    coverage: Coverage
    as_of: int | None
    complete: bool
    meters: frozenset[str]
    uncharged: tuple[Uncharged, ...] = ()


class Shares:
    """Of one interval's statements, and so for all budgets whose periods began at the same instant.

    `statements` are by meter, the one that every budget counts on first; `priced` are the meters that have
    some rate: usage of others has no price to miss. Money is in `currency`, at the exchange of its time.
    """

    def __init__(
        self,
        statements: Mapping[str, Statement],
        recent: Mapping[str, Recent],
        priced: frozenset[str],
        currency: str = "USD",
    ) -> None:
        self._statements = statements
        self._currency = currency
        self._first = next(iter(statements))
        self._recent = recent
        self._meters_priced = priced
        self._watched_seconds = recent[self._first].watched_seconds if self._first in recent else 0
        self._subjects: dict[SubjectKey, _Subject] = {}
        self._by_namespace: dict[str, list[_Subject]] = defaultdict(list)
        self._prices: dict[str, Units | None] = {}
        self._keys: dict[tuple[str, int], SubjectKey] = {}
        for line in self._lines(statement.lines for statement in statements.values()):
            self._add(line)
        for meter, newest in recent.items():
            for line in self._lines([newest.lines]):
                self._add_recent(line, recent[meter].seconds)
        for line in recent[self._first].watched if self._first in recent else ():
            self._watch(line)
        self._keys.clear()

    def of(self, budget: Budget) -> Share:
        """The share of this budget's scope."""
        subjects = self._selected(budget)
        meters = frozenset({self._first}).union(*(subject.meters for subject in subjects))
        used = [self._statements[meter] for meter in meters]
        known = all(meter in self._recent and self._recent[meter].seconds for meter in meters)
        return Share(
            units=sum(subject.units for subject in subjects),
            estimated_units=sum(subject.estimated for subject in subjects),
            hourly_units=sum(subject.hourly for subject in subjects) if known else None,
            currencies=frozenset[str]().union(*(subject.currencies for subject in subjects)),
            unpriced=tuple(sorted(set[str]().union(*(subject.unpriced for subject in subjects)))),
            assumed=tuple(sorted(set[str]().union(*(subject.assumed for subject in subjects)))),
            workloads=self._workloads(subjects),
            coverage=min((one.coverage for one in used), key=_covered),
            as_of=None if None in (ends := [one.as_of for one in used]) else min(filter(None, ends)),
            complete=all(one.complete for one in used),
            meters=meters,
            uncharged=tuple(
                Uncharged(workload, used)
                for subject in subjects
                for workload, used in sorted(subject.uncharged.items())
            ),
        )

    def _selected(self, budget: Budget) -> list[_Subject]:
        if isinstance(budget, ClusterAIBudget):
            covers = budget.spec.scope.covers
            # What has no namespace is nobody's direct spend, however much a scope covers.
            return [s for (name, _), s in self._subjects.items() if name and covers(name, s.labels)]
        return self._by_namespace.get(budget.namespace or "", [])

    def _workloads(self, subjects: Iterable[_Subject]) -> tuple[WorkloadSpend, ...]:
        parts = [self._spends(subject) for subject in subjects]
        if len(parts) == 1:
            return parts[0]
        merged = {spend.workload: spend for part in parts for spend in part}
        if len(merged) < sum(len(part) for part in parts):
            return self._priced(_merged(subjects))
        return tuple(sorted(merged.values(), key=_dearest))

    def _spends(self, subject: _Subject) -> tuple[WorkloadSpend, ...]:
        if subject.spends is None:
            subject.spends = self._priced(subject.workloads)
        return subject.spends

    def _priced(self, tallies: dict[Workload, _Tally]) -> tuple[WorkloadSpend, ...]:
        spends = [
            WorkloadSpend(
                workload=workload,
                amount=amount_of(tally.units),
                rate_per_hour=amount_of(tally.hourly),
                idle_percent=_idle(tally),
                idle=tally.watch.idle(self._watched_seconds),
                assumed=tuple(sorted(tally.assumed)),
            )
            for workload, tally in tallies.items()
        ]
        return tuple(sorted(spends, key=_dearest))

    def _lines(self, several: Iterable[Iterable[SpendLine]]) -> Iterator[SpendLine]:
        """Those that cost something, or would if they had a price."""
        for lines in several:
            for line in lines:
                # What is in the price of something else makes nobody a spender.
                if line.sku.meter in self._meters_priced if line.rate is None else not line.rate.reason:
                    yield line

    def _add(self, line: SpendLine) -> None:
        subject = self._subject(line)
        if line.rate is None:
            subject.unpriced.add(describe(line.sku))
            return
        price = self._price(line.rate)
        if price is None:
            subject.currencies.add(line.rate.currency)
            return
        subject.meters.add(line.sku.meter)
        units = line.quantity * price
        subject.units += units
        subject.estimated += line.estimated * price
        if assumed := assumption(line.sku, line.rate):
            subject.assumed.add(assumed)
        tally = subject.workloads[line.workload]
        tally.units += units
        if line.sku.meter == self._first:
            tally.quantity += line.quantity
            tally.busy += line.busy or 0
            tally.observed += line.observed or 0

    def _add_recent(self, line: SpendLine, seconds: int) -> None:
        subject = self._subject(line)
        if line.rate is None:
            subject.uncharged[line.workload] = describe(line.sku)
            return
        hourly = line.quantity * (self._price(line.rate) or 0) * 3600 // seconds
        subject.hourly += hourly
        tally = subject.workloads[line.workload]
        tally.hourly += hourly
        if assumed := assumption(line.sku, line.rate):
            tally.assumed.add(assumed)

    def _watch(self, line: SpendLine) -> None:
        # What has no price at all is nobody's victim; what has some counts with all its devices.
        tally = self._subject(line).workloads.get(line.workload)
        if tally is None:
            return
        scale = scale_of(line.sku.meter)
        tally.watch.held += line.quantity * 3600 // scale
        tally.watch.seen += (line.observed or 0) * 3600 // scale
        tally.watch.busy += (line.busy or 0) * 3600 // scale

    def _price(self, rate: Rate) -> Units | None:
        if rate.id not in self._prices:
            self._prices[rate.id] = units_per_quantity(rate, self._currency)
        return self._prices[rate.id]

    def _subject(self, line: SpendLine) -> _Subject:
        # Lines share their labels' mapping, so sorting it once per mapping is enough.
        short = (line.workload.namespace, id(line.namespace_labels))
        key = self._keys.get(short)
        if key is None:
            key = self._keys[short] = (short[0], tuple(sorted(line.namespace_labels.items())))
        subject = self._subjects.get(key)
        if subject is None:
            subject = self._subjects[key] = _Subject(dict(key[1]))
            self._by_namespace[key[0]].append(subject)
        return subject


def _merged(subjects: Iterable[_Subject]) -> dict[Workload, _Tally]:
    """Workloads that spent under several versions of their namespace's labels, each once."""
    tallies: dict[Workload, _Tally] = defaultdict(_Tally)
    for subject in subjects:
        for workload, tally in subject.workloads.items():
            tallies[workload].add(tally)
    return tallies


def _covered(coverage: Coverage) -> float:
    return coverage.covered_seconds / coverage.total_seconds if coverage.total_seconds else 1.0


def _idle(tally: _Tally) -> int | None:
    if not tally.quantity or tally.observed * 100 < OBSERVED_PERCENT * tally.quantity:
        return None
    return max(0, min(100, (tally.observed - tally.busy) * 100 // tally.observed))


def _dearest(spend: WorkloadSpend) -> tuple[object, Workload]:
    return (-spend.amount, spend.workload)
