"""What an HTTP answer of Prometheus means: a document, or one of the errors of `source`.

Answers are read with suspicion: login pages, proxies' error pages and truncated JSON come with status 200
too, and warnings or partial data mean a bill that is too low. A body is parsed while it arrives, for one
cycle's may be ten megabytes. Pure but for taking a `requests.Response` apart.
"""

import codecs
import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final

import requests

from aibudget.metering.source import PartialData, PrometheusUnavailable, QueryRefused, Series, TooManySamples

_RESULT: Final = re.compile(r'"result":\s*\[')
_HEAD_LENGTH: Final = 1024
"""Where in an answer its result begins at the latest; one that begins later is parsed as a whole."""
_NEXT_SERIES: Final = '},{"metric":'
"""What stands between two series and, quotes being escaped there, in no string."""


def document_of(response: requests.Response, body: Iterator[bytes], url: str) -> dict[str, Any]:
    """The JSON document of a successful, complete answer; any other is one of our errors."""
    status = response.status_code
    if 300 <= status < 400:
        raise PrometheusUnavailable(
            f"{url} redirects to {response.headers.get('Location', 'elsewhere')}. "
            "Redirects are not followed, for credentials would go along: set the final address."
        )
    if status in (401, 403):
        raise PrometheusUnavailable(
            f"Prometheus at {url} answers {status} {response.reason}. "
            "Check the token, the password or the tenant header."
        )
    start = next(body, b"")
    try:
        document = _parsed(chain((start,), body))
        outcome = document["status"]
    except (LookupError, TypeError, ValueError, RecursionError) as odd:
        raise garbage(url, f"status {status}, {_kind(response)}, {_start_of(start)}") from odd
    if outcome != "success" or status != 200:
        raise _declined(url, status, document)
    warnings = document.get("warnings") or ()
    if warnings or document.get("isPartial"):
        said = "; ".join(map(str, warnings)) or "isPartial"
        raise PartialData(
            f"Prometheus at {url} has only part of the data: {said}. Check its stores and replicas."
        )
    if "result" not in (document.get("data") or {}):
        raise garbage(url, "success without a result")
    return dict(document)


def _declined(url: str, status: int, document: Mapping[str, Any]) -> QueryRefused | PrometheusUnavailable:
    """An error that Prometheus tells. While a query runs it fails with 422, or 503 when its time is up."""
    kind, said = document.get("errorType", "unknown"), str(document.get("error", ""))[:300]
    message = f"Prometheus at {url} refused a query ({status} {kind}): {said}."
    too_long = "exceeded maximum resolution" in said
    if status == 422 or too_long or kind in ("timeout", "canceled", "execution"):
        return TooManySamples(
            f"{message} Ask for a shorter range, or raise its query.max-samples and query.timeout."
        )
    if status == 400:
        return QueryRefused(f"{message} Check the matchers.")
    return PrometheusUnavailable(f"{message} Check its health and logs.")


def garbage(url: str, what: str) -> PrometheusUnavailable:
    """An answer that no Prometheus gives."""
    return PrometheusUnavailable(
        f"{url} does not answer as Prometheus does ({what}). "
        "Check the address and its path prefix; a login page or a proxy's error page answers so."
    )


def _kind(response: requests.Response) -> str:
    return str(response.headers.get("Content-Type", "no content type"))


def _start_of(body: bytes) -> str:
    return repr(body[:80].decode("utf-8", errors="replace"))


def _parsed(pieces: Iterable[bytes]) -> Any:
    """JSON that arrives in pieces, series by series: neither its text nor its lists are ever whole."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    decoder = json.JSONDecoder(object_hook=_Compaction())
    series: list[Any] = []
    head, text = "", ""
    for piece in pieces:
        text += decode(piece)
        if not head and (begins := _RESULT.search(text, 0, _HEAD_LENGTH)):
            head, text = text[: begins.end()], text[begins.end() :]
        if head and (end := text.rfind(_NEXT_SERIES) + 1):
            series += decoder.decode(f"[{text[:end]}]")
            text = text[end + 1 :]
    document = decoder.decode(head + text)
    if series:
        document["data"]["result"] = series + document["data"]["result"]
    return document


class _Compaction:
    """A series as arrays the moment it is parsed, so that an answer never stands in memory as lists of
    lists; series of the same instants share one array of them.
    """

    def __init__(self) -> None:
        self._times: dict[bytes, array[float]] = {}

    def __call__(self, parsed: dict[str, Any]) -> Any:
        if not isinstance(parsed.get("metric"), dict):
            return parsed
        samples = parsed["values"] if "values" in parsed else [parsed["value"]]
        times = array("d", [sample[0] for sample in samples])
        values = array("d", [float(sample[1]) for sample in samples])
        return Series(parsed["metric"], self._times.setdefault(times.tobytes(), times), values)
