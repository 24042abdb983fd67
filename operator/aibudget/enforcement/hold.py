"""Holds as values: their names, what is written into them, and the one next step for each. Pure.

`next_step` is the protocol: it looks only at the Hold and the workload as both are now, so that whatever was
interrupted (a crash, a refusal, another writer) is taken up by looking again. What every step writes, and in
which order, is `act.py`'s business.
"""

import hashlib
from datetime import datetime
from enum import Enum
from typing import Any, Final

from aibudget.api.conditions import (
    Condition,
    ConditionType,
    Reason,
    Status,
    find_condition,
    set_condition,
)
from aibudget.api.hold import Claim, Hold, HoldStatus
from aibudget.api.names import (
    API_VERSION,
    HOLD_LABEL,
    ORIGINAL_ANNOTATION,
    REASON_ANNOTATION,
    REVERTS_ANNOTATION,
)
from aibudget.enforcement.kinds import KINDS, Kind
from aibudget.enforcement.live import Budgeted, Live, Mark, mark_of, mark_text
from aibudget.inventory.workload import Workload

MOST_REVERTS: Final = 3
"""So often the act is written again; at the next revert acting stops."""
MOST_CLAIMS: Final = 32

_DIGEST = 10
_LABEL_VALUE = 63


class Step(Enum):
    """What is to be done next for one Hold."""

    WAIT = "nothing to do now"
    ACT = "write the enforced value and our marks"
    CHECK = "held: put missing marks back and see whether the pods are gone"
    YIELD = "its owner stopped it: take our marks off, keep the Hold"
    COUNT = "put back by another manager: count it"
    SUPERSEDE = "its owner asked for another value: a new Hold with a new original"
    CONTEST = "put back too often: take our marks off and stop acting"
    RESTORE = "put the original back"
    LEAVE = "take our marks off, put nothing back"
    DISOWN = "give the field's ownership up"
    DELETE = "nothing of it is left on the workload"


def hold_name(kind: Kind, name: str, uid: str) -> str:
    """The only name a Hold of this object can have: creating it is the mutex. Fits into a label's value."""
    return hashed_name(f"{kind.name.lower()}-{name}", f"{kind.resource.group}/{kind.name}/{uid}")


def hashed_name(prefix: str, identity: str) -> str:
    """A name that this identity alone has, and that a person can still read. Fits into a label's value."""
    digest = hashlib.sha256(identity.encode()).hexdigest()[:_DIGEST]
    return f"{prefix[: _LABEL_VALUE - _DIGEST - 1].rstrip('-.')}-{digest}"


def workload_of(hold: Hold) -> Workload:
    """What the Hold holds."""
    return Workload(hold.metadata.namespace or "", hold.spec.target_ref.kind, hold.spec.target_ref.name)


def invalid(hold: Hold) -> str | None:
    """Why this Hold cannot be one of ours, or None: nothing is ever written for a Hold that is not."""
    target = hold.spec.target_ref
    kind = KINDS.get(target.kind)
    if kind is None or kind.stop is None or target.api_version != kind.resource.api_version:
        return f"{target.api_version} {target.kind} is nothing that AIBudget stops"
    if hold.name != hold_name(kind, target.name, target.uid):
        return "its name does not fit its target"
    stop = kind.stop
    originals = hold.spec.original or ()
    if len(originals) > 1 or any(o.path != stop.path or not stop.accepts(o.json_value) for o in originals):
        return f"its original is not one value of {stop.path} that could be put back"
    return None


def original_of(hold: Hold) -> tuple[str | None] | None:
    """The JSON text to put back (None: absent) in a tuple of one; None while none was recorded."""
    return (hold.spec.original[0].json_value,) if hold.spec.original else None


def vetoes_in(hold: Hold) -> tuple[Claim, ...]:
    """The vetoes that the workload remembers; one with an end, or of what no tenant may lift, stays here."""
    decided = (c for c in hold.spec.claims if c.decision == "Vetoed" and c.kind == "AIBudget")
    return tuple(claim for claim in decided if claim.decided_until is None)


def reverts_of(hold: Hold) -> int:
    """How often it was put back; a count that cannot be read is one too many."""
    text = hold.metadata.annotations.get(REVERTS_ANNOTATION, "0")
    return int(text) if text.isascii() and text.isdigit() else MOST_REVERTS + 1


def is_true(hold: Hold, condition: ConditionType) -> bool:
    """Whether the Hold's status says so."""
    found = find_condition(hold.status.conditions, condition)
    return found is not None and found.status == "True"


def stated(
    hold: Hold,
    statement: tuple[ConditionType, Status, Reason, str],
    now: datetime,
    base: HoldStatus | None = None,
) -> HoldStatus:
    """The Hold's status, or `base`, with this condition: kind, status, reason, message."""
    base = base or hold.status
    kind, status, reason, message = statement
    condition = Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=now,
        observed_generation=hold.metadata.generation,
    )
    return base.model_copy(update={"conditions": set_condition(base.conditions, condition, now)})


def body(live: Live, claims: tuple[Claim, ...]) -> dict[str, Any]:
    """A new Hold, before anything is done: no original yet."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Hold",
        "metadata": {
            "name": hold_name(live.kind, live.workload.name, live.uid),
            "namespace": live.workload.namespace,
        },
        "spec": {
            "targetRef": {
                "apiVersion": live.kind.resource.api_version,
                "kind": live.kind.name,
                "name": live.workload.name,
                "uid": live.uid,
            },
            "action": "ScaleDown",
            "claims": claims_json(claims),
        },
    }


def claims_json(claims: tuple[Claim, ...]) -> list[dict[str, Any]]:
    """As the API server stores them."""
    return [claim.model_dump(mode="json", by_alias=True, exclude_none=True) for claim in claims]


def marks(hold: Hold) -> tuple[dict[str, str], dict[str, str]]:
    """The labels and the annotations of a workload held by it, once its original is recorded."""
    original = original_of(hold)
    claims = tuple(Budgeted(c.kind, c.uid, c.period_id) for c in hold.spec.claims)
    mark = Mark(hold.uid, original[0] if original else None, claims)
    annotations = {ORIGINAL_ANNOTATION: mark_text(mark), REASON_ANNOTATION: why(hold)}
    return {HOLD_LABEL: hold.name}, annotations


def approved(hold: Hold) -> tuple[Claim, ...]:
    """The claims for which it acts."""
    return tuple(claim for claim in hold.spec.claims if claim.decision == "Approved")


def why(hold: Hold) -> str:
    """For whoever finds the workload: who stopped it, until when, how to get it back.

    A line for each, since `kubectl describe` cuts each line of an annotation after 138 characters. Without
    amounts: they change with each cycle, and stand in the budget.
    """
    lines = [f"{word_of(hold).capitalize()} by AIBudget for"]
    for claim in approved(hold):
        where = f" -n {hold.namespace}" if claim.kind == "AIBudget" else ""
        lines.append(f"{claim.kind} {claim.name} (threshold {claim.threshold}, period {claim.period_id}).")
        lines.append(f"Where it stands: kubectl describe {claim.kind.lower()} {claim.name}{where}")
    lines[:2] = [" ".join(lines[:2])]
    return "\n".join([*lines, *way_back(hold)])


def word_of(hold: Hold) -> str:
    """What was done to its target, as people say it."""
    stop = KINDS[hold.spec.target_ref.kind].stop
    assert stop is not None, "what cannot be stopped has no Hold"
    return stop.word


def way_back(hold: Hold) -> tuple[str, ...]:
    """What to do to have the workload back, or not to have it stopped: one sentence a line."""
    lines = (
        "It comes back by itself when the limit is raised or the period ends.",
        f"To have it left alone now: kubectl delete hold -n {hold.namespace} {hold.name}",
    )
    # What a tenant must not lift is a ClusterAIBudget.
    cluster = [claim.name for claim in approved(hold) if claim.kind == "ClusterAIBudget"]
    if not cluster:
        return lines
    return (*lines, f"ClusterAIBudget {cluster[0]} would then hold it again after its grace period.")


def way_to_decide(hold: Hold) -> str:
    """What to do about a claim that waits for a person."""
    return f"To have it held: kubectl aibudget approve -n {hold.namespace} {hold.name} (else veto, or wait)"


def is_marked(live: Live, hold: Hold) -> bool:
    """Whether the workload carries the marks of this very Hold."""
    mark = mark_of(live)
    return live.hold_label == hold.name and mark is not None and mark.hold_uid == hold.uid


def wears_marks(live: Live) -> bool:
    """Whether anything of ours that belongs to a held workload is on it."""
    ours = ORIGINAL_ANNOTATION in live.annotations or REASON_ANNOTATION in live.annotations
    return ours or live.hold_label is not None


def next_step(hold: Hold, live: Live | None, *, wanted: bool, may_act: bool) -> Step:
    """`wanted`: a claim stands. `may_act`: one is due now, by fresh data, and nothing forbids acting."""
    if live is None or live.uid != hold.spec.target_ref.uid:
        return Step.DELETE
    original = original_of(hold)
    if original is None:
        return _before_the_act(live, wanted=wanted, may_act=may_act)
    if live.stopped:
        return _while_stopped(hold, live, wanted=wanted)
    if not wanted:
        return _leave(live)
    return _put_back(hold, live, original[0], may_act=may_act)


def _before_the_act(live: Live, *, wanted: bool, may_act: bool) -> Step:
    if not wanted:
        return Step.DELETE
    return Step.ACT if may_act and not live.stopped else Step.WAIT


def _while_stopped(hold: Hold, live: Live, *, wanted: bool) -> Step:
    # Whoever has asked for the stop himself must not find it undone. Where managed fields were erased our
    # marks have to say that it was us.
    by_us = not live.taken_from_us and (live.ours or is_marked(live, hold))
    if wanted:
        if by_us:
            return Step.CHECK
        return Step.YIELD if wears_marks(live) else Step.WAIT
    if by_us:
        return Step.RESTORE
    return _leave(live)


def _leave(live: Live) -> Step:
    if wears_marks(live):
        return Step.LEAVE
    return Step.DISOWN if live.owned else Step.DELETE


def _put_back(hold: Hold, live: Live, original: str | None, *, may_act: bool) -> Step:
    if is_true(hold, ConditionType.CONTESTED):
        return Step.YIELD if wears_marks(live) else Step.WAIT
    if is_true(hold, ConditionType.APPLIED):
        return Step.COUNT
    if reverts_of(hold) > MOST_REVERTS:
        return Step.CONTEST
    if live.value != original and not live.autoscaled:
        return Step.SUPERSEDE
    return Step.ACT if may_act else Step.WAIT


def original_json(path: str, value: str | None) -> list[dict[str, str]]:
    """`spec.original` for one field."""
    return [{"path": path, **({} if value is None else {"json": value})}]
