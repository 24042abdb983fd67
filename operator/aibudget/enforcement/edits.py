"""JSON patch operations: setting and taking away labels, annotations and the one field of a kind. Pure."""

import json
from collections.abc import Mapping

from aibudget.enforcement.kinds import Stop
from aibudget.enforcement.live import Live, stop_of
from aibudget.enforcement.pointer import escape, parts
from aibudget.errors import Stalled
from aibudget.inventory.kubernetes import Json


def put(path: str, value: object) -> Json:
    return {"op": "add", "path": path, "value": value}


def put_stopped(live: Live) -> list[Json]:
    """What stops it: the enforced value, in a map of its own where that is not there yet."""
    stop = stop_of(live)
    made = [] if live.missing is None else [put(live.missing, {})]
    return [*made, put(stop.path, stop.stopped)]


def put_back(stop: Stop, original: str | None) -> Json:
    """The one place that decides what a restore writes: a checked value at the catalogue's path."""
    if not stop.accepts(original):
        raise Stalled("InvalidHold", f"{original!r} cannot be put back at {stop.path}; set it by hand.")
    return {"op": "remove", "path": stop.path} if original is None else put(stop.path, json.loads(original))


def told(stop: Stop, value: str | None) -> str:
    """What was put back, in words."""
    return f"Put back: {parts(stop.path)[-1]} is {value or 'absent'} again."


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
        pointer = f"{path}/{escape(key)}"
        if value is not None:
            operations.append(put(pointer, value))
        elif key in present:
            operations.append({"op": "remove", "path": pointer})
    return operations
