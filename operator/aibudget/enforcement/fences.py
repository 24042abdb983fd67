"""Fences around namespaces: who wants one, for whom, and the one next step for each. Pure.

A Freeze keeps a namespace from using more accelerators than it does, a Block refuses new pods that use any.
Both stop nothing that runs, so they need no notice. Each has one Hold per namespace in which every budget has
its claim, and the rules for claims are those of workloads: absent facts and stale data neither make nor end
one, what people decide always counts. Lifting comes before raising, and a Block is lifted before a Freeze, so
that whatever comes back finds the way free.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Final, Literal

from aibudget.api.budget import ClusterAIBudget
from aibudget.api.conditions import ConditionType
from aibudget.api.hold import Claim, Hold
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.claims import Standing, new_claim, renewed, wants
from aibudget.enforcement.facts import Untouchable
from aibudget.enforcement.hold import (
    MOST_CLAIMS,
    MOST_REVERTS,
    hashed_name,
    is_true,
    reverts_of,
    vetoes_in,
)
from aibudget.enforcement.live import is_protected
from aibudget.enforcement.refusal import Refusal, SpareReason
from aibudget.enforcement.sparing import CLOSED, VETOED, Spared
from aibudget.inventory.workload import Workload

FenceAction = Literal["Freeze", "Block"]
ACTIONS: Final[tuple[FenceAction, ...]] = ("Freeze", "Block")
"""In the order in which they are raised; lifted the other way round."""

Veto = tuple[str, str, str]
"""Action, uid of the budget, period id."""


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace as it is now."""

    name: str
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FenceFacts:
    """The world as this cycle has read it.

    `places`: None for a namespace that is gone; a missing key for one that could not be read. `vetoes` are
    those that people gave in a namespace; None where they could not be read.
    """

    holds: tuple[Hold, ...]
    places: Mapping[str, Place | None]
    vetoes: Mapping[str, frozenset[Veto]] | None
    gone: frozenset[str]
    paused: bool
    untouchable: Untouchable


@dataclass(frozen=True, slots=True)
class Fence:
    """The claims that one namespace's Freeze or Block should have; `hold` is None where it is to be made.

    `due`: a claim is approved and backed by fresh data, and nothing forbids acting. `vetoes` are those that
    a person wrote into claims. `until` is when the last of the claiming budgets' periods ends, if known.
    """

    action: FenceAction
    place: Place
    hold: Hold | None
    claims: tuple[Claim, ...]
    due: bool = False
    vetoes: tuple[Claim, ...] = ()
    until: datetime | None = None

    @property
    def wanted(self) -> bool:
        """Whether its Hold should be there and, once it stands, go on standing."""
        return wants(self.claims, acted=self.hold is not None and bool(self.hold.spec.original))

    @property
    def subject(self) -> Workload:
        """How reports name it."""
        return subject_of(self.place.name)


class Step(Enum):
    """What is to be done next for one fence."""

    WAIT = "nothing to do now"
    RAISE = "write it, or complete what was begun"
    CHECK = "it stands: keep its words true and see whether it is in force"
    COUNT = "somebody has taken it away or changed it: count it"
    CONTEST = "taken away too often: stop acting"
    LIFT = "take it away"
    DELETE = "nothing of it is left"


@dataclass(frozen=True, slots=True)
class Sight:
    """What is there of a fence. `begun`: something of it; `stands`: all of it, as the Hold has it."""

    begun: bool
    stands: bool


def subject_of(namespace: str) -> Workload:
    """A namespace, where a workload would be named."""
    return Workload(namespace, "Namespace", namespace)


def fence_name(action: str, namespace: str, uid: str) -> str:
    """The only name that the Hold of this fence can have: creating it is the mutex."""
    return hashed_name(f"{action.lower()}-{namespace}", f"/Namespace/{uid}/{action}")


def place_of(hold: Hold) -> Place:
    """The namespace as the Hold names it."""
    target = hold.spec.target_ref
    return Place(target.name, target.uid, {}, {})


def next_step(hold: Hold, sight: Sight, *, wanted: bool, may_act: bool) -> Step:
    """`wanted`: a claim stands. `may_act`: one is backed by fresh data and nothing forbids acting."""
    if not wanted:
        return Step.LIFT if sight.begun else Step.DELETE
    if is_true(hold, ConditionType.CONTESTED):
        return Step.WAIT
    if sight.stands:
        return Step.CHECK
    if is_true(hold, ConditionType.APPLIED):
        return Step.COUNT
    if reverts_of(hold) > MOST_REVERTS:
        return Step.CONTEST
    return Step.RAISE if may_act else Step.WAIT


def wanted_places(claimants: Sequence[Claimant]) -> frozenset[str]:
    """The namespaces that any budget may want fenced now."""
    return frozenset(
        name for claimant in claimants for action in ACTIONS for name in _targets(claimant, action)
    )


def plan_fences(
    claimants: Sequence[Claimant], facts: FenceFacts, now: datetime
) -> tuple[tuple[Fence, ...], tuple[Spared, ...]]:
    """Every fence in the order in which it is to be worked on, and what is spared. The same facts always
    give the same plan."""
    by_uid = {claimant.budget.uid: claimant for claimant in claimants}
    fences: dict[tuple[str, FenceAction], Fence] = {}
    for hold in facts.holds:
        action: FenceAction = "Freeze" if hold.spec.action == "Freeze" else "Block"
        name, vetoes = hold.spec.target_ref.name, vetoes_in(hold)
        place = facts.places.get(name)
        standing = Standing(action, now, acted=bool(hold.spec.original), paused=facts.paused)
        kept = tuple(
            renewed(c, by_uid.get(c.uid), standing)
            for c in (() if name in facts.untouchable else hold.spec.claims)
            if c not in vetoes and _keeps(c, action, place, by_uid.get(c.uid), facts, now)
        )
        at = place if place is not None and place.uid == hold.spec.target_ref.uid else place_of(hold)
        fences[at.name, action] = Fence(action, at, hold, kept, vetoes=vetoes)
    spared: list[Spared] = []
    for claimant in sorted(claimants, key=lambda c: (c.budget.kind, c.budget.namespace or "", c.budget.name)):
        for action in ACTIONS:
            for name in _targets(claimant, action):
                why = _claim_one(claimant, action, name, facts, fences, now)
                if why is not None:
                    spared.append(Spared(claimant.evaluation.budget, subject_of(name), *why))
    done = [_with_due(fence, by_uid, facts) for fence in fences.values()]
    return tuple(sorted(done, key=_turn)), tuple(spared)


def _turn(fence: Fence) -> tuple[bool, bool, str]:
    return fence.wanted, (fence.action == "Block") is fence.wanted, fence.place.name


def _targets(claimant: Claimant, action: FenceAction) -> tuple[str, ...]:
    """An AIBudget's own namespace; of a ClusterAIBudget's those in which something spends in its period."""
    if not claimant.may_claim(action):
        return ()
    if not isinstance(claimant.budget, ClusterAIBudget):
        return (claimant.budget.namespace or "",)
    # What is charged to a team alone has no namespace.
    return tuple(sorted({spend.workload.namespace for spend in claimant.evaluation.workloads} - {""}))


def _keeps(
    claim: Claim,
    action: FenceAction,
    place: Place | None,
    claimant: Claimant | None,
    facts: FenceFacts,
    now: datetime,
) -> bool:
    if claim.uid in facts.gone:
        return False
    if claimant is None:
        return True
    if not claimant.stands_by(claim):
        return False
    if place is not None and _exempt(claimant, action, place, facts, now) is not None:
        return False
    if not claimant.evaluation.fresh or claimant.active(action) is not None:
        return True
    return claimant.undecided(action)


def _exempt(
    claimant: Claimant, action: FenceAction, place: Place, facts: FenceFacts, now: datetime
) -> Refusal | None:
    """What a person decided that keeps this budget from fencing this namespace, now."""
    if place.name in facts.untouchable:
        return SpareReason.UNTOUCHABLE_NAMESPACE, f"namespace {place.name} is never touched"
    if is_protected(place.labels, place.annotations, now):
        return SpareReason.NAMESPACE_PROTECTED, f"namespace {place.name} is protected"
    if not claimant.covers(place.name, place.labels):
        return SpareReason.OUTSIDE_SCOPE, f"namespace {place.name} is not in the budget's scope"
    if isinstance(claimant.budget, ClusterAIBudget):
        return None
    veto = (action, claimant.budget.uid, claimant.evaluation.period.id)
    return VETOED if veto in (facts.vetoes or {}).get(place.name, frozenset()) else None


def _claim_one(
    claimant: Claimant,
    action: FenceAction,
    name: str,
    facts: FenceFacts,
    fences: dict[tuple[str, FenceAction], Fence],
    now: datetime,
) -> Refusal | None:
    if name in facts.untouchable:
        return SpareReason.UNTOUCHABLE_NAMESPACE, f"namespace {name} is never touched"
    if name not in facts.places or facts.vetoes is None:
        return SpareReason.NOT_READABLE, "the namespace, or what people vetoed, could not be read"
    place = facts.places[name]
    if place is None:
        return SpareReason.GONE, "it is there no more"
    if (why := _exempt(claimant, action, place, facts, now)) is not None:
        return why
    fence = fences.get((name, action), Fence(action, place, None, ()))
    mine = next((claim for claim in fence.claims if claim.uid == claimant.budget.uid), None)
    if mine is not None:
        return CLOSED.get(mine.decision)
    period = claimant.evaluation.period.id
    if any((veto.uid, veto.period_id) == (claimant.budget.uid, period) for veto in fence.vetoes):
        return VETOED
    if len(fence.claims) == MOST_CLAIMS:
        return SpareReason.TOO_MANY_CLAIMS, f"{MOST_CLAIMS} budgets hold it already"
    if not facts.paused:
        claim = new_claim(claimant, action, now)
        fences[name, action] = replace(fence, claims=(*fence.claims, claim))
    return None


def _with_due(fence: Fence, by_uid: Mapping[str, Claimant], facts: FenceFacts) -> Fence:
    """A due claim is approved and backed by fresh data this very cycle; there is no notice to wait for."""

    def is_due(claim: Claim) -> bool:
        claimant = by_uid.get(claim.uid)
        return claim.decision == "Approved" and claimant is not None and claimant.may_claim(fence.action)

    ends = [by_uid[c.uid].evaluation.period.interval.end for c in fence.claims if c.uid in by_uid]
    until = datetime.fromtimestamp(max(ends), UTC) if ends else None
    due = not facts.paused and any(map(is_due, fence.claims))
    return replace(fence, due=due, until=until)
