"""A past of many GPU pods, for a Prometheus of our own: exporters tell of them as those of the sandbox do."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from aibudget.sandbox.exporter import DCGM_JOB
from aibudget.sandbox.exposition import scraped
from aibudget.sandbox.history import History, PodHistory, Present, ScrapeHistory, dcgm_scrapes
from aibudget.sandbox.nodes import P5, node
from aibudget.sandbox.snapshot import GPU, Container, Namespace, Node, Owned, Owner, Pod, node_from
from aibudget.sandbox.tenants import FAMILIES
from bench.block import Constant, Past, write_block
from bench.scenery import name_of

COURSES: Final = 997
"""How many different courses of utilisation there are in a long past, which devices share."""
PERIOD: Final = 240
"""After how many samples a course of utilisation begins anew."""


@dataclass(frozen=True, slots=True)
class Size:
    """Pods of one GPU in so many namespaces, scraped from `start` until `end` every `scrape` seconds. Their
    devices are busy in so many `courses`.
    """

    pods: int
    namespaces: int
    start: int
    end: int
    scrape: int
    courses: int = COURSES


def write_past(data: Path, size: Size) -> tuple[int, int]:
    """The past as a block of Prometheus's data; how many series and samples that is."""
    history = many_pods(size.pods, size.namespaces, size.start)
    scrapes = [
        ScrapeHistory(size.start, size.end, size.scrape),
        dcgm_scrapes(size.start, size.end, size.scrape),
    ]
    times = list(range(size.start * 1000, size.end * 1000, size.scrape * 1000))
    return write_block(data, _series(history, scrapes, size.courses), _pasts(times, size))


def _pasts(times: Sequence[int], size: Size) -> Iterator[tuple[object, Past]]:
    machine, chance = _ready("node-0"), Random(size.pods)
    told = {0.0, 1.0, *machine.capacity.values(), *machine.allocatable.values()}
    for value in sorted(told):
        yield value, (times, [value] * len(times))
    for number in range(size.courses):
        course = [round(chance.uniform(0.2, 1.0), 3) for _ in range(PERIOD)]
        yield ("busy", number), (times, (course * (len(times) // PERIOD + 1))[: len(times)])


def _series(history: History, scrapes: Iterable[ScrapeHistory], courses: int) -> Iterator[Constant]:
    devices: dict[str, int] = {}
    for scrape in scrapes:
        target = {"job": scrape.job, **scrape.target}
        yield Constant({"__name__": "up", **target}, 1.0)
        for _, _, series in history.seen_by(scrape.job):
            for one in series:
                if one.name not in FAMILIES:
                    continue
                labels = scraped(one.labels, target, honor=scrape.job != DCGM_JOB)
                samples: object = one.value
                if scrape.job == DCGM_JOB:
                    samples = "busy", devices.setdefault(labels["UUID"], len(devices)) % courses
                yield Constant({"__name__": one.name, **labels}, samples)


def many_pods(count: int, namespaces: int, start: float) -> History:
    """Pods of one H100 each, eight to a node, one Deployment to a namespace."""
    nodes = [_ready(f"node-{number}") for number in range(-(-count // 8))]
    owned = [
        Owned("ReplicaSet", name_of(n), "llm-7d9f", (Owner("Deployment", "llm"),)) for n in range(namespaces)
    ]
    spaces = [Namespace(name_of(number), {}) for number in range(namespaces)]
    things: list[Node | Owned | Namespace] = [*nodes, *owned, *spaces]
    present = [Present(thing) for thing in things]
    return History(pods=list(_lives(count, namespaces, start)), present=present)


def _ready(name: str) -> Node:
    manifest = node(name, P5)
    manifest["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return node_from(manifest)


def _lives(count: int, namespaces: int, start: float) -> Iterator[PodHistory]:
    for number in range(count):
        pod = Pod(
            namespace=name_of(number % namespaces),
            name=f"llm-7d9f-{number}",
            uid=f"00000000-0000-4000-8000-{number:012d}",
            containers=(Container("main", {GPU: 1.0}),),
            created=start,
            node=f"node-{number // 8}",
            owners=(Owner("ReplicaSet", "llm-7d9f"),),
        )
        yield PodHistory(pod=pod, bound=start, started=start, devices=(number % 8,))
