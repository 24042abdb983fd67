"""The port through which metering asks for samples, and the errors an answer can be.

`meter` speaks to a `PromSource`; `prometheus.Prometheus` is the real one and tests have theirs by hand.
Values come as flat arrays: a month of steps is held at 16 bytes a sample. Pure; knows PromQL only as text.
"""

from array import array
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from aibudget.errors import Transient


class Series(NamedTuple):
    """One label set and its samples: `times` in Unix seconds, ascending, and as many `values`."""

    labels: dict[str, str]
    times: "array[float]"
    values: "array[float]"


@dataclass(frozen=True, slots=True)
class Result:
    """A complete answer. `infos` are Prometheus's remarks on the query; anything graver is `PartialData`."""

    series: list[Series]
    infos: tuple[str, ...] = ()


class PromSource(Protocol):
    """What metering needs of Prometheus. Every method raises one of this module's errors, and no other."""

    def time(self) -> float:
        """Prometheus's own clock, Unix seconds."""
        ...

    def query(self, promql: str, at: float) -> Result:
        """The expression at one instant. A range selector gives raw samples with their own times."""
        ...

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        """The expression at start, start + step, … up to and with end."""
        ...


class PrometheusUnavailable(Transient):
    """Nobody answered, or not as Prometheus does: down, unreachable, refused, HTML, garbage, out of time."""

    def __init__(self, message: str) -> None:
        super().__init__("PrometheusUnavailable", message)


class PartialData(Transient):
    """The answer says that it is not all of it (Thanos, Mimir, remote read). It is used for nothing."""

    def __init__(self, message: str) -> None:
        super().__init__("PartialData", message)


class QueryRefused(Transient):
    """Prometheus understood that it was asked, and declined: asking again for less would change nothing."""

    def __init__(self, message: str, reason: str = "QueryRefused") -> None:
        super().__init__(reason, message)


class TooManySamples(QueryRefused):
    """The query failed while it ran (samples, points, time, a join): a shorter range may well succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "TooManySamples")
