"""What can happen to kube-state-metrics and to Prometheus between a pod and its bill."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from accuracy.pasts import BEGIN, DAY, HOUR, Case, always, machine, pod, scrape, seen
from aibudget.sandbox.exposition import selector
from aibudget.sandbox.history import History, Present, ScrapeHistory
from cluster.metering.cases import FAMILIES, Past


def _flips() -> Iterable[Present]:
    """A node that is another kind of capacity each hour of the day."""
    spot = machine({"karpenter.sh/capacity-type": "spot"})
    yield Present(machine(), end=BEGIN)
    for hour in range(24):
        yield Present(spot if hour % 2 else machine(), BEGIN + hour * HOUR, BEGIN + (hour + 1) * HOUR)
    yield Present(machine(), BEGIN + DAY)


def _gap(begin: int, seconds: int) -> Callable[[str], Sequence[ScrapeHistory]]:
    return lambda cluster: [scrape(cluster, end=begin), scrape(cluster, begin=begin + seconds)]


def _shards(cluster: str) -> Iterable[Past]:
    """Two shards, the second of which is restarted twice and comes back under another address."""
    first = History([always("one")], [Present(machine())])
    second = History([always("two", on="gpu-2")], [Present(machine(name="gpu-2"))])
    yield Past(first, (scrape(cluster),), FAMILIES)
    away = (
        scrape(cluster, end=6 * HOUR, instance="10.0.1.1:8080"),
        scrape(cluster, 6 * HOUR + 900, 12 * HOUR, instance="10.0.1.2:8080"),
        scrape(cluster, 12 * HOUR + 120, instance="10.0.1.3:8080"),
    )
    yield Past(second, away, FAMILIES)


AWAY = range(6 * HOUR, 6 * HOUR + 900)


def _nodeless(cluster: str) -> Iterable[Past]:
    """Three shards, the last of which tells of pods and of no node, and is away for a quarter of an hour."""
    for shard, name in enumerate(("one", "two", "three")):
        there = [Present(machine(name=f"gpu-{shard}"))] if shard < 2 else []
        history = History([always(name, on=f"gpu-{shard % 2}")], there)
        address = f"10.0.1.{shard}:8080"
        if shard < 2:
            yield Past(history, (scrape(cluster, instance=address),), FAMILIES)
        else:
            before, after = scrape(cluster, end=AWAY.start), scrape(cluster, AWAY.stop)
            target = {**before.target, "instance": address}
            yield Past(history, (replace(before, target=target), replace(after, target=target)), FAMILIES)


def _down(cluster: str) -> str:
    """That it could not be scraped."""
    labels = {"job": "kube-state-metrics", "instance": "10.0.1.2:8080", "cluster": cluster}
    return "".join(
        f"{selector('up', labels.items())} 0 {BEGIN + t + 7}\n" for t in range(AWAY.start, AWAY.stop, 30)
    )


def _raw(cluster: str) -> Iterable[Past]:
    """kube-state-metrics whose labels the scrape renamed."""
    pods = [always(), pod("waiting", "p", None, DAY)]
    raw = replace(scrape(cluster), job="raw")
    yield Past(History(pods, [Present(machine())]), (raw,), FAMILIES)


SOURCES = (
    Case(
        "roll-over",
        "kube-state-metrics rolls over, both there for 75 s",
        {"team": 24},
        seen(
            [always()],
            scrapes=lambda c: [scrape(c, end=12 * HOUR + 75), scrape(c, 12 * HOUR, replica=1, offset=3.1)],
        ),
    ),
    Case(
        "restart",
        "kube-state-metrics restarts, away for 90 s",
        {"team": 24},
        seen([always()], scrapes=lambda c: [scrape(c, end=12 * HOUR), scrape(c, 12 * HOUR + 90, replica=1)]),
    ),
    Case(
        "ha",
        "two kube-state-metrics, two replicas of Prometheus",
        {"team": 24, "other": 6},
        seen(
            [always(), pod("other", "p", HOUR, 7 * HOUR)],
            scrapes=lambda c: [
                scrape(c, replica=n, offset=7 + 11 * n, prometheus_replica=f"r{m}")
                for n in range(2)
                for m in range(2)
            ],
        ),
    ),
    Case("shards", "a shard away for 15 min, then for 2 min", {"one": 24, "two": 24}, _shards, held=1),
    Case(
        "nodeless-shard",
        "a shard that tells of no node, away for 15 min",
        {"one": 24, "two": 24, "three": 24},
        _nodeless,
        more=_down,
    ),
    Case(
        "flips",
        "a node's labels change each hour",
        {"team": 24},
        seen([always()], _flips()),
    ),
    Case("gap-20", "20 min without scrapes", {"team": 24}, seen([always()], scrapes=_gap(12 * HOUR, 1200))),
    Case("gap-70", "70 min without scrapes", {"team": 24}, seen([always()], scrapes=_gap(12 * HOUR, 4200))),
    Case("not-honored", "labels as exported_namespace, exported_pod", {"team": 24}, _raw),
)
