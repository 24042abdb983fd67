"""The port through which metering asks for samples, and the errors an answer can be.

`meter` speaks to a `PromSource`; `prometheus.Prometheus` is the real one and tests have theirs by hand.
Values come as flat arrays: a month of steps is held at 16 bytes a sample. Labels that come again are the same
object, so that what follows from them is found once. Pure; knows PromQL only as text.
"""

import json
import zlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from aibudget.errors import Transient

T = TypeVar("T")

_BETWEEN: Final = "\0"
"""What is in no JSON."""


class Sheet:
    """The texts of labels that came together, packed: hardly one is read again."""

    __slots__ = ("_packed",)

    def __init__(self, texts: Sequence[str]) -> None:
        self._packed = zlib.compress(_BETWEEN.join(texts).encode(), 1) if len(texts) > 1 else texts[0]

    def text(self, place: int) -> str:
        return self._packed if isinstance(self._packed, str) else _unpacked(self._packed)[place]


@lru_cache(maxsize=8)
def _unpacked(packed: bytes) -> list[str]:
    # Remembered for a moment: who reads one label set mostly reads its neighbours next.
    return zlib.decompress(packed).decode().split(_BETWEEN)


def keys_of(texts: Iterable[str]) -> list[int]:
    """What texts are known by, in this process: 128 bits each, so that no two have the same."""
    return [hash(text) << 64 ^ hash(text[1:]) for text in texts]


class Labels(Mapping[str, str]):
    """A label set as a server wrote it, a JSON object with these `names`: one of a sheet, known by its `key`.

    Of a hundred thousand label sets that come each minute hardly one is new: its text tells so. Two of them
    are equal where they were written alike.
    """

    __slots__ = ("_made", "_make", "_place", "_sheet", "key", "names")

    def __init__(self, key: int, names: tuple[str, ...], sheet: Sheet, place: int = 0) -> None:
        self.key = key
        self.names = names
        self._sheet = sheet
        self._place = place
        self._make: Callable[[Mapping[str, str]], Any] | None = None
        self._made: Any = None

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> "Labels":
        """Labels that were read otherwise, as they would have been written."""
        if isinstance(labels, Labels):
            return labels
        text = json.dumps(dict(labels), separators=(",", ":"), ensure_ascii=False)
        (key,) = keys_of([text])
        return cls(key, tuple(labels), Sheet([text]))

    def __hash__(self) -> int:
        return self.key

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Labels) else super().__eq__(other)

    def meaning(self, make: Callable[[Mapping[str, str]], T]) -> T:
        """What `make` makes of them, made once; that is remembered in their place."""
        if self._make is not make:
            self._made = make(self.told())
            self._make = make
        found: T = self._made
        return found

    def told(self) -> dict[str, str]:
        """What they say, remembered nowhere."""
        told: dict[str, str] = json.loads(self._sheet.text(self._place))
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


Told = tuple[Mapping[str, str], "array[float]", "array[float]"]
"""What a `Series` has."""


class Series(NamedTuple):
    """One label set and its samples: `times` in Unix seconds, ascending, and as many `values`."""

    labels: Mapping[str, str]
    times: "array[float]"
    values: "array[float]"


series_of: Final[Callable[[Told], Series]] = partial(tuple.__new__, Series)
"""As `Series(*told)`, in a third of the time: some hundred thousand are made in each cycle."""


def by_names(answer: Iterable[Series]) -> dict[tuple[str, ...], list[Series]]:
    """The series by the names of their labels: what these tell is asked once for all that have them."""
    found = defaultdict[tuple[str, ...], list[Series]](list)
    for one in answer:
        labels = one[0]
        found[labels.names if isinstance(labels, Labels) else tuple(labels)].append(one)
    return found


def used_up(answer: list[Series]) -> Iterator[Series]:
    """One after the other, in order, each let go of: what is made of a hundred thousand series need not be
    there together with them.
    """
    answer.reverse()
    while answer:
        yield answer.pop()


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


class TooMuchAtOnce(TooManySamples):
    """It failed by its size, with all the time that a query may have: as long a range will fail again."""
