"""Who owns which field: managed fields as the API server computes them, for objects as plain JSON. Pure.

Lists are taken as one value, which is enough for what AIBudget writes. The rules for an update and for a
server-side apply are those that tests/cluster tries on a real API server.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from aibudget.inventory.kubernetes import Json

Path = tuple[str, ...]
Entries = list[Json]


def leaves(obj: Mapping[str, Any]) -> dict[Path, Any]:
    """Every field that can be owned, with its value: spec, labels and annotations."""
    metadata = obj["metadata"]
    found = dict(_walk(("spec",), obj.get("spec") or {}))
    for part in ("labels", "annotations"):
        found |= dict(_walk(("metadata", part), metadata.get(part) or {}))
    return found


def after_update(entries: Entries, before: Json, after: Json, manager: str | None) -> Entries:
    """What an update leaves: changed fields belong to `manager` (None: to nobody), removed ones to nobody."""
    old, new = leaves(before), leaves(after)
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    gone = set(old) - set(new)
    sets = {_name(entry): _paths(entry) - changed - gone for entry in entries}
    if manager is not None:
        sets[manager, "Update"] = sets.get((manager, "Update"), set()) | changed
    return [_entry(name, paths) for name, paths in sets.items() if paths]


def conflicts(entries: Entries, before: Json, config: Json, manager: str) -> set[str]:
    """The managers that own a field which this apply would change."""
    old = leaves(before)
    differing = {path for path, value in leaves(config).items() if old.get(path) != value}
    others = (entry for entry in entries if _name(entry) != (manager, "Apply"))
    return {entry["manager"] for entry in others if _paths(entry) & differing}


def given_up(entries: Entries, config: Json, manager: str) -> set[Path]:
    """What this manager applied before, applies no more, and nobody else owns: it is removed."""
    mine: set[Path] = set()
    others: set[Path] = set()
    for entry in entries:
        if _name(entry) == (manager, "Apply"):
            mine |= _paths(entry)
        else:
            others |= _paths(entry)
    return mine - set(leaves(config)) - others


def after_apply(entries: Entries, before: Json, after: Json, config: Json, manager: str) -> Entries:
    """What a server-side apply leaves: its fields are its own, beside others that agree with the value."""
    kept = [entry for entry in entries if _name(entry) != (manager, "Apply")]
    return [*after_update(kept, before, after, None), _entry((manager, "Apply"), set(leaves(config)))]


def _walk(path: Path, value: Any) -> Iterable[tuple[Path, Any]]:
    # A node selector is owned as a whole.
    if isinstance(value, Mapping) and path[-1] != "nodeSelector":
        for key, inner in value.items():
            yield from _walk((*path, key), inner)
    else:
        yield path, value


def _name(entry: Json) -> tuple[str, str]:
    return entry["manager"], entry["operation"]


def _paths(entry: Json) -> set[Path]:
    def walk(path: Path, fields: Json) -> Iterable[Path]:
        if not fields:
            yield path
        for key, inner in fields.items():
            yield from walk((*path, key.removeprefix("f:")), inner)

    return set(walk((), entry["fieldsV1"])) if entry["fieldsV1"] else set()


def _entry(name: tuple[str, str], paths: set[Path]) -> Json:
    fields: Json = {}
    for path in sorted(paths):
        inner = fields
        for part in path:
            inner = inner.setdefault(f"f:{part}", {})
    return {"manager": name[0], "operation": name[1], "fieldsV1": fields}
