"""The composition root: every part is made and joined here, watched over, and taken down in order.

A replica serves its probes, waits for the Lease, and then runs three things side by side: the Lease's
renewal, the watch, and the loop of cycles. The end of any of them ends the process with code 1, to be
started again as a standby; being told to stop ends it with 0, the Lease given back. All else is handled
within a cycle.
"""

import asyncio
import gc
import logging
import os
import signal
import time
import uuid
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Final

from aibudget.budgeting.vigil import Least
from aibudget.controller import logs
from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
from aibudget.controller.cache import Cache
from aibudget.controller.calendar import Calendar
from aibudget.controller.counted import CounterSource
from aibudget.controller.cycle import Cycle, Parts
from aibudget.controller.fence import Fence
from aibudget.controller.foresight import Foresight
from aibudget.controller.head import Source
from aibudget.controller.histories import Histories
from aibudget.controller.keeping import Keeping
from aibudget.controller.kinship import Kinship
from aibudget.controller.lease import Lease, LeaseLost, Timing
from aibudget.controller.lookout import Lookout
from aibudget.controller.meters import Meters
from aibudget.controller.notifier import Link, Notifier
from aibudget.controller.probes import Probes, Pulse
from aibudget.controller.reporter import Reporter
from aibudget.controller.scribe import Scribe
from aibudget.controller.settings import Settings
from aibudget.controller.sources import GpuSource, IdleSource, Reserved, ReservedSource, Upstream
from aibudget.controller.spenders import Spenders
from aibudget.controller.tariffs import LivePrices
from aibudget.controller.usermeter import UserMeter
from aibudget.controller.watch import Watch
from aibudget.enforcement.cluster import Enforcer, Limits
from aibudget.enforcement.rails import Rails
from aibudget.enforcement.waves import Waves
from aibudget.errors import AIBudgetError, Transient
from aibudget.inventory.changes import Changes
from aibudget.inventory.climb import Climber
from aibudget.inventory.kubernetes import Cluster
from aibudget.inventory.resource import NAMESPACES
from aibudget.ledger.register import Register
from aibudget.ledger.store import Ledger
from aibudget.metering.catalogue import COUNTED, GPU, GPU_IDLE
from aibudget.metering.prometheus import Prometheus
from aibudget.metering.reservation import RESERVED
from aibudget.metering.scene import MeterSettings
from aibudget.metering.tariffs import Tariff, read_tariffs
from aibudget.reporting.exporter import Exporter
from aibudget.reporting.snapshot import Snapshot

STOP_SECONDS: Final = 5.0
"""How long a step that is under way may take to end, once we are told to stop."""
SETTLE_SECONDS: Final = 0.2
"""Edits often come in company: a cycle that is woken waits for the others."""

PAST_SECONDS: Final = 5.0
"""For how long the past is read before it is looked whether somebody waits for a cycle."""

log = logging.getLogger(__name__)


def main(settings: Settings, kubeconfig: str | None = None, context: str | None = None) -> int:
    """Run until told to stop; the exit code."""
    logs.configure(settings.log_level)
    _collect_seldom()
    try:
        code = asyncio.run(_serve(settings, kubeconfig, context))
    except AIBudgetError as error:
        log.error("%s", error.message, extra={"reason": error.reason})
        code = 1
    logging.shutdown()
    # A query that Prometheus does not answer may still hold the worker; what it would do next is nothing.
    os._exit(code)


def _collect_seldom() -> None:
    """A cycle makes a million values that end with it and hold no rings. Looking for rings as often as Python
    does by default is a third of the processor time where there are thousands of budgets.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def _serve(settings: Settings, kubeconfig: str | None, context: str | None) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await Cluster.connect(kubeconfig, context) as cluster:
        replica = Replica(settings, cluster)
        async with Probes(settings.bind, settings.interval_seconds, replica.pulse, replica.exporter):
            return await replica.run(stop)


class Replica:
    """One process, from waiting to its end."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self.exporter = Exporter()
        self._settings = settings
        self._cluster = cluster
        self._identity = f"{settings.identity}_{uuid.uuid4().hex[:8]}"
        self._wake = asyncio.Event()
        timing = Timing(settings.lease_seconds)
        self._lease = Lease(cluster, settings.namespace, self._identity, timing)
        self._pulse = Pulse(leading=False, started=False, progressed=time.monotonic())
        # One thread: ledger and Prometheus are asked by one at a time, and the loop stays free for the Lease.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="accounts")

    def pulse(self) -> tuple[Pulse, float]:
        """The sign of life, and the time by the same clock."""
        return replace(self._pulse, heard=self._lease.heard()), time.monotonic()

    async def run(self, stop: asyncio.Event) -> int:
        """Wait for the Lease, lead, and come to an end in order."""
        lease = self._lease
        if not await _unless(stop, lease.acquire()):
            await lease.release()
            return 0
        self._pulse = Pulse(leading=True, started=False, progressed=time.monotonic())
        self.exporter.show(Snapshot(leader=True))
        try:
            await _unless(stop, self._lead(lease))
        except AIBudgetError as error:
            log.error("%s", error.message, extra={"reason": error.reason})
            return 1
        except Exception:
            log.exception("stopped by an error of our own")
            return 1
        finally:
            await self._finish()
            await lease.release()
        return 0

    async def _lead(self, lease: Lease) -> None:
        cache = Cache()
        self.exporter.ask_devices(cache.devices_held)
        watch = Watch(self._cluster, cache, self._wake.set)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(lease.renew(), name="lease")
                group.create_task(watch.run(), name="watch")
                group.create_task(self._cycles(lease, watch, cache), name="cycles")
        except* AIBudgetError as several:
            raise several.exceptions[0] from several

    async def _cycles(self, lease: Lease, watch: Watch, cache: Cache) -> None:
        await watch.synced.wait()
        cycle = await self._make_cycle(lease, cache)
        telling = asyncio.create_task(cycle.notifier.run(), name="notifications")
        try:
            await self._repeat(cycle, lease)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _repeat(self, cycle: Cycle, lease: Lease) -> None:
        interval = float(self._settings.interval_seconds)
        while True:
            self._wake.clear()
            if not lease.held():
                raise LeaseLost("LeaseLost", "the Lease ran out; this process ends and stands by again.")
            try:
                due = await self._run_once(cycle, interval)
            except Transient as error:
                # Another process would find the ledger away as well; this one goes on once it is back.
                if error.reason != "LedgerUnavailable":
                    raise
                log.warning("a cycle is left out: %s", error.message, extra={"reason": error.reason})
                self._pulse = replace(self._pulse, progressed=time.monotonic())
                due = _due(interval)
            await self._nap(max(0.0, due - time.monotonic()))

    async def _run_once(self, cycle: Cycle, interval: float) -> float:
        """A cycle and what of the past fits behind it; when the next one is due by the monotonic clock."""
        snapshot = await cycle.run_once(self._now())
        self.exporter.show(replace(snapshot, leader=True))
        self._pulse = Pulse(leading=True, started=True, progressed=time.monotonic())
        due = _due(interval)
        await self._read_past(cycle, due)
        return due

    async def _read_past(self, cycle: Cycle, due: float) -> None:
        """Until the next cycle is due, or something has changed that it is to see; at least a step of it."""
        more = True
        while more:
            left = due - time.monotonic()
            more = await cycle.fill(self._now(), min(left, PAST_SECONDS))
            more = more and not self._wake.is_set() and time.monotonic() < due

    async def _make_cycle(self, lease: Lease, cache: Cache) -> Cycle:
        settings = self._settings
        prometheus = Prometheus(settings.prometheus)
        loop = asyncio.get_running_loop()
        system = await self._cluster.get(NAMESPACES, "kube-system", metadata_only=True)
        uid = system["metadata"]["uid"] if system else None
        opened = await loop.run_in_executor(self._worker, self._open_books, prometheus, uid)
        books, upstream, meters, live, foresight, keeping, lookout = opened
        link = Link(settings.cluster, lease.held, self._now)
        register = await loop.run_in_executor(
            self._worker, Register.open, settings.ledger_url, settings.cluster
        )
        fence, scribe = Fence(self._cluster, lease.remaining), Scribe(register, self._worker)
        parts = Parts(
            cache=cache,
            books=books,
            enforcer=Enforcer(fence, _limits(settings), lease.held, self._now, journal=scribe),
            scribe=scribe,
            reporter=Reporter(fence, self._identity),
            worker=self._worker,
            meters=meters,
            live=live,
            queries=lambda: prometheus.queries,
            notifier=await loop.run_in_executor(
                self._worker, Notifier.open, settings.receivers, settings.ledger_url, link
            ),
            sharing=settings.shared_cost,
            carbon=settings.carbon,
            select=upstream.select,
            foresight=foresight,
            keeping=keeping,
            lookout=lookout,
            changes=Changes(self._cluster),
            kinship=Kinship(Climber(self._cluster), upstream, books),
            calendar=await loop.run_in_executor(self._worker, Calendar, register),
        )
        return Cycle(parts, enforcement=settings.enforcement)

    def _open_books(
        self, prometheus: Prometheus, uid: str | None
    ) -> tuple[Books, Upstream, Meters, LivePrices | None, Foresight, Keeping, Lookout]:
        settings = self._settings
        ledger = Ledger.open(settings.ledger_url, settings.cluster, uid)
        meter = MeterSettings(
            cluster=settings.cluster_matchers,
            kube_state_metrics=settings.kube_state_metrics_matchers,
            dcgm=settings.dcgm_matchers,
            node_pool_label=settings.node_pool_label,
            workload_labels=settings.workload_labels,
        )
        upstream = Upstream(prometheus, meter, ledger, self._now)
        epoch = ledger.take_over()
        reserved = Reserved(upstream)
        gpu = GpuSource(upstream)
        idle = IdleSource(upstream, gpu)
        sources: dict[str, Source] = {GPU.name: gpu, GPU_IDLE.name: idle}
        sources |= {name: ReservedSource(upstream, reserved, name) for name in RESERVED}
        counted = {name: CounterSource(upstream, name) for name in COUNTED}
        sources |= counted
        accounts = [Accounts(name, source, ledger, epoch) for name, source in sources.items()]
        accounts[1].follow(accounts[0])
        meters = Meters(ledger, epoch, partial(UserMeter, upstream))
        books = Books(accounts, upstream.begin, idle.balances, partial(_present, counted))
        histories = Histories(books, ledger.hours, epoch)
        least = Least(settings.anomaly_least_amount, settings.anomaly_least_percent)
        lookout = Lookout(histories, Spenders(books, lambda: histories.owners), least)
        keeping = Keeping(ledger, epoch, settings.retention_months)
        live = _live(settings, prometheus, ledger)
        return books, upstream, meters, live, Foresight(histories), keeping, lookout

    def _now(self) -> float:
        """The API server's time: a node whose clock is wrong must not begin a period, and release by it."""
        return time.time() + (self._cluster.skew_seconds or 0.0)

    async def _nap(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        await asyncio.sleep(SETTLE_SECONDS)

    async def _finish(self) -> None:
        """Let the step in the worker end if it can.

        What it has not posted is read again by the next leader.
        """
        idle = asyncio.get_running_loop().run_in_executor(self._worker, _nothing)
        await asyncio.wait([idle], timeout=STOP_SECONDS)
        self._worker.shutdown(wait=False, cancel_futures=True)


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


def _present(counted: Mapping[str, CounterSource]) -> Mapping[str, bool]:
    return {name: source.is_present for name, source in counted.items()}


def _due(interval: float) -> float:
    """On the wall clock's grid: replicas and restarts do not move the moments of evaluation."""
    return time.monotonic() + interval - time.time() % interval


def _nothing() -> None:
    """What an idle worker does at once."""


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, Any]) -> bool:
    """Whether the work came to its end before `stop` did; raises what it raises, and cancels it otherwise."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
            return True
        return False
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
