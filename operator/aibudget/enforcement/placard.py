"""What is written on fences, for whoever meets one: which budgets want it, until when, the way out. Pure.

It is also the memory of a fence: its mark names the Hold and the claims, so that a fence whose Hold is gone
is known for a person's veto. What people vetoed in a namespace is a line of its own.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from aibudget.api.fields import format_instant
from aibudget.api.hold import Claim, Hold
from aibudget.api.names import FREEZE_QUOTA, PROTECTED
from aibudget.enforcement.fences import ACTIONS, Fence, Veto, fence_name
from aibudget.enforcement.hold import approved
from aibudget.enforcement.live import Budgeted
from aibudget.inventory.accelerators import is_accelerator

HARD_PATH: Final = "/spec/hard"
REQUESTS: Final = "requests."
DEVICES: Final = ".deviceclass.resource.k8s.io/devices"
_QUANTITY: Final = re.compile(r"\d{1,18}[kMGT]?")
_VETOED: Final = ".vetoed"
_DOES: Final = {
    "Freeze": "may not use more accelerators than it did when it was frozen; what runs stays, a pod that "
    "ends may come back, a rolling update that needs more pods for a while waits",
    "Block": "gets no new pods that ask for accelerators; what runs stays",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose a fence is: its Hold, by name and uid, and for whom."""

    hold: str
    uid: str
    claims: tuple[Budgeted, ...]


def mark_text(hold: Hold) -> str:
    """Compact JSON on one line."""
    claims = [{"kind": c.kind, "uid": c.uid, "periodId": c.period_id} for c in hold.spec.claims]
    content = {"name": hold.name, "hold": hold.uid, "claims": claims}
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


def mark_of(text: str | None) -> Mark | None:
    """What `mark_text` wrote; None where it is nothing of ours."""
    try:
        content = json.loads(text or "")
        claims = tuple(Budgeted(str(c["kind"]), str(c["uid"]), str(c["periodId"])) for c in content["claims"])
        return Mark(str(content["name"]), str(content["hold"]), claims)
    except (KeyError, TypeError, ValueError):
        return None


def words(fence: Fence, hold: Hold) -> str:
    """One line: what happens here, for whom, until when, and how to have it otherwise."""
    claims = approved(hold) or hold.spec.claims
    names = ", ".join(f"{c.kind} {c.name} (threshold {c.threshold}, period {c.period_id})" for c in claims)
    until = "when the period does" if fence.until is None else f"at {format_instant(fence.until)}"
    ends = f"It ends when the limit is raised, or {until}."
    return f"Namespace {fence.place.name} {_DOES[fence.action]}: {names}. {ends} {way_out(fence, hold)}"


def way_out(fence: Fence, hold: Hold) -> str:
    """What to do about it now."""
    lift = f"To lift it now: kubectl delete hold -n {fence.place.name} {hold.name}"
    cluster = [claim.name for claim in hold.spec.claims if claim.kind == "ClusterAIBudget"]
    if cluster:
        return f"ClusterAIBudget {cluster[0]} is not the namespace's to lift: ask whoever runs it."
    if fence.action == "Block":
        return f"To let a workload pass: annotate it {PROTECTED}=true. {lift}"
    return lift


def value_of(fence: Fence, hold: Hold, exempt: frozenset[str]) -> str:
    """The ConfigMap's value for a blocked namespace: the answer, the mark, and an exempt owner a line."""
    return "\n".join([words(fence, hold), mark_text(hold), *sorted(exempt)])


def mark_in(value: str) -> Mark | None:
    """The mark in such a value."""
    lines = value.split("\n")
    return mark_of(lines[1]) if len(lines) > 1 else None


def exempt_in(value: str) -> frozenset[str]:
    """The exempt owners in such a value."""
    return frozenset(value.split("\n")[2:])


def veto_key(namespace: str) -> str:
    """The ConfigMap's key for what people vetoed in a namespace; no namespace's name has a dot."""
    return f"{namespace}{_VETOED}"


def namespace_of(key: str) -> tuple[str, bool]:
    """The namespace that a key of the ConfigMap is about, and whether it holds vetoes."""
    return key.removesuffix(_VETOED), key.endswith(_VETOED)


def vetoes_at(value: str | None) -> frozenset[Veto]:
    """What people vetoed in a namespace."""
    parts = (re.fullmatch(r"(\w+)/([^=]+)=(.+)", word) for word in (value or "").split())
    return frozenset((m[1], m[2], m[3]) for m in parts if m)


def veto_text(vetoes: frozenset[Veto]) -> str:
    """What `vetoes_at` reads."""
    return " ".join(sorted(f"{action}/{uid}={period}" for action, uid, period in vetoes))


def with_vetoes(value: str | None, new: frozenset[Veto]) -> str:
    """The value with these vetoes, too; of each budget and action only the newest period is kept."""
    anew = {(action, uid) for action, uid, _ in new}
    kept = {veto for veto in vetoes_at(value) if (veto[0], veto[1]) not in anew}
    return veto_text(frozenset(kept | new))


def vetoes_of(action: str, claims: tuple[Claim, ...] | tuple[Budgeted, ...]) -> frozenset[Veto]:
    """The vetoes that the deletion of a Hold with these claims is: what is a tenant's to veto."""
    return frozenset((action, c.uid, c.period_id) for c in claims if c.kind == "AIBudget")


def hard_of(hold: Hold) -> dict[str, str] | None:
    """The quota's `hard` as the Hold keeps it; None while nothing is recorded."""
    if not hold.spec.original:
        return None
    hard: dict[str, str] = json.loads(hold.spec.original[0].json_value or "{}")
    return hard


def block_path(namespace: str) -> str:
    """The path of a Block's original: its key of the ConfigMap, which was absent."""
    return f"/data/{namespace}"


def invalid(hold: Hold) -> str | None:
    """Why this Hold cannot be a fence of ours, or None: nothing is ever written for one that is not."""
    action, target = hold.spec.action, hold.spec.target_ref
    if action not in ACTIONS or (target.api_version, target.kind) != ("v1", "Namespace"):
        return f"{action} of {target.api_version} {target.kind} is nothing that AIBudget does"
    if target.name != hold.namespace or hold.name != fence_name(action, target.name, target.uid):
        return "its name or namespace does not fit its target"
    originals = [(one.path, one.json_value) for one in hold.spec.original or ()]
    if action == "Block" and originals not in ([], [(block_path(target.name), None)]):
        return "its original is not the one key of a Block"
    if action == "Freeze" and not (not originals or (len(originals) == 1 and _is_hard(*originals[0]))):
        return f"its original is no {HARD_PATH} of ResourceQuota {FREEZE_QUOTA}"
    return None


def _is_hard(path: str, text: str | None) -> bool:
    try:
        hard: Any = json.loads(text or "")
    except ValueError:
        return False
    return path == HARD_PATH and isinstance(hard, dict) and all(_is_limit(*item) for item in hard.items())


def _is_limit(name: str, quantity: object) -> bool:
    ours = name.endswith(DEVICES) or is_accelerator(name.removeprefix(REQUESTS))
    return ours and isinstance(quantity, str) and _QUANTITY.fullmatch(quantity) is not None
