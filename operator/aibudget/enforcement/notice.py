"""Notices: what people are told of a Hold (`Act`), and what is written before and instead of a stop.

A new Hold is the notice itself; a veto is remembered on the workload. The steps of an act are `act.py`'s.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aibudget.api.conditions import EventReason
from aibudget.api.hold import Claim, Hold, HoldAction
from aibudget.enforcement import hold as holds
from aibudget.enforcement import words
from aibudget.enforcement.claims import transitions
from aibudget.enforcement.edits import edit
from aibudget.enforcement.live import Budgeted, Live, vetoed
from aibudget.enforcement.port import Site, write
from aibudget.enforcement.wish import Wish
from aibudget.inventory.resource import HOLDS
from aibudget.inventory.workload import Workload


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happened, or failed to. `formerly` are the budgets of what no claim holds any more.

    `action` is what the Hold does, or did; `hold` is the Hold's uid, where the act was one of its steps.
    """

    workload: Workload
    reason: EventReason
    message: str
    claims: tuple[Claim, ...] = ()
    uid: str = ""
    formerly: tuple[Budgeted, ...] = ()
    action: HoldAction = "ScaleDown"
    hold: str = ""


async def create(site: Site, wish: Wish, told: list[Act]) -> Hold:
    """The Hold, before anything is done: the notice. Whoever creates it first is the one who acts."""
    assert wish.live is not None, "a Hold is planned only for what was read"
    await site.check_may_act()
    created = await site.cluster.create(HOLDS, holds.body(wish.live, wish.claims), wish.workload.namespace)
    hold = Hold.read(created)
    told += decided(wish.workload, hold, holds.approved(hold))
    if not (noticed := holds.approved(hold)):
        return hold
    message = words.notice(hold, noticed, wish.due_at)
    told.append(Act(wish.workload, EventReason.SCALE_DOWN_NOTICE, message, noticed, wish.live.uid))
    return hold


def decided(workload: Workload, hold: Hold, before: Sequence[Claim]) -> Iterator[Act]:
    """What is told of claims that stand otherwise than before, each to its own budget."""
    for reason, claim, said in transitions(before, hold.spec.claims):
        ask = f" {holds.way_to_decide(hold)}" if reason is EventReason.APPROVAL_REQUESTED else ""
        uid, action = hold.spec.target_ref.uid, hold.spec.action
        yield Act(workload, reason, f"{said}{ask}", (claim,), uid, action=action)


async def remember_vetoes(site: Site, live: Live, claims: Sequence[Claim], told: list[Act]) -> Live:
    """Write onto the workload that these claims are vetoed, unless it is there already."""
    labels = vetoed({(claim.uid, claim.period_id) for claim in claims if claim.kind == "AIBudget"})
    if labels.items() <= live.labels.items():
        return live
    site.check_lease()
    after = await write(site.cluster, live, edit(live, labels, {}))
    who = " and ".join(sorted({claim.decided_by for claim in claims if claim.decided_by})) or "A person"
    message = f"{who} vetoed it: it is left alone until the period ends."
    told.append(Act(live.workload, EventReason.HOLD_VETOED, message, tuple(claims), live.uid))
    return after
