"""A proxy in front of the API server that lets a test act between any two writes of the operator.

The operator is pointed at it by its kubeconfig. Reads and watches stream through; before and after each
write that the test wants to see, its `hook` runs, and may kill the operator: the request is then never
forwarded (`before`) or has already happened although nobody will learn of it (`after`). Or it answers with a
`Refusal` of its own in the API server's place.
"""

import asyncio
import json
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import aiohttp
from aiohttp import web

WRITES = ("POST", "PUT", "PATCH", "DELETE")
HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "content-encoding", "host")


@dataclass(frozen=True, slots=True)
class Write:
    """One write as it passes."""

    method: str
    path: str
    body: bytes

    @property
    def step(self) -> str:
        """What tells two writes of a protocol apart: method, kind, and which paths are written."""
        kind = "hold" if "/holds" in self.path else "deployment"
        subresource = "/status" if self.path.endswith("/status") else ""
        body = json.loads(self.body) if self.body else {}
        operations = (
            [f"{one['op']} {one['path']}" for one in body] if isinstance(body, list) else sorted(body)
        )
        return f"{self.method} {kind}{subresource} {operations}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as the API server would answer it; `retry_after` in seconds."""

    code: int
    reason: str
    retry_after: int | None = None

    def response(self) -> web.Response:
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.code}
        said = {"reason": self.reason, "message": f"refused by the test: {self.reason}"}
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return web.json_response(status | said, status=self.code, headers=headers)


@dataclass(frozen=True, slots=True)
class Delay:
    """Keep the write, and forward it once this is true; others pass meanwhile."""

    until: Callable[[], bool]


Phase = Literal["before", "after"]
Hook = Callable[[Write, Phase], bool | Refusal | Delay]  # False: drop the request or its answer


class Interception:
    """Runs in a thread of its own; `url` is where the operator's kubeconfig must point."""

    def __init__(self, upstream: str, ca_file: str, wanted: Callable[[str, str], bool], hook: Hook) -> None:
        self._upstream = upstream
        self._ca_file = ca_file
        self._wanted = wanted
        self._hook = hook
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.url = ""

    def __enter__(self) -> "Interception":
        self._thread.start()
        assert self._ready.wait(20), "the proxy did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    def _run(self) -> None:
        # It ends what is still under way as well: watches never end by themselves.
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        context = ssl.create_default_context(cafile=self._ca_file)
        connector = aiohttp.TCPConnector(ssl=context, limit=0)
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None)
        ) as self._session:
            app = web.Application(client_max_size=8 << 20)
            app.router.add_route("*", "/{path:.*}", self._forward)
            runner = web.AppRunner(app, shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            self.url = f"http://127.0.0.1:{port}"
            self._ready.set()
            await self._stop.wait()
            await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        write = None
        if request.method in WRITES and self._wanted(request.method, request.path):
            write = Write(request.method, request.path, body)
        verdict = self._hook(write, "before") if write else True
        if isinstance(verdict, Refusal):
            return verdict.response()
        while isinstance(verdict, Delay) and not verdict.until():  # noqa: ASYNC110 - set by another thread
            await asyncio.sleep(0.05)
        if not verdict:
            return web.Response(status=503)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        async with self._session.request(
            request.method,
            self._upstream + request.path_qs,
            data=body or None,
            headers=headers,
            allow_redirects=False,
        ) as answer:
            if write and not self._hook(write, "after"):
                return web.Response(status=503)
            response = web.StreamResponse(status=answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP or name.lower() == "content-encoding":
                    response.headers[name] = value
            # The operator dies with requests under way: that is what this is for.
            with suppress(ConnectionError):
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response
