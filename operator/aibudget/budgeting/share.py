"""Each budget's share of a statement, found without going through all lines for each budget.

Lines are first added up by subject, a namespace under one version of its labels. A budget over whole
namespaces looks up its subjects; a ClusterAIBudget asks its selector once per subject, with the labels of the
time of use. A budget over a part of them asks its scope about each member, which are sorted once for all.
Money is in whole `UNITS` all the way, so a thousand budgets and one sum agree to the last digit.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction

from aibudget.api.budget import Budget, ClusterAIBudget
from aibudget.budgeting.caps import Counting, Sum, Use, use_of
from aibudget.budgeting.evaluation import ClusterSpend, Uncharged, WorkloadSpend
from aibudget.budgeting.limits import Counted, counted_by
from aibudget.budgeting.members import Members
from aibudget.budgeting.selection import Selection, selection_of
from aibudget.budgeting.tally import Prices, Subject, dearest, merged, priced
from aibudget.budgeting.unitcost import Output, is_known, output_of
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.usage import Coverage
from aibudget.pricing.charge import UNITS, Units

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


@dataclass(frozen=True, slots=True)
class Share:
    """What one budget's scope spent. Money in `UNITS` of `pricing.charge`.

    `hourly_units` is what an hour costs at the pace of the newest time, None where a meter does not know it.
    `currencies` are those of lines that are not in it for want of an exchange rate. `meters` are those its
    spend comes from, the first always among them unless the scope names others; `coverage`, `as_of` and
    `complete` are the worst of theirs. `reached` is until when all meters that may count are read without a
    hole, None where one has some: what is not read yet is not known to be none.

    `unlabelled` are labels that are not known of some of the usage that its scope may select; that is not in
    it. `unmetered` are meters of its scope that are not read. `outside` are workloads of its namespaces that
    its scope does not select. `uses` is what the budget's caps count, `outputs` the work by meter that its
    unit costs are about, None where that is not known. `clusters` are the parts of several clusters;
    workloads, meters and the like are then those of this one.
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
    reached: int | None = None
    uncharged: tuple[Uncharged, ...] = ()
    unlabelled: tuple[str, ...] = ()
    unmetered: tuple[str, ...] = ()
    outside: frozenset[Workload] = frozenset()
    uses: Mapping[Counted, Use] = field(default_factory=dict)
    outputs: Mapping[str, Output | None] = field(default_factory=dict)
    clusters: tuple[ClusterSpend, ...] = ()

    def left_of(self, limit: Decimal, spent: Decimal | None = None) -> Decimal | None:
        """What of a limit was surely left: time that nobody measured counts like the rest, on average.

        `spent` is what the period was closed with, if it was. None where the period is not known from its
        start on: what is unknown is nobody's to spend.
        """
        coverage = self.coverage
        if not self.complete or self.reached is None or not coverage.covered_seconds:
            return None
        known = Fraction(self.units, UNITS) if spent is None else Fraction(spent)
        spent_at_most = known * coverage.total_seconds / coverage.covered_seconds
        left = Fraction(limit) - spent_at_most
        return Decimal(max(0, left.numerator * 100 // left.denominator)) / 100


class Shares:
    """Of one interval's statements, and so for all budgets whose periods began at the same instant.

    `statements` are by meter, the one that every budget counts on first; `priced` are the meters that have
    some rate: usage of others has no price to miss. Money is in `currency`, at the exchange of its time.
    `owners` know what workloads are part of; `countings` are what caps count.
    """

    def __init__(
        self,
        statements: Mapping[str, Statement],
        recent: Mapping[str, Recent],
        priced: frozenset[str],
        currency: str = "USD",
        owners: OwnerBook | None = None,
        countings: Iterable[Counting] = (),
    ) -> None:
        self._statements = statements
        self._first = next(iter(statements))
        self._least = frozenset({self._first})
        self._recent = recent
        self._meters_priced = priced
        self._reached_by_all = self._reached(priced | self._least)
        self._owners = owners or OwnerBook()
        self._watched_seconds = recent[self._first].watched_seconds if self._first in recent else 0
        self._subjects: dict[SubjectKey, Subject] = {}
        self._by_namespace: dict[str, list[Subject]] = defaultdict(list)
        self._prices = Prices(currency, self._first)
        self._members: Members | None = None
        self._keys: dict[tuple[str, int], SubjectKey] = {}
        for line in self._lines():
            self._subject(line).add(line, self._prices)
        for line, seconds in self._newest():
            self._subject(line).add_recent(line, seconds, self._prices)
        for line in self._watched():
            self._subject(line).watch(line)
        self._countings = tuple(countings)
        for counting in self._countings:
            self._subject(counting.line).count(counting)
        self._keys.clear()

    def of(self, budget: Budget) -> Share:
        """The share of this budget's scope."""
        selection = selection_of(budget)
        if not selection.is_whole:
            return self._part(budget, selection)
        subjects = self._selected(budget)
        share = self._share(subjects, self._least, self._reached_by_all)
        if not budget.spec.caps and not budget.spec.unit_costs:
            return share
        uses = self._uses(budget, subjects)
        return replace(share, uses=uses, outputs=self._outputs(budget, subjects, share))

    def _uses(
        self, budget: Budget, subjects: Iterable[Subject], *, complete: bool = True
    ) -> dict[Counted, Use]:
        """What its caps count; not `complete` where of some usage it is not known whether it is in scope."""
        found = {}
        for counted in map(counted_by, budget.spec.caps or ()):
            total = Sum()
            for subject in subjects:
                if counted in subject.sums:
                    total.add(subject.sums[counted])
            use = use_of(total, self._statements.get(counted[0]))
            found[counted] = replace(use, complete=use.complete and complete)
        return found

    def _part(self, budget: Budget, selection: Selection) -> Share:
        taken = self.members.taken(budget, selection)
        subject = Subject({})
        for member in taken.members:
            member.into(subject, self._prices, selection)
        meters = selection.meters or frozenset({self._first})
        read = meters.intersection(self._statements)
        share = self._share([subject], read or self._least, self._reached(read))
        partly = replace(
            share,
            hourly_units=None if taken.unlabelled or not read else share.hourly_units,
            as_of=share.as_of if read else None,
            complete=share.complete and not taken.unlabelled and bool(read),
            unlabelled=tuple(sorted(taken.unlabelled)),
            unmetered=tuple(sorted(meters - read)),
            outside=taken.outside,
            uses=self._uses(budget, [subject], complete=not taken.unlabelled),
        )
        return replace(partly, outputs=self._outputs(budget, [subject], partly))

    def _outputs(self, budget: Budget, subjects: Sequence[Subject], share: Share) -> dict[str, Output | None]:
        """What was done of the work that its unit costs are about, and what those spent who did it."""
        if not budget.spec.unit_costs:
            return {}
        costs = merged(subjects)
        unknown = frozenset[Workload]().union(*(subject.uncosted for subject in subjects))
        is_spend_known = is_known(share.coverage, complete=share.complete)
        found: dict[str, Output | None] = {}
        for meter in {one.meter for one in budget.spec.unit_costs}:
            done: Counter[Workload] = Counter()
            for subject in subjects:
                done.update(subject.done.get(meter, {}))
            spent = {workload: costs[workload].units for workload in done if workload in costs}
            output = output_of(self._statements.get(meter), done, spent, unknown)
            found[meter] = output if is_spend_known else None
        return found

    @property
    def members(self) -> Members:
        """All workloads under each version of their labels, sorted when they are first asked for."""
        if self._members is None:
            self._members = Members(self._owners)
            for line in self._lines():
                self._members.of(line).lines.append(line)
            for line, seconds in self._newest():
                self._members.of(line).recent.append((line, seconds))
            for line in self._watched():
                self._members.of(line).watched.append(line)
            for counting in self._countings:
                self._members.of(counting.line).countings.append(counting)
        return self._members

    def _share(self, subjects: list[Subject], least: frozenset[str], reached: int | None) -> Share:
        meters = least.union(*(subject.meters for subject in subjects))
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
            coverage=min((one.coverage for one in used), key=covered),
            as_of=earliest([one.as_of for one in used]),
            complete=all(one.complete for one in used),
            meters=meters,
            reached=reached,
            uncharged=tuple(
                Uncharged(workload, used)
                for subject in subjects
                for workload, used in sorted(subject.uncharged.items())
            ),
        )

    def _reached(self, meters: frozenset[str]) -> int | None:
        stated = [one for meter, one in self._statements.items() if meter in meters]
        return earliest([one.as_of if one.complete else None for one in stated])

    def _selected(self, budget: Budget) -> list[Subject]:
        if isinstance(budget, ClusterAIBudget):
            covers = budget.spec.scope.covers
            # What has no namespace is nobody's direct spend, however much a scope covers.
            return [s for (name, _), s in self._subjects.items() if name and covers(name, s.labels)]
        return self._by_namespace.get(budget.namespace or "", [])

    def _workloads(self, subjects: Iterable[Subject]) -> tuple[WorkloadSpend, ...]:
        parts = [self._spends(subject) for subject in subjects]
        if len(parts) == 1:
            return parts[0]
        found = {spend.workload: spend for part in parts for spend in part}
        if len(found) < sum(len(part) for part in parts):
            return priced(merged(subjects), self._watched_seconds)
        return tuple(sorted(found.values(), key=dearest))

    def _spends(self, subject: Subject) -> tuple[WorkloadSpend, ...]:
        if subject.spends is None:
            subject.spends = priced(subject.workloads, self._watched_seconds)
        return subject.spends

    def _lines(self) -> Iterator[SpendLine]:
        return self._charged(line for statement in self._statements.values() for line in statement.lines)

    def _newest(self) -> Iterator[tuple[SpendLine, int]]:
        for newest in self._recent.values():
            for line in self._charged(newest.lines):
                yield line, newest.seconds

    def _watched(self) -> Iterable[SpendLine]:
        return self._recent[self._first].watched if self._first in self._recent else ()

    def _charged(self, lines: Iterable[SpendLine]) -> Iterator[SpendLine]:
        """Those that cost something, or would if they had a price."""
        for line in lines:
            # What is in the price of something else makes nobody a spender.
            if line.sku.meter in self._meters_priced if line.rate is None else not line.rate.reason:
                yield line

    def _subject(self, line: SpendLine) -> Subject:
        # Lines share their labels' mapping, so sorting it once per mapping is enough.
        short = (line.workload.namespace, id(line.namespace_labels))
        key = self._keys.get(short)
        if key is None:
            key = self._keys[short] = (short[0], tuple(sorted(line.namespace_labels.items())))
        subject = self._subjects.get(key)
        if subject is None:
            subject = self._subjects[key] = Subject(dict(key[1]))
            self._by_namespace[key[0]].append(subject)
        return subject


def earliest(ends: Sequence[int | None]) -> int | None:
    """The first of these instants; None where one of them is unknown, or there is none."""
    known = [end for end in ends if end is not None]
    return min(known, default=None) if len(known) == len(ends) else None


def covered(coverage: Coverage) -> float:
    """Which part is covered; all of nothing is."""
    return coverage.covered_seconds / coverage.total_seconds if coverage.total_seconds else 1.0
