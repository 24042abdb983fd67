"""One cycle of enforcement: look afresh, plan, carry out; each object in its own guard.

Everything that decides is read from the API server in this very cycle. Kept between cycles are only the
annotations that are written, so that only transitions are; the kinds that must be looked through again; and
the Holds on notice, whose deletion leaves no other trace.
Whatever goes wrong with one object is told in the report, and the others go on.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from aibudget.api.conditions import EventReason
from aibudget.api.hold import Claim, Hold
from aibudget.api.names import BUDGET_ANNOTATION, HOLD_LABEL, STATE_ANNOTATION
from aibudget.enforcement.act import Act, carry_out, remember_vetoes
from aibudget.enforcement.hold import workload_of
from aibudget.enforcement.kinds import KINDS, Kind
from aibudget.enforcement.live import Live, read
from aibudget.enforcement.notes import Note, changes, note_of, title
from aibudget.enforcement.orphan import is_orphan, let_go
from aibudget.enforcement.plan import (
    Claimant,
    Facts,
    NamespaceFacts,
    Spared,
    Untouchable,
    Wish,
    exempt,
    plan,
    victims,
)
from aibudget.enforcement.port import Port, Site, disown, is_paused, look
from aibudget.errors import AIBudgetError, InvalidManifest
from aibudget.inventory.kubernetes import Json, NotFound
from aibudget.inventory.resource import AIBUDGETS, CLUSTER_AIBUDGETS, HOLDS, NAMESPACES
from aibudget.inventory.workload import Workload

_LOG = logging.getLogger(__name__)
_IN_FLIGHT: Final = 8
_BUDGETS: Final = {"AIBudget": AIBUDGETS, "ClusterAIBudget": CLUSTER_AIBUDGETS}

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Limits:
    """Where enforcement may work. `enabled` False is the kill switch that belongs to the process."""

    operator_namespace: str
    untouchable_namespaces: tuple[str, ...] = ()
    enabled: bool = True

    @property
    def untouchable(self) -> Untouchable:
        """The configured namespaces and the operator's own."""
        return Untouchable(frozenset({self.operator_namespace, *self.untouchable_namespaces}))


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a cycle. `holds` are the Holds as they are now; `paused` is the kill switch."""

    acts: tuple[Act, ...]
    spared: tuple[Spared, ...]
    holds: tuple[Hold, ...]
    paused: bool


@dataclass(slots=True)
class _Cycle:
    """The results of one cycle while they come in."""

    site: Site
    acts: list[Act] = field(default_factory=list)

    async def guard(self, workload: Workload, work: Awaitable[R], claims: tuple[Claim, ...] = ()) -> R | None:
        """The result, or None and a failure in the report: one object never stops the others."""
        try:
            return await work
        except AIBudgetError as error:
            paused = error.reason == EventReason.ENFORCEMENT_PAUSED
            _LOG.warning("%s", error.message, extra={"reason": error.reason, "workload": str(workload)})
            self.fail(workload, error.message, claims, paused=paused)
        except Exception as error:  # noqa: BLE001 - one poisonous object must not end the cycle for all
            _LOG.exception("enforcement failed", extra={"workload": str(workload)})
            self.fail(workload, f"{type(error).__name__}: {error}; the operator's log has its trace.", claims)
        return None

    def fail(
        self, workload: Workload, message: str, claims: tuple[Claim, ...] = (), *, paused: bool = False
    ) -> None:
        reason = EventReason.ENFORCEMENT_PAUSED if paused else EventReason.ENFORCEMENT_FAILED
        self.acts.append(Act(workload, reason, message, claims))


class Enforcer:
    """Carries plans out on one cluster. `may_write` asks the lease right before every write."""

    def __init__(self, cluster: Port, limits: Limits, may_write: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._limits = limits
        self._may_write = may_write
        self._unswept = set(KINDS)
        self._notes: dict[Workload, Note] = {}
        self._noticed: list[Hold] = []

    async def run(self, claimants: Sequence[Claimant], now: datetime) -> Report:
        """One cycle; raises `AIBudgetError` if the Holds cannot be listed at all, and does nothing then."""
        site = Site(self._cluster, self._limits.operator_namespace, self._may_write, now)
        cycle = _Cycle(site)
        paused = not self._limits.enabled or await is_paused(self._cluster, self._limits.operator_namespace)
        objects = await self._cluster.list(HOLDS)
        await self._release_orphans(cycle, objects)
        await self._respect_withdrawn_notices(cycle, objects)
        await self._sweep(cycle)
        facts = await self._look(cycle, claimants, objects, paused=paused)
        planned = plan(claimants, facts, now)
        by_uid = {claimant.budget.uid: claimant for claimant in claimants}
        # A deletion that failed may have been done all the same: such a Hold is not waited for.
        noticed = self._noticed = []

        async def one(wish: Wish) -> Hold | None:
            def is_due(live: Live) -> bool:
                return any(exempt(by_uid[uid], live, facts, now) is None for uid in wish.due_for)

            async def work() -> tuple[Hold | None]:
                return (await carry_out(site, wish, told, is_due),)

            told: list[Act] = []
            done = await cycle.guard(wish.workload, work(), wish.claims)
            cycle.acts += told
            if done is None:
                return wish.hold
            if done[0] is not None and not done[0].spec.original:
                noticed.append(done[0])
            return done[0]

        after = await _each(planned.wishes, one)
        await self._annotate(cycle, claimants, paused=paused)
        return Report(tuple(cycle.acts), planned.spared, tuple(h for h in after if h is not None), paused)

    async def _release_orphans(self, cycle: _Cycle, objects: Sequence[Json]) -> None:
        """Workloads whose marks speak of a Hold that is no more: a person has deleted it, which is a veto."""
        listed = {(o["metadata"]["namespace"], o["metadata"]["name"]): o for o in objects}
        for kind in _stoppable():
            nowhere = Workload("", kind.name, "")
            work = self._cluster.list(kind.resource, labels=HOLD_LABEL)
            for obj in await cycle.guard(nowhere, work) or ():
                live = read(obj)
                hold = listed.get((live.workload.namespace, live.hold_label or ""))
                orphan = self._release_if_orphan(cycle, live, hold)
                if (act := await cycle.guard(live.workload, orphan)) is not None:
                    cycle.acts.append(act)

    async def _release_if_orphan(self, cycle: _Cycle, live: Live, hold: Json | None) -> Act | None:
        if hold is None and live.hold_label:
            hold = await self._cluster.get(HOLDS, live.hold_label, live.workload.namespace)
        if not is_orphan(live, hold):
            return None
        # If the second write fails, only looking through the kind finds what is left of it.
        self._unswept.add(live.kind.name)
        return await let_go(cycle.site, live, veto=True)

    async def _respect_withdrawn_notices(self, cycle: _Cycle, objects: Sequence[Json]) -> None:
        """A Hold that a person deleted during its notice left no mark on the workload: it is vetoed now."""
        listed = {obj["metadata"]["uid"] for obj in objects}

        async def respect(hold: Hold) -> None:
            found = await self._cluster.get(HOLDS, hold.name, hold.namespace)
            live = await look(self._cluster, workload_of(hold))
            gone = found is None or found["metadata"]["uid"] != hold.uid
            if gone and live is not None and live.uid == hold.spec.target_ref.uid:
                await remember_vetoes(cycle.site, live, hold.spec.claims, cycle.acts)

        for hold in self._noticed:
            if hold.uid not in listed:
                await cycle.guard(workload_of(hold), respect(hold))

    async def _sweep(self, cycle: _Cycle) -> None:
        """Find what an earlier life of ours left on workloads: notes, and the ownership of freed fields."""
        for kind in [kind for kind in KINDS.values() if kind.name in self._unswept]:
            nowhere = Workload("", kind.name, "")
            objects = await cycle.guard(nowhere, self._cluster.list(kind.resource, metadata_only=True))
            if objects is None:
                continue
            self._unswept.discard(kind.name)
            for live in map(read, objects):
                if (note := note_of(live.annotations)) is not None:
                    self._notes[live.workload] = note
                if live.owned and live.hold_label is None:
                    await cycle.guard(live.workload, self._disown_leftover(cycle.site, live))

    async def _disown_leftover(self, site: Site, seen: Live) -> None:
        live = await look(self._cluster, seen.workload)
        if live is None or not live.owned or live.hold_label is not None or live.stopped:
            return
        site.check_lease()
        await disown(self._cluster, live)

    async def _look(
        self, cycle: _Cycle, claimants: Sequence[Claimant], objects: Sequence[Json], *, paused: bool
    ) -> Facts:
        found = [hold for obj in objects if (hold := _parse(cycle, obj)) is not None]
        spends = {spend.workload for claimant in claimants for spend in victims(claimant)}
        untouchable = self._limits.untouchable
        wanted = {w for w in spends if w.kind in _STOPPABLE and w.namespace not in untouchable}
        wanted |= {workload_of(hold) for hold in found if hold.spec.target_ref.kind in _STOPPABLE}
        lives: dict[Workload, Live | None] = {}
        namespaces: dict[str, NamespaceFacts] = {}

        async def see(workload: Workload) -> None:
            lives[workload] = await look(self._cluster, workload)

        async def know(namespace: str) -> None:
            obj = await self._cluster.get(NAMESPACES, namespace)
            if obj is not None:
                metadata = obj["metadata"]
                namespaces[namespace] = NamespaceFacts(
                    metadata.get("labels") or {}, metadata.get("annotations") or {}
                )

        await _each(sorted(wanted), lambda w: cycle.guard(w, see(w)))
        await _each(
            sorted({w.namespace for w in wanted}), lambda n: cycle.guard(Workload(n, "Namespace", n), know(n))
        )
        gone = await self._gone(cycle, claimants, found)
        return Facts(tuple(found), lives, namespaces, gone, paused, untouchable)

    async def _gone(
        self, cycle: _Cycle, claimants: Sequence[Claimant], found: Sequence[Hold]
    ) -> frozenset[str]:
        """The uids of claiming budgets that a GET, past any cache, says are no more."""
        known = {claimant.budget.uid for claimant in claimants}
        asked = {
            claim.uid: (claim, hold) for hold in found for claim in hold.spec.claims if claim.uid not in known
        }
        gone: set[str] = set()

        async def ask(claim: Claim, hold: Hold) -> None:
            namespace = hold.namespace if claim.kind == "AIBudget" else None
            if await self._budget_uid(claim.kind, claim.name, namespace) != claim.uid:
                gone.add(claim.uid)

        await _each(asked.values(), lambda pair: cycle.guard(workload_of(pair[1]), ask(*pair)))
        return frozenset(gone)

    async def _budget_uid(self, kind: str, name: str, namespace: str | None) -> str | None:
        obj = await self._cluster.get(_BUDGETS[kind], name, namespace)
        return None if obj is None else str(obj["metadata"]["uid"])

    async def _annotate(self, cycle: _Cycle, claimants: Sequence[Claimant], *, paused: bool) -> None:
        gone = await self._gone_notes(cycle, claimants)
        todo = changes(claimants, self._notes, gone, self._limits.untouchable)
        todo = {w: note for w, note in todo.items() if note is None or not paused}
        await _each(todo.items(), lambda item: cycle.guard(item[0], self._write_note(cycle.site, *item)))

    async def _gone_notes(self, cycle: _Cycle, claimants: Sequence[Claimant]) -> frozenset[tuple[str, str]]:
        """The (namespace, title) of noted budgets that a GET says are no more."""
        evaluated = {(c.budget.namespace, title(c)) for c in claimants}
        gone: set[tuple[str, str]] = set()

        async def ask(namespace: str, noted: str) -> None:
            kind, _, name = noted.partition("/")
            scope = namespace if kind == "AIBudget" else None
            if (scope, noted) in evaluated:
                return
            # What is not as we write it was written by somebody else, and names no budget.
            if kind not in _BUDGETS or not name or await self._budget_uid(kind, name, scope) is None:
                gone.add((namespace, noted))

        for namespace, noted in sorted({(w.namespace, note.budget) for w, note in self._notes.items()}):
            await cycle.guard(Workload(namespace, "Namespace", namespace), ask(namespace, noted))
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


_STOPPABLE: Final = frozenset(kind.name for kind in KINDS.values() if kind.stop is not None)


def _stoppable() -> tuple[Kind, ...]:
    return tuple(kind for kind in KINDS.values() if kind.stop is not None)


def _parse(cycle: _Cycle, obj: Json) -> Hold | None:
    try:
        return Hold.read(obj)
    except InvalidManifest as error:
        metadata = obj["metadata"]
        cycle.fail(Workload(metadata.get("namespace", ""), "Hold", metadata["name"]), error.message)
        return None


async def _each(items: Iterable[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """All of them, a few at a time, in the order given."""
    gate = asyncio.Semaphore(_IN_FLIGHT)

    async def one(item: T) -> R:
        async with gate:
            return await work(item)

    return list(await asyncio.gather(*(one(item) for item in items)))
