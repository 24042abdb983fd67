"""Receivers by hand: real HTTP servers on loopback that record what they are told and answer as scripted."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aibudget.notification.message import BudgetRef, Message
from aibudget.notification.receivers import Receiver, parse

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

    def answer(self) -> Answer:
        """The next one."""
        return self.answers.pop(0) if self.answers else (200, {})


@pytest.fixture
def make_inbox() -> Iterator[Callable[[], Inbox]]:
    """Starts a server."""
    with ExitStack() as stack:

        def make() -> Inbox:
            inbox = Inbox()

            class Handler(BaseHTTPRequestHandler):
                def do_POST(self) -> None:
                    body = self.rfile.read(int(self.headers["Content-Length"]))
                    inbox.requests.append(Request(self.path, dict(self.headers), body))
                    status, headers = inbox.answer()
                    self.send_response(status)
                    for name, value in ({"Content-Length": "2"} | dict(headers)).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(b"ok")

                def log_message(self, *_: object) -> None:
                    """Quiet."""

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            inbox.port = server.server_address[1]
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return inbox

        yield make


@pytest.fixture
def inbox(make_inbox: Callable[[], Inbox]) -> Inbox:
    """One server."""
    return make_inbox()


@pytest.fixture
def receiver(inbox: Inbox, tmp_path: Path) -> Callable[..., Receiver]:
    """A receiver at the inbox; fields as the configuration has them win over it."""

    def make(**fields: Any) -> Receiver:
        given: dict[str, Any] = {
            "name": "here",
            "type": "Webhook",
            "url": f"{inbox.url}/hook",
            "allowHttp": True,
            "allowedNetworks": ["127.0.0.0/8"],
        } | fields
        if given["type"] == "Slack":
            secret = tmp_path / "url"
            secret.write_text(f"{given.pop('url')}\n")
            given["urlFile"] = str(secret)
        return parse("test", {"receivers": [given]})[0]

    return make


@pytest.fixture
def make_message() -> Callable[..., Message]:
    """A crossing of AIBudget team/training, unless said otherwise."""

    def make(**fields: Any) -> Message:
        budget = BudgetRef(
            api_version="aibudget.io/v1alpha1", kind="AIBudget", namespace="team", name="training", uid="u-1"
        )
        given: dict[str, Any] = {
            "id": "0123",
            "time": "2026-11-21T10:00:00Z",
            "cluster": "eu-1",
            "budget": budget,
            "reason": "BudgetExceeded",
            "severity": "Warning",
            "message": "101.00 USD of 100.00 USD is spent.",
        }
        return Message(**(given | fields))

    return make
