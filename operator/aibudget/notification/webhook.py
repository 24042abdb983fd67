"""The HTTP side of notification: one POST, to an address that may be connected to, and what came of it.

The check is made on the socket, for the address that is really connected to: names that resolve differently
the second time, numbers in odd spellings and addresses within addresses all end there. No redirect is
followed, no proxy of the environment used, no cookie kept, and an answer is read no further than its head.
What is told of a failure holds neither address, header nor answer: any of them may be a secret.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from aibudget.notification import files
from aibudget.notification.addresses import Network, refusal
from aibudget.notification.receivers import Receiver
from aibudget.notification.retry import Outcome, retry_after

TIMEOUT_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 5.0
_USER_AGENT: Final = "aibudget"


class Sender:
    """Sends to receivers; `resolver` looks names up, the system's if None."""

    def __init__(self, resolver: AbstractResolver | None = None, timeout: float = TIMEOUT_SECONDS) -> None:
        self._resolver = resolver
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(CONNECT_SECONDS, timeout))

    async def send(self, receiver: Receiver, body: bytes, content_type: str, path: str = "") -> Outcome:
        """One attempt; never raises for what the network, the receiver or its files do."""
        try:
            # Files and certificates are read anew each time; not in the loop that renews the Lease.
            url, headers, tls = await asyncio.to_thread(_read, receiver)
        except ValueError as error:
            return Outcome(problem=str(error))
        except (ssl.SSLError, OSError):
            return Outcome(problem=f"caFile {receiver.ca_file} holds no certificates")
        headers |= {"Content-Type": content_type, "User-Agent": _USER_AGENT}
        guard = _Guard(receiver.allowed_networks)
        try:
            async with (
                self._session(guard, tls) as session,
                session.post(_below(url, path), data=body, headers=headers, allow_redirects=False) as answer,
            ):
                return _outcome(answer)
        except TimeoutError:
            return Outcome(problem="no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if guard.refused is not None:
                return Outcome(problem=f"not sent: {guard.refused}")
            return Outcome(problem=f"no connection ({type(error).__name__})")

    def _session(self, guard: "_Guard", tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            ssl=tls or True,
            force_close=True,
            socket_factory=guard.socket,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )


class _Guard:
    """Opens the sockets of one request; `refused` says why the last one was not."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self.refused: str | None = None

    def socket(self, info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        self.refused = refusal(address[0], self._allowed)
        if self.refused is not None:
            raise PermissionError(self.refused)
        return socket.socket(family, kind, protocol)


def _read(receiver: Receiver) -> tuple[str, dict[str, str], ssl.SSLContext | None]:
    url = files.address(receiver)
    tls = None if url.startswith("http:") else ssl.create_default_context(cafile=receiver.ca_file)
    return url, files.headers(receiver), tls


def _below(url: str, path: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path)) if path else url


def _outcome(answer: aiohttp.ClientResponse) -> Outcome:
    status = answer.status
    if 200 <= status < 300:
        return Outcome(status)
    what = "a redirect, which is not followed" if 300 <= status < 400 else "an error"
    asked = retry_after(answer.headers.get("Retry-After"), time.time())
    return Outcome(status, f"the receiver answered {status}, {what}", asked)
