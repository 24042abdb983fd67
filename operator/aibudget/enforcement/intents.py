"""What enforcement is about to do and what came of it, as entries of the decision log. Pure.

An entry is of one claim: one budget that asks for something, for a reason of its own. What stops anything is
written before it is done (`Planned`, `Asked`, `Acting`), and so are the release of a claim (`Released`,
`Withdrawn`) and what a person or the clock decided about it; what came of an act follows it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aibudget.api.conditions import ConditionType, EventReason
from aibudget.api.hold import Claim, Hold
from aibudget.budgeting.inputs import inputs
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.claims import is_closed, transitions
from aibudget.enforcement.fences import Fence
from aibudget.enforcement.hold import is_true
from aibudget.enforcement.live import Budgeted
from aibudget.enforcement.notice import Act
from aibudget.enforcement.rails import would_act
from aibudget.enforcement.wish import Wish
from aibudget.inventory.workload import Workload
from aibudget.ledger.decision import Decision, Facts

Claimants = Mapping[str, Claimant]
"""The budgets known now, by uid."""

_DECIDED: Final = {
    EventReason.APPROVAL_REQUESTED: "Asked",
    EventReason.HOLD_APPROVED: "Approved",
    EventReason.HOLD_VETOED: "Vetoed",
    EventReason.APPROVAL_EXPIRED: "Lapsed",
}
CAME_OF_IT: Final = {
    EventReason.WORKLOAD_SCALED_DOWN: "Active",
    EventReason.NAMESPACE_FROZEN: "Active",
    EventReason.NAMESPACE_BLOCKED: "Active",
    EventReason.WORKLOAD_RESTORED: "Restored",
    EventReason.NAMESPACE_RELEASED: "Restored",
    EventReason.WORKLOAD_LEFT_ALONE: "LeftAlone",
    EventReason.HOLD_VETOED: "Vetoed",
    EventReason.ENFORCEMENT_REVERTED: "Reverted",
    EventReason.ENFORCEMENT_CONTESTED: "Contested",
    EventReason.ENFORCEMENT_INEFFECTIVE: "Ineffective",
}
"""How the log calls what came of an act."""
_LATER: Final = {
    "Planned": frozenset({"Approved", "Acting"}),
    "Active": frozenset(
        {"Ineffective", "Contested", "Lapsed", "Vetoed", "Released", "Withdrawn", "Restored", "LeftAlone"}
    ),
}
"""What comes after an event of the same Hold: a cycle that was killed finds the earlier one again."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is held, and how."""

    workload: Workload
    uid: str
    action: str

    @property
    def facts(self) -> Facts:
        """As entries name it."""
        one = self.workload
        return {
            "action": self.action,
            "target": {"kind": one.kind, "namespace": one.namespace, "name": one.name, "uid": self.uid},
        }

    def subject(self, budget: str, period: str) -> str:
        """The part of it that one budget has in one period."""
        return f"hold/{budget}/{period}/{self.action}/{self.uid}"


@dataclass(frozen=True, slots=True)
class Intents:
    """`stops` are those without which nothing may be stopped; `others` hold nothing back."""

    stops: tuple[Decision, ...] = ()
    others: tuple[Decision, ...] = ()


def of_wish(wish: Wish, budgets: Claimants, now: datetime) -> Intents:
    """What is about to be done to a workload."""
    live, hold = wish.live, wish.hold
    uid = hold.spec.target_ref.uid if hold is not None else live.uid if live is not None else ""
    target = Target(wish.workload, uid, "ScaleDown")
    acting = [claim for claim in wish.claims if claim.uid in wish.due_for] if would_act(wish) else []
    return _intents(target, hold, (wish.claims, acting), budgets, now)


def of_fence(fence: Fence, budgets: Claimants, now: datetime) -> Intents:
    """What is about to be done to a namespace."""
    target = Target(fence.subject, fence.place.uid, fence.action)
    stands = fence.hold is not None and is_true(fence.hold, ConditionType.APPLIED)
    acting = fence.claims if fence.due and fence.wanted and not stands else ()
    approved = [claim for claim in acting if claim.decision == "Approved"]
    return _intents(target, fence.hold, (fence.claims, approved), budgets, now)


def _intents(
    target: Target,
    hold: Hold | None,
    wanted: tuple[Sequence[Claim], Sequence[Claim]],
    budgets: Claimants,
    now: datetime,
) -> Intents:
    """`wanted` are the claims from now on, and those of them that it acts for now."""
    after, acting = wanted
    before = hold.spec.claims if hold is not None else ()
    known, kept = {claim.uid for claim in before}, {claim.uid for claim in after}
    entry = _Entries(target, budgets, now)
    new = [claim for claim in after if claim.uid not in known]
    stops = [entry.of(claim, "Planned") for claim in new if claim.decision == "Approved"]
    others: list[Decision] = []
    for reason, claim, _ in transitions(before, after):
        decided = entry.of(claim, _DECIDED[reason])
        (stops if reason is EventReason.APPROVAL_REQUESTED else others).append(decided)
    stops += [entry.of(claim, "Acting") for claim in acting]
    gone = [claim for claim in before if claim.uid not in kept]
    others += [entry.of(claim, "Vetoed") for claim in gone if claim.decision == "Vetoed"]
    let_go = "Released" if hold is not None and hold.spec.original else "Withdrawn"
    others += [entry.of(claim, let_go) for claim in gone if not is_closed(claim)]
    return Intents(tuple(stops), tuple(others))


def formerly(target: Target, event: str, budgets: Iterable[Budgeted], now: datetime) -> list[Decision]:
    """Of what no claim holds any more: for these budgets it was held until now."""
    return [
        Decision(
            target.subject(one.uid, one.period_id),
            event,
            int(now.timestamp()),
            {**target.facts, "budget": {"kind": one.kind, "uid": one.uid}, "period": one.period_id},
        )
        for one in budgets
    ]


def came_of_it(acts: Iterable[Act], budgets: Claimants, now: datetime) -> Iterator[Decision]:
    """What acts came to, each for every budget that it was for."""
    for act in acts:
        event = CAME_OF_IT.get(act.reason)
        if event is None or not act.uid:
            continue
        target = Target(act.workload, act.uid, act.action)
        entry = _Entries(target, budgets, now)
        for claim in act.claims:
            yield entry.of(claim, event)
        yield from formerly(target, event, act.formerly, now)


@dataclass(frozen=True, slots=True)
class _Entries:
    """Of one target at one moment."""

    target: Target
    budgets: Claimants
    now: datetime

    def of(self, claim: Claim, event: str) -> Decision:
        """Of one claim, with what is known of its budget now."""
        budget: dict[str, str] = {"kind": claim.kind, "name": claim.name, "uid": claim.uid}
        if claim.kind == "AIBudget":
            budget["namespace"] = self.target.workload.namespace
        facts = {
            **self.target.facts,
            "budget": budget,
            "period": claim.period_id,
            "threshold": claim.threshold,
        }
        if claim.decided_by is not None:
            facts["decidedBy"] = claim.decided_by
        if claim.reason is not None:
            facts["reason"] = claim.reason
        claimant = self.budgets.get(claim.uid)
        if claimant is not None:
            facts |= inputs(claimant.evaluation)
        subject = self.target.subject(claim.uid, claim.period_id)
        return Decision(subject, event, int(self.now.timestamp()), facts, _LATER.get(event, frozenset()))
