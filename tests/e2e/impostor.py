"""Something at Prometheus's address that is no Prometheus: a login page, half a store, a broken proxy."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Page:
    """What every request is answered with."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


class Impostor:
    """A context manager that serves `page`, which may be set while it runs, on one loopback port."""

    def __init__(self, port: int, page: Page) -> None:
        self.page = page
        impostor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                page = impostor.page
                self.send_response(page.status)
                self.send_header("Content-Type", page.content_type)
                self.send_header("Content-Length", str(len(page.body)))
                self.end_headers()
                self.wfile.write(page.body)

            do_GET = do_POST  # noqa: N815 - the base class calls it so

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
