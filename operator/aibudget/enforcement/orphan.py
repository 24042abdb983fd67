"""Workloads whose Hold is gone: given back by what their own marks say, since a person has deleted the Hold.

The operator itself takes the marks off before it deletes a Hold: marks without one are a person's wish.
"""

import asyncio

from aibudget.api.conditions import EventReason
from aibudget.api.names import HOLD_LABEL
from aibudget.enforcement.act import NO_MARKS
from aibudget.enforcement.edits import edit, put_back, told
from aibudget.enforcement.hold import hold_name
from aibudget.enforcement.live import Live, mark_of, stop_of, vetoed
from aibudget.enforcement.notice import Act
from aibudget.enforcement.port import FOLLOWED, Site, disown, fitted, look, write
from aibudget.errors import Conflict
from aibudget.inventory.kubernetes import Json


async def let_go(site: Site, live: Live, *, veto: bool) -> Act:
    """Release a marked workload whose Hold is gone, by what its own marks say; `veto` remembers who asked.

    Controllers that write in between are followed, a few times.
    """
    for pause in FOLLOWED:
        try:
            after, act = await _give_back(site, live, veto=veto)
        except Conflict:
            if pause is None:
                raise
            await asyncio.sleep(pause)
            again = await look(site.cluster, live.workload)
            if again is None or again.uid != live.uid or again.hold_label is None:
                raise
            live = again
        else:
            await _disown(site, after)
            return act
    raise AssertionError("the last attempt returns or raises")


async def _disown(site: Site, live: Live) -> None:
    for pause in FOLLOWED:
        if not live.owned:
            return
        site.check_lease()
        try:
            await disown(site.cluster, live)
        except Conflict:
            if pause is None:
                raise
            await asyncio.sleep(pause)
            again = await look(site.cluster, live.workload)
            if again is None:
                raise
            live = again
        else:
            return


async def _give_back(site: Site, live: Live, *, veto: bool) -> tuple[Live, Act]:
    mark = mark_of(live)
    fits = live.hold_label == hold_name(live.kind, live.workload.name, live.uid)
    back = mark is not None and fits and live.stopped and not live.taken_from_us
    labels: dict[str, str | None] = {HOLD_LABEL: None}
    if veto and mark is not None and fits:
        labels |= vetoed({(c.uid, c.period_id) for c in mark.claims if c.kind == "AIBudget"})
    operations = edit(live, labels, NO_MARKS)
    fitting, value = "", None
    if back and mark is not None:
        value, fitting = await fitted(site, live, mark.original)
        operations.insert(0, put_back(stop_of(live), value))
    site.check_lease()
    after = await write(site.cluster, live, operations)
    if back and mark is not None:
        message = f"Its Hold was deleted. {told(stop_of(live), value)}{fitting}"
        return after, Act(live.workload, EventReason.WORKLOAD_RESTORED, message, uid=live.uid)
    was = f" It was {mark.original} before it was held." if mark is not None and mark.original else ""
    message = f"Its Hold is gone and it was changed since: nothing is put back.{was}"
    return after, Act(live.workload, EventReason.WORKLOAD_LEFT_ALONE, message, uid=live.uid)


def is_orphan(live: Live, hold: Json | None) -> bool:
    """Whether the Hold of that name (None: there is none) is not the one that stopped this workload."""
    if hold is None:
        return True
    spec = hold.get("spec") or {}
    if (spec.get("targetRef") or {}).get("uid") != live.uid:
        return True
    mark = mark_of(live)
    began = bool(spec.get("original"))
    return not began and mark is not None and mark.hold_uid != hold["metadata"]["uid"]
