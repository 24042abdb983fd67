"""JSON patch operations: setting and taking away labels, annotations and the one field of a kind. Pure."""

import json
from collections.abc import Mapping

from aibudget.enforcement.kinds import Stop
from aibudget.enforcement.live import Live
from aibudget.errors import Stalled
from aibudget.inventory.kubernetes import Json


def put(path: str, value: object) -> Json:
    return {"op": "add", "path": path, "value": value}


def put_back(stop: Stop, original: str | None) -> Json:
    """The one place that decides what a restore writes: a checked integer at the catalogue's path."""
    if not stop.accepts(original):
        raise Stalled("InvalidHold", f"{original!r} cannot be put back at {stop.path}; set it by hand.")
    return {"op": "remove", "path": stop.path} if original is None else put(stop.path, json.loads(original))


def edit(live: Live, labels: Mapping[str, str | None], annotations: Mapping[str, str | None]) -> list[Json]:
    return [
        *edit_map("/metadata/labels", live.labels, labels),
        *edit_map("/metadata/annotations", live.annotations, annotations),
    ]


def edit_map(path: str, present: Mapping[str, str], wanted: Mapping[str, str | None]) -> list[Json]:
    """The operations that set these keys, or take away those that are None."""
    operations: list[Json] = []
    if not present and any(value is not None for value in wanted.values()):
        operations.append(put(path, {}))
    for key, value in wanted.items():
        pointer = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if value is not None:
            operations.append(put(pointer, value))
        elif key in present:
            operations.append({"op": "remove", "path": pointer})
    return operations
