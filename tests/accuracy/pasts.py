"""What cases are made of: nodes, pods and scrapes of a cluster of each case's own, all on one day.

Scrapes come every 30 s at 7 s past unless a case says otherwise. promtool writes no stale markers, so all of
this is what a federating or remote-writing Prometheus would hold, too. Seconds count from the day's midnight.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

from accuracy.metered import Bill, book
from accuracy.table import EXACT, Amounts, Goal
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Usage
from aibudget.sandbox.exporter import ksm_target
from aibudget.sandbox.history import History, PodHistory, Present, ScrapeHistory, dcgm_scrapes
from aibudget.sandbox.snapshot import GPU, Container, Node, Pod
from cluster.metering.cases import FAMILIES, LABELS, Past

BEGIN = 1_770_681_600  # 2026-02-10T00:00:00Z
HOUR, DAY = 3_600, 86_400
AROUND = 1_200
EDGES = frozenset(
    {
        "kube_pod_status_scheduled_time",
        "kube_pod_completion_time",
        "kube_pod_restart_policy",
        "kube_node_status_capacity",
        "kube_node_status_allocatable",
    }
)


Measure = Callable[[Sequence[Bill]], Amounts]


def namespace(usage: Usage) -> str:
    return usage.workload.namespace


def quantity(bills: Sequence[Bill]) -> Amounts:
    """Of the first meter, by namespace."""
    return bills[0].quantities(namespace)


def together(bills: Sequence[Bill]) -> Amounts:
    """Of all the meters and namespaces."""
    found = (amount for bill in bills for amount in bill.quantities(namespace).values())
    return {"": sum(found, start=Fraction(0))}


def beside(bills: Sequence[Bill]) -> Amounts:
    """Of all the meters, by namespace; what is idle has none."""
    found: dict[str, Fraction] = {}
    for bill in bills:
        for where, amount in bill.quantities(namespace).items():
            found[where] = found.get(where, Fraction(0)) + amount
    return found


def cost(bills: Sequence[Bill]) -> Amounts:
    """Of all the meters, by namespace, at the prices of OpenCost's measurements."""
    owed: dict[str, Fraction] = {}
    for bill in bills:
        for charge in book().charges(bill.usages):
            if charge.cost is not None:
                key = namespace(charge.usage)
                owed[key] = owed.get(key, Fraction(0)) + Fraction(charge.cost)
    return owed


def busy(bills: Sequence[Bill]) -> Amounts:
    """Which part of the device time that was observed was busy."""
    usages = [usage for bill in bills for usage in bill.usages if usage.observed]
    seen = sum(usage.observed or 0 for usage in usages)
    return {"team": Fraction(sum(usage.busy or 0 for usage in usages), seen)} if seen else {}


@dataclass(frozen=True, slots=True)
class Case:
    """`name` is its cluster, `past` and `more` what was told of it. `meters` are what it takes; a gap is
    worth `held` devices in what is unknown. `absent` says why it cannot be measured here.
    """

    name: str
    title: str
    truth: Mapping[str, Fraction | int | float]
    past: Callable[[str], Iterable[Past]]
    unit: str = "GPU-h"
    meters: tuple[str, ...] = ("gpu",)
    measure: Measure = quantity
    goal: Goal = EXACT
    opencost: str = ""
    begins: int = 0
    lasts: int = DAY
    held: int = 1
    more: Callable[[str], str] = lambda _: ""
    absent: str = ""

    @property
    def interval(self) -> Interval:
        return Interval(BEGIN + self.begins, BEGIN + self.begins + self.lasts)


def machine(
    labels: Mapping[str, str] = MappingProxyType({}),
    *,
    name: str = "gpu-1",
    devices: int = 8,
    offers: Mapping[str, float] | None = None,
) -> Node:
    """A node and what it has."""
    amounts = {"cpu": 96.0, "memory": 384 * 2.0**30, **({GPU: float(devices)} if offers is None else offers)}
    return Node(name, {**LABELS, **labels}, amounts, amounts)


def pod(
    where: str,
    name: str,
    bound: float | None,
    ended: float,
    *,
    on: str = "gpu-1",
    uid: str = "",
    started: float | None = None,
    removed: float | None = None,
    utilisation: float = 90.0,
    requests: Mapping[str, float] | None = None,
    restart_policy: str = "Always",
) -> PodHistory:
    """Bound from and until, in the day's seconds; None is never."""
    thing = Pod(
        where,
        name,
        uid or f"{where}-{name}-{bound}",
        (Container("main", requests or {GPU: 1.0}),),
        BEGIN + (bound or 0) - 60,
        on,
        utilisation=utilisation,
        restart_policy=restart_policy,
    )
    return PodHistory(
        thing,
        None if bound is None else BEGIN + bound,
        None if bound is None else BEGIN + (bound if started is None else started),
        BEGIN + ended,
        BEGIN + (ended if removed is None else removed),
        devices=(0,),
    )


def always(where: str = "team", **more: object) -> PodHistory:
    return pod(where, "always", -DAY, 2 * DAY, **more)  # type: ignore[arg-type]


def scrape(
    cluster: str,
    begin: float = -AROUND,
    end: float = DAY + AROUND,
    *,
    replica: int = 0,
    interval: float = 30.0,
    offset: float = 7.0,
    **target: str,
) -> ScrapeHistory:
    labels = {**ksm_target(replica), "cluster": cluster, **target}
    return ScrapeHistory(BEGIN + begin, BEGIN + end, interval, offset, target=labels)


def seen(
    pods: Iterable[PodHistory],
    nodes: Iterable[Node | Present] = (),
    scrapes: Callable[[str], Sequence[ScrapeHistory]] = lambda cluster: [scrape(cluster)],
) -> Callable[[str], Iterable[Past]]:
    """What one kube-state-metrics told of them."""
    there = [one if isinstance(one, Present) else Present(one) for one in nodes] or [Present(machine())]
    history = History(list(pods), there)
    return lambda cluster: [Past(history, tuple(scrapes(cluster)), FAMILIES | EDGES)]


def with_dcgm(past: Callable[[str], Iterable[Past]]) -> Callable[[str], Iterable[Past]]:
    """With dcgm-exporter beside it."""

    def both(cluster: str) -> Iterable[Past]:
        for one in past(cluster):
            dcgm = dcgm_scrapes(BEGIN - AROUND, BEGIN + DAY + AROUND)
            yield one
            yield Past(one.history, (replace(dcgm, offset=11, target={**dcgm.target, "cluster": cluster}),))

    return both
