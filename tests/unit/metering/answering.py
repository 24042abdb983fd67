"""A server by hand that gives one answer after the other, for the seam to Prometheus."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


@dataclass(slots=True)
class Answer:
    """What the server says: a document or raw bytes, after waiting for `until`."""

    body: object
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    until: threading.Event | None = None

    def content(self) -> bytes:
        """The bytes to send."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(slots=True)
class Request:
    """What arrived."""

    path: str
    headers: dict[str, str]
    form: dict[str, list[str]]


@contextmanager
def server(*answers: Answer) -> Iterator[tuple[str, list[Request]]]:
    """Gives the answers in turn, the last for ever; its address and what was asked."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            form = parse_qs(self.rfile.read(length).decode())
            requests.append(Request(self.path, dict(self.headers.items()), form))
            answer = answers[min(len(requests), len(answers)) - 1]
            if answer.until:
                answer.until.wait(10)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            content = answer.content()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/prefix", requests
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def ok(data: object, **more: object) -> Answer:
    """A success."""
    return Answer({"status": "success", "data": data, **more})
