"""The one seam to the API server: async, JSON objects in and out, every failure an error of ours.

All writes carry the field manager ``aibudget``. Each call has a time-out, and is repeated a few times while
the server is busy or away if repeating it can do no harm. Creates and JSON patches are repeated only after
429, which says that they were not looked at.
Modules that decide take a Protocol with the two or three methods they use; this class fits all of them.
It must not know what the objects mean: it reads no field but ``metadata`` and a list's ``continue``.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from aibudget.api.names import FIELD_MANAGER
from aibudget.errors import AIBudgetError, Conflict, Stalled, Transient
from aibudget.inventory.resource import Refused, Resource

Json = dict[str, Any]
Objects = list[Json]
Patch = Sequence[Mapping[str, Any]] | Mapping[str, Any]
Slim = Callable[[Json], Json | None]

_PARTIAL: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1,application/json"
_JSON: Final = "application/json"
_JSON_PATCH: Final = "application/json-patch+json"
_ATTEMPTS: Final = 4
_LONGEST_PAUSE: Final = 10.0
_PAGE: Final = 500


class NotFound(Conflict):
    """The object is not there: the API server knows its kind and says so of its name."""


class NotServed(Transient):
    """The kind is not served: its CRD is not installed, or a starting API server has not read it yet.

    This says nothing about any object, so it must never be taken for `NotFound`.
    """


class AlreadyExists(Conflict):
    """Somebody created an object of that name first."""


class Forbidden(Stalled):
    """The API server knows us and does not let us; granting the permission mends it."""


class Unavailable(Transient):
    """The API server is away, busy, or answers what no API server would."""


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    query: Mapping[str, str | int] | None = None
    body: Any = None
    content_type: str = "application/json"
    accept: str = _JSON
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    text: str
    retry_after: float | None


class Cluster:
    """A connection to one API server; close it, or use it as an async context manager.

    `skew_seconds` is the API server's clock minus ours at the last answer (whole seconds, None before one).
    """

    def __init__(
        self,
        client: Any,
        *,
        timeout_seconds: float = 15.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=min(timeout_seconds, 5.0))
        self._sleep = sleep
        self.skew_seconds: float | None = None

    @classmethod
    async def connect(
        cls,
        kubeconfig: str | Path | None = None,
        context: str | None = None,
        *,
        timeout_seconds: float = 15.0,
    ) -> Self:
        """Configured as kubectl is, or by the pod's ServiceAccount; asks the API server nothing yet."""
        configuration = Configuration()
        try:
            if kubeconfig is None and context is None and "KUBECONFIG" not in os.environ and _in_pod():
                load_incluster_config(configuration)
            else:
                path = None if kubeconfig is None else str(kubeconfig)
                _check_there(path or os.environ.get("KUBECONFIG") or "~/.kube/config")
                await load_kube_config(path, context, configuration, persist_config=False)
        except (ConfigException, OSError) as error:
            raise Stalled(
                "NoCluster",
                f"No cluster to talk to: {str(error).rstrip('.')}. Correct --context, or the file that "
                "--kubeconfig or KUBECONFIG names.",
            ) from error
        return cls(ApiClient(configuration), timeout_seconds=timeout_seconds)

    @property
    def configuration(self) -> Configuration:
        """Where the server is and how we are known there, for whoever connects on their own."""
        return self._client.configuration

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, metadata_only: bool = False
    ) -> Json | None:
        """The object as it is now, never from a cache; None only if the server says that it is not there.

        Where the kind itself is unknown it raises `NotServed`.
        """
        accept = _PARTIAL.format("") if metadata_only else _JSON
        try:
            return await self._call(_Call("GET", resource.path(namespace, name), accept=accept))
        except NotFound:
            return None

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
        slim: Slim | None = None,
    ) -> Objects:
        """All objects, page by page, each with its apiVersion and kind. No namespace means all of them.

        `slim` makes each object smaller as its page comes in, or leaves it out. An expired page starts the
        list once more; a kind that is not served raises `NotServed`.
        """
        query: dict[str, str | int] = {"limit": _PAGE} | ({"labelSelector": labels} if labels else {})
        call = _Call(
            "GET", resource.path(namespace), query, accept=_PARTIAL.format("List") if metadata_only else _JSON
        )
        try:
            return [obj async for page in self._pages(resource, call, slim) for obj in page]
        except _Expired:
            return [obj async for page in self._pages(resource, call, slim) for obj in page]

    def pages(self, resource: Resource) -> AsyncIterator[Objects]:
        """As `list`, of all namespaces, page by page; of an expired page `Transient` is raised."""
        return self._pages(resource, _Call("GET", resource.path(None), {"limit": _PAGE}, accept=_JSON), None)

    async def create(self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None) -> Json:
        """The object as stored; raises `AlreadyExists` where the name is taken."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._call(_Call("POST", resource.path(namespace), query, body, repeatable=False))

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Patch,
        namespace: str | None = None,
        *,
        status: bool = False,
    ) -> Json:
        """Send a JSON patch (a list of operations) or a merge patch (an object), of the status with `status`.

        A failed ``test`` operation raises `Conflict`, an object that is gone `NotFound`.
        """
        path = resource.path(namespace, name) + ("/status" if status else "")
        merge = isinstance(patch, Mapping)
        content_type = "application/merge-patch+json" if merge else _JSON_PATCH
        body = dict(patch) if isinstance(patch, Mapping) else [dict(operation) for operation in patch]
        query = {"fieldManager": FIELD_MANAGER}
        return await self._call(_Call("PATCH", path, query, body, content_type, repeatable=merge))

    async def apply(
        self, resource: Resource, body: Mapping[str, Any], *, force: bool = True, status: bool = False
    ) -> Json:
        """Server-side apply of `body`, which names itself; without `force` another owner is a `Conflict`."""
        metadata = body["metadata"]
        path = resource.path(metadata.get("namespace"), metadata["name"]) + ("/status" if status else "")
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower()}
        whole = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        return await self._call(_Call("PATCH", path, query, whole, "application/apply-patch+yaml"))

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> bool:
        """Delete the object if it is the one of that uid and version; False if it was gone already."""
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        body: Json = {
            "preconditions": {key: value for key, value in preconditions.items() if value is not None}
        }
        body |= {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        try:
            await self._call(_Call("DELETE", resource.path(namespace, name), None, body))
        except NotFound:
            return False
        return True

    async def _pages(self, resource: Resource, call: _Call, slim: Slim | None) -> AsyncIterator[Objects]:
        # Lists of built-in kinds leave out what each item is.
        known = {"apiVersion": resource.api_version, "kind": resource.kind}
        token: str | None = ""
        while token is not None:
            page = await self._call(call)
            kept = (item if slim is None else slim(item) for item in page.get("items") or ())
            yield [{**item, **known} for item in kept if item is not None]
            token = (page.get("metadata") or {}).get("continue") or None
            call = replace(call, query={**(call.query or {}), "continue": token or ""})

    async def _call(self, call: _Call) -> Json:
        pause = 0.2
        for last in (*[False] * (_ATTEMPTS - 1), True):
            answer: _Answer | None = None
            try:
                answer = await self._send(call)
                return _object(call, answer)
            except Unavailable:
                busy = answer is not None and answer.status == 429
                if last or not (busy or call.repeatable):
                    raise
            asked = answer.retry_after if answer is not None else None
            await self._sleep(min(pause if asked is None else asked, _LONGEST_PAUSE))
            pause *= 3
        raise AssertionError("the last attempt returns or raises")

    async def _send(self, call: _Call) -> _Answer:
        headers = {"Accept": call.accept, "Content-Type": call.content_type, "User-Agent": FIELD_MANAGER}
        url = f"{call.path}?{urlencode(call.query)}" if call.query else call.path
        try:
            request = await self._client.param_serialize(
                call.method, url, header_params=headers, body=call.body, auth_settings=["BearerToken"]
            )
            response = await self._client.call_api(*request, _request_timeout=self._timeout)
            raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            said = str(error) or type(error).__name__
            raise Unavailable(
                "APIServerUnreachable",
                f"{call.method} {call.path}: the API server did not answer ({said}). "
                "See whether it is up and can be reached.",
            ) from error
        self._note_date(response.headers.get("Date"))
        return _Answer(
            response.status, raw.decode("utf-8", "replace"), _seconds(response.headers.get("Retry-After"))
        )

    def _note_date(self, date: str | None) -> None:
        if date is None:
            return
        try:
            self.skew_seconds = parsedate_to_datetime(date).timestamp() - int(time.time())
        except ValueError:
            self.skew_seconds = None


class _Expired(Transient):
    """The continue token of a list is too old."""


def _check_there(paths: str) -> None:
    # The library prints that by itself, and then complains of an empty file.
    if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep)):
        raise Stalled(
            "NoCluster",
            f"No cluster to talk to: there is no kubeconfig {paths}. Give --kubeconfig, or set KUBECONFIG.",
        )


def _in_pod() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def _seconds(retry_after: str | None) -> float | None:
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None


def _object(call: _Call, answer: _Answer) -> Json:
    """The JSON object of a good answer; raises the error that the answer is."""
    try:
        content = json.loads(answer.text)
    except ValueError:
        content = None
    if 200 <= answer.status < 300 and isinstance(content, dict):
        return content
    status: Json = content if isinstance(content, dict) else {}
    raise _error(call, answer.status, status)


def _error(call: _Call, code: int, status: Json) -> AIBudgetError:
    said = f"{call.method} {call.path}: {status.get('message') or f'status {code} without a message'}"[:500]
    match code:
        case 404 if not (status.get("details") or {}).get("name"):
            return NotServed(
                "NotServed", f"{said}. Install its CustomResourceDefinition, or wait until it is served."
            )
        case 404:
            return NotFound("NotFound", f"{said}. It is looked for again at the next cycle.")
        case 403:
            return Forbidden("Forbidden", f"{said}. Grant the permission, or exclude the object.")
        case 409 if status.get("reason") == "AlreadyExists":
            return AlreadyExists("AlreadyExists", f"{said}. It is read again at the next cycle.")
        case 409:
            return Conflict("Conflict", f"{said}. It is read again at the next cycle.")
        case 422 if call.content_type == _JSON_PATCH and not status.get("details"):
            # So the server says that a test or a path of the patch did not fit; what is invalid has details.
            return Conflict("Conflict", f"{said}. It changed meanwhile and is read again at the next cycle.")
        case 410:
            return _Expired("Expired", f"{said}. The list is read again.")
        case 401:
            return Unavailable("Unauthorized", f"{said}. Check the credentials.")
        case _ if 400 <= code < 500 and code not in (408, 429):
            return Refused("Refused", f"{said}. Change the object or the policy that refuses it.")
        case _:
            return Unavailable("APIServerUnavailable", f"{said}. See whether it is up; later it may answer.")
