"""The plan of one cycle: who is to be held and for whom, who is let go, who is spared and why. Pure.

It takes evaluations and facts that were read afresh, and gives for every Hold the claims it should have and
whether acting is allowed now. Absent facts never release anything: a budget is gone only if `facts.gone` says
that the API server answered so; with stale data claims neither come nor go. What people decide (a protection,
a veto, mode Observe, another scope) is no data and always counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from aibudget.api.hold import Claim, Hold
from aibudget.budgeting.evaluation import WorkloadSpend
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.claims import Standing, due_time, is_closed, new_claim, renewed, wants
from aibudget.enforcement.facts import Facts
from aibudget.enforcement.hold import MOST_CLAIMS, hold_name, workload_of
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.live import Live
from aibudget.enforcement.sparing import CLOSED, VETOED, Spared, SpareReason, exempt, unfit
from aibudget.inventory.workload import Workload

_ACTION: Final = "ScaleDown"


@dataclass(frozen=True, slots=True)
class Wish:
    """The claims that one workload's Hold should have; `hold` is None where it is to be created first.

    `due_for`: the uids of the budgets whose notice is over, by fresh data; acting needs one. `due_at` is when
    the first notice of an approved claim ends, None where there is none. `vetoes` are
    those that a person wrote into claims; the workload remembers them. `rate_per_hour` is what holding it
    avoids, None where it is unknown. `waits` says why an act whose notice is over does not come yet.
    """

    workload: Workload
    hold: Hold | None
    live: Live | None
    claims: tuple[Claim, ...]
    due_for: frozenset[str] = frozenset()
    due_at: datetime | None = None
    rate_per_hour: Decimal | None = None
    vetoes: tuple[Claim, ...] = ()
    waits: str | None = None

    @property
    def wanted(self) -> bool:
        """Whether its Hold should be there and, once it has acted, go on holding."""
        return wants(self.claims, acted=self.hold is not None and bool(self.hold.spec.original))

    @property
    def due(self) -> bool:
        """Whether acting is allowed now."""
        return bool(self.due_for)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything to be done to Holds, in a fixed order, and everything that is not done."""

    wishes: tuple[Wish, ...]
    spared: tuple[Spared, ...]


def plan(claimants: Sequence[Claimant], facts: Facts, now: datetime) -> Plan:
    """The same facts always give the same plan, releases first."""
    by_uid = {claimant.budget.uid: claimant for claimant in claimants}
    wishes: dict[str, Wish] = {}
    for hold in facts.holds:
        live = facts.lives.get(workload_of(hold))
        standing = Standing(_ACTION, now, acted=bool(hold.spec.original), paused=facts.paused)
        kept = tuple(
            renewed(c, by_uid.get(c.uid), standing)
            for c in hold.spec.claims
            if _keeps(c, hold, by_uid.get(c.uid), facts, now)
        )
        vetoes = tuple(claim for claim in hold.spec.claims if _is_vetoed(claim))
        wish = Wish(workload_of(hold), hold, live, kept, vetoes=vetoes)
        wishes[f"{hold.namespace}/{hold.name}"] = wish
    held = frozenset(workload_of(hold) for hold in facts.holds if hold.spec.original)
    spared: list[Spared] = []
    for claimant in sorted(claimants, key=lambda c: (c.budget.kind, c.budget.namespace or "", c.budget.name)):
        spared += _claim(claimant, held, facts, wishes, now)
    done = [_with_due(wish, by_uid, facts, now) for wish in wishes.values()]
    return Plan(
        tuple(sorted(done, key=lambda w: (w.wanted, w.workload, w.hold.name if w.hold else ""))),
        tuple(spared),
    )


def victims(claimant: Claimant) -> tuple[WorkloadSpend, ...]:
    """Everything that spends right now in a budget that may act: the dearest first, then by name."""
    if not claimant.may_claim(_ACTION):
        return ()
    spending = (spend for spend in claimant.evaluation.workloads if spend.rate_per_hour > 0)
    return tuple(sorted(spending, key=lambda spend: (-spend.rate_per_hour, spend.workload)))


def _keeps(claim: Claim, hold: Hold, claimant: Claimant | None, facts: Facts, now: datetime) -> bool:
    if _is_vetoed(claim) or claim.uid in facts.gone:
        return False
    if claimant is None:
        return True
    period = claimant.evaluation.period
    # A Fixed period keeps its id when it is over.
    if period.id != claim.period_id or period.standing == "Over":
        return False
    if claimant.mode == "Observe":
        return False
    if is_closed(claim):
        fresh = claimant.evaluation.fresh
        return not fresh or claimant.active(_ACTION) is not None or claimant.undecided(_ACTION)
    live = facts.lives.get(workload_of(hold))
    if live is not None and exempt(claimant, live, facts, now) is not None:
        return False
    if not claimant.evaluation.fresh:
        return True
    if claimant.active(_ACTION) is None:
        return claimant.undecided(_ACTION)
    return hold.spec.original is not None or _is_still_a_victim(claimant, workload_of(hold), live)


def _is_still_a_victim(claimant: Claimant, workload: Workload, live: Live | None) -> bool:
    spends = any(spend.workload == workload for spend in victims(claimant))
    return spends and (live is None or unfit(live) is None)


def _identity(claim: Claim) -> tuple[str, str]:
    return claim.uid, claim.period_id


def _identity_now(claimant: Claimant) -> tuple[str, str]:
    return claimant.budget.uid, claimant.evaluation.period.id


def _is_vetoed(claim: Claim) -> bool:
    # What a tenant must not lift is a ClusterAIBudget.
    return claim.decision == "Vetoed" and claim.kind == "AIBudget"


def _claim(
    claimant: Claimant, held: frozenset[Workload], facts: Facts, wishes: dict[str, Wish], now: datetime
) -> list[Spared]:
    """Add the budget's claims to the wishes; gives whom it spares.

    What is held for somebody else spends nothing now; it is claimed, too, or it would come back only to be
    stopped again.
    """
    spared: list[Spared] = []
    if not claimant.may_claim(_ACTION):
        return spared
    resting = (s for s in claimant.evaluation.workloads if s.workload in held and s.rate_per_hour == 0)
    for spend in (*victims(claimant), *resting):
        why = _claim_one(claimant, spend, facts, wishes, now)
        if why is not None:
            spared.append(Spared(claimant.evaluation.budget, spend.workload, *why))
    return spared


def _claim_one(
    claimant: Claimant, spend: WorkloadSpend, facts: Facts, wishes: dict[str, Wish], now: datetime
) -> tuple[SpareReason, str] | None:
    live, why = _candidate(claimant, spend.workload, facts, now)
    if live is None:
        return why
    key = f"{live.workload.namespace}/{hold_name(live.kind, live.workload.name, live.uid)}"
    wish = wishes.get(key, Wish(live.workload, None, live, ()))
    mine = next((claim for claim in wish.claims if claim.uid == claimant.budget.uid), None)
    if mine is not None:
        return CLOSED.get(mine.decision)
    if any(_identity(veto) == _identity_now(claimant) for veto in wish.vetoes):
        return VETOED
    is_held = wish.hold is not None and wish.hold.spec.original is not None
    if not is_held and (unfitness := unfit(live)):
        return unfitness
    if len(wish.claims) == MOST_CLAIMS:
        return SpareReason.TOO_MANY_CLAIMS, f"{MOST_CLAIMS} budgets hold it already"
    if not facts.paused:
        claims = (*wish.claims, new_claim(claimant, _ACTION, now))
        wishes[key] = replace(wish, claims=claims, rate_per_hour=spend.rate_per_hour or wish.rate_per_hour)
    return None


def _candidate(
    claimant: Claimant, workload: Workload, facts: Facts, now: datetime
) -> tuple[Live | None, tuple[SpareReason, str] | None]:
    if workload.namespace in facts.untouchable:
        return None, (
            SpareReason.UNTOUCHABLE_NAMESPACE,
            f"namespace {workload.namespace} is never touched",
        )
    kind = KINDS.get(workload.kind)
    if kind is None or kind.stop is None:
        return None, (SpareReason.KIND_NOT_STOPPED, f"AIBudget does not stop a {workload.kind}")
    if workload not in facts.lives or workload.namespace not in facts.namespaces:
        return None, (SpareReason.NOT_READABLE, "it or its namespace could not be read")
    live = facts.lives[workload]
    if live is None:
        return None, (SpareReason.GONE, "it is there no more")
    why = exempt(claimant, live, facts, now)
    return (None, why) if why else (live, None)


def _with_due(wish: Wish, by_uid: Mapping[str, Claimant], facts: Facts, now: datetime) -> Wish:
    """A due claim is approved, backed by fresh data this very cycle, and its notice is over."""

    def is_due(claim: Claim) -> bool:
        claimant = by_uid.get(claim.uid)
        if claimant is None or not claimant.evaluation.fresh or claimant.active(_ACTION) is None:
            return False
        when = due_time(claim, claimant)
        return when is not None and now >= when

    due_for = frozenset(claim.uid for claim in wish.claims if not facts.paused and is_due(claim))
    ends = [due_time(claim, by_uid[claim.uid]) for claim in wish.claims if claim.uid in by_uid]
    known = [end for end in ends if end is not None]
    return replace(wish, due_for=due_for, due_at=min(known, default=None))
