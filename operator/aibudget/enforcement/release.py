"""Giving everything back with no operator: what `aibudget release --all` does.

The kill switch is set first, so that an operator that still runs stops nothing anew. Then every Block and
Freeze is lifted, and every marked workload is put back by its Hold, or by its own annotation where the Hold
is gone. One that fails keeps nobody; a kind that cannot be listed is told, and the others go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from aibudget.api.conditions import EventReason
from aibudget.api.hold import Hold
from aibudget.api.names import HOLD_LABEL, KILL_SWITCH
from aibudget.enforcement.act import carry_out
from aibudget.enforcement.hold import vetoes_in, workload_of
from aibudget.enforcement.kinds import KINDS, Kind
from aibudget.enforcement.live import Live, read
from aibudget.enforcement.notice import Act
from aibudget.enforcement.orphan import let_go
from aibudget.enforcement.outcome import each
from aibudget.enforcement.perimeter import apart, lifts
from aibudget.enforcement.pods import read_pods
from aibudget.enforcement.port import FOLLOWED, Port, Site, look
from aibudget.enforcement.rails import pods_of
from aibudget.enforcement.wish import Wish
from aibudget.errors import AIBudgetError, Conflict, InvalidManifest
from aibudget.inventory.kubernetes import AlreadyExists, Json, NotServed
from aibudget.inventory.resource import CONFIG_MAPS, HOLDS
from aibudget.inventory.workload import Workload

_POLL_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Manner:
    """How everything is given back: `wave` workloads at a time, all at once if None.

    A wave waits until the pods of the one before are ready, `ready_seconds` at most. `tell` hears of each act
    as it is done. `owner` is a reference to what the kill switch goes with, None if it stays.
    """

    wave: int | None = None
    ready_seconds: float = 120.0
    tell: Callable[[Act], None] = lambda _: None
    owner: Json | None = None
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


AT_ONCE: Final = Manner()


async def release_all(
    cluster: Port, operator_namespace: str, now: datetime, manner: Manner = AT_ONCE
) -> list[Act]:
    """Put back everything that is held in the cluster; one `Act` for each, failures included.

    Raises `AIBudgetError` if the kill switch cannot be set or the Holds cannot be listed: then nothing was
    done.
    """
    await set_kill_switch(cluster, operator_namespace, manner.owner)
    site = Site(cluster, operator_namespace, lambda: True, now)
    told: list[Act] = []
    # Fences first, or what is put back would find its pods refused.
    fences, objects = apart(await _holds(cluster))
    for subject, work in lifts(site, fences):
        told += _say(await _attempt(subject, work), manner)
    size = manner.wave or len(objects) or 1
    for start in range(0, len(objects), size):
        wave = objects[start : start + size]
        for acts in await each(wave, lambda obj: _attempt(_target(obj), partial(_release, site, obj))):
            told += _say(acts, manner)
        if start + size < len(objects):
            await _await_ready(cluster, wave, manner)
    for kind in (kind for kind in KINDS.values() if kind.stop is not None):
        told += _say(await _attempt(Workload("", kind.name, ""), partial(_sweep, site, kind)), manner)
    return told


async def set_kill_switch(cluster: Port, operator_namespace: str, owner: Json | None = None) -> None:
    """Stop all new acts until somebody deletes the ConfigMap, or its owner. Safe to repeat."""
    data = {"enabled": "true"}
    metadata: Json = {"name": KILL_SWITCH, "namespace": operator_namespace}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    try:
        await cluster.create(CONFIG_MAPS, {"metadata": metadata, "data": data}, operator_namespace)
    except AlreadyExists:
        await cluster.patch(CONFIG_MAPS, KILL_SWITCH, {"data": data}, operator_namespace)


async def _holds(cluster: Port) -> list[Json]:
    try:
        return await cluster.list(HOLDS)
    except NotServed:
        return []  # the CRDs are uninstalled; the annotations know enough


async def _sweep(site: Site, kind: Kind) -> list[Act]:
    """What no Hold speaks of, but its own marks do."""
    lives = [read(obj) for obj in await site.cluster.list(kind.resource, labels=HOLD_LABEL)]
    several = await each(lives, lambda live: _attempt(live.workload, partial(_let_go, site, live)))
    return [act for acts in several for act in acts]


async def _release(site: Site, obj: Json) -> list[Act]:
    metadata = obj["metadata"]
    fresh = await site.cluster.get(HOLDS, metadata["name"], metadata["namespace"])
    if fresh is None:
        return []
    hold = Hold.read(fresh)
    told: list[Act] = []
    await carry_out(site, Wish(workload_of(hold), hold, None, (), vetoes=vetoes_in(hold)), told)
    return told


async def _let_go(site: Site, seen: Live) -> list[Act]:
    live = await look(site.cluster, seen.workload)
    if live is None or live.hold_label is None:
        return []
    return [await let_go(site, live, veto=False)]


async def _attempt(workload: Workload, work: Callable[[], Coroutine[Any, Any, list[Act]]]) -> list[Act]:
    """There is no next cycle here: whoever wrote in between is followed a few times."""
    for pause in FOLLOWED:
        try:
            return await work()
        except Conflict as error:
            if pause is None:
                return [Act(workload, EventReason.ENFORCEMENT_FAILED, error.message)]
            await asyncio.sleep(pause)
        except AIBudgetError as error:
            return [Act(workload, EventReason.ENFORCEMENT_FAILED, error.message)]
    raise AssertionError("the last attempt returns")


async def _await_ready(cluster: Port, wave: Sequence[Json], manner: Manner) -> None:
    expected = {hold.spec.target_ref.uid: pods_of(hold) for hold in _readable(wave) if hold.spec.original}
    for _ in range(int(manner.ready_seconds / _POLL_SECONDS)):
        pods = await read_pods(cluster)
        if all(sum(pod.ready for pod in pods.of(uid)) >= number for uid, number in expected.items()):
            return
        await manner.sleep(_POLL_SECONDS)


def _readable(objects: Sequence[Json]) -> list[Hold]:
    found = []
    for obj in objects:
        try:
            found.append(Hold.read(obj))
        except InvalidManifest:
            continue  # told where it was to be given back
    return found


def _say(acts: list[Act], manner: Manner) -> list[Act]:
    for act in acts:
        manner.tell(act)
    return acts


def _target(obj: Json) -> Workload:
    spec = obj.get("spec") or {}
    target = spec.get("targetRef") or {}
    metadata = obj["metadata"]
    return Workload(metadata["namespace"], target.get("kind", "Hold"), target.get("name", metadata["name"]))
