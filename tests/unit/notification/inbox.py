"""A receiver by hand: a real HTTP server on loopback that records what it is told and answers as scripted."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aibudget.sandbox.process import wait_until

Answer = tuple[int, Mapping[str, str]]


@dataclass
class Request:
    """What came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


@dataclass
class Inbox:
    """A receiver's side. `answers` are used up in turn, then it is always 200."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def until(self, number: int) -> None:
        """Return when so many requests came in; TimeoutError after ten seconds."""
        await asyncio.to_thread(wait_until, lambda: len(self.requests) >= number, 10, "requests", 0.005)

    def answer(self) -> Answer:
        """The next one."""
        return self.answers.pop(0) if self.answers else (200, {})


@contextmanager
def listening() -> Iterator[Inbox]:
    """An inbox with its server."""
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            inbox.requests.append(Request(self.path, dict(self.headers), body))
            status, headers = inbox.answer()
            self.send_response(status)
            for name, value in {"Content-Length": "2", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    inbox.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield inbox
    finally:
        server.shutdown()
        server.server_close()
