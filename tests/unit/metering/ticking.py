"""Counters by hand: true amounts over time, and what a Prometheus that scraped them would answer."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from aibudget.metering.counting import SCRAPED
from aibudget.metering.levels import FAMILY, UP
from aibudget.metering.source import Result, Series

BEGIN = 1_772_323_200  # 2026-03-01T00:00:00Z
LOOKBACK = 300


@dataclass(frozen=True, slots=True)
class Ticks:
    """One series: (instant, value) of each scrape, in seconds after `BEGIN`; `born`: its process began."""

    family: str
    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]
    born: float | None = None

    def at(self, instant: int) -> float | None:
        """What Prometheus shows then."""
        return _last(self.samples, instant, LOOKBACK)


@dataclass(slots=True)
class Ticking:
    """A `PromSource` of these series. `up` are the instants at which anything was scraped."""

    series: Sequence[Ticks]
    up: Sequence[float]
    now: float
    owners: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def time(self) -> float:
        """The moment at which it is asked."""
        return BEGIN + self.now

    def query(self, promql: str, at: float) -> Result:
        """Owners of pods; presence; no node ever tells of itself."""
        self.asked.append(promql)
        if "kube_pod_owner" in promql:
            return Result([_owned(*pod, *owner, at) for pod, owner in self.owners.items()])
        if "count(" in promql and FAMILY in promql:
            return Result([_series({FAMILY: one.family}, [(at, 1.0)]) for one in self.series])
        return Result([])

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        """Levels and births."""
        self.asked.append(promql)
        instants = range(start, end + 1, step)
        if "process_start_time_seconds" in promql or "kube_pod_start_time" in promql:
            return Result(
                [
                    _series(
                        {FAMILY: "process", "instance": one.labels.get("instance", "")},
                        [
                            (t, BEGIN + one.born)
                            for t in instants
                            if _last(one.samples, t, LOOKBACK) is not None
                        ],
                    )
                    for one in self.series
                    if one.born is not None
                ]
            )
        found = [
            _series(
                {FAMILY: one.family, **one.labels},
                [(t, v) for t in instants if (v := one.at(t)) is not None],
            )
            for one in self.series
        ]
        ups = [(t, 1.0) for t in self.up]
        seen = [(t, 1.0) for t in instants if _last(ups, t, SCRAPED / 1000) is not None]
        return Result([*(one for one in found if one.times), _series({FAMILY: UP}, seen)])


def _last(samples: Sequence[tuple[float, float]], at: float, window: float) -> float | None:
    place = bisect_right(samples, at - BEGIN, key=itemgetter(0))
    return samples[place - 1][1] if place and samples[place - 1][0] > at - BEGIN - window else None


def _series(labels: Mapping[str, str], samples: Iterable[tuple[float, float]]) -> Series:
    samples = list(samples)
    return Series(dict(labels), array("d", (t for t, _ in samples)), array("d", (v for _, v in samples)))


def _owned(namespace: str, pod: str, kind: str, name: str, at: float) -> Series:
    labels = {"namespace": namespace, "pod": pod, "uid": "u", "owner_kind": kind, "owner_name": name}
    return _series(labels, [(at, 1.0)])
