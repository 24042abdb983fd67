"""One Hold's steps on the cluster: each is safe to repeat, and none is written on a guess.

The original reaches the Hold before the workload is touched, and the marks leave the workload before the Hold
does. A crash between any two writes is therefore found by `hold.next_step` when it looks again: this module
remembers nothing from one cycle to the next.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from aibudget.api.conditions import (
    ConditionType,
    EventReason,
    Reason,
    Status,
    drop_condition,
    find_condition,
)
from aibudget.api.hold import Hold, HoldStatus
from aibudget.api.names import (
    AUTOSCALER_ANNOTATION,
    HOLD_LABEL,
    ORIGINAL_ANNOTATION,
    REASON_ANNOTATION,
    REVERTS_ANNOTATION,
)
from aibudget.enforcement import hold as holds
from aibudget.enforcement import record, words
from aibudget.enforcement.claims import standing_of, wants
from aibudget.enforcement.edits import edit, put_back, put_stopped, told
from aibudget.enforcement.hold import Step
from aibudget.enforcement.live import Budgeted, Live, mark_of, stop_of
from aibudget.enforcement.notice import Act, create, decided, remember_vetoes
from aibudget.enforcement.port import FOLLOWED, Site, disown, fitted, look, write
from aibudget.enforcement.sparing import unfit
from aibudget.enforcement.wish import Wish
from aibudget.errors import Conflict, Stalled
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import HOLDS

_ALLOWANCE: Final = timedelta(seconds=60)
_MOST_STEPS: Final = 5
_CENT: Final = Decimal("0.01")
NO_MARKS: Final = {ORIGINAL_ANNOTATION: None, REASON_ANNOTATION: None}


async def carry_out(
    site: Site, wish: Wish, told: list[Act], is_due: Callable[[Live], bool] = lambda _: True
) -> Hold | None:
    """Bring one Hold as far as it goes now; gives it as it is then, None if it is gone.

    What was done is added to `told`, also where a later step fails. `is_due` is asked about the workload as
    it is right before an act that the plan calls due. Whoever writes in between (controllers do so whenever a
    pod changes) makes us look again, a few times.
    """
    hold = wish.hold or await create(site, wish, told)
    if (why := holds.invalid(hold)) is not None:
        raise Stalled("InvalidHold", f"Hold {hold.namespace}/{hold.name}: {why}. Delete it.")
    for pause in FOLLOWED:
        try:
            return await _bring_further(site, replace(wish, hold=hold), is_due, told)
        except Conflict:
            if pause is None:
                raise
            await asyncio.sleep(pause)
            again = await site.cluster.get(HOLDS, hold.name, hold.namespace)
            if again is None or again["metadata"]["uid"] != hold.uid:
                raise
            fresh = Hold.read(again)
            # A person may have decided about a claim meanwhile: that is planned anew.
            if fresh.spec.claims not in (hold.spec.claims, wish.claims, ()):
                raise
            hold, wish = fresh, replace(wish, live=None)
    raise AssertionError("the last attempt returns or raises")


async def _bring_further(
    site: Site, wish: Wish, is_due: Callable[[Live], bool], told: list[Act]
) -> Hold | None:
    hold = wish.hold
    assert hold is not None, "it was created before"
    live = wish.live if _is_at_rest(wish) else await look(site.cluster, wish.workload)
    if live is not None and live.uid == hold.spec.target_ref.uid:
        live = await remember_vetoes(site, live, wish.vetoes, told)
    before, hold = hold.spec.claims, await record.claim(site, hold, wish.claims)
    told += decided(wish.workload, hold, before)
    mark = None if live is None else mark_of(live)
    after = _Progress(site, wish, hold, live, told, mark.claims if mark else ())
    may_act = wish.due and live is not None and is_due(live)
    new = find_condition(hold.status.conditions, ConditionType.APPLIED) is None
    if wish.wanted and not may_act and (new or not (wish.due or hold.spec.original)):
        reason, why = standing_of(hold.spec.claims)
        await after.pending(wish.waits or why, reason)
    if wish.wanted and holds.is_true(hold, ConditionType.RELEASING):
        await after.stay()
    for _ in range(_MOST_STEPS):
        wanted = wants(wish.claims, acted=bool(after.hold.spec.original))
        step = holds.next_step(after.hold, after.live, wanted=wanted, may_act=may_act)
        if step is Step.WAIT or not await after.take(step):
            break
        if after.deleted:
            return None
    return after.hold


def _is_at_rest(wish: Wish) -> bool:
    """Whether it is held and stays so: what this cycle has read of it is enough, and every write tests it."""
    held = wish.hold is not None and holds.is_true(wish.hold, ConditionType.APPLIED)
    return held and wish.wanted and wish.live is not None and wish.live.stopped


@dataclass(slots=True)
class _Progress:
    """One Hold while its steps are taken; nothing of it outlives the cycle."""

    site: Site
    wish: Wish
    hold: Hold
    live: Live | None
    told: list[Act]
    marked: tuple[Budgeted, ...] = ()
    deleted: bool = False

    async def take(self, step: Step) -> bool:
        """Take the step; False if no further step can follow now."""
        match step:
            case Step.ACT:
                return await self._act()
            case Step.CHECK:
                await self._check()
                return False
            case Step.YIELD:
                await self._yield()
                return False
            case Step.COUNT:
                await self._count()
            case Step.CONTEST:
                await self._contest()
            case Step.SUPERSEDE:
                await self._supersede()
                return False
            case Step.RESTORE:
                await self._restore()
            case Step.LEAVE:
                await self._leave()
            case Step.DISOWN:
                await self._disown()
                return await self._end()
            case _:
                return await self._end()
        return True

    async def _act(self) -> bool:
        live = self._alive()
        due = [claim for claim in self.hold.spec.claims if claim.uid in self.wish.due_for]
        heard = all(claim.kind == "AIBudget" for claim in due)
        if (why := unfit(live, heard=heard)) is not None:
            await self.pending(why[1])
            return False
        if not self.site.pods_of(live) and not self.wish.proven:
            await self.pending("the API server shows no running pod of it that holds an accelerator")
            return False
        await self.site.check_may_act()
        autoscaler = await self.site.autoscaler_of(live)
        self.hold = await record.original(self.site.cluster, self.hold, live)
        if autoscaler is not None:
            note = {AUTOSCALER_ANNOTATION: str(autoscaler)}
            self.hold = await record.annotate(self.site.cluster, self.hold, note)
        await self.site.check_may_act()
        labels, annotations = holds.marks(self.hold)
        await self._write([*put_stopped(live), *edit(live, labels, annotations)])
        return True

    async def _count(self) -> None:
        live = self._alive()
        message = f"{words.managers(live)} set {stop_of(live).path} to {live.value} while it was held."
        self.site.check_lease()
        count = {REVERTS_ANNOTATION: str(holds.reverts_of(self.hold) + 1)}
        self.hold = await record.annotate(self.site.cluster, self.hold, count)
        status = self._with(ConditionType.APPLIED, "False", Reason.PENDING, message)
        calm = drop_condition(status.conditions, ConditionType.EFFECTIVE)
        await self._say(status.model_copy(update={"conditions": calm}))
        self._tell(EventReason.ENFORCEMENT_REVERTED, message)

    async def _check(self) -> None:
        live = self._alive()
        labels, annotations = holds.marks(self.hold)
        if any(live.labels.get(k) != v for k, v in labels.items()) or any(
            live.annotations.get(k) != v for k, v in annotations.items()
        ):
            self.site.check_lease()
            await self._write(edit(live, labels, annotations))
        status = self._with(ConditionType.APPLIED, "True", Reason.HELD, words.held(self.hold))
        if not holds.is_true(self.hold, ConditionType.APPLIED):
            self._tell(EventReason.WORKLOAD_SCALED_DOWN, words.done(self.hold))
            pods = self.site.pods.of(live.uid) if self.site.pods is not None else ()
            update = {
                "enforced_time": self.site.now,
                "accelerator_pods": len(pods) or None,
                "accelerators": sum(pod.accelerators for pod in pods) or None,
            }
            status = status.model_copy(update=update)
        if not holds.is_true(self.hold, ConditionType.EFFECTIVE) and self.site.pods is not None:
            status = self._effect(status)
        await self._say(status)

    def _effect(self, status: HoldStatus) -> HoldStatus:
        pods = self.site.pods_of(self._alive())
        if not pods:
            calm = drop_condition(status.conditions, ConditionType.INEFFECTIVE)
            status = status.model_copy(update={"conditions": calm})
            return self._with(
                ConditionType.EFFECTIVE, "True", Reason.PODS_GONE, "No accelerator pod is left.", status
            )
        message = f"{len(pods)} accelerator pods are not gone yet."
        status = self._with(ConditionType.EFFECTIVE, "False", Reason.PODS_RUNNING, message, status)
        ending = max(pod.grace for pod in pods)
        since = status.enforced_time or self.site.now
        if self.site.now < since + timedelta(seconds=ending) + _ALLOWANCE:
            return status
        if not holds.is_true(self.hold, ConditionType.INEFFECTIVE):
            self._tell(EventReason.ENFORCEMENT_INEFFECTIVE, f"{message} Look at their finalizers and nodes.")
        return self._with(ConditionType.INEFFECTIVE, "True", Reason.PODS_REMAIN, message, status)

    async def _yield(self) -> None:
        live = self._alive()
        who = words.managers(live)
        await self._clear_marks()
        if not holds.is_true(self.hold, ConditionType.CONTESTED):
            message = f"{who} has set the present value; it is left so."
            self._tell(EventReason.WORKLOAD_LEFT_ALONE, message)
            await self.pending(message)

    async def _contest(self) -> None:
        message = f"{words.managers(self._alive())} has put it back again and again; acting stops."
        status = self._with(ConditionType.APPLIED, "False", Reason.REVERTED_BY_OTHER, message)
        calm = drop_condition(
            drop_condition(status.conditions, ConditionType.EFFECTIVE), ConditionType.INEFFECTIVE
        )
        status = status.model_copy(update={"conditions": calm})
        self.site.check_lease()
        await self._say(
            self._with(ConditionType.CONTESTED, "True", Reason.REVERTED_BY_OTHER, message, status)
        )
        self._tell(EventReason.ENFORCEMENT_CONTESTED, message)

    async def _supersede(self) -> None:
        live = self._alive()
        await self._clear_marks()
        # The name is the mutex, so the old one has to go first: a crash in between costs a new notice, and
        # never an original.
        await self._delete()
        await self._begin_anew(live, {REVERTS_ANNOTATION: str(holds.reverts_of(self.hold))})

    async def _restore(self) -> None:
        original = holds.original_of(self.hold)
        assert original is not None, "only what has an original is restored"
        self.site.check_lease()
        live = self._alive()
        stop = stop_of(live)
        value, fitting = await fitted(self.site, live, original[0])
        await self._write([put_back(stop, value), *edit(live, {HOLD_LABEL: None}, NO_MARKS)])
        self._tell(EventReason.WORKLOAD_RESTORED, f"{told(stop, value)}{fitting}")

    async def _leave(self) -> None:
        who = words.managers(self._alive())
        await self._clear_marks()
        self._tell(EventReason.WORKLOAD_LEFT_ALONE, f"{who} has changed it; nothing is put back.")

    async def _clear_marks(self) -> None:
        operations = edit(self._alive(), {HOLD_LABEL: None}, NO_MARKS)
        if operations:
            self.site.check_lease()
            await self._write(operations)

    async def _disown(self) -> None:
        self.site.check_lease()
        await disown(self.site.cluster, self._alive())

    async def _delete(self) -> None:
        self.site.check_lease()
        # Emptied first: a Hold that is found gone with claims was deleted by a person.
        self.hold = await record.claim(self.site, self.hold, ())
        await self.site.cluster.delete(HOLDS, self.hold.name, self.hold.namespace, uid=self.hold.uid)
        self.deleted = True

    async def _end(self) -> bool:
        live = self.live
        if self.wish.lingers and live is not None:
            message = "It is given back; its pods are not all ready yet."
            status = self._with(ConditionType.APPLIED, "False", Reason.RELEASING, message)
            await self._say(self._with(ConditionType.RELEASING, "True", Reason.RELEASING, message, status))
            return False
        await self._delete()
        if (withdrawn := self.wish.withdrawn) and live is not None:
            message = "Its notice ends without a stop: no budget asks for it any more."
            self.told.append(
                Act(live.workload, EventReason.SCALE_DOWN_WITHDRAWN, message, withdrawn, live.uid)
            )
        if self.wish.claims and live is not None and live.uid == self.hold.spec.target_ref.uid:
            # Given back, since nobody has approved what is left of the claims: they wait on a new Hold.
            await self._begin_anew(live, {})
        return True

    async def _begin_anew(self, live: Live, annotations: dict[str, str]) -> None:
        fresh = holds.body(live, self.wish.claims)
        fresh["metadata"]["annotations"] = annotations
        await self.site.check_may_act()
        self.hold = Hold.read(await self.site.cluster.create(HOLDS, fresh, live.workload.namespace))
        self.deleted = False

    async def stay(self) -> None:
        """It was on its way back, and a budget wants it again."""
        calm = drop_condition(self.hold.status.conditions, ConditionType.RELEASING)
        await self._say(self.hold.status.model_copy(update={"conditions": calm}))
        if not holds.is_true(self.hold, ConditionType.APPLIED):
            reason, why = standing_of(self.hold.spec.claims)
            await self.pending(self.wish.waits or why, reason)

    async def pending(self, message: str, reason: Reason = Reason.PENDING) -> None:
        """Say that nothing is written to the workload, and why."""
        await self._say(self._with(ConditionType.APPLIED, "False", reason, message))

    async def _write(self, operations: Sequence[Json]) -> None:
        self.live = await write(self.site.cluster, self._alive(), operations)

    def _with(
        self,
        kind: ConditionType,
        status: Status,
        reason: Reason,
        message: str,
        base: HoldStatus | None = None,
    ) -> HoldStatus:
        return holds.stated(self.hold, (kind, status, reason, message), self.site.now, base)

    async def _say(self, status: HoldStatus) -> None:
        if status.avoided_cost_per_hour is None and self.wish.rate_per_hour:
            rate = self.wish.rate_per_hour.quantize(_CENT)
            status = status.model_copy(update={"avoided_cost_per_hour": rate})
        self.hold = await record.status(self.site.cluster, self.hold, status)

    def _alive(self) -> Live:
        assert self.live is not None, "without a workload the only step is to delete the Hold"
        return self.live

    def _tell(self, reason: EventReason, message: str) -> None:
        claims = holds.approved(self.hold) or self.hold.spec.claims
        uid, former = self.hold.spec.target_ref.uid, () if claims else self.marked
        self.told.append(
            Act(self.wish.workload, reason, message, claims, uid, formerly=former, hold=self.hold.uid)
        )
