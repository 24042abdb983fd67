"""The plan of one cycle: who is to be held and for whom, who is let go, who is spared and why. Pure.

It takes evaluations and facts that were read afresh, and gives for every Hold the claims it should have and
whether acting is allowed now. Absent facts never release anything: a budget is gone only if `facts.gone` says
that the API server answered so; with stale data claims neither come nor go. What people decide (a protection,
a veto, mode Observe, another scope) is no data and always counts.
"""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from aibudget.api.conditions import ConditionType
from aibudget.api.hold import Claim, Hold
from aibudget.enforcement.candidates import candidates, victims
from aibudget.enforcement.choice import choose, claimed
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.claims import Standing, due_time, is_closed, new_claim, renewed
from aibudget.enforcement.facts import Facts
from aibudget.enforcement.followers import follow
from aibudget.enforcement.hold import is_true, vetoes_in, workload_of
from aibudget.enforcement.live import Live
from aibudget.enforcement.order import Place, ranked
from aibudget.enforcement.refusal import Refusal
from aibudget.enforcement.sparing import FITS, Spared, exempt, unfit
from aibudget.enforcement.wish import Wish, key_of
from aibudget.inventory.workload import Workload

_ACTION: Final = "ScaleDown"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything to be done to Holds, in a fixed order, and everything that is not done.

    `open` are those among which new victims are chosen: what the order asks of them is worth reading.
    """

    wishes: tuple[Wish, ...]
    spared: tuple[Spared, ...]
    open: frozenset[Workload] = frozenset()


@dataclass(slots=True)
class _Draft:
    """A plan while budgets are asked one after another.

    `spending`: whom each budget, by its uid, finds spending. `asked`: in which wishes it has a claim already.
    `led`: the claims to what needs no Hold itself, for those that follow it. `leading`: whose followers are
    held.
    """

    facts: Facts
    now: datetime
    held: frozenset[Workload]
    spending: Mapping[str, frozenset[Workload]]
    wishes: dict[str, Wish] = field(default_factory=dict)
    asked: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    spared: list[Spared] = field(default_factory=list)
    open: set[Workload] = field(default_factory=set)
    unneeded: set[tuple[str, Workload]] = field(default_factory=set)
    led: defaultdict[Workload, list[Claim]] = field(default_factory=lambda: defaultdict(list))
    leading: frozenset[Workload] = frozenset()


def plan(claimants: Sequence[Claimant], facts: Facts, now: datetime) -> Plan:
    """The same facts always give the same plan, releases first."""
    by_uid = {claimant.budget.uid: claimant for claimant in claimants}
    spending = {uid: frozenset(s.workload for s in victims(claimant)) for uid, claimant in by_uid.items()}
    draft = _Draft(facts, now, _held(facts), spending, leading=_leading(facts))
    for hold in facts.holds:
        live = facts.lives.get(workload_of(hold))
        standing = Standing(_ACTION, now, acted=bool(hold.spec.original), paused=facts.paused)
        kept = tuple(
            renewed(c, by_uid.get(c.uid), standing)
            for c in hold.spec.claims
            if _keeps(c, hold, by_uid.get(c.uid), draft)
        )
        wish = Wish(workload_of(hold), hold, live, kept, vetoes=vetoes_in(hold))
        draft.wishes[wish.key] = wish
        for claim in () if _follows(live) else kept:
            if not is_closed(claim):
                draft.asked[claim.uid].append(wish.key)
    for claimant in sorted(claimants, key=lambda c: (c.budget.kind, c.budget.namespace or "", c.budget.name)):
        _choose(claimant, draft)
    _follow(by_uid, draft)
    done = [_with_due(wish, by_uid, draft) for wish in draft.wishes.values()]
    return Plan(tuple(sorted(done, key=_turn)), tuple(draft.spared), frozenset(draft.open))


def _turn(wish: Wish) -> tuple[object, ...]:
    """Releases first; then the first in its budget's order, and those whose place is unknown last."""
    rank = min((claim.rank for claim in wish.claims if claim.rank is not None), default=sys.maxsize)
    return wish.wanted, rank, wish.workload, wish.hold.name if wish.hold else ""


def _held(facts: Facts) -> frozenset[Workload]:
    """What spends nothing since it is held, whoever asked for that."""
    acted = ((hold, facts.lives.get(workload_of(hold))) for hold in facts.holds if hold.spec.original)
    return frozenset(workload_of(hold) for hold, live in acted if live is None or live.stopped)


def _leading(facts: Facts) -> frozenset[Workload]:
    followers = (facts.lives.get(workload_of(hold)) for hold in facts.holds if hold.spec.original)
    return frozenset(live.parent for live in followers if live is not None and live.parent and live.stopped)


def _keeps(claim: Claim, hold: Hold, claimant: Claimant | None, draft: _Draft) -> bool:
    facts = draft.facts
    if claim in vetoes_in(hold) or claim.uid in facts.gone:
        return False
    if is_true(hold, ConditionType.RELEASING):
        # What was promised back comes back; only a new claim, by fresh data, holds it again.
        return False
    if claimant is None:
        return True
    if not claimant.stands_by(claim):
        return False
    if is_closed(claim):
        fresh = claimant.evaluation.fresh
        return not fresh or claimant.active(_ACTION) is not None or claimant.undecided(_ACTION)
    live = facts.lives.get(workload_of(hold))
    if live is not None and exempt(claimant, live, facts, draft.now) is not None:
        return False
    if not claimant.evaluation.fresh:
        return True
    if claimant.active(_ACTION) is None:
        return claimant.undecided(_ACTION)
    fit = live is None or unfit(live, heard=claimant.hears_tenants) is None
    billed = _billed(workload_of(hold), live)
    spends = billed in draft.spending[claim.uid] or billed in draft.leading
    return hold.spec.original is not None or (fit and spends)


def _follows(live: Live | None) -> bool:
    return live is not None and live.parent is not None


def _billed(workload: Workload, live: Live | None) -> Workload:
    """Under whose name it spends."""
    return workload if live is None or live.parent is None else live.parent


def _follow(by_uid: Mapping[str, Claimant], draft: _Draft) -> None:
    def refused(claim: Claim, live: Live, *, held: bool) -> Refusal | None:
        claimant = by_uid.get(claim.uid)
        why = None if claimant is None else exempt(claimant, live, draft.facts, draft.now)
        if why is not None or held:
            return why
        return unfit(live, heard=claimant is None or claimant.hears_tenants)

    asking = {uid for uid, one in by_uid.items() if one.may_claim(_ACTION) and not draft.facts.paused}
    for claim, workload, why in follow(draft.facts, draft.wishes, draft.led, asking, refused):
        if claim.uid in by_uid:
            draft.spared.append(Spared(by_uid[claim.uid].evaluation.budget, workload, *why))


def _choose(claimant: Claimant, draft: _Draft) -> None:
    """Take what the budget needs into the wishes, and out of them what it needs no longer."""
    if not claimant.may_claim(_ACTION):
        return
    facts, uid = draft.facts, claimant.budget.uid
    eligible = candidates(claimant, draft.wishes, draft.held, facts, draft.now)
    places = ranked(eligible.candidates, draft.now)
    mine = [draft.wishes[key] for key in draft.asked.get(uid, ())]
    choice = choose(
        claimant,
        claimed(claimant, mine, facts.lives),
        places,
        held=draft.held,
        settling=uid in facts.settling,
    )
    for wish in mine:
        if wish.workload in choice.let_go:
            claims = tuple(claim for claim in wish.claims if claim.uid != uid)
            draft.wishes[wish.key] = replace(wish, claims=claims)
    for place in places:
        if place.candidate.workload in choice.chosen and not facts.paused:
            _add(claimant, place, draft)
    fits = (
        *choice.let_go,
        *(one.workload for one in eligible.candidates if one.workload not in choice.chosen),
    )
    draft.spared += eligible.spared
    draft.spared += [Spared(claimant.evaluation.budget, workload, *FITS) for workload in sorted(fits)]
    draft.unneeded |= {(uid, workload) for workload in choice.unneeded}
    if choice.chosen and not facts.paused:
        draft.open |= {one.workload for one in eligible.candidates}


def _add(claimant: Claimant, place: Place, draft: _Draft) -> None:
    candidate = place.candidate
    live = draft.facts.lives[candidate.workload]
    assert live is not None, "only what was read is a candidate"
    wish = draft.wishes.get(key_of(live), Wish(live.workload, None, live, ()))
    claim = new_claim(claimant, _ACTION, draft.now)
    placed = claim.model_copy(update={"rank": place.rank, "reason": place.reason})
    if wish.hold is None and unfit(live, heard=claimant.hears_tenants) is not None:
        draft.led[live.workload].append(placed)
        return
    rate = candidate.rate_per_hour or wish.rate_per_hour
    draft.wishes[wish.key] = replace(wish, claims=(*wish.claims, placed), rate_per_hour=rate)


def _with_due(wish: Wish, by_uid: Mapping[str, Claimant], draft: _Draft) -> Wish:
    """A due claim is approved, backed by fresh data this very cycle, needed, and its notice is over."""
    facts, now = draft.facts, draft.now

    def is_due(claim: Claim) -> bool:
        claimant = by_uid.get(claim.uid)
        if claimant is None or not claimant.may_claim(_ACTION):
            return False
        when = due_time(claim, claimant)
        needed = (claim.uid, _billed(wish.workload, wish.live)) not in draft.unneeded
        return when is not None and now >= when and needed

    due_for = frozenset(claim.uid for claim in wish.claims if not facts.paused and is_due(claim))
    ends = [due_time(claim, by_uid[claim.uid]) for claim in wish.claims if claim.uid in by_uid]
    known = [end for end in ends if end is not None]
    noticed = wish.hold.spec.claims if wish.hold and not wish.hold.spec.original else ()
    withdrawn = () if wish.claims else tuple(claim for claim in noticed if not is_closed(claim))
    due_at, proven = min(known, default=None), wish.workload in draft.leading
    return replace(wish, due_for=due_for, due_at=due_at, withdrawn=withdrawn, proven=proven)
