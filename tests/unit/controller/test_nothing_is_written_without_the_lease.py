"""A leader whose time is over writes nothing more, and gives up what is under way; reading stays allowed."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from aibudget.controller.fence import Fence
from aibudget.controller.lease import LeaseLost
from aibudget.inventory.resource import HOLDS, Resource


class Server:
    """An API server that answers a write when it is told to; `arrived` are the writes that came."""

    def __init__(self) -> None:
        self.arrived: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()

    async def get(self, *_: Any, **__: Any) -> dict[str, Any] | None:
        """Nothing is there."""
        return None

    async def list(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
        """Nothing is there."""
        return []

    async def create(self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None) -> Any:
        """Stored."""
        return await self._write("create")

    async def patch(self, resource: Resource, name: str, *_: Any, **__: Any) -> Any:
        """Stored."""
        return await self._write("patch")

    async def delete(self, resource: Resource, name: str, *_: Any, **__: Any) -> bool:
        """Gone."""
        await self._write("delete")
        return True

    async def _write(self, what: str) -> dict[str, Any]:
        self.arrived.append(what)
        await self.answers.wait()
        return {}


class Clock:
    """Seconds of the Lease that are left."""

    def __init__(self, left: float) -> None:
        self.left = left

    def __call__(self) -> float:
        return self.left


def test_a_leader_writes_and_whoever_is_none_only_reads() -> None:
    """Every kind of write asks; what a paused process had before it is refused when it wakes."""

    async def scenario() -> None:
        server, clock = Server(), Clock(5.0)
        fence = Fence(server, clock)
        await fence.create(HOLDS, {})
        await fence.patch(HOLDS, "one", {})
        await fence.delete(HOLDS, "one")
        assert server.arrived == ["create", "patch", "delete"]
        clock.left = 0.0
        for write in (fence.create(HOLDS, {}), fence.patch(HOLDS, "one", {}), fence.delete(HOLDS, "one")):
            with pytest.raises(LeaseLost):
                await write
        assert len(server.arrived) == 3
        assert await fence.get(HOLDS, "one") is None
        assert await fence.list(HOLDS) == []

    asyncio.run(scenario())


def test_a_write_that_is_under_way_is_given_up_with_the_lease() -> None:
    """It must not be sent again when somebody else may lead."""

    async def scenario() -> None:
        server, clock = Server(), Clock(0.01)
        server.answers.clear()
        writing = asyncio.create_task(Fence(server, clock).create(HOLDS, {}))
        await asyncio.sleep(0)
        clock.left = 0.0
        with pytest.raises(LeaseLost):
            await asyncio.wait_for(writing, 5)

    asyncio.run(scenario())


def test_a_renewal_gives_a_slow_write_more_time() -> None:
    """A slow API server is no reason to stop leading."""

    async def scenario() -> None:
        server = Server()
        server.answers.clear()
        asked = 0

        def remaining() -> float:
            nonlocal asked
            asked += 1
            if asked == 5:
                server.answers.set()
            return 0.001

        assert await asyncio.wait_for(Fence(server, remaining).patch(HOLDS, "one", {}), 5) == {}

    asyncio.run(scenario())
