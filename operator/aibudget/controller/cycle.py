"""One cycle: measure → price → post → evaluate → enforce → report, for every budget at once.

Level-triggered: each cycle starts from what is stored and what is there, so that it can be killed anywhere
and the next one goes on. A part that fails is told, and the parts after it go on with what is known; only
the loss of the ledger, for now or for good, or of the right to write it, leaves `run_once` as an error.
Imports no kopf.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from aibudget.api.budget import AIBudget, Budget, ClusterAIBudget
from aibudget.api.meter import MeterSpec
from aibudget.budgeting.hierarchy import Hierarchy
from aibudget.budgeting.selection import labels_wanted
from aibudget.controller.cache import World
from aibudget.controller.declared import meter_reports, price_reports, stood
from aibudget.controller.grounds import Grounds, reserved
from aibudget.controller.judge import Judge, Judged, placed
from aibudget.controller.measuring import Measured, Measuring
from aibudget.controller.notifier import Notifier
from aibudget.controller.parts import Parts
from aibudget.controller.reporter import Report
from aibudget.controller.reports import Outcome, Teller, written
from aibudget.controller.shelf import Shelf
from aibudget.controller.upkeep import Past, Upkeep
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Report as Enforced
from aibudget.enforcement.intents import came_of_it
from aibudget.errors import AIBudgetError, Transient
from aibudget.inventory.owners import OwnerBook
from aibudget.pricing.rate import Rate
from aibudget.reporting import enforcing
from aibudget.reporting.budgetmetrics import spelled
from aibudget.reporting.snapshot import BudgetView, Counters, CycleView, Snapshot
from aibudget.reporting.untold import untold

LONGEST_PAST: Final = 400 * 86_400
"""How far back history is read at most: a year and the month before it."""

log = logging.getLogger(__name__)


class Cycle:
    """Remembers nothing that the next process could not find out by itself, but for counters."""

    def __init__(self, parts: Parts, *, enforcement: bool = True) -> None:
        self._parts = parts
        self._enforcement = enforcement
        self._measuring = Measuring(parts.books)
        self._shelf = Shelf()
        self._hierarchy = Hierarchy()
        self._errors: Counter[str] = Counter()
        self._upkeep = Upkeep(parts, self._measuring, self._errors)
        self._cycles = 0
        self._has_caught_up = False

    @property
    def notifier(self) -> Notifier:
        """What is to run beside the cycles."""
        return self._parts.notifier

    async def run_once(self, now: float) -> Snapshot:
        """One cycle at `now` by the wall clock; what can be scraped after it."""
        began, used, phases = time.monotonic(), time.process_time(), _Phases()
        world, instant = self._parts.cache.world(), int(now)
        labels = {name: metadata.labels for name, metadata in world.namespaces.items()}
        wanted = self._earliest(world, instant)
        with phases("measure"):
            meters = await self._parts.work(self._arrange_meters, world, wanted)
            await self._parts.work(self._parts.select, labels_wanted(_budgets(world)))
            live = await self._parts.work(self._live_prices, instant)
            book = self._shelf.arrange(world.price_lists, meters, live)
            measured = await self._parts.work(self._measuring.measure, book, labels, wanted, instant)
        with phases("evaluate"):
            judged = await self._parts.work(self._judge, world, measured, instant)
        with phases("enforce"):
            enforced = self._caught_up(await self._enforce(judged, now), instant)
            if enforced is not None:
                evaluations = [one.evaluation for one in judged if one.evaluation is not None]
                await self._parts.work(self._upkeep.note, evaluations, enforced.holds, instant)
            await self._log(judged, enforced, now)
        with phases("report"):
            self._parts.reporter.forget(
                {seen.uid for seen in (*world.budgets, *world.price_lists, *world.meters)}
            )
            outcome = Outcome(judged, measured, enforced, self._enforcement, instant)
            keys = {one.seen.uid: one.key for one in judged}
            acts = tuple(enforcing.told(enforced, instant, keys, stood(judged, self._parts.reporter)))
            told = written(outcome, self._parts.reporter, self._teller(), {act.regarding.uid for act in acts})
            standing = told.standing

            async def taken(some: Sequence[Report]) -> Sequence[Report]:
                # Into the outbox first: a status that is written forgets the transition.
                alike = self._parts.reporter.turns.alike
                standing.update((report.seen.uid, alike(report.status.conditions)) for report in some)
                return await self._parts.notifier.take(some, acts, instant)

            kept = await taken(told.acted)
            await self._parts.reporter.tell([*acts, *self._parts.notifier.failures()], instant)
            await self._parts.reporter.report(kept, instant)
            await self._parts.reporter.report(told.others, instant, taken)
            await self._parts.reporter.report(self._declared(measured, instant), instant)
            self._parts.notifier.show(() if enforced is None else enforced.holds)
        self._cycles += 1
        view = CycleView(
            finished=time.time(),
            seconds=time.monotonic() - began,
            cpu=time.process_time() - used,
            phases=phases.seconds,
            data_age=measured.of(measured.meters).age,
            coverage={meter: known.covered.percent / 100 for meter, known in measured.meters.items()},
            unpriced=self._parts.books.unpriced(),
            balances=self._parts.books.balances(),
            lines=self._lines(),
            folded=self._lines(folded=True),
            sources=self._parts.books.sources(),
            clock_behind=self._parts.calendar.behind,
        )
        views = [BudgetView(one.key, standing[one.seen.uid], one.evaluation) for one in judged]
        return self._snapshot(await self._spelled(views), enforced, view)

    async def fill(self, now: float, seconds: float) -> bool:
        """Go on with what no cycle waits for, for so long or by one step; whether there is more of it."""
        world = self._parts.cache.world()
        labels = {name: metadata.labels for name, metadata in world.namespaces.items()}
        past = Past(self._earliest(world, int(now)), self._shelf.book, labels)
        needed = self._parts.calendar.earliest(world.budgets, int(now))
        return await self._upkeep.go_on(past, needed, int(now), time.monotonic() + seconds)

    def _earliest(self, world: World, now: int) -> int:
        """From where on usage is needed: the start of the earliest period that is not closed."""
        return max(self._parts.calendar.earliest(world.budgets, now), now - LONGEST_PAST)

    def _arrange_meters(self, world: World, wanted: int) -> Mapping[str, MeterSpec]:
        """Take up the meters of users as they are now, and what caps count that has no price."""
        self._parts.books.cap(reserved(seen.model for seen in world.budgets))
        meters = self._parts.meters
        if meters is None:
            return {}
        self._parts.books.beside(*meters.arrange(world.meters, wanted))
        return meters.specs()

    def _live_prices(self, now: int) -> tuple[Rate, ...]:
        return () if self._parts.live is None else self._parts.live.rates(now)

    def _judge(self, world: World, measured: Measured, now: int) -> tuple[Judged, ...]:
        calendar = self._parts.calendar
        kinship, meters = self._parts.kinship, self._parts.meters
        grounds = Grounds(
            sharing=self._parts.sharing,
            carbon=self._parts.carbon,
            owners=OwnerBook() if kinship is None else kinship.book,
            units={} if meters is None else {name: spec.unit for name, spec in meters.specs().items()},
            restated=frozenset() if meters is None else meters.restated,
            absent=self._absent(),
        )
        judge = Judge(self._parts.books, measured, now, calendar, grounds)
        judge.foresight = foresight = self._parts.foresight
        judge.fleet = self._parts.fleet
        judge.fleet.begin()
        if foresight is not None:
            foresight.begin([seen.uid for seen in world.budgets], grounds.owners)
        judge.lookout = lookout = self._parts.lookout
        if lookout is not None:
            lookout.begin([seen.uid for seen in world.budgets])
        namespaces = {name: metadata.labels for name, metadata in world.namespaces.items()}
        judged = placed(judge.judge(world.budgets, self._parts.reporter), self._hierarchy, namespaces)
        if calendar.behind:
            log.warning("the clock is %d s behind a period that has begun", calendar.behind)
        try:
            calendar.commit()
        except Transient as error:
            # Periods go on by the clock; the next cycle finds the same to be written.
            log.warning("periods and decisions are not written: %s", error.message)
            self._errors[error.reason] += 1
        comparisons = self._parts.comparisons
        return judged if comparisons is None else comparisons.over(judged)

    async def _enforce(self, judged: Sequence[Judged], now: float) -> Enforced | None:
        try:
            return await self._parts.enforcer.run(_claimants(judged), datetime.fromtimestamp(now, UTC))
        except AIBudgetError as error:
            log.warning("nothing is enforced: %s", error.message, extra={"reason": error.reason})
            self._errors[error.reason] += 1
        except Exception:
            # The rest of the cycle is not to be lost: what stands is told, and this is tried again.
            log.exception("nothing is enforced")
            self._errors["InternalError"] += 1
        return None

    async def _spelled(self, views: Sequence[BudgetView]) -> tuple[bytes, ...]:
        try:
            return await self._parts.work(spelled, views)
        except Exception:
            # All is done and told but for the metrics: nobody is to be without a cycle for those.
            log.exception("the metrics of budgets are not told")
            self._errors["InternalError"] += 1
        return ()

    async def _log(self, judged: Sequence[Judged], enforced: Enforced | None, now: float) -> None:
        """What came of the acts, in the decision log: what was to be done was written there before."""
        scribe = self._parts.scribe
        if scribe is None:
            return
        budgets = {one.budget.uid: one for one in _claimants(judged)}
        acts = () if enforced is None else enforced.acts
        await scribe.note(tuple(came_of_it(acts, budgets, datetime.fromtimestamp(now, UTC))))

    def _caught_up(self, enforced: Enforced | None, now: int) -> Enforced | None:
        """With what the process before this one may not have told, the first time."""
        if enforced is None or self._has_caught_up:
            return enforced
        self._has_caught_up = True
        return replace(enforced, acts=(*untold(enforced.holds, now), *enforced.acts))

    def _teller(self) -> Teller:
        kinship = self._parts.kinship
        return Teller(OwnerBook() if kinship is None else kinship.book, self._parts.notifier.unknown)

    def _absent(self) -> frozenset[str]:
        """The meters that nothing tells of."""
        meters = self._parts.meters
        return self._unsourced() | (frozenset() if meters is None else meters.absent)

    def _unsourced(self) -> frozenset[str]:
        return frozenset(meter for meter, present in self._parts.books.sources().items() if not present)

    def _declared(self, measured: Measured, now: int) -> Iterator[Report]:
        reporter, meters = self._parts.reporter, self._parts.meters
        yield from price_reports(reporter, self._shelf.lists, sorted(self._unsourced()), now)
        yield from meter_reports(reporter, () if meters is None else meters.facts(measured), now)

    def _lines(self, *, folded: bool = False) -> Mapping[str, float]:
        meters = self._parts.meters
        return {} if meters is None else meters.lines(folded=folded)

    def _snapshot(
        self,
        budgets: tuple[bytes, ...],
        enforced: Enforced | None,
        view: CycleView,
    ) -> Snapshot:
        reporter = self._parts.reporter
        return Snapshot(
            budgets=budgets,
            holds=enforcing.states(enforced),
            backlog=enforcing.backlog(enforced),
            cycle=view,
            counters=Counters(
                cycles=self._cycles,
                cycle_errors=self._errors + reporter.errors,
                queries=self._parts.queries(),
                query_errors=dict(self._measuring.errors),
                status_writes=reporter.writes,
            ),
            deliveries=self._parts.notifier.view(view.finished or 0.0),
        )


def _budgets(world: World) -> Iterator[Budget]:
    """Those that can be read."""
    for seen in world.budgets:
        if isinstance(seen.model, AIBudget | ClusterAIBudget):
            yield seen.model


def _claimants(judged: Sequence[Judged]) -> list[Claimant]:
    return [
        Claimant(one.seen.model, one.evaluation)
        for one in judged
        if one.evaluation is not None and isinstance(one.seen.model, AIBudget | ClusterAIBudget)
    ]


class _Phases:
    """How long each part of a cycle takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - began
