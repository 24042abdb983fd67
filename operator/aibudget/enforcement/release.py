"""Giving everything back with no operator: what `aibudget release --all` does.

The kill switch is set first, so that an operator that still runs stops nothing anew. Then every Block and
Freeze is lifted, and every marked workload is put back by its Hold, or by its own annotation where the Hold
is gone.
"""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, Final

from aibudget.api.conditions import EventReason
from aibudget.api.hold import Hold
from aibudget.api.names import HOLD_LABEL, KILL_SWITCH
from aibudget.enforcement.act import carry_out
from aibudget.enforcement.hold import vetoes_in, workload_of
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.live import Live, read
from aibudget.enforcement.notice import Act
from aibudget.enforcement.orphan import let_go
from aibudget.enforcement.perimeter import apart, lifts
from aibudget.enforcement.port import Port, Site, look
from aibudget.enforcement.wish import Wish
from aibudget.errors import AIBudgetError, Conflict
from aibudget.inventory.kubernetes import AlreadyExists, Json, NotServed
from aibudget.inventory.resource import CONFIG_MAPS, HOLDS
from aibudget.inventory.workload import Workload

_ATTEMPTS: Final = 4


async def release_all(cluster: Port, operator_namespace: str, now: datetime) -> list[Act]:
    """Put back everything that is held in the cluster; one `Act` for each, failures included.

    Raises `AIBudgetError` if the kill switch cannot be set or nothing can be listed: then nothing was done.
    """
    await set_kill_switch(cluster, operator_namespace)
    site = Site(cluster, operator_namespace, lambda: True, now)
    told: list[Act] = []
    # Fences first, or what is put back would find its pods refused.
    fences, others = apart(await _holds(cluster))
    for subject, work in await lifts(site, fences):
        told += await _attempt(subject, work)
    for obj in others:
        workload = _target(obj)
        told += await _attempt(workload, lambda obj=obj: _release(site, obj))  # type: ignore[misc]
    for kind in KINDS.values():
        if kind.stop is None:
            continue
        for live in map(read, await cluster.list(kind.resource, labels=HOLD_LABEL)):
            told += await _attempt(live.workload, lambda live=live: _let_go(site, live))  # type: ignore[misc]
    return told


async def set_kill_switch(cluster: Port, operator_namespace: str) -> None:
    """Stop all new acts until somebody deletes the ConfigMap. Safe to repeat."""
    data = {"enabled": "true"}
    body = {"metadata": {"name": KILL_SWITCH, "namespace": operator_namespace}, "data": data}
    try:
        await cluster.create(CONFIG_MAPS, body, operator_namespace)
    except AlreadyExists:
        await cluster.patch(CONFIG_MAPS, KILL_SWITCH, {"data": data}, operator_namespace)


async def _holds(cluster: Port) -> list[Json]:
    try:
        return await cluster.list(HOLDS)
    except NotServed:
        return []  # the CRDs are uninstalled; the annotations know enough


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
    for last in (*[False] * (_ATTEMPTS - 1), True):
        try:
            return await work()
        except Conflict as error:
            if last:
                return [Act(workload, EventReason.ENFORCEMENT_FAILED, error.message)]
        except AIBudgetError as error:
            return [Act(workload, EventReason.ENFORCEMENT_FAILED, error.message)]
    raise AssertionError("the last attempt returns")


def _target(obj: Json) -> Workload:
    spec = obj.get("spec") or {}
    target = spec.get("targetRef") or {}
    metadata = obj["metadata"]
    return Workload(metadata["namespace"], target.get("kind", "Hold"), target.get("name", metadata["name"]))
