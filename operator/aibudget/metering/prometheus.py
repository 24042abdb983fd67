"""The one seam to Prometheus: prometheus-api-client, with what an accountant needs around it.

The library makes the requests, our session beneath it (`transport`) makes them safe, and `answer` reads
what comes back. Warnings and partial data, which the library drops, become `PartialData`: a silent hole
would be a bill that is too low. Sync, and not for sharing between threads. Knows nothing of meters.
"""

import math
from datetime import UTC, datetime
from typing import Any

from prometheus_api_client import PrometheusConnect

from aibudget.metering.answer import garbage
from aibudget.metering.source import PrometheusUnavailable, Result, Series
from aibudget.metering.transport import PatientRetry, PrometheusSettings, Session

__all__ = ["Prometheus", "PrometheusSettings"]

# What makes an answer whole, wherever it comes from; each server ignores what it does not know (ADR 0042).
COMPLETE = {
    # Thanos, Mimir: an error rather than a part of the data, each replica once, and raw samples only, for
    # downsampled ones would be weighted wrongly.
    "partial_response": "false",
    "dedup": "true",
    "max_source_resolution": "0s",
    # VictoriaMetrics: the same; the instants that were asked for, not others that suit its cache; and the
    # newest samples as they are, where it would repeat the ones before (its least is a millisecond).
    "deny_partial_response": "1",
    "nocache": "1",
    "latency_offset": "1ms",
}


class Prometheus:
    """A `PromSource` over HTTP. Close it, or use it in a `with`."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self.url = settings.url.rstrip("/")
        self._session = Session(settings)
        self._client = PrometheusConnect(
            url=self.url, session=self._session, retry=PatientRetry.usual(), method="POST"
        )

    def __enter__(self) -> "Prometheus":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def begin(self) -> None:
        """Start the budget of time afresh: once a cycle, or once for each part of a long range."""
        self._session.begin()

    @property
    def queries(self) -> int:
        """How many queries were sent so far."""
        return self._session.sent

    def time(self) -> float:
        """Prometheus's own clock, Unix seconds."""
        answer = self._client.custom_query("time()", params=self._params())
        try:
            # VictoriaMetrics has no scalars: it gives a vector of one.
            now = float(answer[0].values[0] if isinstance(answer[0], Series) else answer[1])
        except (IndexError, KeyError, TypeError, ValueError) as odd:
            raise garbage(self.url, "no time came back for time()") from odd
        if not math.isfinite(now):
            raise garbage(self.url, f"time() is {now}")
        return now

    def query(self, promql: str, at: float) -> Result:
        """The expression at one instant; see `PromSource`."""
        answer = self._client.custom_query(promql, params={**self._params(), "time": f"{at:.3f}"})
        return self._result(answer)

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        """The expression from start to end, both asked for; see `PromSource`."""
        first, last = (datetime.fromtimestamp(instant, UTC) for instant in (start, end))
        answer = self._client.custom_query_range(promql, first, last, str(step), params=self._params())
        result = self._result(answer)
        # Most series share their times.
        for times in {id(times): times for _, times, _ in result.series}.values():
            for instant in (times[0], times[-1]) if times else ():
                if not start <= instant <= end or (instant - start) % step:
                    raise PrometheusUnavailable(
                        f"{self.url} answers for {instant:f}, asked for each {step} s from {start} to {end}. "
                        "A cache in front of it moves ranges: go around it."
                    )
        return result

    def _params(self) -> dict[str, str]:
        return {**COMPLETE, "timeout": f"{max(1, math.ceil(self._session.patience()))}s"}

    def _result(self, answer: list[Any]) -> Result:
        if not isinstance(answer, list) or not set(map(type, answer)) <= {Series}:
            raise garbage(self.url, "a result is not series of numbers")
        return Result(answer, self._session.infos)
