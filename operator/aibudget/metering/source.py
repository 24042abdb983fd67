"""The port through which metering asks for samples, and the errors an answer can be.

`meter` speaks to a `PromSource`; `prometheus.Prometheus` is the real one and tests have theirs by hand.
Values come as flat arrays: a month of steps is held at 16 bytes a sample. Labels that come again are the same
object, so that what follows from them is found once. Pure; knows PromQL only as text.
"""

import json
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from aibudget.errors import Transient

T = TypeVar("T")


class Labels(Mapping[str, str]):
    """A label set that a server wrote as `text`, a JSON object with these `names`.

    Of a hundred thousand label sets that come each minute hardly one is new: its text tells so.
    """

    __slots__ = ("_made", "_make", "names", "text")

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self.text = text
        self.names = names
        self._make: Callable[[Mapping[str, str]], Any] | None = None
        self._made: Any = None

    def meaning(self, make: Callable[[Mapping[str, str]], T]) -> T:
        """What `make` makes of them, made once; that is remembered in their place."""
        if self._make is not make:
            self._made = make(self.told())
            self._make = make
        found: T = self._made
        return found

    def told(self) -> dict[str, str]:
        """What they say, remembered nowhere."""
        told: dict[str, str] = json.loads(self.text)
        return told

    def __getitem__(self, name: str) -> str:
        return self.meaning(dict)[name]

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def meaning(labels: Mapping[str, str], make: Callable[[Mapping[str, str]], T]) -> T:
    """What `make` makes of labels: once for those that come again and again."""
    return labels.meaning(make) if isinstance(labels, Labels) else make(labels)


class Series(NamedTuple):
    """One label set and its samples: `times` in Unix seconds, ascending, and as many `values`."""

    labels: Mapping[str, str]
    times: "array[float]"
    values: "array[float]"


def by_names(answer: Iterable[Series]) -> dict[tuple[str, ...], list[Series]]:
    """The series by the names of their labels: what these tell is asked once for all that have them."""
    found = defaultdict[tuple[str, ...], list[Series]](list)
    for one in answer:
        labels = one[0]
        found[labels.names if isinstance(labels, Labels) else tuple(labels)].append(one)
    return found


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
