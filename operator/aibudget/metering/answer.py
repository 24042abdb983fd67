"""What an HTTP answer of Prometheus means: a document, or one of the errors of `source`.

Answers are read with suspicion: login pages, proxies' error pages and truncated JSON come with status 200
too, and warnings or partial data mean a bill that is too low. A body is parsed while it arrives, for one
cycle's may be ten megabytes. Pure but for taking a `requests.Response` apart.
"""

import codecs
import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final

import requests

from aibudget.errors import Transient
from aibudget.metering.source import (
    Labels,
    PartialData,
    PrometheusUnavailable,
    QueryRefused,
    Series,
    Sheet,
    TooManySamples,
    TooMuchAtOnce,
    keys_of,
    series_of,
)

_RESULT: Final = re.compile(r'"result":\s*\[')
_HEAD_LENGTH: Final = 1024
"""Where in an answer its result begins at the latest; one that begins later is parsed as a whole."""
_FIRST_SERIES: Final = '{"metric":'
_NEXT_SERIES: Final = '},{"metric":'
"""What stands between two series and, quotes being escaped there, in no string."""
_SAMPLES: Final = '},"value'
_ENDING: Final = "]}"
"""What ends the samples of a series."""
_BEGINNINGS: Final = ('s":[[', '":[')
"""What stands between a series' labels and its samples, and what follows: many of them, or one."""
_TIMES: Final = re.compile(r"[\d.e+-]+")
MOST_SAID: Final = 300
"""Characters of a server's own words that are repeated: what fits a condition's message."""
MOST_SHARED: Final = 1024
"""How many different samples are remembered, for the next series to share."""
SHEET: Final = 256
"""How many texts of labels are packed together: what packs well, and is unpacked in no time."""

_LESS: Final = "Ask for a shorter range, or raise its query.max-samples and query.timeout."

# How Prometheus, Thanos, Mimir and VictoriaMetrics word what a shorter range may mend, …
_TOO_MUCH: Final = re.compile(
    r"exceeded maximum resolution|too many (?:samples|points)|exceeds the limit \(query length"
    r"|exceeded the (?:maximum|aggregated)|exceeded \w+ limit|limit \d+ (?:violated|exceeded)"
    r"|code = ResourceExhausted|cannot select more than|(?:matching|unique) timeseries exceeds"
)
# … that a part of the data is away, which asking for less does not bring back, …
_AWAY: Final = re.compile(r"rpc error: code = |vmstorage nodes are unavailable|[Nn]o store matched")
# … and what no range changes: VictoriaMetrics refuses all it does not understand with 422.
_NOT_UNDERSTOOD: Final = re.compile(
    r"parse error|cannot parse|unparsed data|unexpected token|un(?:known|supported) func"
    r"|err-mimir-query-blocked"
)
_AMBIGUOUS: Final = re.compile(r"duplicate series|many-to-many|same labelset|multiple matches")
_QUERY: Final = re.compile(r'(query=|evaluate )"(?:[^"\\]|\\.){60,}"')
"""A query that is quoted in full; elsewhere quotation marks stand around names, and much between them."""


class KnownLabels:
    """Label sets by the keys of their texts, as long as they come again."""

    def __init__(self) -> None:
        self._new: dict[int, Labels] = {}
        self._old: dict[int, Labels] = {}
        self._few = 0
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def age(self) -> None:
        """Let go of what did not come since this was called before."""
        self._old, self._new, self._names = self._new, {}, {}
        self._few = len(self._old) // 8

    def of(self, texts: Sequence[str]) -> list[Labels]:
        """One for each text, in order. Raises ValueError where one is no JSON object."""
        keys = keys_of(texts)
        found = list(map(self._new.get, keys))
        if None in found:
            self._meet(keys, texts)
            found = list(map(self._new.get, keys))
        return [one for one in found if one is not None]

    def _meet(self, keys: Sequence[int], texts: Sequence[str]) -> None:
        """Know these from now on."""
        new, old = self._new, self._old
        unknown = {key: text for key, text in zip(keys, texts, strict=True) if key not in new}
        for key in unknown.keys() & old.keys():
            new[key] = old.pop(key)
            del unknown[key]
        if len(old) < self._few:
            # A dict that is nearly empty takes as much memory as a full one: ten megabytes.
            self._old, self._few = dict(old), 0
        waiting = iter(unknown.items())
        while some := tuple(islice(waiting, SHEET)):
            self._learn(some)

    def _learn(self, unknown: Sequence[tuple[int, str]]) -> None:
        texts = [text for _, text in unknown]
        # All at once, which is faster; what they say is read again when it is looked at, one by one.
        said = json.loads(f"[{','.join(texts)}]")
        sheet = Sheet(texts)
        for place, ((key, _), told) in enumerate(zip(unknown, said, strict=True)):
            names = tuple(told)
            self._new[key] = Labels(key, self._names.setdefault(names, names), sheet, place)


def document_of(
    response: requests.Response, body: Iterator[bytes], url: str, known: KnownLabels | None = None
) -> dict[str, Any]:
    """The JSON document of a successful, complete answer; any other is one of our errors.

    Labels that are `known` are given again, and new ones are known from then on.
    """
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
        document = _parsed(chain((start,), body), known)
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


def _declined(url: str, status: int, document: Mapping[str, Any]) -> QueryRefused | Transient:
    """An error that a server tells. While a query runs it fails with 422, or 503 when its time is up."""
    kind, said = document.get("errorType", "unknown"), _reason(str(document.get("error", "")))
    message = f"Prometheus at {url} refused a query ({status} {kind}): {_short(said)}."
    ran = status == 422 or kind in ("timeout", "canceled", "execution")
    if _TOO_MUCH.search(said) and status in (400, 422, 500):
        return TooMuchAtOnce(f"{message} {_LESS}")
    if ran and _AWAY.search(said):
        return PartialData(f"{message} Check its stores and replicas.")
    if status == 400 or (ran and _NOT_UNDERSTOOD.search(said)):
        return QueryRefused(f"{message} Check the query and its matchers.")
    if ran and _AMBIGUOUS.search(said):
        # It may well be so at some instants only: a shorter range then tells which.
        return TooManySamples(f"{message} Aggregate both sides of the join by the labels it is made on.")
    if ran:
        return (TooMuchAtOnce if kind == "timeout" else TooManySamples)(f"{message} {_LESS}")
    return PrometheusUnavailable(f"{message} Check its health and logs.")


def _reason(said: str) -> str:
    """Without the query, which VictoriaMetrics repeats before it says what is wrong with it."""
    return _QUERY.sub(r'\1"…"', said)


def _short(said: str) -> str:
    return said if len(said) <= MOST_SAID else f"{said[:MOST_SAID]}…"


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


def _parsed(pieces: Iterable[bytes], known: KnownLabels | None) -> Any:
    """JSON that arrives in pieces, series by series: neither its text nor its lists are ever whole."""
    decode = codecs.getincrementaldecoder("utf-8")().decode
    reader = _Reader(known)
    series: list[Any] = []
    head, text = "", ""
    for piece in pieces:
        text += decode(piece)
        if not head and (begins := _RESULT.search(text, 0, _HEAD_LENGTH)):
            head, text = text[: begins.end()], text[begins.end() :]
        if head and (end := text.rfind(_NEXT_SERIES)) >= 0:
            series += reader.read(text[:end])
            text = text[end + 2 :]
    if head and (end := text.find(_ENDING, text.find(_SAMPLES))) > 0:
        series += reader.read(text[: end + 1])
        text = text[end + 2 :]
    document = reader.decode(head + text)
    if series:
        document["data"]["result"] = series + document["data"]["result"]
    return document


class _Reader:
    """Series as arrays, so that an answer never stands in memory as lists of lists.

    Most series of an answer have the same instants, and many the same samples: those are read once, and
    share their arrays. What is not written as Prometheus writes it is left to the JSON decoder.
    """

    def __init__(self, known: KnownLabels | None) -> None:
        self.decode = json.JSONDecoder(object_hook=_compacted).decode
        self._known = known
        self._times: dict[str, array[float]] = {}
        self._samples: dict[str, tuple[array[float], array[float]]] = {}

    def read(self, text: str) -> list[Any]:
        """Whole series as they follow each other, without the brace that closes the last."""
        if not text.startswith(_FIRST_SERIES):
            return self._decoded(text)
        parts = [one.partition(_SAMPLES) for one in text[len(_FIRST_SERIES) :].split(_NEXT_SERIES)]
        if not all(samples.startswith(_BEGINNINGS) for _, _, samples in parts):
            return self._decoded(text)
        texts = [one + "}" for one, _, _ in parts]
        labels = json.loads(f"[{','.join(texts)}]") if self._known is None else self._known.of(texts)
        known, series = self._samples, []
        # Without a call for each: there are hundreds of thousands.
        for of, (_, _, samples) in zip(labels, parts, strict=True):
            times, values = known.get(samples) or self._learn(samples)
            series.append(series_of((of, times, values)))
        return series

    def _learn(self, text: str) -> "tuple[array[float], array[float]]":
        if len(self._samples) >= MOST_SHARED:
            self._samples.clear()
        found = self._samples[text] = self._parsed(text)
        return found

    def _parsed(self, text: str) -> "tuple[array[float], array[float]]":
        """`s":[[1,"2"],[3,"4"]]`, or `":[1,"2"]`: values stand between quotes, times around them."""
        between = text.split('"')
        instants = "".join(between[1:-1:2])
        times = self._times.get(instants)
        if times is None:
            if len(self._times) >= MOST_SHARED:
                self._times.clear()
            times = self._times[instants] = array("d", [*map(float, _TIMES.findall(instants))])
        # Of a list, which tells how long it is: of what does not, an array keeps room for more.
        values = array("d", [*map(float, between[2::2])])
        if len(times) != len(values):
            raise ValueError(f"{len(times)} times for {len(values)} values")
        return times, values

    def _decoded(self, text: str) -> list[Any]:
        found: list[Any] = self.decode(f"[{text}}}]")
        return found


def _compacted(parsed: dict[str, Any]) -> Any:
    # No method: what refers to itself is let go of late, and with it the labels of a hundred thousand pods.
    if not isinstance(parsed.get("metric"), dict):
        return parsed
    samples = parsed["values"] if "values" in parsed else [parsed["value"]]
    times = array("d", [sample[0] for sample in samples])
    values = array("d", [float(sample[1]) for sample in samples])
    return Series(parsed["metric"], times, values)
