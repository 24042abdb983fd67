"""`Live`: a workload as the API server has it at this moment, reduced to what decisions need. Pure.

Reading is defensive: labels and annotations are the tenant's to write, so that nothing here trusts them; they
only ever choose between writing an original that `kinds.Stop` accepts and writing nothing.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final, NamedTuple

from aibudget.api.fields import parse_instant
from aibudget.api.names import (
    FIELD_MANAGER,
    HOLD_LABEL,
    ORIGINAL_ANNOTATION,
    PROTECTED,
    PROTECTED_UNTIL,
    VETO_LABEL,
)
from aibudget.enforcement.kinds import KINDS, Kind, Stop
from aibudget.enforcement.pointer import missing_map, owns, value_at
from aibudget.enforcement.refusal import Refusal
from aibudget.inventory.workload import Workload

_FOREIGN_ANNOTATIONS: Final = ("downscaler/original-replicas",)
_FOREIGN_MANAGERS: Final = ("kube-green",)
_COPYING_MANAGERS: Final = frozenset({"argocd-controller"})
"""They apply what is in the cluster already, where they were told to ignore a field: that is no wish."""
_UID: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_NO_LABEL: Final = re.compile(r"[^A-Za-z0-9.-]")
_LONGEST_LABEL: Final = 63
_AUTOSCALER: Final = ("kube-controller-manager", "scale")
"""Who writes replicas for a HorizontalPodAutoscaler, and through which subresource."""


@dataclass(frozen=True, slots=True)
class Budgeted:
    """One budget in one of its periods: what a veto and a mark are about."""

    kind: str
    uid: str
    period_id: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What our annotation on a held workload says: the Hold, the original as JSON text, and for whom."""

    hold_uid: str
    original: str | None
    claims: tuple[Budgeted, ...]


class Controller(NamedTuple):
    """The object that controls another."""

    kind: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True)
class Live:
    """`value` is the JSON text of the field that stops the kind, None where it is absent or there is none.

    `managers` are those that own this field; `autoscaled`: a HorizontalPodAutoscaler is the only one.
    `missing` is the map that has to be made before the field can be set. `controller` is the object that
    controls it, if any, `parent` the same where its kind is stopped together with that. `refusal` is why this
    very object must not be stopped.
    """

    workload: Workload
    kind: Kind
    uid: str
    resource_version: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    value: str | None
    managers: frozenset[str]
    autoscaled: bool
    missing: str | None
    controller: Controller | None
    parent: Workload | None
    refusal: Refusal | None
    managed_fields: Sequence[Mapping[str, Any]]

    @property
    def hold_label(self) -> str | None:
        """The name of the Hold that this workload says it has."""
        return self.labels.get(HOLD_LABEL)

    @property
    def stopped(self) -> bool:
        """Whether the field has the enforced value, whoever wrote it."""
        return self.kind.stop is not None and self.value == self.kind.stop.stopped_json

    @property
    def ours(self) -> bool:
        """Whether we, and nobody beside us, have set the field."""
        if self.kind.stop is not None and self.kind.stop.is_ours:
            return self.stopped
        return self.managers == {FIELD_MANAGER}

    @property
    def owned(self) -> bool:
        """Whether we own the field, alone or not."""
        return FIELD_MANAGER in self.managers

    @property
    def taken_from_us(self) -> bool:
        """Whether the field was ours, and its present value is somebody else's.

        A write of 0 through `/scale` leaves the field without any owner, and leaves us the label that we
        wrote with it. Managed fields that were erased as a whole, whatever was written since, say nothing.
        What an autoscaler wrote is nobody's wish.
        """
        if self.autoscaled or (self.kind.stop is not None and self.kind.stop.is_ours):
            return False
        wrote = any(e.get("manager") == FIELD_MANAGER and _labelled(e) for e in self.managed_fields)
        asked = set(self.others) - _COPYING_MANAGERS
        return bool(asked) or (wrote and not self.owned)

    @property
    def others(self) -> tuple[str, ...]:
        """The managers beside us that asked for the present value."""
        return tuple(sorted(self.managers - {FIELD_MANAGER}))

    @property
    def foreign(self) -> str | None:
        """Another tool that stops workloads and has its mark here, or None."""
        annotations = (name for name in _FOREIGN_ANNOTATIONS if name in self.annotations)
        managers = (name for name in self.others if name.startswith(_FOREIGN_MANAGERS))
        return next(chain(annotations, managers), None)


def read(obj: Mapping[str, Any]) -> Live:
    """From the object of the API server (or its metadata alone); raises `KeyError` for an unknown kind."""
    kind = KINDS[obj["kind"]]
    metadata = obj["metadata"]
    fields = metadata.get("managedFields") or ()
    stop = kind.stop
    owners = [entry for entry in fields if stop and owns(entry, stop.owner_path)]
    by = {(entry["manager"], entry.get("subresource")) for entry in owners}
    controller = _controller(metadata)
    return Live(
        workload=Workload(metadata["namespace"], kind.name, metadata["name"]),
        kind=kind,
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        value=value_at(obj, stop.path) if stop else None,
        managers=frozenset(entry["manager"] for entry in owners),
        autoscaled=bool(stop and stop.is_count and by == {_AUTOSCALER}),
        missing=missing_map(obj, stop.path) if stop else None,
        controller=controller,
        parent=_parent(metadata["namespace"], kind, controller),
        refusal=kind.refuse(obj),
        managed_fields=fields,
    )


def stop_of(live: Live) -> Stop:
    """The one field of its kind."""
    assert live.kind.stop is not None, "what cannot be stopped has no Hold"
    return live.kind.stop


def is_protected(labels: Mapping[str, str], annotations: Mapping[str, str], now: datetime) -> bool:
    """Anything but "false" protects, as a label or an annotation; `protected-until` while it is to come.

    A time that cannot be read protects: it was meant to.
    """
    marks = {**labels, **annotations}
    if marks.get(PROTECTED, "false").strip().lower() != "false":
        return True
    until = marks.get(PROTECTED_UNTIL)
    if until is None:
        return False
    try:
        return now < parse_instant(until)
    except ValueError:
        return True


def mark_text(mark: Mark) -> str:
    """The annotation: compact JSON."""
    claims = [{"kind": c.kind, "uid": c.uid, "periodId": c.period_id} for c in mark.claims]
    content: dict[str, Any] = {"hold": mark.hold_uid, "claims": claims}
    if mark.original is not None:
        content["json"] = mark.original
    return json.dumps(content, separators=(",", ":"), sort_keys=True)


def mark_of(live: Live) -> Mark | None:
    """What our annotation says; None where there is none or it is not as we write it."""
    try:
        content = json.loads(live.annotations[ORIGINAL_ANNOTATION])
        claims = tuple(Budgeted(str(c["kind"]), str(c["uid"]), str(c["periodId"])) for c in content["claims"])
        original = content.get("json")
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if live.kind.stop is None or not (original is None or isinstance(original, str)):
        return None
    return Mark(str(content["hold"]), original, claims) if live.kind.stop.accepts(original) else None


def is_vetoed(live: Live, budget_uid: str, period_id: str) -> bool:
    """Whether a person has had this workload back from this budget in this period."""
    return live.labels.get(f"{VETO_LABEL}{budget_uid}") == _label_value(period_id)


def vetoed(pairs: Set[tuple[str, str]]) -> dict[str, str | None]:
    """The labels that say so of these (budget uid, period id) pairs; a budget's newest replaces its last."""
    return {f"{VETO_LABEL}{uid}": _label_value(period_id) for uid, period_id in pairs if _UID.fullmatch(uid)}


def _label_value(period_id: str) -> str:
    """A period's id; what a label cannot hold becomes `_` and its code, what is too long a digest."""
    value = _NO_LABEL.sub(lambda found: f"_{ord(found[0]):02X}", period_id)
    fits = len(value) <= _LONGEST_LABEL and value[:1].isalnum() and value[-1:].isalnum()
    return value if fits else hashlib.sha256(period_id.encode()).hexdigest()[:40]


def _labelled(entry: Mapping[str, Any]) -> bool:
    """Whether the entry owns the label that is written together with the field."""
    labels = ((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:labels") or {}
    return f"f:{HOLD_LABEL}" in labels


def _controller(metadata: Mapping[str, Any]) -> Controller | None:
    owners = metadata.get("ownerReferences") or ()
    found = next((owner for owner in owners if owner.get("controller")), None)
    return None if found is None else Controller(found["kind"], found["name"], found.get("uid", ""))


def _parent(namespace: str, kind: Kind, controller: Controller | None) -> Workload | None:
    if controller is None or controller.kind != kind.parent:
        return None
    return Workload(namespace, controller.kind, controller.name)
