"""One fence's steps on the cluster: a Freeze's or a Block's, in the same order for both.

The Hold is written before the fence and deleted after it, so that a fence without a Hold is one whose Hold a
person has deleted: that is a veto. Every step is safe to repeat; what was interrupted is found by looking
again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from aibudget.api.conditions import (
    ConditionType,
    EventReason,
    Reason,
    Status,
    drop_condition,
    find_condition,
)
from aibudget.api.hold import Hold, HoldStatus
from aibudget.api.names import API_VERSION, FREEZE_QUOTA, HOLD_LABEL, REVERTS_ANNOTATION
from aibudget.enforcement import record
from aibudget.enforcement.block import Block, Board
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.claims import standing_of, wants
from aibudget.enforcement.fences import Fence, Sight, Step, Veto, fence_name, next_step
from aibudget.enforcement.freeze import Effect, Freeze, remove
from aibudget.enforcement.hold import approved, claims_json, is_true, reverts_of, stated
from aibudget.enforcement.live import Budgeted
from aibudget.enforcement.notice import Act, decided
from aibudget.enforcement.placard import invalid, veto_key, vetoes_of, with_vetoes, words
from aibudget.enforcement.port import FOLLOWED, Site
from aibudget.errors import Conflict, Stalled
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import HOLDS, NAMESPACES, RESOURCE_QUOTAS

_MOST_STEPS: Final = 5
_RAISED: Final = {
    "Freeze": EventReason.NAMESPACE_FROZEN,
    "Block": EventReason.NAMESPACE_BLOCKED,
}


class Barrier(Protocol):
    """A Freeze or a Block on one namespace."""

    async def see(self, hold: Hold) -> Sight: ...

    async def put_up(self, hold: Hold) -> None: ...

    async def keep_up(self, hold: Hold) -> Hold: ...

    async def effect(self) -> Effect: ...

    async def take_down(self, hold: Hold) -> None: ...


@dataclass(frozen=True, slots=True)
class Yard:
    """What fences are worked on with: where, the ConfigMap, and the budgets known now, by uid."""

    site: Site
    board: Board
    claimants: Mapping[str, Claimant]

    def barrier(self, fence: Fence) -> Barrier:
        """The one that this fence is about."""
        if fence.action == "Freeze":
            return Freeze(self.site, fence)
        return Block(self.site, fence, self.board, self.claimants)


async def bring_further(yard: Yard, fence: Fence, told: list[Act]) -> Hold | None:
    """Bring one fence as far as it goes now; its Hold as it is then, None if that is gone.

    What was done is added to `told`, also where a later step fails.
    """
    hold = fence.hold or await _create(yard.site, fence, told)
    if (why := invalid(hold)) is not None:
        raise Stalled("InvalidHold", f"Hold {hold.namespace}/{hold.name}: {why}. Delete it.")
    for pause in FOLLOWED:
        try:
            return await _steps(yard, replace(fence, hold=hold), told)
        except Conflict:
            if pause is None:
                raise
            await asyncio.sleep(pause)
            again = await yard.site.cluster.get(HOLDS, hold.name, hold.namespace)
            if again is None or again["metadata"]["uid"] != hold.uid:
                raise
            fresh = Hold.read(again)
            # A person may have decided about a claim meanwhile: that is planned anew.
            if fresh.spec.claims not in (hold.spec.claims, fence.claims, ()):
                raise
            hold = fresh
    raise AssertionError("the last attempt returns or raises")


async def _steps(yard: Yard, fence: Fence, told: list[Act]) -> Hold | None:
    hold = fence.hold
    assert hold is not None, "it was created before"
    await remember(yard.board, fence.place.name, vetoes_of(fence.action, fence.vetoes))
    before, hold = hold.spec.claims, await record.claim(yard.site, hold, fence.claims)
    told += decided(fence.subject, hold, before)
    until_now = tuple(Budgeted(claim.kind, claim.uid, claim.period_id) for claim in before)
    after = _Progress(yard, fence, hold, yard.barrier(fence), told, until_now)
    new = find_condition(hold.status.conditions, ConditionType.APPLIED) is None
    if fence.wanted and not fence.due and (new or not hold.spec.original):
        await after.pending(*standing_of(hold.spec.claims))
    for _ in range(_MOST_STEPS):
        wanted = wants(fence.claims, acted=bool(after.hold.spec.original))
        sight = await after.barrier.see(after.hold)
        step = next_step(after.hold, sight, wanted=wanted, may_act=fence.due)
        if step is Step.WAIT or not await after.take(step):
            break
        if after.deleted:
            return None
    return after.hold


async def remember(board: Board, namespace: str, vetoes: frozenset[Veto]) -> None:
    """Keep in mind what is vetoed in a namespace, unless it is known already."""
    key = veto_key(namespace)
    if vetoes and with_vetoes(board.data.get(key), vetoes) != board.data.get(key):
        await board.edit(key, lambda present: with_vetoes(present, vetoes))


@dataclass(slots=True)
class _Progress:
    """One fence while its steps are taken; nothing of it outlives the cycle."""

    yard: Yard
    fence: Fence
    hold: Hold
    barrier: Barrier
    told: list[Act]
    until_now: tuple[Budgeted, ...]
    deleted: bool = False

    async def take(self, step: Step) -> bool:
        """Take the step; False if no further step can follow now."""
        match step:
            case Step.RAISE:
                await self.barrier.put_up(self.hold)
            case Step.CHECK:
                await self._check()
                return False
            case Step.COUNT:
                await self._count()
            case Step.CONTEST:
                await self._contest()
                return False
            case Step.LIFT:
                await self._lift()
            case _:
                await self._end()
        return True

    async def _check(self) -> None:
        self.hold = await self.barrier.keep_up(self.hold)
        said = words(self.fence, self.hold)
        status = self._with(ConditionType.APPLIED, "True", Reason.HELD, said)
        if not is_true(self.hold, ConditionType.APPLIED):
            self._tell(_RAISED[self.fence.action], said)
            status = status.model_copy(update={"enforced_time": self.yard.site.now})
        holds, reason, message = await self.barrier.effect()
        state: Status = "True" if holds else "False"
        await self._say(self._with(ConditionType.EFFECTIVE, state, reason, message, status))

    async def _count(self) -> None:
        message = f"Somebody has taken the {self.fence.action} away, or changed it."
        self.yard.site.check_lease()
        count = {REVERTS_ANNOTATION: str(reverts_of(self.hold) + 1)}
        self.hold = await record.annotate(self.yard.site.cluster, self.hold, count)
        status = self._with(ConditionType.APPLIED, "False", Reason.PENDING, message)
        calm = drop_condition(status.conditions, ConditionType.EFFECTIVE)
        await self._say(status.model_copy(update={"conditions": calm}))
        self._tell(EventReason.ENFORCEMENT_REVERTED, message)

    async def _contest(self) -> None:
        message = f"The {self.fence.action} was taken away again and again; acting stops."
        status = self._with(ConditionType.APPLIED, "False", Reason.REVERTED_BY_OTHER, message)
        await self._say(
            self._with(ConditionType.CONTESTED, "True", Reason.REVERTED_BY_OTHER, message, status)
        )
        self._tell(EventReason.ENFORCEMENT_CONTESTED, message)

    async def _lift(self) -> None:
        await self.barrier.take_down(self.hold)
        said = f"The {self.fence.action} of the namespace is lifted."
        uid = self.fence.place.uid
        subject, action = self.fence.subject, self.fence.action
        reason = EventReason.NAMESPACE_RELEASED
        self.told.append(Act(subject, reason, said, uid=uid, formerly=self.until_now, action=action))

    async def _end(self) -> None:
        site, hold = self.yard.site, self.hold
        site.check_lease()
        # Emptied first: a Hold that is found gone with claims was deleted by a person.
        self.hold = await record.claim(site, hold, ())
        await site.cluster.delete(HOLDS, hold.name, hold.namespace, uid=hold.uid)
        self.deleted = True
        if self.fence.claims:
            # Lifted, since nobody has approved what is left of the claims: they wait on a new Hold.
            self.hold = await _create(site, self.fence, self.told)
            self.deleted = False

    async def pending(self, reason: Reason, message: str) -> None:
        """Say that nothing is done to the namespace, and why."""
        await self._say(self._with(ConditionType.APPLIED, "False", reason, message))

    def _with(
        self,
        kind: ConditionType,
        status: Status,
        reason: Reason,
        message: str,
        base: HoldStatus | None = None,
    ) -> HoldStatus:
        return stated(self.hold, (kind, status, reason, message), self.yard.site.now, base)

    async def _say(self, status: HoldStatus) -> None:
        self.hold = await record.status(self.yard.site.cluster, self.hold, status)

    def _tell(self, reason: EventReason, message: str) -> None:
        claims = approved(self.hold) or self.hold.spec.claims
        subject, uid, action = self.fence.subject, self.fence.place.uid, self.fence.action
        self.told.append(Act(subject, reason, message, claims, uid, action=action))


async def _create(site: Site, fence: Fence, told: list[Act]) -> Hold:
    await site.check_may_act()
    place = fence.place
    target = {"apiVersion": "v1", "kind": NAMESPACES.kind, "name": place.name, "uid": place.uid}
    body: Json = {
        "apiVersion": API_VERSION,
        "kind": "Hold",
        "metadata": {"name": fence_name(fence.action, place.name, place.uid), "namespace": place.name},
        "spec": {"targetRef": target, "action": fence.action, "claims": claims_json(fence.claims)},
    }
    hold = Hold.read(await site.cluster.create(HOLDS, body, place.name))
    told += decided(fence.subject, hold, approved(hold))
    return hold


async def lift_leftover(yard: Yard, action: str, namespace: str) -> bool:
    """Take away what no Hold stands for: a key of the ConfigMap, or our quota. False if it was gone."""
    if action == "Freeze":
        quota = await yard.site.cluster.get(RESOURCE_QUOTAS, FREEZE_QUOTA, namespace)
        if quota is None or HOLD_LABEL not in (quota["metadata"].get("labels") or {}):
            return False
        yard.site.check_lease()
        await remove(yard.site.cluster, quota)
        return True
    key = namespace if action == "Block" else veto_key(namespace)
    there = key in yard.board.data
    await yard.board.edit(key, lambda _: None)
    return there


def in_turn(fences: Sequence[Fence]) -> list[tuple[Fence, ...]]:
    """The planned fences by what may be worked on together: all of one action that go, or that come."""
    turns: dict[tuple[bool, str], list[Fence]] = {}
    for fence in fences:
        turns.setdefault((fence.wanted, fence.action), []).append(fence)
    return [tuple(some) for some in turns.values()]
