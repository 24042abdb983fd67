"""Followers: the running Jobs of a CronJob, each with a Hold of its own under the CronJob's claims. Pure.

A budget chooses the CronJob, which is what its bill names; whatever that has started follows: held with it,
and let go with it. Where the CronJob needs no Hold, since its owner has suspended it already, its Jobs are
held by themselves and keep their claims as anybody does.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from aibudget.api.hold import Claim
from aibudget.enforcement.claims import is_closed
from aibudget.enforcement.facts import Facts
from aibudget.enforcement.live import Live
from aibudget.enforcement.refusal import Refusal
from aibudget.enforcement.sparing import VETOED
from aibudget.enforcement.wish import Wish, key_of
from aibudget.inventory.workload import Workload


class Refused(Protocol):
    """Why a claim's budget cannot hold a workload, or cannot go on holding it; None if it can."""

    def __call__(self, claim: Claim, live: Live, *, held: bool) -> Refusal | None: ...


def follow(
    facts: Facts,
    wishes: dict[str, Wish],
    asked: Mapping[Workload, Sequence[Claim]],
    asking: Collection[str],
    refused: Refused,
) -> list[tuple[Claim, Workload, Refusal]]:
    """Give every follower its claims; returns who is spared, for which claim.

    `asked` are the claims to those that need no Hold of their own; `asking` the uids of the budgets that may
    claim anew now.
    """
    spared: list[tuple[Claim, Workload, Refusal]] = []
    for leader, followers in facts.along.items():
        live = facts.lives[leader]
        assert live is not None, "what has started something was read"
        wish = wishes.get(key_of(live))
        for workload in followers:
            follower = facts.lives[workload]
            assert follower is not None, "it was listed"
            mine = wishes.get(key_of(follower), Wish(workload, None, follower, ()))
            wanted = asked.get(leader, ()) if wish is None else wish.claims
            own = {claim.uid for claim in mine.claims}
            wanted = [claim for claim in wanted if claim.uid in own or claim.uid in asking]
            claims, why = _claims(mine, wanted, follower, refused, alone=wish is None)
            spared += ((claim, workload, refusal) for claim, refusal in why)
            if mine.hold is not None or claims:
                wishes[mine.key] = replace(mine, claims=claims)
    return spared


def _claims(
    mine: Wish, wanted: Sequence[Claim], live: Live, refused: Refused, *, alone: bool
) -> tuple[tuple[Claim, ...], list[tuple[Claim, Refusal]]]:
    held = mine.hold is not None and mine.hold.spec.original is not None
    own = {claim.uid: claim for claim in mine.claims}
    kept = dict(own) if alone else {}
    spared: list[tuple[Claim, Refusal]] = []
    for claim in wanted:
        if is_closed(claim) or (alone and claim.uid in own):
            continue
        why = _vetoed(mine, claim) or refused(claim, live, held=held)
        if why is not None:
            spared.append((claim, why))
            continue
        # A decision about the follower itself stands.
        before = own.get(claim.uid)
        kept[claim.uid] = claim if before is None or before.decision == "Pending" else before
    return tuple(kept.values()), spared


def _vetoed(mine: Wish, claim: Claim) -> Refusal | None:
    vetoes = {(veto.uid, veto.period_id) for veto in mine.vetoes}
    return VETOED if (claim.uid, claim.period_id) in vetoes else None
