"""One cycle of enforcement: look afresh, plan, carry out; each object in its own guard.

Everything that decides is read from the API server in this very cycle. Kept between cycles are only the
annotations that are written, so that only transitions are; the kinds that must be looked through again; and
the Holds on notice, whose deletion leaves no other trace.
Whatever goes wrong with one object is told in the report, and the others go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import chain

from aibudget.api.conditions import ConditionType, set_condition
from aibudget.api.hold import Hold
from aibudget.api.names import BUDGET_ANNOTATION, HOLD_LABEL, STATE_ANNOTATION
from aibudget.enforcement import record
from aibudget.enforcement.act import NO_MARKS, carry_out
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.crews import read_crews
from aibudget.enforcement.edits import edit
from aibudget.enforcement.facts import Facts, Untouchable
from aibudget.enforcement.hold import is_true, wears_marks, workload_of
from aibudget.enforcement.intents import CAME_OF_IT, Target, formerly, of_wish
from aibudget.enforcement.kinds import KINDS, Kind
from aibudget.enforcement.live import Live, mark_of, read
from aibudget.enforcement.notes import Note, changes, note_of, title
from aibudget.enforcement.notice import Act, remember_vetoes
from aibudget.enforcement.orphan import is_orphan, let_go
from aibudget.enforcement.outcome import Outcome, each
from aibudget.enforcement.perimeter import Perimeter, apart
from aibudget.enforcement.plan import Plan, plan
from aibudget.enforcement.pods import Pods, read_pods
from aibudget.enforcement.port import FOLLOWED, Journal, Port, Site, disown, is_paused, look, write
from aibudget.enforcement.rails import Rails, pace, would_act
from aibudget.enforcement.settling import Settling
from aibudget.enforcement.sparing import Spared, exempt
from aibudget.enforcement.survey import BUDGETS, budget_uid, survey
from aibudget.enforcement.waves import Turns, Waves, in_order, is_returning, moment_of, queued, turns
from aibudget.enforcement.wish import Wish
from aibudget.errors import Conflict
from aibudget.inventory.kubernetes import Json, NotFound
from aibudget.inventory.resource import HOLDS
from aibudget.inventory.workload import Workload


@dataclass(frozen=True, slots=True)
class Limits:
    """Where enforcement may work, and how fast.

    `enabled` False is the kill switch that belongs to the process.
    """

    operator_namespace: str
    untouchable_namespaces: tuple[str, ...] = ()
    enabled: bool = True
    rails: Rails = field(default_factory=Rails)
    waves: Waves = field(default_factory=Waves)

    @property
    def untouchable(self) -> Untouchable:
        """The configured namespaces and the operator's own."""
        return Untouchable(frozenset({self.operator_namespace, *self.untouchable_namespaces}))


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a cycle. `holds` are the Holds as they are now; `paused` is the kill switch.

    `queued` are the stops that the rails (`rails` in words) keep back. `returning` wait for
    their turn to be given back.
    """

    acts: tuple[Act, ...]
    spared: tuple[Spared, ...]
    holds: tuple[Hold, ...]
    paused: bool
    queued: tuple[Wish, ...] = ()
    rails: str = ""
    returning: tuple[Wish, ...] = ()


class Enforcer:
    """Carries plans out on one cluster. `may_write` asks the lease right before every write.

    `clock` is the API server's time (Unix seconds) by its last answer.
    """

    def __init__(
        self,
        cluster: Port,
        limits: Limits,
        may_write: Callable[[], bool],
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        journal: Journal | None = None,
    ) -> None:
        self._cluster = cluster
        self._limits = limits
        self._may_write = may_write
        self._clock = clock
        self._perimeter = Perimeter(cluster, limits.untouchable)
        self._sleep = sleep
        self._journal = journal
        self._refused: frozenset[str] = frozenset()
        self._unswept = set(KINDS)
        self._notes: dict[Workload, Note] = {}
        self._noticed: list[Hold] = []
        self._settling = Settling()

    async def run(self, claimants: Sequence[Claimant], now: datetime) -> Report:
        """One cycle; raises `AIBudgetError` if the Holds cannot be listed at all, and does nothing then."""
        limits = self._limits
        site = Site(
            self._cluster,
            limits.operator_namespace,
            self._may_write,
            now,
            clock=self._clock,
            journal=self._journal,
        )
        outcome = Outcome(site)
        paused = not self._limits.enabled or await is_paused(self._cluster, self._limits.operator_namespace)
        fences, objects = apart(await self._cluster.list(HOLDS))
        fenced = await self._perimeter.run(outcome, claimants, fences, paused=paused)
        await self._release_orphans(outcome, objects)
        await self._respect_withdrawn_notices(outcome, objects)
        await self._sweep(outcome)
        facts = await survey(outcome, claimants, objects, self._limits.untouchable, paused=paused)
        facts = replace(facts, settling=self._settling.at(claimants, now))
        planned, pods = await self._plan(outcome, claimants, facts)
        paced = pace(planned.wishes, facts.lives, pods, self._limits.rails, now)
        by_uid = {claimant.budget.uid: claimant for claimant in claimants}
        order = in_order(paced.wishes, by_uid, self._refused, now)
        taken, kept = await _written(outcome, turns(paced.wishes, order, pods, limits.waves, now), by_uid)

        def is_due(wish: Wish, live: Live) -> bool:
            return any(exempt(by_uid[uid], live, facts, now) is None for uid in wish.due_for)

        after = await self._carry_out(outcome, replace(site, pods=pods), taken, is_due)
        await self._annotate(outcome, claimants, paused=paused)
        return Report(
            acts=tuple(outcome.acts),
            spared=(*fenced.spared, *planned.spared),
            holds=(*fenced.holds, *kept, *(hold for hold in after if hold is not None)),
            paused=paused,
            queued=paced.queued,
            rails=str(self._limits.rails),
            returning=(*taken.queued, *filter(is_returning, taken.now)),
        )

    async def _plan(
        self, outcome: Outcome, claimants: Sequence[Claimant], facts: Facts
    ) -> tuple[Plan, Pods | None]:
        """The plan, and the pods where anything is decided by them; None where they were not read."""
        now = outcome.site.now
        planned = plan(claimants, facts, now)
        if not planned.open and not any(map(_needs_pods, planned.wishes)):
            return planned, None
        pods = await outcome.guard(Workload("", "Pod", ""), read_pods(self._cluster))
        if planned.open and pods is not None:
            crews = await read_crews(outcome, pods, [facts.lives[w] for w in planned.open])
            planned = plan(claimants, replace(facts, crews=crews), now)
        return planned, pods

    async def _carry_out(
        self, outcome: Outcome, site: Site, taken: Turns, is_due: Callable[[Wish, Live], bool]
    ) -> list[Hold | None]:
        """Everything that has its turn; the Holds after it, as they were where something failed."""
        refused: set[str] = set()
        # A deletion that failed may have been done all the same: such a Hold is not waited for.
        noticed = self._noticed = []

        async def one(wish: Wish) -> Hold | None:
            async def work() -> tuple[Hold | None]:
                return (await carry_out(site, wish, told, partial(is_due, wish)),)

            told: list[Act] = []
            done = await outcome.guard(wish.workload, work(), wish.claims)
            outcome.acts += told
            if done is None:
                if wish.lingers and wish.hold is not None:
                    refused.add(wish.hold.uid)
                return wish.hold
            if done[0] is not None and not done[0].spec.original:
                noticed.append(done[0])
            return done[0]

        async def wait(wish: Wish) -> Hold | None:
            work = _queue(site, wish, self._limits.waves)
            return await outcome.guard(wish.workload, work, wish.claims) or wish.hold

        async def moment(wish: Wish) -> None:
            await self._sleep(moment_of(wish))

        several = await asyncio.gather(
            each(taken.now, one), each(taken.wave, one, moment), each(taken.queued, wait)
        )
        after = list(chain.from_iterable(several))
        self._settling.note((*taken.now, *taken.wave, *taken.queued), after, site.now)
        # Whom it could not give back now it tries last: one that cannot be written must not hold up the rest.
        self._refused = frozenset(refused | {w.hold.uid for w in taken.queued if w.hold} & self._refused)
        return after

    async def _release_orphans(self, outcome: Outcome, objects: Sequence[Json]) -> None:
        """Workloads whose marks speak of a Hold that is no more: a person has deleted it, which is a veto."""
        listed = {(o["metadata"]["namespace"], o["metadata"]["name"]): o for o in objects}
        for kind in _stoppable():
            nowhere = Workload("", kind.name, "")
            work = self._cluster.list(kind.resource, labels=HOLD_LABEL)
            for obj in await outcome.guard(nowhere, work) or ():
                live = read(obj)
                hold = listed.get((live.workload.namespace, live.hold_label or ""))
                orphan = self._release_if_orphan(outcome, live, hold)
                if (act := await outcome.guard(live.workload, orphan)) is not None:
                    outcome.acts.append(act)

    async def _release_if_orphan(self, outcome: Outcome, live: Live, hold: Json | None) -> Act | None:
        if hold is None and live.hold_label:
            hold = await self._cluster.get(HOLDS, live.hold_label, live.workload.namespace)
        if not is_orphan(live, hold):
            return None
        # If the second write fails, only looking through the kind finds what is left of it.
        self._unswept.add(live.kind.name)
        mark, target = mark_of(live), Target(live.workload, live.uid, "ScaleDown")
        held = () if mark is None else mark.claims
        await outcome.site.note(formerly(target, "Vetoed", held, outcome.site.now))
        act = await let_go(outcome.site, live, veto=True)
        await outcome.site.note(formerly(target, CAME_OF_IT[act.reason], held, outcome.site.now))
        return act

    async def _respect_withdrawn_notices(self, outcome: Outcome, objects: Sequence[Json]) -> None:
        """A Hold that a person deleted during its notice left no mark on the workload: it is vetoed now."""
        listed = {obj["metadata"]["uid"] for obj in objects}

        async def respect(hold: Hold) -> None:
            found = await self._cluster.get(HOLDS, hold.name, hold.namespace)
            live = await look(self._cluster, workload_of(hold))
            gone = found is None or found["metadata"]["uid"] != hold.uid
            if gone and live is not None and live.uid == hold.spec.target_ref.uid:
                await remember_vetoes(outcome.site, live, hold.spec.claims, outcome.acts)

        for hold in self._noticed:
            if hold.uid not in listed:
                await outcome.guard(workload_of(hold), respect(hold))

    async def _sweep(self, outcome: Outcome) -> None:
        """Find what is left on workloads: notes, ownership of freed fields, marks that came back."""
        for kind in [kind for kind in KINDS.values() if kind.name in self._unswept]:
            nowhere = Workload("", kind.name, "")
            objects = await outcome.guard(nowhere, self._cluster.list(kind.resource, metadata_only=True))
            if objects is None:
                continue
            self._unswept.discard(kind.name)
            for live in map(read, objects):
                # Between a workload and its pods annotations are copies, and no notes.
                if (note := note_of(live.annotations)) is not None and not _is_between(live):
                    self._notes[live.workload] = note
                if _is_copied(live):
                    continue
                if live.hold_label is None and (live.owned or wears_marks(live)):
                    cleaned = await outcome.guard(live.workload, self._cleaned(outcome.site, live))
                    if cleaned is None:
                        self._unswept.add(kind.name)

    async def _cleaned(self, site: Site, seen: Live) -> bool:
        """Controllers that write in between are followed, a few times."""
        for pause in FOLLOWED:
            try:
                await self._clean(site, seen)
            except Conflict:
                if pause is None:
                    raise
                await self._sleep(pause)
            else:
                return True
        raise AssertionError("the last attempt returns or raises")

    async def _clean(self, site: Site, seen: Live) -> None:
        """`rollout undo` brings annotations back that the old ReplicaSet had copied while it was held."""
        live = await look(self._cluster, seen.workload)
        if live is None or live.hold_label is not None or (live.stopped and not live.taken_from_us):
            return
        if wears_marks(live):
            site.check_lease()
            live = await write(self._cluster, live, edit(live, {}, NO_MARKS))
        if live.owned:
            site.check_lease()
            await disown(self._cluster, live)

    async def _annotate(self, outcome: Outcome, claimants: Sequence[Claimant], *, paused: bool) -> None:
        gone = await self._gone_notes(outcome, claimants)
        todo = changes(claimants, self._notes, gone, self._limits.untouchable)
        todo = {w: note for w, note in todo.items() if note is None or not paused}
        await each(todo.items(), lambda item: outcome.guard(item[0], self._write_note(outcome.site, *item)))

    async def _gone_notes(
        self, outcome: Outcome, claimants: Sequence[Claimant]
    ) -> frozenset[tuple[str, str]]:
        """The (namespace, title) of noted budgets that a GET says are no more."""
        evaluated = {(c.budget.namespace, title(c)) for c in claimants}
        gone: set[tuple[str, str]] = set()

        async def ask(namespace: str, noted: str) -> None:
            kind, _, name = noted.partition("/")
            scope = namespace if kind == "AIBudget" else None
            if (scope, noted) in evaluated:
                return
            # What is not as we write it was written by somebody else, and names no budget.
            if kind not in BUDGETS or not name or await budget_uid(self._cluster, kind, name, scope) is None:
                gone.add((namespace, noted))

        for namespace, noted in sorted({(w.namespace, note.budget) for w, note in self._notes.items()}):
            await outcome.guard(Workload(namespace, "Namespace", namespace), ask(namespace, noted))
        return frozenset(gone)

    async def _write_note(self, site: Site, workload: Workload, note: Note | None) -> None:
        annotations = note.annotations if note else {BUDGET_ANNOTATION: None, STATE_ANNOTATION: None}
        site.check_lease()
        try:
            patch = {"metadata": {"annotations": annotations}}
            await self._cluster.patch(KINDS[workload.kind].resource, workload.name, patch, workload.namespace)
        except NotFound:
            note = None
        if note is None:
            self._notes.pop(workload, None)
        else:
            self._notes[workload] = note


async def _written(
    outcome: Outcome, taken: Turns, budgets: Mapping[str, Claimant]
) -> tuple[Turns, tuple[Hold, ...]]:
    """What may be carried out once it is written down, and the Holds of what may not."""
    wishes = (*taken.now, *taken.wave, *taken.queued)
    intents = [of_wish(wish, budgets, outcome.site.now) for wish in wishes]
    error = await outcome.written(intents)
    if error is None:
        return taken, ()
    stops = [wish for wish, intent in zip(wishes, intents, strict=True) if intent.stops]
    for wish in stops:
        outcome.fail(wish.workload, error.message, wish.claims)
    keys = {wish.key for wish in stops}
    left = replace(
        taken,
        now=tuple(wish for wish in taken.now if wish.key not in keys),
        wave=tuple(wish for wish in taken.wave if wish.key not in keys),
    )
    return left, tuple(wish.hold for wish in stops if wish.hold is not None)


async def _queue(site: Site, wish: Wish, waves: Waves) -> Hold:
    """Say in its Hold since when it waits for its turn."""
    assert wish.hold is not None, "what comes back has a Hold"
    status = wish.hold.status
    conditions = set_condition(status.conditions, queued(wish.hold, waves, site.now), site.now)
    return await record.status(site.cluster, wish.hold, status.model_copy(update={"conditions": conditions}))


def _needs_pods(wish: Wish) -> bool:
    """Whether something is decided by its pods: an act, or whether one has worked."""
    held = wish.wanted and wish.hold is not None and is_true(wish.hold, ConditionType.APPLIED)
    worked = wish.hold is not None and is_true(wish.hold, ConditionType.EFFECTIVE)
    return would_act(wish) or (held and not worked) or is_returning(wish)


def _stoppable() -> tuple[Kind, ...]:
    return tuple(kind for kind in KINDS.values() if kind.stop is not None)


def _is_copied(live: Live) -> bool:
    """A Deployment's ReplicaSet: whatever is taken off it, the Deployment's controller copies again."""
    return live.kind.name == "ReplicaSet" and _is_between(live)


def _is_between(live: Live) -> bool:
    return live.controller is not None and live.controller.kind in KINDS
