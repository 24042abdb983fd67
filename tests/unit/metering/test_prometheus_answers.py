"""The seam to Prometheus against servers that answer well, badly, slowly or not at all."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from aibudget.errors import Stalled
from aibudget.metering.answer import document_of
from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.metering.source import (
    PartialData,
    PrometheusUnavailable,
    QueryRefused,
    TooManySamples,
    TooMuchAtOnce,
)
from unit.metering.answering import Answer, ok, server

VECTOR = {"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [1.5, "2"]}]}
MATRIX = {
    "resultType": "matrix",
    "result": [{"metric": {"value": "x"}, "values": [[30, "2"], [60, "NaN"], [90, "+Inf"]]}],
}


def test_queries_go_in_the_body() -> None:
    """Whole, with what makes answers complete, and not in the address, where proxies cut them off."""
    with (
        server(ok(VECTOR, infos=["a remark"])) as (url, requests),
        Prometheus(PrometheusSettings(url)) as source,
    ):
        result = source.query("up" * 5000, 7)
    (asked,) = requests
    assert asked.path == "/prefix/api/v1/query"
    assert asked.form["query"] == ["up" * 5000]
    assert asked.form["time"] == ["7.000"]
    assert asked.form["partial_response"] == ["false"]
    assert asked.form["timeout"] == ["30s"]
    assert result.infos == ("a remark",)
    assert [(s.labels, list(s.times), list(s.values)) for s in result.series] == [({"a": "b"}, [1.5], [2.0])]


def test_ranges_are_asked_to_the_second() -> None:
    """Start and end are as given, and labels named like the answer's own keys do no harm."""
    with server(ok(MATRIX)) as (url, requests), Prometheus(PrometheusSettings(url)) as source:
        (series,) = source.query_range("x", 30, 1_772_326_800, 30).series
    form = requests[0].form
    assert (form["start"], form["end"], form["step"]) == (["30"], ["1772326800"], ["30"])
    assert series.labels == {"value": "x"}
    assert list(series.times) == [30, 60, 90]
    assert str(list(series.values)) == "[2.0, nan, inf]"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (ok(VECTOR, warnings=["store x is away"]), PartialData, "store x is away"),
        (ok(VECTOR, isPartial=True), PartialData, "isPartial"),
        (Answer(b"<html>Log in</html>"), PrometheusUnavailable, "does not answer as Prometheus does"),
        (Answer(b"<html>Bad gateway</html>", 500), PrometheusUnavailable, "status 500"),
        (Answer(b'{"status":"success","data":{"resu'), PrometheusUnavailable, "path prefix"),
        (Answer(b""), PrometheusUnavailable, "does not answer"),
        (Answer([1]), PrometheusUnavailable, "does not answer"),
        (Answer({"status": "success"}), PrometheusUnavailable, "without a result"),
        (
            ok({"resultType": "vector", "result": [{"metric": {}, "value": []}]}),
            PrometheusUnavailable,
            "answer",
        ),
        (
            ok({"resultType": "vector", "result": [{"metric": {}, "value": [1, "x"]}]}),
            PrometheusUnavailable,
            "answer",
        ),
        (ok({"resultType": "vector", "result": [{}]}), PrometheusUnavailable, "not series"),
        (ok({"resultType": "vector", "result": "abc"}), PrometheusUnavailable, "not series"),
        (Answer({"status": "error", "errorType": "bad_data", "error": "parse"}, 400), QueryRefused, "parse"),
        (
            Answer({"status": "error", "errorType": "bad_data", "error": "exceeded maximum resolution"}, 400),
            TooMuchAtOnce,
            "shorter range",
        ),
        (
            Answer({"status": "error", "errorType": "execution", "error": "too many samples"}, 422),
            TooMuchAtOnce,
            "query.max-samples",
        ),
        (
            Answer({"status": "error", "errorType": "internal", "error": "oops"}, 500),
            PrometheusUnavailable,
            "oops",
        ),
        (Answer(b"denied", 401), PrometheusUnavailable, "Check the token"),
        (Answer(b"", 302, {"Location": "https://login.example"}), PrometheusUnavailable, "login.example"),
    ],
)
def test_bad_answers_say_what_to_check(answer: Answer, error: type[Exception], words: str) -> None:
    """Each becomes one of our errors, with the address in it."""
    with server(answer) as (url, requests), Prometheus(PrometheusSettings(url)) as source:
        with pytest.raises(error, match=words) as raised:
            source.query("x", 1)
        assert type(raised.value) is error
    assert url.removesuffix("/prefix") in str(raised.value)
    assert len(requests) == 1


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
def test_an_answer_is_the_same_in_any_pieces(size: int) -> None:
    """Series are parsed while it arrives, wherever it is cut, and whatever its labels look like."""
    odd = ['},{"metric":', "größer", '"result":[', '},"values":[[', "plain"]
    result = [{"metric": {"pod": pod}, "values": [[1, "2"], [2, str(n)]]} for n, pod in enumerate(odd)]
    said = {"status": "success", "data": {"resultType": "matrix", "result": result}, "infos": ["a remark"]}
    body = json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
    response = requests.Response()
    response.status_code = 200
    document = document_of(response, (body[at : at + size] for at in range(0, len(body), size)), "url")
    assert document["infos"] == ["a remark"]
    read = [(s.labels["pod"], list(s.times), list(s.values)) for s in document["data"]["result"]]
    assert read == [(pod, [1, 2], [2, n]) for n, pod in enumerate(odd)]


SAMPLES = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 2**33), st.decimals(0, 2**33, places=3).map(float)),
        st.one_of(st.floats().map(repr), st.sampled_from(["NaN", "+Inf", "-Inf", "1", "1e+300"])),
    ).map(list),
    min_size=1,
    max_size=4,
)


@given(
    st.lists(SAMPLES, min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": ")]),
    st.data(),
)
def test_samples_are_what_json_says(
    pasts: list[list[Any]], instant: bool, written: tuple[str, str], data: st.DataObject
) -> None:
    """Series share what they have in common, and each keeps its own; however the server spells its JSON."""
    result: list[dict[str, Any]] = [
        {"metric": {"n": str(n)}, "value": past[0]} if instant else {"metric": {"n": str(n)}, "values": past}
        for n, past in enumerate(data.draw(st.lists(st.sampled_from(pasts), min_size=1, max_size=20)))
    ]
    body = json.dumps({"status": "success", "data": {"result": result}}, separators=written).encode()
    size = data.draw(st.integers(1, len(body)))
    response = requests.Response()
    response.status_code = 200
    document = document_of(response, (body[at : at + size] for at in range(0, len(body), size)), "url")
    for series, said in zip(document["data"]["result"], result, strict=True):
        samples = [said["value"]] if instant else said["values"]
        assert series.labels == said["metric"]
        assert list(series.times) == [float(t) for t, _ in samples]
        assert list(map(repr, series.values)) == [repr(float(value)) for _, value in samples]


@pytest.mark.parametrize("end", ['{"metric":{}', "5]}}", "]}", "]}}x"])
def test_an_answer_that_ends_badly_is_none(end: str) -> None:
    """However well it began."""
    begin = '{"status":"success","data":{"resultType":"vector","result":['
    series = '{"metric":{},"value":[1,"2"]},' * 3
    with (
        server(Answer(f"{begin}{series}{end}".encode())) as (url, _),
        Prometheus(PrometheusSettings(url)) as source,
        pytest.raises(PrometheusUnavailable, match="path prefix"),
    ):
        source.query("x", 1)


def test_a_query_that_ran_out_of_time_is_too_much() -> None:
    """Prometheus says 503 then; what it says after the retries counts."""
    timed_out = Answer({"status": "error", "errorType": "timeout", "error": "query timed out"}, 503)
    with (
        server(timed_out) as (url, requests),
        Prometheus(PrometheusSettings(url)) as source,
        pytest.raises(TooMuchAtOnce, match="timed out"),
    ):
        source.query("x", 1)
    assert len(requests) == 3


def test_a_passing_trouble_is_retried() -> None:
    """One 502 from a proxy is nobody's business."""
    with (
        server(Answer(b"", 502), ok(VECTOR)) as (url, requests),
        Prometheus(PrometheusSettings(url)) as source,
    ):
        assert len(source.query("x", 1).series) == 1
    assert len(requests) == 2


def test_a_silent_server_is_not_waited_for() -> None:
    """Not answering within the time-out is too much asked, and is not asked again by itself."""
    end = threading.Event()
    with (
        server(Answer(b"", until=end)) as (url, requests),
        Prometheus(PrometheusSettings(url, timeout=0.2)) as source,
    ):
        with pytest.raises(TooMuchAtOnce, match="did not answer"):
            source.query("x", 1)
        end.set()
    assert len(requests) == 1


@pytest.mark.parametrize("silent", [True, False])
def test_little_time_left_says_nothing_of_the_query(*, silent: bool) -> None:
    """It is asked for by halves like any other, and whole again when a cycle begins."""
    end = threading.Event()
    late = Answer({"status": "error", "errorType": "timeout", "error": "query timed out"}, 422)
    with (
        server(Answer(b"", until=end) if silent else late) as (url, _),
        Prometheus(PrometheusSettings(url, timeout=30, budget=0.3)) as source,
    ):
        with pytest.raises(TooManySamples) as raised:
            source.query("x", 1)
        end.set()
    assert type(raised.value) is TooManySamples


def test_the_budget_ends() -> None:
    """When the time for all is used up nothing more is asked, until the next begin."""
    with (
        server(ok(VECTOR)) as (url, requests),
        Prometheus(PrometheusSettings(url, budget=0.0)) as source,
        pytest.raises(PrometheusUnavailable, match="used up its 0 s"),
    ):
        source.query("x", 1)
    assert requests == []


def test_a_servers_long_words_are_cut_visibly() -> None:
    """So that nobody takes the first half of a label for all of it."""
    refusal = Answer({"status": "error", "errorType": "bad_data", "error": "x" * 301}, 400)
    with (
        server(refusal) as (url, _),
        Prometheus(PrometheusSettings(url)) as source,
        pytest.raises(QueryRefused, match=f"{'x' * 300}…"),
    ):
        source.query("x", 1)


def test_nobody_there_is_said_shortly() -> None:
    """Without the libraries' inner words."""
    with server(ok(VECTOR)) as (url, _):
        pass
    with Prometheus(PrometheusSettings(url)) as source, pytest.raises(PrometheusUnavailable) as raised:
        source.query("x", 1)
    assert "refused" in str(raised.value)
    assert "object at 0x" not in str(raised.value)
    assert "HTTPConnectionPool" not in str(raised.value)


def test_a_token_is_read_each_time(tmp_path: Path) -> None:
    """Projected tokens rotate; headers such as the tenant's go along."""
    token = tmp_path / "token"
    token.write_text("one\n")
    settings: Callable[[str], PrometheusSettings] = lambda url: PrometheusSettings(  # noqa: E731
        url, bearer_token_file=token, headers={"X-Scope-OrgID": "tenant"}
    )
    with server(ok(VECTOR)) as (url, requests), Prometheus(settings(url)) as source:
        source.query("x", 1)
        token.write_text("two\n")
        source.query("x", 1)
        token.unlink()
        with pytest.raises(PrometheusUnavailable, match="Check the mounted Secret"):
            source.query("x", 1)
    assert [request.headers["Authorization"] for request in requests] == ["Bearer one", "Bearer two"]
    assert requests[0].headers["X-Scope-OrgID"] == "tenant"


def test_basic_auth(tmp_path: Path) -> None:
    """The password comes from a file."""
    password = tmp_path / "password"
    password.write_text("secret")
    with (
        server(ok(VECTOR)) as (url, requests),
        Prometheus(PrometheusSettings(url, username="me", password_file=password)) as source,
    ):
        source.query("x", 1)
    assert requests[0].headers["Authorization"] == "Basic bWU6c2VjcmV0"


def test_the_clock_is_prometheuss() -> None:
    """`time()` comes back as a scalar."""
    five = ok({"resultType": "scalar", "result": [5, "5.25"]})
    with server(five) as (url, _), Prometheus(PrometheusSettings(url)) as source:
        assert source.time() == 5.25


@pytest.mark.parametrize(
    "bad",
    [
        {"url": "prometheus:9090"},
        {"url": "ftp://host"},
        {"url": "http://me:secret@host"},
        {"url": "http://host", "username": "me", "bearer_token_file": Path("token")},
        {"url": "http://host", "client_key": Path("key")},
    ],
)
def test_settings_that_cannot_work_are_refused(bad: dict[str, object]) -> None:
    """Before anything is asked, and without telling the password."""
    with pytest.raises(Stalled) as raised:
        PrometheusSettings(**bad)  # type: ignore[arg-type]
    assert "secret" not in str(raised.value)
