"""Claims: what one budget asks of a Hold, who answers, and what is remembered of the answer. Pure.

In mode Enforce a claim is Approved from the start; in mode Approve it is Pending until a person decides or
its `expireTime` comes. The decision of a person is never changed here: it is read, noted with its time, and
told. A closed claim (Vetoed, Expired) asks for nothing; it stays on the Hold so that nobody is asked twice.
Knows nothing of what the act is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aibudget.api.budget import Action
from aibudget.api.conditions import EventReason, Reason
from aibudget.api.fields import format_instant
from aibudget.api.hold import Claim
from aibudget.enforcement.claimant import Claimant


def new_claim(claimant: Claimant, action: Action, now: datetime) -> Claim:
    """What the budget asks for from now on; it must have an active threshold for the action."""
    state = claimant.active(action)
    assert state is not None, "only a budget with an active threshold claims"
    waits = claimant.mode == "Approve"
    return Claim(
        kind=claimant.budget.kind,
        name=claimant.budget.name,
        uid=claimant.budget.uid,
        period_id=claimant.evaluation.period.id,
        threshold=state.threshold.name,
        decision="Pending" if waits else "Approved",
        expire_time=_expiry(claimant, now) if waits else None,
        notice_time=now.replace(microsecond=0),
    )


def is_closed(claim: Claim) -> bool:
    """Whether it asks for nothing any more."""
    return claim.decision in ("Vetoed", "Expired")


def wants(claims: Sequence[Claim], *, acted: bool) -> bool:
    """Whether its Hold should be there; once it has acted, go on holding, which needs an approved claim."""
    return any(claim.decision == "Approved" for claim in claims) if acted else bool(claims)


@dataclass(frozen=True, slots=True)
class Standing:
    """When a claim is looked at: `acted` says that its Hold has acted, `paused` that nothing new may be."""

    action: Action
    now: datetime
    acted: bool
    paused: bool


def renewed(claim: Claim, claimant: Claimant | None, standing: Standing) -> Claim:
    """The claim as it is now: decided by the clock or the budget's mode, a person's decision noted.

    A switch to Enforce approves what waits and asks anew for what lapsed; a switch to Approve asks about what
    has not been done yet, and leaves what has been.
    """
    now = standing.now.replace(microsecond=0)
    if claim.decided_by is not None and claim.decided_time is None and claim.decision != "Pending":
        return claim.model_copy(update={"decided_time": now, "expire_time": None})
    lapsed = _is_over(claim, now)
    if claim.decision == "Approved" and lapsed:
        return _lapsed(claim)
    if standing.paused or claimant is None or not claimant.may_claim(standing.action):
        return _lapsed(claim) if claim.decision == "Pending" and lapsed else claim
    match claim.decision:
        case "Pending" if claimant.mode == "Enforce":
            return claim.model_copy(update={"decision": "Approved", "expire_time": None})
        case "Pending" if lapsed:
            claim = _lapsed(claim)
        case "Approved" if claimant.mode == "Approve" and claim.decided_by is None and not standing.acted:
            expiry = _expiry(claimant, now)
            return claim.model_copy(update={"decision": "Pending", "expire_time": expiry})
    revived = claim.decision == "Vetoed" and lapsed
    if revived or (claim.decision == "Expired" and _asks_anew(claim, claimant, standing.action)):
        anew = new_claim(claimant, standing.action, now)
        return anew.model_copy(update={"rank": claim.rank, "reason": claim.reason})
    return claim


def due_time(claim: Claim, claimant: Claimant) -> datetime | None:
    """When its notice ends and it may act; None for what nobody has approved."""
    if claim.decision != "Approved" or claim.notice_time is None:
        return None
    return claim.notice_time + claimant.grace


def transitions(before: Sequence[Claim], after: Sequence[Claim]) -> Iterator[tuple[EventReason, Claim, str]]:
    """What is to be told about each claim whose decision is another one than before, or is noted only now."""
    was: Mapping[str, Claim] = {claim.uid: claim for claim in before}
    for claim in after:
        old = was.get(claim.uid)
        if claim == old:
            continue
        title = f"{claim.kind} {claim.name} (threshold {claim.threshold})"
        by = f" by {claim.decided_by}" if claim.decided_by else ""
        match claim.decision:
            case "Pending":
                yield (
                    EventReason.APPROVAL_REQUESTED,
                    claim,
                    " ".join(
                        filter(None, (f"Over {title}: it waits for approval{_until(claim)}.", claim.reason))
                    ),
                )
            case "Expired":
                so = "The approval has ended" if claim.decided_by else "Nobody approved it in time"
                said = f"{so} for {title}: it is left alone."
                yield EventReason.APPROVAL_EXPIRED, claim, said
            case "Vetoed":
                said = f"Vetoed{by} for {title}: it is left alone until {_end(claim)}."
                yield EventReason.HOLD_VETOED, claim, said
            case "Approved" if old is not None and old.decision == "Pending":
                yield (
                    EventReason.HOLD_APPROVED,
                    claim,
                    f"The mode of {title} is Enforce now: it needs no approval.",
                )
            case "Approved" if claim.decided_time is not None:
                yield EventReason.HOLD_APPROVED, claim, f"Approved{by} for {title}, until {_end(claim)}."


def standing_of(claims: Sequence[Claim]) -> tuple[Reason, str]:
    """Why nothing is done yet, or any more: in a word and a sentence."""
    first = {claim.decision: claim for claim in reversed(claims)}
    if "Approved" in first:
        return Reason.PENDING, "On notice: it is acted on when the grace period ends."
    if "Pending" in first:
        return Reason.AWAITING_APPROVAL, f"Waits for a person's approval{_until(first['Pending'])}."
    if "Expired" in first:
        return Reason.NOT_APPROVED, "Nobody approved it in time, or no longer: it is left alone."
    return Reason.VETOED, f"Vetoed: it is left alone until {_end(first['Vetoed'])}."


def _end(claim: Claim) -> str:
    """When a person's decision ends."""
    return format_instant(claim.decided_until) if claim.decided_until else "the period ends"


def _is_over(claim: Claim, now: datetime) -> bool:
    """Whether the time of the question, or of the decision, has passed."""
    ends = claim.expire_time if claim.decision == "Pending" else claim.decided_until
    return ends is not None and now >= ends


def _until(claim: Claim) -> str:
    return f" until {format_instant(claim.expire_time)}" if claim.expire_time else ""


def _lapsed(claim: Claim) -> Claim:
    return claim.model_copy(update={"decision": "Expired"})


def _asks_anew(claim: Claim, claimant: Claimant, action: Action) -> bool:
    """What lapsed is asked again in mode Enforce, which asks nobody, and by a higher threshold."""
    if claimant.mode == "Enforce":
        return True
    active = claimant.active(action)
    percents = {one.name: one.percent for one in claimant.budget.spec.effective_thresholds}
    return active is not None and active.threshold.percent > percents.get(claim.threshold, 0)


def _expiry(claimant: Claimant, now: datetime) -> datetime:
    """A question waits as long as the budget says, and not past the end of the period it is about."""
    waits = timedelta(seconds=claimant.budget.spec.enforcement.approval_seconds)
    ends = datetime.fromtimestamp(claimant.evaluation.period.interval.end, UTC)
    return min(now.replace(microsecond=0) + waits, ends)
