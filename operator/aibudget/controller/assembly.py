"""The composition root of a cycle: every part of it is made and joined here, from the settings.

It is run once, as a replica begins to lead, in the thread that uses the ledger: what is opened there must be
used there. Opening the ledger takes it over from the leader before, whose writes are refused from then on.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from aibudget.budgeting.vigil import Least
from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
from aibudget.controller.cache import Cache
from aibudget.controller.calendar import Calendar
from aibudget.controller.comparisons import Comparisons
from aibudget.controller.counted import CounterSource, Presence
from aibudget.controller.fence import Fence
from aibudget.controller.fleet import Fleet
from aibudget.controller.foresight import Foresight
from aibudget.controller.head import Source
from aibudget.controller.histories import Histories
from aibudget.controller.keeping import Keeping
from aibudget.controller.kinship import Kinship
from aibudget.controller.lease import Lease
from aibudget.controller.lookout import Lookout
from aibudget.controller.meters import Meters
from aibudget.controller.notifier import Link, Notifier
from aibudget.controller.parts import Parts
from aibudget.controller.reporter import Reporter
from aibudget.controller.scribe import Scribe
from aibudget.controller.settings import Settings
from aibudget.controller.sources import GpuSource, IdleSource, Reserved, ReservedSource, Upstream
from aibudget.controller.spenders import Spenders
from aibudget.controller.tariffs import LivePrices
from aibudget.controller.usermeter import UserMeter
from aibudget.enforcement.cluster import Enforcer, Limits
from aibudget.enforcement.rails import Rails
from aibudget.enforcement.waves import Waves
from aibudget.inventory.changes import Changes
from aibudget.inventory.climb import Climber
from aibudget.inventory.kubernetes import Cluster
from aibudget.ledger.neighbours import Neighbours
from aibudget.ledger.register import Register
from aibudget.ledger.store import Ledger
from aibudget.metering.catalogue import COUNTED, GPU, GPU_IDLE
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.reservation import RESERVED
from aibudget.metering.scene import MeterSettings
from aibudget.metering.tariffs import Tariff, read_tariffs


@dataclass(frozen=True, slots=True)
class Process:
    """What a cycle has of the process that it runs in. `worker` is the thread of the ledger, `now` the time
    in Unix seconds. `fence` and `reporter` know nothing of the ledger.
    """

    settings: Settings
    cluster: Cluster
    lease: Lease
    worker: Executor
    fence: Fence
    reporter: Reporter
    now: Callable[[], float]


def assemble(process: Process, cache: Cache, uid: str | None) -> Parts:
    """The parts of all cycles of a leader. `uid` is the cluster's own, None where it may not be read.

    Raises `Transient` and `Stalled` where the ledger cannot be opened, or is another cluster's.
    """
    settings, lease = process.settings, process.lease
    prometheus = Prometheus(settings.prometheus)
    ledger = Ledger.open(settings.ledger_url, settings.cluster, uid)
    upstream = Upstream(prometheus, _meter_settings(settings), ledger, process.now)
    epoch = ledger.take_over()
    books = _books(upstream, ledger, epoch)
    histories = Histories(books, ledger.hours, epoch, carbon=settings.carbon)
    least = Least(settings.anomaly_least_amount, settings.anomaly_least_percent)
    register = Register.open(settings.ledger_url, settings.cluster)
    scribe = Scribe(register, process.worker)
    link = Link(settings.cluster, lease.held, process.now)
    return Parts(
        cache=cache,
        books=books,
        enforcer=Enforcer(process.fence, _limits(settings), lease.held, process.now, journal=scribe),
        reporter=process.reporter,
        worker=process.worker,
        queries=lambda: prometheus.queries,
        notifier=Notifier.open(settings.receivers, settings.ledger_url, link),
        kinship=Kinship(Climber(process.cluster), upstream, books),
        live=_live(settings, prometheus, ledger),
        meters=Meters(ledger, epoch, partial(UserMeter, upstream)),
        sharing=settings.shared_cost,
        carbon=settings.carbon,
        calendar=Calendar(register),
        select=upstream.select,
        foresight=Foresight(histories),
        keeping=Keeping(ledger, epoch, settings.retention_months),
        scribe=scribe,
        lookout=Lookout(histories, Spenders(books, lambda: histories.owners), least),
        changes=Changes(process.cluster),
        comparisons=Comparisons(books, ledger.hours, histories.settled, lambda: histories.owners),
        fleet=Fleet(settings.cluster, Neighbours.open(settings.ledger_url)),
    )


def _books(upstream: Upstream, ledger: Ledger, epoch: int) -> Books:
    """The accounts of all built-in meters."""
    gpu = GpuSource(upstream)
    idle = IdleSource(upstream, gpu)
    reserved = Reserved(upstream)
    together: list[Presence] = []
    counted = {name: CounterSource(upstream, name, together) for name in COUNTED}
    sources: dict[str, Source] = {GPU.name: gpu, GPU_IDLE.name: idle}
    sources |= {name: ReservedSource(upstream, reserved, name) for name in RESERVED}
    sources |= counted
    accounts = {name: Accounts(name, source, ledger, epoch) for name, source in sources.items()}
    accounts[GPU_IDLE.name].follow(accounts[GPU.name])
    return Books(tuple(accounts.values()), upstream.begin, idle.balances, partial(_present, counted))


def _present(counted: Mapping[str, CounterSource]) -> Mapping[str, bool]:
    asked = {name: source.is_present for name, source in counted.items()}
    return {name: present for name, present in asked.items() if present is not None}


def _meter_settings(settings: Settings) -> MeterSettings:
    return MeterSettings(
        cluster=settings.cluster_matchers,
        kube_state_metrics=settings.kube_state_metrics_matchers,
        dcgm=settings.dcgm_matchers,
        node_pool_label=settings.node_pool_label,
        workload_labels=settings.workload_labels,
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        settings.namespace,
        settings.untouchable_namespaces,
        enabled=settings.enforcement,
        rails=Rails(settings.stops_at_most, settings.stops_percent, settings.stops_seconds),
        waves=Waves(settings.wave_accelerators, settings.wave_ready_seconds, settings.restore_within_seconds),
    )


def _live(settings: Settings, prometheus: Prometheus, ledger: Ledger) -> LivePrices | None:
    of = settings.live_prices
    if of is None:
        return None

    def ask(now: int) -> tuple[Tariff, ...]:
        prometheus.begin()
        return read_tariffs(prometheus, of, settings.cluster_matchers, now)

    return LivePrices(of, ask, ledger)
