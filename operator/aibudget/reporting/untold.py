"""What a process that died may not have told any more, found again by the next one from the Holds. Pure.

A notice and an act are told at the end of the cycle in which they happen; the Hold keeps when that was. What
is told here a second time has the transition it had before, and so is told once.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from aibudget.api.conditions import EventReason
from aibudget.api.hold import Claim, Hold
from aibudget.enforcement import hold as holds
from aibudget.enforcement import words
from aibudget.enforcement.claims import transitions
from aibudget.enforcement.notice import Act

RECENT: Final = timedelta(minutes=30)
"""Within this a successor looks back: less than Events live, so that none of them is written twice."""

_EVER: Final = datetime.fromtimestamp(0, UTC)


def untold(found: Iterable[Hold], now: int) -> tuple[Act, ...]:
    """The questions, notices and acts of these Holds that are not old yet."""
    since = datetime.fromtimestamp(now, UTC) - RECENT
    return tuple(act for hold in found if hold.spec.action == "ScaleDown" for act in _of(hold, since))


def _of(hold: Hold, since: datetime) -> Iterator[Act]:
    workload, uid = holds.workload_of(hold), hold.spec.target_ref.uid
    made = hold.metadata.creation_timestamp
    if made is not None and made >= since:
        for reason, claim, said in transitions((), hold.spec.claims):
            if reason is EventReason.APPROVAL_REQUESTED:
                yield Act(workload, reason, f"{said} {holds.way_to_decide(hold)}", (claim,), uid)
    claims = holds.approved(hold)
    noticed = _of_the_notice(claims)
    if noticed and _since(noticed[0]) >= since:
        message = words.notice(hold, noticed, None)
        yield Act(workload, EventReason.SCALE_DOWN_NOTICE, message, noticed, uid, hold=hold.uid)
    enforced = hold.status.enforced_time
    if enforced is None or enforced < since:
        return
    # Who has come to claim it since then did not have it stopped.
    if stopped := tuple(claim for claim in claims if _since(claim) <= enforced):
        message = words.done(hold)
        yield Act(workload, EventReason.WORKLOAD_SCALED_DOWN, message, stopped, uid, hold=hold.uid)


def _of_the_notice(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    """Those it was given for: of who joins later, or is approved by a person, no notice is told."""
    timed = [claim for claim in claims if claim.notice_time is not None and claim.decided_time is None]
    first = min(map(_since, timed), default=None)
    return tuple(claim for claim in timed if _since(claim) == first)


def _since(claim: Claim) -> datetime:
    """From when on it asks for the act."""
    return max(filter(None, (claim.notice_time, claim.decided_time)), default=_EVER)
