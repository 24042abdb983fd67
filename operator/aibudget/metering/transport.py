"""How Prometheus is reached: the settings, and the `requests.Session` beneath prometheus-api-client.

The session mends what the library lacks: a time-out on every request and a budget for all of them, queries
in the form body, credentials read afresh (projected tokens rotate), no redirect followed with them, a
bounded body. It raises the errors of `source` and no other.
"""

import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase, _basic_auth_str
from urllib3 import Retry
from urllib3.exceptions import HTTPError, ReadTimeoutError

from aibudget.errors import Stalled
from aibudget.metering.answer import KnownLabels, document_of
from aibudget.metering.source import PrometheusUnavailable, TooManySamples, TooMuchAtOnce

READ_BYTES = 1 << 18
LABELS_SECONDS = 600.0
"""For how long labels that do not come any more are known, at least: some cycles."""


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """How to reach one Prometheus. Files are read at use, so they may rotate. Times are in seconds.

    `timeout` bounds one request, `budget` everything asked between two calls of `Prometheus.begin`. Not
    `packed`: answers come as they are, which on a near network takes both sides less than to pack them.
    """

    url: str
    bearer_token_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 30.0
    budget: float = 120.0
    max_bytes: int = 1 << 29
    packed: bool = True

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise _invalid(f"{self.url!r} is no address of a Prometheus. Write it as http://host:9090.")
        if parts.username or parts.password:
            raise _invalid("Keep user and password out of the address of Prometheus: set them as basic auth.")
        if self.bearer_token_file and self.username:
            raise _invalid("Set a bearer token or basic auth for Prometheus, not both.")
        if self.client_key and not self.client_certificate:
            raise _invalid("A client key for Prometheus needs its client certificate.")


class Session(requests.Session):
    """The transport beneath the library: every request it makes goes through `request`."""

    def __init__(self, settings: PrometheusSettings) -> None:
        super().__init__()
        self._settings = settings
        self._deadline = 0.0
        self.sent = 0
        self.infos: tuple[str, ...] = ()
        self._known = KnownLabels()
        self._aged = time.monotonic()
        self.auth = _Credentials(settings)
        # What came late would be missing from what a query front end of Thanos or Mimir has cached.
        self.headers["Cache-Control"] = "no-store"
        if not settings.packed:
            self.headers["Accept-Encoding"] = "identity"
        self.headers.update(settings.headers)
        self.verify = str(settings.ca_file) if settings.ca_file else True
        if settings.client_certificate:
            certificate = str(settings.client_certificate)
            self.cert = (certificate, str(settings.client_key)) if settings.client_key else certificate
        self.begin()

    def begin(self) -> None:
        self._deadline = time.monotonic() + self._settings.budget

    def patience(self) -> float:
        """Seconds the next request may take."""
        return min(self._settings.timeout, self._deadline - time.monotonic())

    def request(self, method: str | bytes, url: str | bytes, *_: Any, **given: Any) -> requests.Response:
        """One query, its answer checked. Raises the errors of `source` and no other."""
        shown, patience = self._settings.url, self.patience()
        if patience <= 0:
            raise PrometheusUnavailable(
                f"Prometheus at {shown} used up its {self._settings.budget:.0f} s. Is it overloaded?"
            )
        self.sent += 1
        try:
            response = super().request(
                method,
                url,
                # The library puts queries into the address even for POST, where proxies cut them off.
                data=given.get("params"),
                auth=given.get("auth"),
                verify=given.get("verify"),
                cert=given.get("cert"),
                timeout=patience,
                allow_redirects=False,
                stream=True,
            )
            with response:
                pieces = self._pieces(response, time.monotonic() + patience)
                # What is asked for at one instant is not asked for again a minute later; its texts alone are
                # a third of what they say.
                known = self._labels() if str(url).endswith("query_range") else KnownLabels()
                document = document_of(response, pieces, shown, known)
        except (TooMuchAtOnce, requests.exceptions.ReadTimeout, ReadTimeoutError) as error:
            said = error.message if isinstance(error, TooMuchAtOnce) else _too_slow(shown, patience)
            # What is left of a cycle's time may be too little for anything, and says nothing of the query.
            raise (TooManySamples if patience < self._settings.timeout else TooMuchAtOnce)(said) from error
        except (requests.RequestException, HTTPError, OSError, ssl.SSLError) as error:
            raise PrometheusUnavailable(_unreachable(shown, error)) from error
        self.infos = tuple(document.get("infos") or ())
        return _Answer(document)

    def _labels(self) -> KnownLabels:
        if time.monotonic() - self._aged > LABELS_SECONDS:
            self._known.age()
            self._aged = time.monotonic()
        return self._known

    def _pieces(self, response: requests.Response, deadline: float) -> Iterator[bytes]:
        """The body, piece by piece: a server that drips bytes must not hold us for ever."""
        size = 0
        while piece := response.raw.read1(READ_BYTES, decode_content=True):
            size += len(piece)
            if time.monotonic() > deadline:
                raise TooMuchAtOnce(_too_slow(self._settings.url, self._settings.timeout))
            if size > self._settings.max_bytes:
                raise TooMuchAtOnce(
                    f"Prometheus at {self._settings.url} sent more than {self._settings.max_bytes >> 20} MiB "
                    "for one query. Ask for a shorter range."
                )
            yield piece


class _Answer(requests.Response):
    """What the library reads of a checked answer; parsed once."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__()
        self.status_code = 200
        self._document = document

    def json(self, **_: Any) -> Any:
        return self._document


class _Credentials(AuthBase):
    """Sets the Authorization header at each request. Being there keeps `.netrc` out of it."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self._settings = settings

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        settings = self._settings
        if settings.bearer_token_file:
            request.headers["Authorization"] = f"Bearer {_secret(settings.bearer_token_file)}"
        elif settings.username:
            password = _secret(settings.password_file) if settings.password_file else ""
            request.headers["Authorization"] = _basic_auth_str(settings.username, password)
        return request


def _secret(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise PrometheusUnavailable(
            f"The credentials for Prometheus cannot be read from {path}: {error}. Check the mounted Secret."
        ) from error


class PatientRetry(Retry):
    """Retries what may pass by itself, yet never waits twice for a server that is too slow."""

    @classmethod
    def usual(cls) -> "PatientRetry":
        return cls(
            total=2,
            allowed_methods={"GET", "POST"},
            status_forcelist=(429, 502, 503, 504),
            backoff_factor=0.5,
            backoff_jitter=0.2,
            raise_on_status=False,
            # A server may ask for an hour; the next cycle asks again much sooner.
            respect_retry_after_header=False,
        )

    def increment(
        self, method: str | None = None, url: str | None = None, *given: Any, **named: Any
    ) -> "PatientRetry":
        error = named.get("error")
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, *given, **named)


def _too_slow(url: str, seconds: float) -> str:
    return f"Prometheus at {url} did not answer within {seconds:.0f} s. Ask for a shorter range."


def _unreachable(url: str, error: Exception) -> str:
    if isinstance(error, requests.exceptions.SSLError | ssl.SSLError):
        reason = getattr(error.args[0], "reason", error) if error.args else error
        said = str(reason.args[-1] if isinstance(reason, Exception) and reason.args else reason)
        return f"TLS with {url} failed: {said}. Check the CA file and the client certificate."
    if isinstance(error, FileNotFoundError | OSError) and not isinstance(error, requests.RequestException):
        return f"Prometheus at {url} cannot be asked: {error}. Check the CA, certificate and key files."
    cause = getattr(error.args[0], "reason", error) if error.args else error
    said = str(cause).rpartition(": ")[2] or type(error).__name__
    return f"Prometheus at {url} cannot be reached: {said}. Check the address, the network and its health."


def _invalid(message: str) -> Stalled:
    return Stalled("InvalidSettings", message)


def merged(names: Iterable[str]) -> dict[str, str]:
    """`Name: value` lines, as flags give them, as headers. Raises Stalled on a line without a colon."""
    headers = {}
    for line in names:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise _invalid(f"{line!r} is no header. Write it as 'X-Scope-OrgID: tenant'.")
        headers[name.strip()] = value.strip()
    return headers
