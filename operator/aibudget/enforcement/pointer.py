"""JSON pointers: what is at one, which map on the way to it is missing, and who owns it. Pure."""

import json
from collections.abc import Mapping
from typing import Any


def escape(key: str) -> str:
    """A map's key as one part of a pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def parts(path: str) -> list[str]:
    """The keys on the way."""
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def value_at(obj: Mapping[str, Any], path: str) -> str | None:
    """The JSON text of what is there; None where nothing is."""
    found: Any = obj
    for part in parts(path):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return json.dumps(found)


def missing_map(obj: Mapping[str, Any], path: str) -> str | None:
    """The pointer of the map that would hold the value, where that map is not there."""
    parent = path.rpartition("/")[0]
    return parent if parent and value_at(obj, parent) is None else None


def owns(entry: Mapping[str, Any], path: str) -> bool:
    """Whether this entry of `managedFields` owns the field."""
    found: Any = entry.get("fieldsV1") or {}
    for part in parts(path):
        if not isinstance(found, Mapping) or f"f:{part}" not in found:
            return False
        found = found[f"f:{part}"]
    return True
