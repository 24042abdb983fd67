"""The leader's hand on the API server: everything may be read, and written only while the Lease is held.

A process that was paused wakes in the middle of a cycle, with writes still before it, while another leads.
Each write asks the Lease's clock first, and is given up when its time ends before the answer is there: that
is before anybody else may lead. What was sent in the instant between is refused by its own precondition
(`resourceVersion`, or a name that is taken). It must not know what is written.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from aibudget.controller.lease import LeaseLost
from aibudget.inventory.kubernetes import Json, Objects, Patch, Slim
from aibudget.inventory.resource import Resource

T = TypeVar("T")


class API(Protocol):
    """What a leader uses of the API server; `Cluster` has it."""

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, metadata_only: bool = False
    ) -> Json | None: ...

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
        slim: Slim | None = None,
    ) -> Objects: ...

    async def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None
    ) -> Json: ...

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Patch,
        namespace: str | None = None,
        *,
        status: bool = False,
    ) -> Json: ...

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> bool: ...


class Fence:
    """An `API` whose writes raise `LeaseLost` once `remaining` (seconds of the Lease) is 0."""

    def __init__(self, api: API, remaining: Callable[[], float]) -> None:
        self._api = api
        self._remaining = remaining

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, metadata_only: bool = False
    ) -> Json | None:
        """As the API server has it."""
        return await self._api.get(resource, name, namespace, metadata_only=metadata_only)

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
        slim: Slim | None = None,
    ) -> Objects:
        """As the API server has them."""
        return await self._api.list(
            resource, namespace, labels=labels, metadata_only=metadata_only, slim=slim
        )

    async def create(self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None) -> Json:
        """As a leader."""
        return await self._leading(lambda: self._api.create(resource, body, namespace))

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Patch,
        namespace: str | None = None,
        *,
        status: bool = False,
    ) -> Json:
        """As a leader."""
        return await self._leading(lambda: self._api.patch(resource, name, patch, namespace, status=status))

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> bool:
        """As a leader."""
        return await self._leading(
            lambda: self._api.delete(resource, name, namespace, uid=uid, resource_version=resource_version)
        )

    async def _leading(self, write: Callable[[], Coroutine[Any, Any, T]]) -> T:
        self._check()
        writing = asyncio.ensure_future(write())
        try:
            while not writing.done():
                # A renewal meanwhile gives it more time.
                await asyncio.wait([writing], timeout=self._remaining())
                if not writing.done():
                    self._check()
            return writing.result()
        finally:
            writing.cancel()

    def _check(self) -> None:
        if self._remaining() <= 0:
            raise LeaseLost("LeaseLost", "the Lease ran out: nothing more is written by this process.")
