"""What the owners of each kind ask for: its object as a manifest, and the values with which it runs.

It follows the catalogue: a kind that becomes stoppable takes part by itself.
"""

import json
from collections.abc import Callable
from typing import Any

from aibudget.api.names import ALLOW_STOP
from aibudget.enforcement.kinds import KINDS, Kind
from aibudget.enforcement.pointer import parts
from aibudget.inventory.kubernetes import Json

Value = int | bool | str | None
"""Of the field that stops a kind; None where it is absent."""


def stoppable() -> tuple[Kind, ...]:
    """Every kind that can be stopped."""
    return tuple(kind for kind in KINDS.values() if kind.stop is not None)


def running(kind: Kind) -> tuple[Value, ...]:
    """With these values it runs."""
    assert kind.stop is not None, "only what can be stopped takes part"
    if kind.stop.is_count:
        return 1, 2, 3, 5
    return (None,) if kind.stop.is_ours else (False,)


def stopped(kind: Kind) -> Value:
    """With this value its owner stops it himself; with none if the field is nobody's but ours."""
    assert kind.stop is not None, "only what can be stopped takes part"
    return None if kind.stop.is_ours else kind.stop.stopped


def manifest(kind: Kind, namespace: str, name: str, value: Value) -> Json:
    """As its owner keeps it in Git; without the field where `value` is None."""
    labels = {"app": name}
    annotations = {ALLOW_STOP: "true"} if kind.asks else {}
    template: Json = {"metadata": {"labels": dict(labels), "annotations": {}}, "spec": {}}
    spec: Json = {"selector": {"matchLabels": dict(labels)}, "template": template}
    metadata = {"name": name, "namespace": namespace, "labels": dict(labels), "annotations": annotations}
    made: Json = {
        "apiVersion": kind.resource.api_version,
        "kind": kind.name,
        "metadata": metadata,
        "spec": spec,
    }
    if value is not None:
        setter(kind, value)(made)
    return made


def setter(kind: Kind, value: Value) -> Callable[[Json], None]:
    """An edit that gives the field this value, or takes it out."""

    def change(obj: Json) -> None:
        *way, last = _path(kind)
        holder: Any = obj
        for part in way:
            holder = holder.setdefault(part, {})
        if value is None:
            holder.pop(last, None)
        else:
            holder[last] = value

    return change


def without_field(obj: Json, kind: Kind) -> str:
    """The rest of its spec, as text to compare."""
    spec: Json = {"spec": json.loads(json.dumps(obj["spec"]))}
    setter(kind, None)(spec)
    selector = (spec["spec"].get("template") or {}).get("spec") or {}
    if selector.get("nodeSelector") == {}:
        del selector["nodeSelector"]
    return json.dumps(spec, sort_keys=True)


def _path(kind: Kind) -> list[str]:
    assert kind.stop is not None, "only what can be stopped takes part"
    return parts(kind.stop.path)
