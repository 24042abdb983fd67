"""What the owners of each kind ask for: its object as a manifest, and the values with which it runs.

A kind of the catalogue that can be stopped and is not here fails the suite: it has to be thought about.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aibudget.enforcement.kinds import KINDS, Kind
from aibudget.inventory.kubernetes import Json


@dataclass(frozen=True, slots=True)
class Shape:
    """`running`: values of the field that stops the kind with which it runs; `stopped`: with which not."""

    path: tuple[str, ...]
    running: tuple[int | bool, ...]
    stopped: int | bool


_REPLICAS = Shape(("spec", "replicas"), (1, 2, 3, 5), 0)
_SUSPEND = Shape(("spec", "suspend"), (False,), True)
_SHAPES: Mapping[str, Shape] = {
    "Deployment": _REPLICAS,
    "StatefulSet": _REPLICAS,
    "ReplicaSet": _REPLICAS,
    "Job": _SUSPEND,
}


def shape_of(kind: Kind) -> Shape:
    """How this kind is asked for."""
    return _SHAPES[kind.name]


def stoppable() -> tuple[Kind, ...]:
    """Every kind that can be stopped."""
    return tuple(kind for kind in KINDS.values() if kind.stop is not None and kind.name in _SHAPES)


def manifest(kind: Kind, namespace: str, name: str, value: int | bool | None) -> Json:
    """As its owner keeps it in Git; without the field where `value` is None."""
    labels = {"app": name}
    template: Json = {"metadata": {"labels": dict(labels), "annotations": {}}}
    spec: Json = {"selector": {"matchLabels": dict(labels)}, "template": template}
    made: Json = {
        "apiVersion": kind.resource.api_version,
        "kind": kind.name,
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels), "annotations": {}},
        "spec": spec,
    }
    if value is not None:
        put(made, shape_of(kind), value)
    return made


def put(obj: Json, shape: Shape, value: int | bool) -> None:
    """Set the field."""
    holder = obj
    for part in shape.path[:-1]:
        holder = holder.setdefault(part, {})
    holder[shape.path[-1]] = value


def take(obj: Json, shape: Shape) -> None:
    """Leave the field out."""
    holder = obj
    for part in shape.path[:-1]:
        holder = holder[part]
    holder.pop(shape.path[-1], None)
