"""The operator's own Prometheus metrics: one collector over the last snapshot, in a registry of its own.

Values are taken from the snapshot at each scrape, so a budget that is gone leaves no series behind. Money
carries its currency as a label, since it has no base unit; labels stay few: no workloads, and pods only where
they hold devices by claims. Knows nothing of how the snapshot came about.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from aibudget.inventory.claims import Held, Offered
from aibudget.metering.usage import Balance
from aibudget.reporting.snapshot import Counters, CycleView, DeliveryView, Snapshot


class Exporter:
    """Shows the snapshot it was given last, of which the budgets are spelled already."""

    def __init__(self) -> None:
        self._snapshot = Snapshot()
        self._held: Callable[[], Mapping[Held, int]] = dict
        self._offered: Callable[[], Mapping[Offered, int]] = dict
        self._process = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)

    def show(self, snapshot: Snapshot) -> None:
        """Let the next scrape see this."""
        self._snapshot = snapshot

    def ask_devices(
        self, held: Callable[[], Mapping[Held, int]], offered: Callable[[], Mapping[Offered, int]] = dict
    ) -> None:
        """Let each scrape ask what pods hold by their claims at that moment, and what there is to be held, in
        the thread that renders.
        """
        self._held, self._offered = held, offered

    def render(self) -> Iterator[bytes]:
        """The text format, in parts that are unpacked as they are taken."""
        snapshot = self._snapshot
        first = generate_latest(self._process) + _spelled(self.families())
        # A standby has nothing to say about budgets: two answers would be one too many.
        return chain((first,), map(zlib.decompress, snapshot.budgets if snapshot.leader else ()))

    def families(self) -> Iterator[Metric]:
        """What is shown of the product, but for its budgets."""
        yield from _told(self._snapshot)
        yield from self._now(self._snapshot)

    def _now(self, snapshot: Snapshot) -> Iterator[Metric]:
        """What pods hold at this moment does not wait for the next cycle."""
        if snapshot.leader:
            yield from _claims(self._held(), self._offered())


class _Families(Collector):
    """Metrics as prometheus_client takes them."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _spelled(families: Iterable[Metric]) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    return generate_latest(registry)


def _told(snapshot: Snapshot) -> Iterator[Metric]:
    yield _gauge("aibudget_leader", "Whether this replica leads.", float(snapshot.leader))
    if not snapshot.leader:
        return
    yield _gauge(
        "aibudget_ledger_available",
        "Whether the ledger can be used; 0: cycles are left out, and budgets are as last known.",
        float(not snapshot.ledger_away),
    )
    holds = GaugeMetricFamily("aibudget_holds", "Holds by action and state.", labels=("action", "state"))
    for labels, number in sorted(snapshot.holds.items()):
        holds.add_metric(labels, number)
    yield holds
    yield _by("aibudget_backlog", "Workloads that wait for their turn.", "action", snapshot.backlog)
    yield from _cycle(snapshot.cycle)
    yield _conservation(snapshot.cycle.balances)
    yield from _counters(snapshot.counters)
    yield from _deliveries(snapshot.deliveries)


def _claims(held: Mapping[Held, int], offered: Mapping[Offered, int]) -> Iterator[Metric]:
    """What the `gpu` meter reads of Dynamic Resource Allocation. As many series as pods that have claims and
    nodes that have devices for them: the meter needs them all, and no other metric tells.
    """
    devices = GaugeMetricFamily(
        "aibudget_dra_device_held",
        "Devices that a pod holds by ResourceClaims; part is how much of each is its own, and requested "
        "whether an extended resource was asked for.",
        labels=Held._fields,
    )
    for labels, number in held.items():
        devices.add_metric(labels, number)
    yield devices
    there = GaugeMetricFamily(
        "aibudget_dra_devices",
        "Devices that ResourceSlices have for ResourceClaims; usable is false where a taint keeps them.",
        labels=Offered._fields,
    )
    for kind, number in offered.items():
        there.add_metric(kind, number)
    yield there


def _cycle(cycle: CycleView) -> Iterator[Metric]:
    single = (
        ("aibudget_last_cycle_timestamp_seconds", "When the last cycle ended.", cycle.finished),
        ("aibudget_cycle_duration_seconds", "How long the last cycle took.", cycle.seconds),
        ("aibudget_cycle_cpu_seconds", "Processor time of the process while it ran.", cycle.cpu),
        ("aibudget_data_age_seconds", "How old the newest known usage was then.", cycle.data_age),
        (
            "aibudget_clock_behind_seconds",
            "How far the clock is behind a period that has begun; nothing of such a budget is judged.",
            cycle.clock_behind,
        ),
    )
    yield from (_gauge(name, text, value) for name, text, value in single if value is not None)
    yield _by(
        "aibudget_cycle_phase_seconds", "How long each phase of the last cycle took.", "phase", cycle.phases
    )
    yield _by(
        "aibudget_coverage_ratio",
        "How much of the last 30 minutes was scraped.",
        "meter",
        cycle.coverage,
    )
    yield _by(
        "aibudget_meter_source_present",
        "Whether anything tells of a built-in meter that counts; 0: it is unknown, not zero.",
        "meter",
        {meter: float(present) for meter, present in cycle.sources.items()},
    )
    yield _by(
        "aibudget_unpriced_usage",
        "Usage since the last posted slot that no rate matches, in pricing units.",
        "meter",
        cycle.unpriced,
    )
    yield _by(
        "aibudget_meter_lines",
        "Lines of an AIMeter in the newest quarter of an hour.",
        "meter",
        cycle.lines,
    )
    yield _by(
        "aibudget_meter_lines_folded",
        "How many of them were folded into others, because of maxLines.",
        "meter",
        cycle.folded,
    )


def _conservation(balances: Mapping[str, Balance]) -> Metric:
    family = GaugeMetricFamily(
        "aibudget_conservation_gpu_seconds",
        "Device time of the newest whole slot: held + idle + unhealthy + unknown - over = capacity.",
        labels=("node_pool", "part"),
    )
    for pool, balance in sorted(balances.items()):
        for part in ("capacity", "held", "idle", "unhealthy", "unknown", "over"):
            family.add_metric([pool, part], getattr(balance, part) / 1000)
    return family


def _counters(counters: Counters) -> Iterator[Metric]:
    yield _counter("aibudget_cycles", "Cycles that were run.", counters.cycles)
    yield _counter(
        "aibudget_cycles_left_out", "Cycles that were not run, for the ledger was away.", counters.left_out
    )
    yield _counter("aibudget_status_writes", "Status patches that were sent.", counters.status_writes)
    yield _counter("aibudget_prometheus_queries", "Queries sent to Prometheus.", counters.queries)
    for name, text, values in (
        ("aibudget_prometheus_query_errors", "Queries that failed, by reason.", counters.query_errors),
        ("aibudget_cycle_errors", "What failed within cycles, by reason.", counters.cycle_errors),
    ):
        family = CounterMetricFamily(name, text, labels=("reason",))
        for reason, count in sorted(values.items()):
            family.add_metric([reason], count)
        yield family


def _deliveries(view: DeliveryView) -> Iterator[Metric]:
    attempts = CounterMetricFamily(
        "aibudget_notification_attempts",
        "Attempts to tell a receiver, by result: delivered, retried, dead.",
        labels=("receiver", "type", "result"),
    )
    for labels, count in sorted(view.attempts.items()):
        attempts.add_metric(labels, count)
    yield attempts
    for name, text, values in (
        ("waiting", "Transitions that a receiver is still to be told of.", view.waiting),
        ("dead", "Transitions that were given up and are kept.", view.dead),
        ("oldest_age_seconds", "How long the oldest of them has waited.", view.oldest),
    ):
        yield _by(f"aibudget_notification_{name}", text, "receiver", values)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _by(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
