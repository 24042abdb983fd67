"""`Live`: a workload as the API server has it at this moment, reduced to what decisions need. Pure.

Reading is defensive: labels and annotations are the tenant's to write, so that nothing here trusts them; they
only ever choose between writing an original that `kinds.Stop` accepts and writing nothing.
"""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Final

from aibudget.api.fields import parse_instant
from aibudget.api.names import (
    FIELD_MANAGER,
    HOLD_LABEL,
    ORIGINAL_ANNOTATION,
    PROTECTED,
    PROTECTED_UNTIL,
    VETO_ANNOTATION,
)
from aibudget.enforcement.kinds import KINDS, Kind, Stop
from aibudget.inventory.workload import Workload

_FOREIGN_ANNOTATIONS: Final = ("downscaler/original-replicas",)
_FOREIGN_MANAGERS: Final = ("kube-green",)


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


@dataclass(frozen=True, slots=True)
class Live:
    """`value` is the JSON text of the field that stops the kind, None where it is absent or there is none.

    `managers` are those that own this field; `controller` is the object that would undo a change, if any.
    """

    workload: Workload
    kind: Kind
    uid: str
    resource_version: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    value: str | None
    managers: frozenset[str]
    controller: str | None
    managed_fields: Sequence[Mapping[str, Any]]
    selector: str

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
        """Whether we, and nobody beside us, own the field."""
        return self.managers == {FIELD_MANAGER}

    @property
    def owned(self) -> bool:
        """Whether we own the field, alone or not."""
        return FIELD_MANAGER in self.managers

    @property
    def taken_from_us(self) -> bool:
        """Whether we have written here, and the field's present value is somebody else's.

        A write of 0 through `/scale` leaves the field without any owner; managed fields that were erased as a
        whole say nothing.
        """
        wrote = any(entry.get("manager") == FIELD_MANAGER for entry in self.managed_fields)
        return bool(self.others) or (wrote and not self.owned)

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
    path = kind.stop.path if kind.stop else None
    return Live(
        workload=Workload(metadata["namespace"], kind.name, metadata["name"]),
        kind=kind,
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        value=_value(obj, path) if path else None,
        managers=frozenset(entry["manager"] for entry in fields if path and _owns(entry, path)),
        controller=_controller(metadata),
        managed_fields=fields,
        selector=_selector(obj),
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


def vetoes_of(live: Live) -> frozenset[tuple[str, str]]:
    """The (budget uid, period id) pairs for which a person has had this workload back."""
    pairs = (text.partition("=") for text in live.annotations.get(VETO_ANNOTATION, "").split())
    return frozenset((uid, period_id) for uid, _, period_id in pairs if period_id)


def veto_text(vetoes: frozenset[tuple[str, str]]) -> str:
    """The annotation that `vetoes_of` reads."""
    return " ".join(sorted(f"{uid}={period_id}" for uid, period_id in vetoes))


def vetoed(live: Live, pairs: Set[tuple[str, str]]) -> dict[str, str | None]:
    """The annotation with these vetoes added; of each budget only the newest is kept."""
    anew = {uid for uid, _ in pairs}
    kept = {(uid, period_id) for uid, period_id in vetoes_of(live) if uid not in anew}
    return {VETO_ANNOTATION: veto_text(frozenset(pairs | kept))} if pairs else {}


def _value(obj: Mapping[str, Any], path: str) -> str | None:
    found: Any = obj
    for part in path.strip("/").split("/"):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return json.dumps(found)


def _owns(entry: Mapping[str, Any], path: str) -> bool:
    found: Any = entry.get("fieldsV1") or {}
    for part in path.strip("/").split("/"):
        if not isinstance(found, Mapping) or f"f:{part}" not in found:
            return False
        found = found[f"f:{part}"]
    return True


def _controller(metadata: Mapping[str, Any]) -> str | None:
    owners = metadata.get("ownerReferences") or ()
    return next((f"{owner['kind']}/{owner['name']}" for owner in owners if owner.get("controller")), None)


def _selector(obj: Mapping[str, Any]) -> str:
    """The pods' label selector as a query; "" where it says nothing."""
    selector = (obj.get("spec") or {}).get("selector") or {}
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for term in selector.get("matchExpressions") or ():
        values = ",".join(term.get("values") or ())
        match term["operator"]:
            case "In":
                parts.append(f"{term['key']} in ({values})")
            case "NotIn":
                parts.append(f"{term['key']} notin ({values})")
            case "Exists":
                parts.append(term["key"])
            case _:
                parts.append(f"!{term['key']}")
    return ",".join(parts)
