"""What nobody held, to the second and the cent, through a real Prometheus with kube-state-metrics' series."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest

from aibudget.metering.meter import read_gpu
from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Balance, Reading
from aibudget.pricing.book import PriceBook
from aibudget.pricing.rate import FAR_FUTURE, Rate
from aibudget.sandbox.exposition import selector
from aibudget.sandbox.history import History, PodHistory, Present
from aibudget.sandbox.prometheus import PrometheusServer
from aibudget.sandbox.snapshot import GPU, Node
from aibudget.sandbox.toolchain import Progress
from cluster.metering.cases import AROUND, DAY, EPOCH, FAMILIES, HOURS, Past, node, pod, scrape
from cluster.metering.conftest import Ask, remembering

pytestmark = pytest.mark.cluster

POOL = "karpenter.sh/nodepool"
PRODUCT = "nvidia.com/gpu.product"
ALL = FAMILIES | {"kube_node_status_condition", "kube_node_spec_unschedulable"}
START = EPOCH + 100 * DAY


def pooled(name: str = "gpu-1", pool: str = "a", **labels: str) -> Node:
    """A node of four devices in a pool."""
    made = node(name)
    return replace(made, labels={**made.labels, POOL: pool, **labels})


def told(
    start: int, pods: Iterable[PodHistory], present: Iterable[Present], instance: str = "10.0.0.1:8080"
) -> Past:
    """By one kube-state-metrics that is always there."""
    return Past(History(list(pods), list(present)), (scrape(start, instance=instance),), ALL)


def from_to(start: int, thing: Node, begin: int = -AROUND, end: int = HOURS + AROUND) -> Present:
    """A node as it was for a while."""
    return Present(thing, start + begin, start + end)


def lost_device(start: int) -> list[Present]:
    """Three of four devices are healthy for half an hour; later the node is not ready, then cordoned."""
    well = pooled()
    marks = (
        (-AROUND, 1800, well),
        (1800, 3600, replace(well, allocatable={GPU: 3.0})),
        (3600, 4200, replace(well, ready="unknown")),
        (4200, 5100, replace(well, unschedulable=True)),
        (5100, HOURS + AROUND, well),
    )
    return [from_to(start, thing, begin, end) for begin, end, thing in marks]


def late_label(start: int) -> list[Present]:
    """A node whose labels are told after half an hour."""
    bare = replace(pooled(), labels={"kubernetes.io/os": "linux"})
    return [from_to(start, bare, end=1800), from_to(start, pooled(pool="late"), begin=1800)]


def cordoned(start: int) -> list[Present]:
    """A node without a device plug-in, of no use for half an hour."""
    bare = replace(pooled(), capacity={}, allocatable={})
    marks = (
        (-AROUND, 3600, bare),
        (3600, 5400, replace(bare, unschedulable=True)),
        (5400, HOURS + AROUND, bare),
    )
    return [from_to(start, thing, begin, end) for begin, end, thing in marks]


def claims(start: int) -> str:
    """Three devices of it as AIBudget tells of them: one is tainted, and one held for an hour."""
    target = {"job": "aibudget", "instance": "10.0.0.50:8080"}
    kind = {"node": "gpu-1", "driver": "gpu.nvidia.com", "product": "NVIDIA-L4", "profile": ""}
    who = {"namespace": "team", "pod": "p", "uid": f"p-{start}", "part": "1"}
    scrapes = range(start - AROUND + 19, start + HOURS + AROUND, 30)
    held = range(start + 600, start + 4200)
    rows: tuple[tuple[str, dict[str, str], int, Iterable[int]], ...] = (
        ("aibudget_leader", {}, 1, scrapes),
        ("aibudget_dra_devices", {**kind, "usable": "true"}, 2, scrapes),
        ("aibudget_dra_devices", {**kind, "usable": "false"}, 1, scrapes),
        ("aibudget_dra_device_held", {**kind, **who}, 1, [t for t in scrapes if t in held]),
    )
    return "".join(
        f"{selector(name, {**target, **labels}.items())} {value} {t}\n"
        for name, labels, value, times in rows
        for t in times
    )


def without_uid(life: PodHistory) -> PodHistory:
    """As an exporter tells it whose scrape drops the uid."""
    return replace(life, pod=replace(life.pod, uid=""))


@dataclass(frozen=True, slots=True)
class Case:
    """`idle` is GPU-seconds by (pool, state); `over` of what is held beyond the capacity."""

    name: str
    past: Callable[[int], list[Past]]
    idle: dict[tuple[str, str], int]
    held: int = 0
    over: int = 0
    unpriced: int = 0
    more: Callable[[int], str] = lambda _: ""


CASES = (
    Case(
        "pools",
        lambda s: [
            told(
                s,
                [pod("team", "p", s, (600, 2400))],
                [from_to(s, pooled()), from_to(s, pooled("gpu-2", "b"), 900, 4500)],
            )
        ],
        {("a", "idle"): 4 * HOURS - 1800, ("b", "idle"): 4 * 3600},
        held=1800,
    ),
    Case(
        "devices-and-nodes-that-fail",
        lambda s: [told(s, [pod("team", "p", s, (-AROUND, HOURS + AROUND))], lost_device(s))],
        {("a", "unhealthy"): 1800 + 3 * 1500, ("a", "idle"): 3 * (HOURS - 1500) - 1800},
        held=HOURS,
    ),
    Case(
        "a-node-is-deleted-with-its-pods",
        lambda s: [
            told(
                s,
                [pod("gone", "p", s, (600, 3600), gpus=3.0)],
                [from_to(s, pooled(), end=3600), from_to(s, pooled("gpu-2", "b"))],
            )
        ],
        {("a", "idle"): 4 * 600 + 3000, ("b", "idle"): 4 * HOURS},
        held=3 * 3000,
    ),
    Case(
        "labels-come-late",
        lambda s: [told(s, [], late_label(s))],
        {("", "idle"): 4 * 1800, ("late", "idle"): 4 * (HOURS - 1800)},
        unpriced=4 * 1800,
    ),
    Case(
        "a-doubled-kube-state-metrics",
        lambda s: [
            told(s, [pod("team", "p", s, (0, HOURS), gpus=3.0)], [from_to(s, pooled())]),
            told(
                s,
                [without_uid(pod("team", "p", s, (0, HOURS), gpus=3.0))],
                [from_to(s, pooled())],
                instance="10.0.0.98:8080",
            ),
        ],
        {},
        held=6 * HOURS,
        over=2 * HOURS,
    ),
    Case(
        "two-that-tell-the-same",
        lambda s: [
            told(s, [pod("team", "p", s, (0, HOURS), gpus=3.0)], [from_to(s, pooled())], f"10.0.0.{n}:8080")
            for n in (1, 2)
        ],
        {("a", "idle"): HOURS},
        held=3 * HOURS,
    ),
    Case(
        "parts-of-devices",
        lambda s: [
            told(
                s,
                [pod("team", "p", s, (0, 3600), gpus=3.0)],
                [
                    from_to(
                        s,
                        pooled(
                            **{
                                PRODUCT: "NVIDIA-L4-SHARED",
                                "nvidia.com/gpu.count": "1",
                                "nvidia.com/gpu.replicas": "4",
                                "nvidia.com/gpu.sharing-strategy": "time-slicing",
                            }
                        ),
                    )
                ],
            )
        ],
        {("a", "idle"): HOURS - 2700},
        held=2700,
    ),
    # Of two that can be used one is held for an hour; of a cordoned node nobody can have what is free.
    Case(
        "devices-for-claims",
        lambda s: [told(s, [], cordoned(s))],
        {("a", "idle"): 2 * HOURS - 3600 - 3000, ("a", "unhealthy"): HOURS + 3000},
        held=3600,
        more=claims,
    ),
)
BEGINS = {case.name: START + DAY * number for number, case in enumerate(CASES)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, progress: Progress) -> Iterator[PrometheusServer]:
    """A Prometheus with all of it."""
    told: list[Past | str] = []
    for case in CASES:
        told += [*case.past(BEGINS[case.name]), case.more(BEGINS[case.name])]
    with remembering(tmp_path_factory.mktemp("idle"), told, progress) as made:
        yield made


def read(server: PrometheusServer, case: Case) -> Reading:
    """The two hours of a case, through the meter."""
    begins = BEGINS[case.name]
    with Prometheus(PrometheusSettings(url=server.url)) as source:
        return read_gpu(source, Interval(begins, begins + HOURS), MeterSettings(utilisation=False))


def book() -> PriceBook:
    """Two dollars an hour for an L4."""
    price, always = Decimal(2), Interval(0, FAR_FUTURE)
    match = {"gpuProduct": "NVIDIA-L4"}
    return PriceBook([Rate("list", "l4", "gpu", match, "USD", "GPU-Hours", price, price, 1, always)])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_nobody_held_is_exact(case: Case, server: PrometheusServer) -> None:
    """Every device-second is held, idle, unhealthy or over, and what has a rate costs what gpu costs."""
    reading = read(server, case)
    (idle,) = reading.beside
    found: Counter[tuple[str, str | None]] = Counter()
    for usage in idle.usages:
        found[usage.workload.name, usage.sku.dimension("state")] += usage.quantity
    assert found == {key: seconds * 1000 for key, seconds in case.idle.items()}

    whole = sum(idle.balances.values(), Balance())
    assert (whole.residual, whole.held, whole.over) == (0, case.held * 1000, case.over * 1000)
    assert any("more than there are" in said for said in reading.problems) == bool(case.over)

    charges = book().charges((*reading.usages, *idle.usages))
    cost = sum((charge.cost for charge in charges if charge.cost is not None), Decimal(0))
    named = sum(charge.usage.quantity for charge in charges if charge.cost is None)
    seconds = case.held + sum(case.idle.values()) - case.unpriced
    assert (cost * 1800, named) == (Decimal(seconds), case.unpriced * 1000)


def test_the_command_adds_it_up(server: PrometheusServer, ask: Ask) -> None:
    """`aibudget usage` tells the whole and its parts."""
    begins = BEGINS["pools"]
    asked = ask(server.url, begins, begins + HOURS, "--by", "nodepool")
    assert asked.code == 0, asked.notes
    capacity = asked.document["capacity"]
    assert {name: Decimal(capacity[name]) * 3600 for name in ("capacity", "held", "idle", "over")} == {
        "capacity": 4 * HOURS + 4 * 3600,
        "held": 1800,
        "idle": 4 * HOURS + 4 * 3600 - 1800,
        "over": 0,
    }


def test_the_command_divides_it_by_policy(server: PrometheusServer, ask: Ask, tmp_path: Path) -> None:
    """Each pool by its own policy, to the last second; what nobody used is nobody's."""
    policies = tmp_path / "shared-cost.yaml"
    policies.write_text(
        "default: {policy: Proportional}\n"
        "nodePools:\n"
        "  - name: b\n"
        "    policy: Fixed\n"
        "    shares: [{namespace: team, weight: 1}, {team: search, weight: 3}]\n"
    )
    begins = BEGINS["pools"]
    asked = ask(server.url, begins, begins + HOURS, "--shared-cost", policies)
    assert asked.code == 0, asked.notes
    given = {
        (line["recipientKind"], line["recipient"], line["nodePool"]): Decimal(line["quantity"]) * 3600
        for line in asked.document["shared"]
    }
    assert given == {
        ("Namespace", "team", "a"): 4 * HOURS - 1800,
        ("Namespace", "team", "b"): 3600,
        ("Team", "search", "b"): 3 * 3600,
    }
    idle = sum(Decimal(row["cost"]) for row in asked.document["rows"] if row["meter"] == "gpu-idle")
    assert sum(Decimal(line["cost"]) for line in asked.document["shared"]) == idle > 0
    shown = ask(server.url, begins, begins + HOURS, "--shared-cost", policies, "-o", "table").output
    assert re.search(r"Team/search +b +idle +3\.00 +GPU-Hours", shown)
