"""All fences in one cycle: read afresh what is there, plan, carry out, each in its own guard.

Comes before the workloads' turn: a fence is raised before anything is stopped, and lifted before anything
comes back. Kept between cycles are only the Holds that wait, whose deletion leaves no other trace.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from aibudget.api.conditions import EventReason
from aibudget.api.hold import Hold
from aibudget.enforcement.block import Board
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.facts import Untouchable
from aibudget.enforcement.fences import (
    ACTIONS,
    Fence,
    FenceAction,
    FenceFacts,
    Place,
    place_of,
    plan_fences,
    subject_of,
    wanted_places,
)
from aibudget.enforcement.fencing import Yard, bring_further, in_turn, lift_leftover, remember
from aibudget.enforcement.freeze import mark_on, quotas
from aibudget.enforcement.hold import vetoes_in
from aibudget.enforcement.intents import Target, formerly, of_fence
from aibudget.enforcement.notice import Act
from aibudget.enforcement.outcome import Outcome, each
from aibudget.enforcement.placard import Mark, mark_in, namespace_of, vetoes_at, vetoes_of
from aibudget.enforcement.port import Port, Site
from aibudget.enforcement.sparing import Spared
from aibudget.enforcement.survey import gone_budgets, parse_hold
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import HOLDS, NAMESPACES
from aibudget.inventory.workload import Workload


@dataclass(frozen=True, slots=True)
class Fenced:
    """What came of it: the fences' Holds as they are now, and what was spared."""

    holds: tuple[Hold, ...] = ()
    spared: tuple[Spared, ...] = ()


def apart(objects: Sequence[Json]) -> tuple[list[Json], list[Json]]:
    """The Holds of fences, and all others."""
    fences = [obj for obj in objects if (obj.get("spec") or {}).get("action") in ACTIONS]
    return fences, [obj for obj in objects if obj not in fences]


class Perimeter:
    """One process's."""

    def __init__(self, cluster: Port, untouchable: Untouchable) -> None:
        self._cluster = cluster
        self._untouchable = untouchable
        self._waiting: list[Hold] = []

    async def run(
        self,
        outcome: Outcome,
        claimants: Sequence[Claimant],
        objects: Sequence[Json],
        *,
        paused: bool,
    ) -> Fenced:
        """One cycle; `objects` are the Holds of fences, as listed."""
        nowhere = subject_of(outcome.site.operator_namespace)
        board = await outcome.guard(nowhere, Board.read(outcome.site))
        holds = tuple(hold for obj in objects if (hold := parse_hold(outcome, obj)) is not None)
        if board is None:
            return Fenced(holds)
        yard = Yard(outcome.site, board, {claimant.budget.uid: claimant for claimant in claimants})
        await self._release_orphans(outcome, yard, objects)
        await self._respect_withdrawn(outcome, yard, objects)
        facts = await self._survey(outcome, claimants, holds, board, paused=paused)
        fences, spared = plan_fences(claimants, facts, outcome.site.now)
        self._waiting = waiting = []
        after: list[Hold] = []

        async def one(fence: Fence) -> None:
            told: list[Act] = []
            done = await outcome.guard(fence.subject, _told(yard, fence, told), fence.claims)
            outcome.acts += told
            hold = fence.hold if done is None else done[0]
            if hold is not None:
                after.append(hold)
                if done is not None and not hold.spec.original:
                    waiting.append(hold)

        written, kept = await _written(outcome, fences, yard.claimants)
        for turn in in_turn(written):
            await each(turn, one)
        return Fenced((*after, *kept), spared)

    async def _survey(
        self,
        outcome: Outcome,
        claimants: Sequence[Claimant],
        holds: tuple[Hold, ...],
        board: Board,
        *,
        paused: bool,
    ) -> FenceFacts:
        names = {hold.spec.target_ref.name for hold in holds} | wanted_places(claimants)
        places: dict[str, Place | None] = {}

        async def know(name: str) -> None:
            places[name] = await place(self._cluster, name)

        await each(
            sorted(name for name in names if name not in self._untouchable),
            lambda name: outcome.guard(subject_of(name), know(name)),
        )
        gone = await gone_budgets(outcome, claimants, holds)
        vetoes = {
            namespace: vetoes_at(value)
            for key, value in board.data.items()
            for namespace, vetoed in [namespace_of(key)]
            if vetoed
        }
        return FenceFacts(holds, places, vetoes, gone, paused, self._untouchable)

    async def _release_orphans(self, outcome: Outcome, yard: Yard, objects: Sequence[Json]) -> None:
        """Fences whose Hold is no more: a person has deleted it, which is a veto until the period ends."""
        listed = {obj["metadata"]["uid"] for obj in objects}
        quotas_of_ours = await outcome.guard(subject_of(""), quotas(self._cluster)) or []
        marks: dict[tuple[str, str], Mark | None] = {
            ("Freeze", quota["metadata"]["namespace"]): mark_on(quota) for quota in quotas_of_ours
        }
        for key, value in yard.board.data.items():
            namespace, vetoes = namespace_of(key)
            marks["Vetoes" if vetoes else "Block", namespace] = None if vetoes else mark_in(value)
        for (action, namespace), mark in marks.items():
            if mark is not None and mark.uid in listed:
                continue
            work = self._release_if_orphan(outcome, yard, action, namespace, mark)
            await outcome.guard(subject_of(namespace), work)

    async def _release_if_orphan(
        self, outcome: Outcome, yard: Yard, action: str, namespace: str, mark: Mark | None
    ) -> None:
        there = await place(self._cluster, namespace)
        if there is None:
            await lift_leftover(yard, action, namespace)
            return
        if action not in ACTIONS:
            return
        if mark is not None:
            hold = await self._cluster.get(HOLDS, mark.hold, namespace)
            if hold is not None and hold["metadata"]["uid"] == mark.uid:
                return
            target = Target(subject_of(namespace), there.uid, action)
            await outcome.site.note(formerly(target, "Vetoed", mark.claims, outcome.site.now))
            await remember(yard.board, namespace, vetoes_of(action, mark.claims))
        await lift_leftover(yard, action, namespace)
        said = f"Its Hold was deleted: the {action} of the namespace is lifted."
        outcome.acts.append(
            Act(
                subject_of(namespace),
                EventReason.NAMESPACE_RELEASED,
                said,
                uid=there.uid,
                formerly=() if mark is None else mark.claims,
                action="Freeze" if action == "Freeze" else "Block",
            )
        )

    async def _respect_withdrawn(self, outcome: Outcome, yard: Yard, objects: Sequence[Json]) -> None:
        """A Hold that a person deleted before anything was raised for it left no mark: it is vetoed now."""
        listed = {obj["metadata"]["uid"] for obj in objects}

        async def respect(hold: Hold) -> None:
            found = await self._cluster.get(HOLDS, hold.name, hold.namespace)
            if found is None or found["metadata"]["uid"] != hold.uid:
                vetoes = vetoes_of(hold.spec.action, hold.spec.claims)
                await remember(yard.board, hold.spec.target_ref.name, vetoes)

        for hold in self._waiting:
            if hold.uid not in listed:
                await outcome.guard(subject_of(hold.spec.target_ref.name), respect(hold))


async def _written(
    outcome: Outcome, fences: Sequence[Fence], budgets: Mapping[str, Claimant]
) -> tuple[list[Fence], list[Hold]]:
    """What may be done once it is written down, and the Holds of what may not."""
    intents = [of_fence(fence, budgets, outcome.site.now) for fence in fences]
    error = await outcome.written(intents)
    if error is None:
        return list(fences), []
    written, kept = [], []
    for fence, intent in zip(fences, intents, strict=True):
        if not intent.stops:
            written.append(fence)
            continue
        outcome.fail(fence.subject, error.message, fence.claims)
        if fence.hold is not None:
            kept.append(fence.hold)
    return written, kept


Lift = tuple[Workload, Callable[[], Coroutine[Any, Any, list[Act]]]]


def lifts(site: Site, fences: Sequence[Json]) -> list[Lift]:
    """Everything to be done to lift every fence, with or without a Hold (`fences`), in its order."""
    nowhere = subject_of(site.operator_namespace)
    return [
        *(
            (subject_of(obj["metadata"]["namespace"]), partial(_lift_held, site, obj))
            for obj in sorted(fences, key=lambda obj: ACTIONS.index(obj["spec"]["action"]), reverse=True)
        ),
        (nowhere, partial(_lift_keys, site)),
        (nowhere, partial(_lift_quotas, site)),
    ]


async def _lift_held(site: Site, obj: Json) -> list[Act]:
    metadata, told = obj["metadata"], list[Act]()
    fresh = await site.cluster.get(HOLDS, metadata["name"], metadata["namespace"])
    if fresh is not None:
        hold = Hold.read(fresh)
        action: FenceAction = "Freeze" if hold.spec.action == "Freeze" else "Block"
        fence = Fence(action, place_of(hold), hold, (), vetoes=vetoes_in(hold))
        await bring_further(Yard(site, await Board.read(site), {}), fence, told)
    return told


async def _lift_keys(site: Site) -> list[Act]:
    yard = Yard(site, await Board.read(site), {})
    blocked = [name for name, vetoes in map(namespace_of, yard.board.data) if not vetoes]
    return [act for name in blocked for act in await _lift_left(yard, "Block", name)]


async def _lift_quotas(site: Site) -> list[Act]:
    yard = Yard(site, Board(site, None), {})
    frozen = [quota["metadata"]["namespace"] for quota in await quotas(site.cluster)]
    return [act for name in frozen for act in await _lift_left(yard, "Freeze", name)]


async def _lift_left(yard: Yard, action: str, namespace: str) -> list[Act]:
    if not await lift_leftover(yard, action, namespace):
        return []
    said = f"The {action} of the namespace is lifted; its Hold was gone."
    return [Act(subject_of(namespace), EventReason.NAMESPACE_RELEASED, said)]


async def place(cluster: Port, name: str) -> Place | None:
    """The namespace as it is now; None where it is gone, or going: nothing new can be made there."""
    obj = await cluster.get(NAMESPACES, name)
    if obj is None or "deletionTimestamp" in obj["metadata"]:
        return None
    metadata: Mapping[str, Mapping[str, str]] = obj["metadata"]
    return Place(
        name, obj["metadata"]["uid"], metadata.get("labels") or {}, metadata.get("annotations") or {}
    )


async def _told(yard: Yard, fence: Fence, told: list[Act]) -> tuple[Hold | None]:
    return (await bring_further(yard, fence, told),)
