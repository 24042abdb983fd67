"""An API server in memory, as far as enforcement can tell: versions, preconditions, field owners, pods.

A workload's pods are always those that it asks for. Everything is written at once; a test that
wants a crash raises from `before_write`.
"""

import json
import pickle
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from aibudget.api.names import FIELD_MANAGER, KILL_SWITCH, STOPPED
from aibudget.enforcement.kinds import KINDS, Kind
from aibudget.enforcement.pointer import parts, value_at
from aibudget.errors import Conflict
from aibudget.inventory.kubernetes import AlreadyExists, Json, NotFound, NotServed, Objects, Patch, Slim
from aibudget.inventory.resource import (
    CRON_JOBS,
    DEPLOYMENTS,
    HOLDS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    Resource,
)

Key = tuple[str, str, str]
Value = TypeVar("Value")

_PODS_OF = {kind.resource.plural for kind in KINDS.values() if kind.stop is not None} - {CRON_JOBS.plural}


class FakeAPI:
    """Satisfies `enforcement.port.Port`; people use `scale`, `seed` and `remove`."""

    def __init__(self) -> None:
        self.objects: dict[Key, Json] = {}
        self.before_write: Callable[[], None] = lambda: None
        self.written: list[tuple[str, str]] = []
        self.unserved: Resource | None = None
        self.pods_run = True
        self.pods_end = True
        self.pods_ready = True
        self._version = 0

    def seed(self, resource: Resource, name: str, namespace: str = "", **content: Any) -> Json:
        """Put an object there as somebody else."""
        metadata = {"name": name, "namespace": namespace, **content.pop("metadata", {})}
        return self._store(resource, {"metadata": metadata, **content}, manager="somebody")

    def deployment(self, name: str, namespace: str, replicas: int, **metadata: Any) -> Json:
        """A Deployment whose pods hold a GPU each."""
        selector = {"matchLabels": {"app": name}}
        spec = {"replicas": replicas, "selector": selector}
        return self.seed(DEPLOYMENTS, name, namespace, metadata=metadata, spec=spec)

    def scale(self, name: str, namespace: str, replicas: int, manager: str = "kubectl") -> None:
        """What a person or another tool does: the field is theirs then."""
        obj = _copy(self.objects[_key(DEPLOYMENTS, name, namespace)])
        obj["spec"]["replicas"] = replicas
        self._store(DEPLOYMENTS, obj, manager=manager, forced=True)

    def ask(self, kind: Kind, name: str, namespace: str, value: str | None, manager: str = "kubectl") -> None:
        """What the owner of any kind does: the field that stops it is his. JSON text, None: absent."""
        assert kind.stop is not None
        obj = _copy(self.objects[_key(kind.resource, name, namespace)])
        if value is not None:
            _apply(obj, {"op": "add", "path": kind.stop.path, "value": json.loads(value)})
        elif value_at(obj, kind.stop.path) is not None:
            _apply(obj, {"op": "remove", "path": kind.stop.path})
        self._store(kind.resource, obj, manager=manager, forced=True)

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Deleted by a person."""
        self.objects.pop(_key(resource, name, namespace), None)

    def remove_kill_switch(self) -> None:
        """What a person does when all is well again."""
        self.objects = {key: obj for key, obj in self.objects.items() if key[2] != KILL_SWITCH}

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, metadata_only: bool = False
    ) -> Json | None:
        self._check_served(resource)
        return _copy(self.objects.get(_key(resource, name, namespace)))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
        slim: Slim | None = None,
    ) -> Objects:
        self._check_served(resource)
        derived = self._derived(resource) if not labels and namespace is None else []
        found = derived + [
            obj
            for (plural, where, _), obj in sorted(self.objects.items())
            if plural == resource.plural and namespace in (None, where)
        ]
        marked = [obj for obj in found if not labels or labels in (obj["metadata"].get("labels") or {})]
        if metadata_only:
            marked = [{k: obj[k] for k in ("apiVersion", "kind", "metadata")} for obj in marked]
        marked = _copy(marked)
        return marked if slim is None else [kept for obj in marked if (kept := slim(obj)) is not None]

    async def create(self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None) -> Json:
        self._write("create", resource)
        if _key(resource, body["metadata"]["name"], namespace) in self.objects:
            raise AlreadyExists("AlreadyExists", "it exists")
        metadata = {"namespace": namespace or "", **body["metadata"]}
        return self._store(resource, {**_copy(dict(body)), "metadata": metadata}, manager=FIELD_MANAGER)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Patch,
        namespace: str | None = None,
        *,
        status: bool = False,
    ) -> Json:
        self._write("status" if status else "patch", resource)
        present = self.objects.get(_key(resource, name, namespace))
        if present is None:
            raise NotFound("NotFound", f"{name} is gone")
        changed = _copy(present)
        if isinstance(patch, Mapping):
            _merge(changed, patch)
        else:
            for operation in patch:
                _apply(changed, operation)
        if resource is HOLDS and not status:
            before = present["spec"].get("original")
            assert before is None or changed["spec"].get("original") == before, "original is written once"
        return self._store(resource, changed, manager=FIELD_MANAGER, status=status)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> bool:
        self._write("delete", resource)
        key = _key(resource, name, namespace)
        if key not in self.objects:
            return False
        if uid is not None and self.objects[key]["metadata"]["uid"] != uid:
            raise Conflict("Conflict", "another uid")
        del self.objects[key]
        return True

    def _check_served(self, resource: Resource) -> None:
        if resource is self.unserved:
            raise NotServed("NotServed", "404 page not found")

    def _write(self, verb: str, resource: Resource) -> None:
        self.before_write()
        self.written.append((verb, resource.plural))

    def _store(
        self, resource: Resource, obj: Json, *, manager: str, forced: bool = False, status: bool = False
    ) -> Json:
        self._version += 1
        metadata = obj["metadata"]
        key = _key(resource, metadata["name"], metadata.get("namespace"))
        before = self.objects.get(key)
        obj |= {"apiVersion": resource.api_version, "kind": resource.kind}
        metadata.setdefault("uid", f"uid-{self._version}")
        metadata["resourceVersion"] = str(self._version)
        metadata["generation"] = metadata.get("generation", 0) + (not status)
        kind = KINDS.get(resource.kind)
        if kind is not None and kind.stop is not None and "spec" in obj:
            if kind.stop.originals:
                field = kind.stop.path.rpartition("/")[2]
                obj["spec"].setdefault(field, 1 if kind.stop.is_count else False)
            path = kind.stop.owner_path
            if forced or before is None or value_at(before, path) != value_at(obj, path):
                metadata["managedFields"] = [_owner(manager, path)]
        if resource is RESOURCE_QUOTAS:
            # kube-controller-manager counts at once.
            hard = obj["spec"]["hard"]
            obj["status"] = {"hard": dict(hard), "used": dict.fromkeys(hard, "0")}
        self.objects[key] = _copy(obj)
        return obj

    def _derived(self, resource: Resource) -> Objects:
        """The ReplicaSets of Deployments, and the pods that everything asks for."""
        made: Objects = []
        for (plural, namespace, name), obj in sorted(self.objects.items()):
            uid, spec = obj["metadata"]["uid"], obj.get("spec") or {}
            if plural == DEPLOYMENTS.plural:
                if resource is REPLICA_SETS:
                    made.append(_made(resource, namespace, name, f"rs-{uid}", obj))
                owner = {"kind": "ReplicaSet", "metadata": {"name": name, "uid": f"rs-{uid}"}}
            else:
                owner = obj
            if resource is PODS and plural in _PODS_OF:
                asked = 0 if spec.get("suspend", not spec) else int(spec.get("replicas", 1))
                asked = 0 if STOPPED in _node_selector(spec) else asked
                for number in range((asked if self.pods_end else 1) if self.pods_run else 0):
                    pod = _made(resource, namespace, f"{name}-{number}", f"{uid}-{number}", owner)
                    gpu = {"requests": {"nvidia.com/gpu": "1"}}
                    pod |= {"spec": {"nodeName": "n", "containers": [{"resources": gpu}]}}
                    ready = {"type": "Ready", "status": str(self.pods_ready)}
                    pod["status"] = {"phase": "Running", "conditions": [ready]}
                    made.append(pod)
        return made


def _made(resource: Resource, namespace: str, name: str, uid: str, owner: Mapping[str, Any]) -> Json:
    reference = {"kind": owner["kind"], "controller": True}
    reference |= {key: owner["metadata"][key] for key in ("name", "uid")}
    metadata: Json = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": "1"}
    metadata |= {"ownerReferences": [reference]}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def _node_selector(spec: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = spec.get("template", {}).get("spec", {}).get("nodeSelector", {})
    return found


def with_namespace(api: FakeAPI, name: str, **annotations: str) -> None:
    """A namespace with these annotations."""
    api.seed(NAMESPACES, name, metadata={"annotations": annotations})


def _copy(value: Value) -> Value:
    """Of plain JSON; in a fifth of the time of a deep copy of anything."""
    copied: Value = pickle.loads(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
    return copied


def _key(resource: Resource, name: str, namespace: str | None) -> Key:
    return resource.plural, namespace or "", name


def _owner(manager: str, path: str) -> Json:
    fields: Json = {}
    for part in reversed(parts(path)):
        fields = {f"f:{part}": fields}
    return {"manager": manager, "operation": "Update", "fieldsV1": fields}


def _merge(target: Json, patch: Mapping[str, Any]) -> None:
    for key, value in patch.items():
        if isinstance(value, Mapping):
            _merge(target.setdefault(key, {}), value)
        elif value is None:
            target.pop(key, None)
        else:
            target[key] = _copy(value)


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
        case "remove":
            if last not in holder:
                raise Conflict("Conflict", f"no {operation['path']}")
            del holder[last]
        case _:
            holder[last] = _copy(operation["value"])
