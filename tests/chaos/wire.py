"""The wire between operators and the API server: every request waits here until the story lets it pass.

That is what makes a run repeatable: which of the waiting requests goes next, whether it arrives, whether its
answer is heard, and who else acts in between are all decided outside. A killed process sends nothing more.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aibudget.api.names import FIELD_MANAGER
from aibudget.errors import AIBudgetError, Conflict
from aibudget.inventory.kubernetes import Forbidden, Json, Objects, Patch, Slim, Unavailable
from aibudget.inventory.resource import Refused, Resource
from chaos.apiserver import APIServer

FAULTS: Mapping[str, AIBudgetError] = {
    "409": Conflict("Conflict", "409"),
    "422": Refused("Refused", "422"),
    "429": Unavailable("APIServerUnavailable", "429"),
    "500": Unavailable("APIServerUnavailable", "500"),
    "403": Forbidden("Forbidden", "403"),
    "lost": Unavailable("APIServerUnreachable", "timed out, and nothing was done"),
    "unheard": Unavailable("APIServerUnreachable", "timed out, and it was done"),
}
READ_FAULTS = ("429", "500", "403", "lost")


class Killed(BaseException):
    """The process is no more: nothing in the code under test may catch it."""


@dataclass(slots=True)
class Request:
    """One request that waits to be let through."""

    connection: "Connection"
    what: str
    write: bool
    send: Callable[[], Any]
    answer: "asyncio.Future[Any]"

    def pass_on(self, fault: str | None) -> None:
        """Deliver it, or do to it what the fault says."""
        self.connection.waiting.remove(self)
        if fault is not None and (self.write or fault in READ_FAULTS):
            if fault == "unheard":
                with suppress(AIBudgetError):
                    self.reach()
            self.answer.set_exception(FAULTS[fault])
            return
        try:
            answer = self.reach()
        except AIBudgetError as error:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(answer)

    def reach(self) -> Any:
        """It arrives at the API server."""
        return self.connection.deliver(self)


@dataclass(eq=False, slots=True)
class Connection:
    """A `Port` of one process. `deliver` runs a request and looks at what it did."""

    server: APIServer
    deliver: Callable[[Request], Any]
    waiting: list[Request] = field(default_factory=list)
    dead: bool = False

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Json | None:
        found: Json | None = await self._send(
            f"GET {resource.plural}/{name}", lambda: self.server.get(resource, name, namespace)
        )
        return found

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
        slim: Slim | None = None,
    ) -> Objects:
        found: Objects = await self._send(
            f"LIST {resource.plural}", lambda: self.server.list(resource, namespace, labels)
        )
        if metadata_only:
            found = [{k: obj[k] for k in ("apiVersion", "kind", "metadata")} for obj in found]
        return found if slim is None else [kept for obj in found if (kept := slim(obj)) is not None]

    async def create(self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None) -> Json:
        made: Json = await self._send(
            f"CREATE {resource.plural}/{body['metadata']['name']}",
            lambda: self.server.create(resource, body, namespace, FIELD_MANAGER),
            write=True,
        )
        return made

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Patch,
        namespace: str | None = None,
        *,
        status: bool = False,
    ) -> Json:
        what = "STATUS" if status else "PATCH"
        changed: Json = await self._send(
            f"{what} {resource.plural}/{name}",
            lambda: self.server.patch(resource, name, patch, namespace, FIELD_MANAGER, status=status),
            write=True,
        )
        return changed

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> bool:
        done: bool = await self._send(
            f"DELETE {resource.plural}/{name}",
            lambda: self.server.delete(resource, name, namespace, uid),
            write=True,
        )
        return done

    def kill(self, *, arrives: bool) -> None:
        """No answer comes any more; what waits is lost, or the first of it still arrives."""
        self.dead = True
        if arrives and self.waiting:
            # Nobody is left to hear of a refusal.
            with suppress(AIBudgetError):
                self.waiting[0].reach()
        for request in self.waiting:
            request.answer.cancel()
        self.waiting.clear()

    async def _send(self, what: str, send: Callable[[], Any], *, write: bool = False) -> Any:
        if self.dead:
            raise Killed
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.waiting.append(Request(self, what, write, send, answer))
        return await answer
