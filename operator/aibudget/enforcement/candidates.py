"""Whom a budget could hold anew, and whom it has to spare, with the reason for each. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from aibudget.api.hold import Claim
from aibudget.budgeting.evaluation import WorkloadSpend
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.facts import Facts
from aibudget.enforcement.hold import MOST_CLAIMS
from aibudget.enforcement.kinds import KINDS
from aibudget.enforcement.live import Live
from aibudget.enforcement.order import Candidate
from aibudget.enforcement.refusal import Refusal, SpareReason
from aibudget.enforcement.sparing import CLOSED, VETOED, Spared, exempt, unfit
from aibudget.enforcement.wish import Wish, key_of
from aibudget.inventory.workload import Workload

_ACTION: Final = "ScaleDown"


@dataclass(frozen=True, slots=True)
class Eligible:
    """Each workload of the budget that it does not claim yet is one or the other."""

    candidates: tuple[Candidate, ...]
    spared: tuple[Spared, ...]


def victims(claimant: Claimant) -> tuple[WorkloadSpend, ...]:
    """Everything that spends right now in a budget that may act: the dearest first, then by name."""
    if not claimant.may_claim(_ACTION):
        return ()
    spending = (spend for spend in claimant.evaluation.workloads if spend.rate_per_hour > 0)
    return tuple(sorted(spending, key=lambda spend: (-spend.rate_per_hour, spend.workload)))


def candidates(
    claimant: Claimant, wishes: Mapping[str, Wish], held: frozenset[Workload], facts: Facts, now: datetime
) -> Eligible:
    """Everything that spends now, or would if it were not `held` for somebody else.

    That is claimed, too, or it would come back only to be stopped again. `wishes` by the key of their Hold.
    """
    evaluation = claimant.evaluation
    found: list[Candidate] = []
    spared: list[Spared] = []
    resting = (s for s in evaluation.workloads if s.workload in held and s.rate_per_hour == 0)
    for spend in (*victims(claimant), *resting):
        live, why = _accessible(claimant, spend.workload, facts, now)
        wish = None if live is None else wishes.get(key_of(live), Wish(live.workload, None, live, ()))
        mine = None if wish is None else _claim_of(claimant, wish)
        if mine is not None:
            if (closed := CLOSED.get(mine.decision)) is not None:
                spared.append(Spared(evaluation.budget, spend.workload, *closed))
            continue
        if live is not None and wish is not None and (why := _refusal(claimant, wish, live)) is None:
            found.append(_candidate(spend, wish, live, held, facts))
            continue
        if live is not None and wish is not None and _runs_on(live, why, facts):
            found.append(_candidate(spend, wish, live, held, facts))
        if why is not None:
            spared.append(Spared(evaluation.budget, spend.workload, *why))
    spared += _without_price(claimant)
    return Eligible(tuple(replace(one, currency=evaluation.currency) for one in found), tuple(spared))


def _claim_of(claimant: Claimant, wish: Wish) -> Claim | None:
    return next((claim for claim in wish.claims if claim.uid == claimant.budget.uid), None)


def _without_price(claimant: Claimant) -> Iterator[Spared]:
    """What no price says anything about costs nothing that a budget of money could save."""
    charged = {spend.workload for spend in claimant.evaluation.workloads if spend.rate_per_hour > 0}
    for one in claimant.evaluation.uncharged:
        if one.workload not in charged:
            said = f"what it uses has no price: {one.used}"
            yield Spared(claimant.evaluation.budget, one.workload, SpareReason.NO_PRICE, said)


def _accessible(
    claimant: Claimant, workload: Workload, facts: Facts, now: datetime
) -> tuple[Live | None, Refusal | None]:
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


def _refusal(claimant: Claimant, wish: Wish, live: Live) -> Refusal | None:
    now = (claimant.budget.uid, claimant.evaluation.period.id)
    if any((veto.uid, veto.period_id) == now for veto in wish.vetoes):
        return VETOED
    is_held = wish.hold is not None and wish.hold.spec.original is not None
    if not is_held and (unfitness := unfit(live, heard=claimant.hears_tenants)):
        return unfitness
    if len(wish.claims) == MOST_CLAIMS:
        return SpareReason.TOO_MANY_CLAIMS, f"{MOST_CLAIMS} budgets hold it already"
    return None


def _runs_on(live: Live, why: Refusal | None, facts: Facts) -> bool:
    """Whether it is stopped already, while something that it has started runs."""
    if why is None or why[0] not in (SpareReason.ALREADY_STOPPED, SpareReason.FOREIGN):
        return False
    started = (facts.lives.get(workload) for workload in facts.along.get(live.workload, ()))
    return any(one is not None and unfit(one) is None for one in started)


def _candidate(
    spend: WorkloadSpend, wish: Wish, live: Live, held: frozenset[Workload], facts: Facts
) -> Candidate:
    stopped = live.workload in held
    last = wish.hold.status.avoided_cost_per_hour if stopped and wish.hold else None
    return Candidate(
        live.workload,
        live.kind,
        max(spend.rate_per_hour, last or Decimal(0)),
        idle=spend.idle,
        held=stopped,
        crew=facts.crews.get(live.workload),
        assumed=spend.assumed,
    )
