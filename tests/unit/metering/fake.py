"""A Prometheus by hand that scraped a small cluster: it knows the meter's queries by their look and answers
from lives.
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from aibudget.metering.source import Result, Series, TooManySamples

BEGIN = 1_772_323_200  # 2026-03-01T00:00:00Z


@dataclass(frozen=True, slots=True)
class Life:
    """A pod that held `units` in [bound, ended), in seconds after `BEGIN`."""

    name: str
    bound: int
    ended: int
    units: float = 1.0
    uid: str = ""
    owner: tuple[str, str] = ("", "")
    node: str = "n"
    namespace: str = "team"
    resource: str = "nvidia_com_gpu"


@dataclass(frozen=True, slots=True)
class Machine:
    """A node that offered `units` in [joined, left), of which `unwell` (start, end, units) were of no use.
    Its labels are as metrics spell them, each set from an instant on.
    """

    name: str
    joined: int
    left: int
    units: float
    unwell: tuple[tuple[int, int, float], ...] = ()
    labels: tuple[tuple[int, Mapping[str, str]], ...] = ()
    resource: str = "nvidia_com_gpu"

    def unusable(self, at: float) -> float | None:
        """How many of its units nobody can use then."""
        lost = [units for start, end, units in self.unwell if start <= at < end]
        return min(self.units, max(lost)) if lost and self.joined <= at < self.left else None


def series(labels: dict[str, str], times: Iterable[float], values: Iterable[float]) -> Series:
    """As the real source gives them."""
    return Series(labels, array("d", times), array("d", values))


@dataclass(slots=True)
class FakePrometheus:
    """A `PromSource`. `scrapes` are seconds after `BEGIN`; more points than `limit` in one answer are too
    many. `shards` have a number of nodes and an end. `busy` says how busy a device of a pod is then, by its
    number; nobody tells where it is not given.
    """

    lives: Sequence[Life]
    scrapes: Sequence[float]
    window: float = 31.5
    limit: int = 1_000_000
    clusters: tuple[str, ...] = ("",)
    replica_sets: dict[str, tuple[str, str]] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    machines: Sequence[Machine] = ()
    shards: dict[str, tuple[float, int]] = field(default_factory=dict)
    busy: Callable[[str, int, float], float] | None = None
    watched: list[int] = field(default_factory=list)

    def time(self) -> float:
        """The moment of the last scrape."""
        return BEGIN + self.scrapes[-1]

    def query(self, promql: str, at: float) -> Result:
        """An instant query of the survey, of raw scrapes or of owners."""
        self.asked.append(promql)
        if "newest" in promql:
            newest = self._newest(at, 1e9)
            found = [series({"family": "newest", "node": "n"}, [at], [newest])] if newest else []
            return Result([*found, series({"family": "pods"}, [at], [len(self.lives)])])
        if promql.startswith("kube_node_info"):
            seen = [BEGIN + t for t in self.scrapes if at - 1200 < BEGIN + t <= at]
            return Result([series({"node": "n"}, seen, [1.0] * len(seen))] if seen else [])
        if "kube_replicaset_owner" in promql:
            return Result(
                [_owned("replicaset", name, owner, at) for name, owner in self.replica_sets.items()]
            )
        if "kube_pod_owner" in promql:
            return Result([_owned("pod", life.name, life.owner, at, uid=life.uid) for life in self.lives])
        raise AssertionError(promql)

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        """Coverage, what is held, node labels, and utilisation, of which the instants are noted."""
        self.asked.append(promql)
        instants = range(start, end + 1, step)
        if len(instants) > self.limit or (len(instants) == 1 and start in self.refused):
            raise TooManySamples("too many samples")
        if any(t in self.refused for t in instants):
            raise TooManySamples("too many samples")
        if self.shards and "count by (cluster, instance)" in promql:
            return Result(list(self._told_by_shards(instants)))
        if "count by (cluster, instance)" in promql:
            return Result(
                [
                    *(
                        self._over(
                            instants,
                            {"family": "source", "cluster": name, "instance": f"i{name}"},
                            lambda _: 1.0,
                        )
                        for name in self.clusters
                    ),
                    self._over(instants, {"family": "nodes"}, lambda _: 1.0),
                ]
            )
        if "offered" in promql:
            return Result(list(self._capacity(instants)))
        if "kube_node_labels" in promql:
            return Result(list(self._labels(instants)))
        if "group_left" in promql:
            return Result([self._held(instants, life) for life in self.lives])
        if "DCGM" in promql:
            self.watched += instants
            return Result([one for life in self.lives for one in self._utilisation(instants, life)])
        if "unless on" in promql:
            return Result([])
        raise AssertionError(promql)

    def _told_by_shards(self, instants: range) -> Iterator[Series]:
        """Each shard's nodes until its end, in seconds after `BEGIN`, and all of them."""

        def nodes(name: str, at: float) -> float | None:
            number, end = self.shards[name]
            return number if at - BEGIN < end else None

        def together(at: float) -> float:
            return sum(nodes(name, at) or 0.0 for name in self.shards)

        for name in self.shards:
            yield self._over(instants, {"family": "source", "instance": name}, partial(nodes, name))
        yield self._over(instants, {"family": "nodes"}, together)

    def _held(self, instants: range, life: Life) -> Series:
        labels = {
            "namespace": life.namespace,
            "pod": life.name,
            "uid": life.uid,
            "node": life.node,
            "resource": life.resource,
        }
        return self._over(
            instants, labels, lambda newest: life.units if life.bound <= newest - BEGIN < life.ended else None
        )

    def _utilisation(self, instants: range, life: Life) -> Iterator[Series]:
        for number in range(round(life.units) if self.busy else 0):
            labels = {"namespace": life.namespace, "pod": life.name, "UUID": f"{life.name}-{number}"}
            yield self._over(instants, labels, partial(self._busy, life, number))

    def _busy(self, life: Life, number: int, newest: float) -> float | None:
        assert self.busy is not None
        is_held = life.bound <= newest - BEGIN < life.ended
        return self.busy(life.name, number, newest) if is_held else None

    def _capacity(self, instants: range) -> Iterator[Series]:
        for machine in self.machines:
            whose = {"node": machine.name, "resource": machine.resource}
            offered = self._over(instants, {**whose, "family": "offered"}, partial(_offered, machine))
            unusable = self._over(instants, {**whose, "family": "unusable"}, partial(_unusable, machine))
            yield from (one for one in (offered, unusable) if one.times)

    def _labels(self, instants: range) -> Iterator[Series]:
        for machine in self.machines:
            units = {"node": machine.name, "resource": machine.resource}
            yield self._over(instants, units, partial(_offered, machine))
            changes = [*machine.labels, (10**9, {})]
            for (since, labels), (until, _) in pairwise(changes):
                yield self._over(
                    instants, {"node": machine.name, **labels}, partial(_labelled, machine, (since, until))
                )

    def _over(
        self, instants: range, labels: dict[str, str], value: Callable[[float], float | None]
    ) -> Series:
        found = [
            (t, given)
            for t in instants
            if (newest := self._newest(t, self.window)) and (given := value(newest)) is not None
        ]
        return series(labels, (t for t, _ in found), (given for _, given in found))

    def _newest(self, at: float, window: float) -> float | None:
        place = bisect_right(self.scrapes, at - BEGIN)
        newest = BEGIN + self.scrapes[place - 1] if place else None
        return newest if newest is not None and at - newest < window else None


def _offered(machine: Machine, scraped: float) -> float | None:
    return machine.units if machine.joined <= scraped - BEGIN < machine.left else None


def _unusable(machine: Machine, scraped: float) -> float | None:
    return machine.unusable(scraped - BEGIN)


def _labelled(machine: Machine, span: tuple[int, int], scraped: float) -> float | None:
    at = scraped - BEGIN
    return 1.0 if machine.joined <= at < machine.left and span[0] <= at < span[1] else None


def every(
    seconds: int, start: int, end: int, offset: int = 7, missing: Callable[[int], bool] = lambda _: False
) -> list[float]:
    """Scrapes between two moments, without those that are missing."""
    return [float(t) for t in range(start + offset, end, seconds) if not missing(t)]


def _owned(label: str, name: str, owner: tuple[str, str], at: float, **more: str) -> Series:
    labels = {"namespace": "team", label: name, "owner_kind": owner[0], "owner_name": owner[1], **more}
    return series(labels, [at], [1.0])


def family(promql: str) -> str:
    """The first metric that a query names, for counting queries."""
    found = re.search(r"kube_\w+|DCGM_\w+", promql)
    return found[0] if found else promql
