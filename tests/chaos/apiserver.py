"""An API server in memory, faithful where enforcement depends on it, with controllers that need no time.

Resource versions, preconditions, write-once fields, field owners, defaults, status apart from the rest; pods
are those that a workload asks for. `tests/cluster` tries the same behaviours on a real one. It knows nothing
of faults, and nothing of operators: `wire.py` stands between.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from aibudget.enforcement.kinds import KINDS
from aibudget.errors import Conflict
from aibudget.inventory.kubernetes import AlreadyExists, Json, NotFound, Objects, Patch
from aibudget.inventory.resource import HOLDS, JOBS, PODS, REPLICA_SETS, RESOURCE_QUOTAS, Refused, Resource
from chaos import ownership

Key = tuple[str, str, str]
_REPLICATED = ("deployments", "statefulsets", "replicasets")


class APIServer:
    """Every method is one request; whoever calls it names itself as `manager`."""

    def __init__(self) -> None:
        self.objects: dict[Key, Json] = {}
        self.without_devices: set[str] = set()
        """Names of workloads whose pods hold no accelerator."""
        self.lingering: set[str] = set()
        """Uids of workloads one of whose pods does not end."""
        self._version = 0

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Json | None:
        return copy.deepcopy(self.objects.get(_key(resource, name, namespace)))

    def list(self, resource: Resource, namespace: str | None = None, labels: str = "") -> Objects:
        found = [
            copy.deepcopy(obj)
            for (plural, where, _), obj in sorted(self.objects.items())
            if plural == resource.plural and namespace in (None, where)
        ]
        if resource in (PODS, REPLICA_SETS, JOBS):
            found += self._dependents(resource, namespace)
        return [obj for obj in found if _selected(obj, labels)]

    def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None, manager: str
    ) -> Json:
        key = _key(resource, body["metadata"]["name"], namespace)
        if key in self.objects:
            raise AlreadyExists("AlreadyExists", f"{key} exists")
        obj = copy.deepcopy(dict(body))
        obj["metadata"] = {**obj["metadata"], "namespace": namespace or ""}
        obj.pop("status", None)
        _default(resource, obj)
        empty: Json = {"metadata": {}}
        obj["metadata"]["managedFields"] = ownership.after_update([], empty, obj, manager)
        return self._store(resource, obj)

    def patch(
        self,
        resource: Resource,
        name: str,
        patch: Patch,
        namespace: str | None,
        manager: str,
        *,
        status: bool,
    ) -> Json:
        present = self._present(resource, name, namespace)
        changed = copy.deepcopy(present)
        if isinstance(patch, Mapping):
            _merge(changed, patch)
        else:
            for operation in patch:
                _apply(changed, operation)
        if status:
            changed = {**copy.deepcopy(present), "status": changed.get("status", {})}
        elif "status" in present:
            changed["status"] = present["status"]
        return self._update(resource, present, changed, manager)

    def edit(
        self,
        resource: Resource,
        name: str,
        namespace: str,
        change: Callable[[Json], None],
        manager: str | None,
    ) -> Json:
        """An update by a person or a tool, of what is there now; by nobody, as `/scale` to 0 is."""
        present = self._present(resource, name, namespace)
        changed = copy.deepcopy(present)
        change(changed)
        return self._update(resource, present, changed, manager)

    def apply(self, resource: Resource, config: Json, manager: str, *, force: bool) -> Json:
        """Server-side apply of what is there already."""
        metadata = config["metadata"]
        present = self._present(resource, metadata["name"], metadata["namespace"])
        entries = present["metadata"].get("managedFields") or []
        if not force and (against := ownership.conflicts(entries, present, config, manager)):
            raise Conflict("Conflict", f"conflict with {against}")
        changed = copy.deepcopy(present)
        for path in ownership.given_up(entries, config, manager):
            _remove(changed, path)
        _merge(changed, {"spec": config.get("spec") or {}})
        labels = {"labels": metadata.get("labels") or {}, "annotations": metadata.get("annotations") or {}}
        _merge(changed["metadata"], labels)
        _default(resource, changed)
        owners = ownership.after_apply(entries, present, changed, config, manager)
        changed["metadata"]["managedFields"] = owners
        return self._store(resource, changed, present)

    def delete(
        self, resource: Resource, name: str, namespace: str | None = None, uid: str | None = None
    ) -> bool:
        """Whether it was there; what it owns goes with it."""
        key = _key(resource, name, namespace)
        if key not in self.objects:
            return False
        if uid is not None and self.objects[key]["metadata"]["uid"] != uid:
            raise Conflict("Conflict", "another uid")
        gone = self.objects.pop(key)["metadata"]["uid"]
        owned = {k for k, obj in self.objects.items() if gone in _owners(obj)}
        self.objects = {k: obj for k, obj in self.objects.items() if k not in owned}
        return True

    def _present(self, resource: Resource, name: str, namespace: str | None) -> Json:
        present = self.objects.get(_key(resource, name, namespace))
        if present is None:
            raise NotFound("NotFound", f"{resource.plural} {namespace}/{name} is gone")
        return present

    def _update(self, resource: Resource, present: Json, changed: Json, manager: str | None) -> Json:
        _default(resource, changed)
        if resource is HOLDS:
            _check_hold(present, changed)
        before = present["metadata"].get("managedFields") or []
        asked = changed["metadata"].get("managedFields") or []
        # An empty list means "leave them"; one empty entry erases them all.
        kept = before if asked == [] else [entry for entry in asked if entry]
        changed["metadata"]["managedFields"] = ownership.after_update(kept, present, changed, manager)
        return self._store(resource, changed, present)

    def _store(self, resource: Resource, obj: Json, before: Json | None = None) -> Json:
        if before is not None and obj == before:
            return copy.deepcopy(obj)
        self._version += 1
        metadata = obj["metadata"]
        obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
        metadata.setdefault("uid", f"{metadata['name']}-uid-{self._version}")
        metadata["resourceVersion"] = str(self._version)
        if resource is RESOURCE_QUOTAS:
            hard = obj["spec"]["hard"]
            obj["status"] = {"hard": dict(hard), "used": dict.fromkeys(hard, "2")}
        if before is None or before.get("spec") != obj.get("spec"):
            metadata["generation"] = metadata.get("generation", 0) + 1
        self.objects[_key(resource, metadata["name"], metadata.get("namespace"))] = obj
        return copy.deepcopy(obj)

    def _dependents(self, wanted: Resource, namespace: str | None) -> Objects:
        made: Objects = []
        for (plural, where, _), obj in sorted(self.objects.items()):
            if namespace in (None, where) and plural in _WORKLOADS:
                made += [one for one in self._made_by(obj) if one["kind"] == wanted.kind]
        return made

    def _made_by(self, obj: Json) -> Objects:
        """What its controllers would have made: for a Deployment a ReplicaSet and pods, else pods."""
        metadata = obj["metadata"]
        owner = {"kind": obj["kind"], "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        made: Objects = []
        if obj["kind"] in _BETWEEN:
            kind = _BETWEEN[obj["kind"]]
            name, uid = f"{metadata['name']}-1", f"{kind}-{metadata['uid']}"
            made.append(_dependent(obj, kind, name, uid, owner))
            owner = {"kind": kind, "name": name, "uid": uid, "controller": True}
        for number in range(self._number_of_pods(obj)):
            name = f"{metadata['name']}-1-{number}"
            pod = _dependent(obj, "Pod", name, f"pod-{name}", owner)
            devices = (
                {} if metadata["name"].removesuffix("-1") in self.without_devices else {"nvidia.com/gpu": "1"}
            )
            container = {"name": "c", "resources": {"requests": devices}}
            pod["spec"] = {"nodeName": "n", "containers": [container]}
            pod["status"] = {"phase": "Running"}
            made.append(pod)
        return made

    def _number_of_pods(self, obj: Json) -> int:
        least = 1 if obj["metadata"]["uid"] in self.lingering else 0
        spec = obj["spec"]
        if obj["kind"] == "CronJob":
            return 0  # its Jobs are objects of their own
        if obj["kind"] == "DaemonSet":
            away = (spec["template"].get("spec") or {}).get("nodeSelector") or {}
            return least if any("aibudget" in key for key in away) else 2
        wanted = spec["replicas"] if "replicas" in spec else 0 if spec.get("suspend") else 1
        return max(int(wanted), least)


_WORKLOADS = frozenset(kind.resource.plural for kind in KINDS.values())
_BETWEEN = {"Deployment": "ReplicaSet"}


def _key(resource: Resource, name: str, namespace: str | None) -> Key:
    return resource.plural, namespace or "", name


def _dependent(obj: Json, kind: str, name: str, uid: str, owner: Json) -> Json:
    labels = ((obj["spec"].get("selector") or {}).get("matchLabels")) or {}
    metadata = {"name": name, "uid": uid, "namespace": obj["metadata"]["namespace"], "labels": labels}
    metadata |= {"resourceVersion": "1", "ownerReferences": [owner]}
    version = {"Pod": "v1", "Job": "batch/v1"}.get(kind, "apps/v1")
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {}}


def _owners(obj: Json) -> set[str]:
    return {owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ()}


def _selected(obj: Json, labels: str) -> bool:
    carried = obj["metadata"].get("labels") or {}
    for term in filter(None, labels.split(",")):
        key, equals, value = term.partition("=")
        if key not in carried or (equals and carried[key] != value):
            return False
    return True


def _default(resource: Resource, obj: Json) -> None:
    if resource.plural in _REPLICATED:
        obj["spec"].setdefault("replicas", 1)
    if resource.plural in ("jobs", "cronjobs"):
        obj["spec"].setdefault("suspend", False)


def _check_hold(before: Json, after: Json) -> None:
    original = before["spec"].get("original")
    if original is not None and after["spec"].get("original") != original:
        raise Refused("Refused", "original is written once")
    if after["spec"]["targetRef"] != before["spec"]["targetRef"]:
        raise Refused("Refused", "targetRef is immutable")


def _merge(target: Json, patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if isinstance(value, Mapping):
            if not isinstance(target.get(key), dict):
                target[key] = {}
            _merge(target[key], value)
        elif value is None:
            target.pop(key, None)
        else:
            target[key] = copy.deepcopy(value)


def _remove(obj: Json, path: ownership.Path) -> None:
    holder: Any = obj
    for part in path[:-1]:
        holder = holder.get(part) or {}
    holder.pop(path[-1], None)


def _apply(target: Json, operation: Mapping[str, Any]) -> None:
    *parents, last = [p.replace("~1", "/").replace("~0", "~") for p in operation["path"].split("/")[1:]]
    holder: Any = target
    for part in parents:
        if part not in holder:
            raise Conflict("Conflict", f"no {operation['path']}")
        holder = holder[part]
    match operation["op"]:
        case "test":
            if holder.get(last) != operation["value"]:
                raise Conflict("Conflict", "it changed")
        case "remove" | "replace" if last not in holder:
            raise Conflict("Conflict", f"no {operation['path']}")
        case "remove":
            del holder[last]
        case _:
            holder[last] = copy.deepcopy(operation["value"])
