"""Answers of Thanos, Mimir and VictoriaMetrics as they document them or as their users quote them.

None of the three runs here: their words are replayed.
"""

import pytest

from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.metering.source import PartialData, PrometheusUnavailable, QueryRefused, TooMuchAtOnce
from unit.metering.answering import Answer, ok, server

LONG = 'max by (namespace, pod) (last_over_time(kube_pod_status_phase{limit=\\"rpc error: code = \\"}[31s]))'


def refusal(status: int, kind: str, error: str) -> Answer:
    """As all four word it."""
    return Answer({"status": "error", "errorType": kind, "error": error}, status)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        # Thanos, a store away while partial answers are refused.
        (
            refusal(
                422,
                "execution",
                "expanding series: proxy Series(): rpc error: code = Aborted desc = receive series from "
                "Addr: 10.0.0.1:10901 LabelSets: {} MinTime: 1: rpc error: code = Unavailable "
                "desc = connection refused",
            ),
            PartialData,
            "stores and replicas",
        ),
        # Thanos, a limit of the store.
        (
            refusal(
                422,
                "execution",
                "expanding series: proxy Series(): rpc error: code = Aborted desc = receive series from "
                "Addr: store-gw-1:9091: rpc error: code = ResourceExhausted desc = exceeded bytes limit "
                "while fetching postings: limit 1 violated (got 8)",
            ),
            TooMuchAtOnce,
            "shorter range",
        ),
        # Mimir, limits of the tenant; the last of them as bad_data.
        (
            refusal(
                422,
                "execution",
                "the query exceeded the maximum number of series (limit: 1 series) "
                "(err-mimir-max-series-per-query). Consider reducing the time range",
            ),
            TooMuchAtOnce,
            "err-mimir-max-series-per-query",
        ),
        (
            refusal(
                400,
                "bad_data",
                "the total query time range exceeds the limit (query length: 1h0m0s, limit: 1m0s) "
                "(err-mimir-max-total-query-length)",
            ),
            TooMuchAtOnce,
            "err-mimir-max-total-query-length",
        ),
        # Mimir, a query that its administrator refuses.
        (
            refusal(
                422,
                "execution",
                "the request has been blocked by the cluster administrator (err-mimir-query-blocked)",
            ),
            QueryRefused,
            "err-mimir-query-blocked",
        ),
        # Mimir without a tenant.
        (Answer(b"no org id", 401), PrometheusUnavailable, "tenant header"),
        # VictoriaMetrics, everything with 422; a long query is quoted before the reason.
        (
            refusal(
                422,
                "422",
                f'error when executing query="{LONG}" on the time range (start=1, end=2, step=30000): too '
                "many points for the given start=1, end=2 and step=30000: 840961; the maximum number of "
                "points is 30000; (see -search.maxPointsPerTimeseries command-line flag)",
            ),
            TooMuchAtOnce,
            "maxPointsPerTimeseries",
        ),
        (
            refusal(
                422,
                "422",
                "cannot process MetricBlock #1: cannot select more than "
                "-search.maxSamplesPerQuery=1000000000 samples; possible solutions: to increase it",
            ),
            TooMuchAtOnce,
            "maxSamplesPerQuery",
        ),
        (
            refusal(
                422,
                "422",
                f'error when executing query="{LONG}" for (time=1, step=300000): cannot evaluate "{LONG}": '
                "cannot return full response, since some of vmstorage nodes are unavailable",
            ),
            PartialData,
            "vmstorage nodes are unavailable",
        ),
        (
            refusal(
                422,
                "422",
                'error when executing query="up{" for (time=1, step=300000): unexpected token ""; '
                'want "labelName"',
            ),
            QueryRefused,
            "Check the query and its matchers",
        ),
        # Prometheus, whose own words are all that a user has to mend a query by.
        (
            refusal(
                400,
                "bad_data",
                'invalid parameter "query": 1:6: parse error: expected type range vector in call to function '
                '"rate", got instant vector',
            ),
            QueryRefused,
            "expected type range vector",
        ),
        # VictoriaMetrics, a cluster that answers with a part of the data.
        (
            Answer(
                {
                    "status": "success",
                    "isPartial": True,
                    "data": {"resultType": "vector", "result": []},
                    "stats": {"seriesFetched": "0", "executionTimeMsec": 3},
                }
            ),
            PartialData,
            "isPartial",
        ),
    ],
)
def test_their_refusals_are_understood(answer: Answer, error: type[Exception], words: str) -> None:
    """Only what a shorter range may mend is asked again by halves; a part of the data is no answer."""
    with server(answer) as (url, _), Prometheus(PrometheusSettings(url)) as source:
        with pytest.raises(error, match=words) as raised:
            source.query_range("x", 0, 60, 30)
        assert type(raised.value) is error


def test_each_is_asked_for_all_and_only_that() -> None:
    """What one of them needs the others ignore, so that nobody has to say which one it is."""
    vector = {"resultType": "vector", "result": []}
    with server(ok(vector)) as (url, requests), Prometheus(PrometheusSettings(url)) as source:
        source.query("x", 7)
    form = {name: value for name, (value,) in requests[0].form.items()}
    assert form["partial_response"] == "false"
    assert form["deny_partial_response"] == form["nocache"] == "1"
    assert (form["max_source_resolution"], form["dedup"], form["latency_offset"]) == ("0s", "true", "1ms")
    assert requests[0].headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("packed", "accepted"), [(True, "gzip, deflate"), (False, "identity")])
def test_answers_are_packed_where_that_is_worth_it(packed: bool, accepted: str) -> None:
    """On a near network it takes both sides less to send them as they are."""
    vector = {"resultType": "vector", "result": []}
    with server(ok(vector)) as (url, requests), Prometheus(PrometheusSettings(url, packed=packed)) as source:
        source.query("x", 7)
    assert requests[0].headers["Accept-Encoding"].startswith(accepted)


def test_victoriametrics_tells_the_time_as_a_vector() -> None:
    """It has no scalars; the rest of its answers is as Prometheus's, with statistics and no infos."""
    said = Answer(
        {
            "status": "success",
            "isPartial": False,
            "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1772323230, "1772323230"]}]},
            "stats": {"seriesFetched": "0", "executionTimeMsec": 1},
        }
    )
    with server(said) as (url, _), Prometheus(PrometheusSettings(url)) as source:
        assert source.time() == 1_772_323_230
        assert source.query("time()", 7).infos == ()


@pytest.mark.parametrize(
    "times", [[[0, "1"]], [[40, "1"]], [[30, "1"], [60.5, "1"]], [[30, "1"], [120, "1"]]]
)
def test_other_instants_than_asked_for_are_no_answer(times: list[list[object]]) -> None:
    """A cache that moves the range would put usage into other slots than it was in."""
    matrix = {"resultType": "matrix", "result": [{"metric": {}, "values": times}]}
    with (
        server(ok(matrix)) as (url, _),
        Prometheus(PrometheusSettings(url)) as source,
        pytest.raises(PrometheusUnavailable, match="asked for each 30 s from 30"),
    ):
        source.query_range("x", 30, 90, 30)
