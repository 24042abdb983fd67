"""One process from its start to its end: probes, Lease, watch and the loop of cycles, taken down in order.

A replica serves its probes, waits for the Lease and for the ledger, and then runs three things side by side:
the Lease's renewal, the watch, and the loop of cycles. The end of any of them ends the process with code 1,
to be started again as a standby; being told to stop ends it with 0, the Lease given back. All else is handled
within a cycle.
"""

import asyncio
import gc
import logging
import os
import signal
import time
import uuid
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from aibudget.controller import heap, logs
from aibudget.controller.assembly import Process, assemble
from aibudget.controller.cache import Cache, Seen, read
from aibudget.controller.checking import look_over
from aibudget.controller.cycle import Cycle
from aibudget.controller.fence import Fence
from aibudget.controller.lease import Lease, LeaseLost, Timing
from aibudget.controller.outage import NotBegun, Outage, opened, tell
from aibudget.controller.probes import Probes, Pulse
from aibudget.controller.reporter import Reporter
from aibudget.controller.settings import Settings
from aibudget.controller.watch import Watch
from aibudget.errors import AIBudgetError, Transient
from aibudget.inventory.kubernetes import Cluster
from aibudget.inventory.resource import AIBUDGETS, CLUSTER_AIBUDGETS, NAMESPACES
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
    heap.give_back_large_blocks()
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
    does by default is a third of the processor time where there are thousands of budgets: they are looked for
    between cycles.
    """
    gc.freeze()
    gc.set_threshold(400_000, 20, 20)


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
        self._started = asyncio.Event()
        timing = Timing(settings.lease_seconds)
        self._lease = Lease(cluster, settings.namespace, self._identity, timing)
        self._fence = Fence(cluster, self._lease.remaining)
        self._reporter = Reporter(self._fence, self._identity)
        self._pulse = Pulse(leading=False, started=False, progressed=time.monotonic())
        self._shown = Snapshot()
        self._left_out = 0
        # One thread: ledger and Prometheus are asked by one at a time, and the loop stays free for the Lease.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="accounts")

    def pulse(self) -> tuple[Pulse, float]:
        """The sign of life, and the time by the same clock."""
        return replace(self._pulse, heard=self._lease.heard()), time.monotonic()

    async def run(self, stop: asyncio.Event) -> int:
        """Wait for the Lease, lead, and come to an end in order."""
        lease = self._lease
        try:
            while not stop.is_set() and await _unless(stop, lease.acquire()):
                self._pulse = Pulse(leading=True, started=False, progressed=time.monotonic())
                self._show(Snapshot())
                if not await self._had_its_turn(stop, lease):
                    break
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

    async def _had_its_turn(self, stop: asyncio.Event, lease: Lease) -> bool:
        """Lead, unless the ledger cannot be opened: then another replica may try. Whether that was so."""
        try:
            await _unless(stop, self._lead(lease))
        except NotBegun as error:
            log.warning("the Lease is given back, for others to try: %s", error.message)
            await lease.release()
            self._pulse = Pulse(leading=False, started=False, progressed=time.monotonic(), away=error.message)
            self.exporter.show(Snapshot())
            # Long enough for a standby to see that it is free; whoever is alone tries again.
            await _unless(stop, asyncio.sleep(2 * self._settings.lease_seconds))
            return True
        return False

    async def _lead(self, lease: Lease) -> None:
        cache = Cache()
        self.exporter.ask_devices(cache.devices_held, cache.devices_offered)
        watch = Watch(self._cluster, cache, self._wake.set)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(lease.renew(), name="lease")
                # Before the watch: a process has one of it, and may wait for the ledger several times.
                cycle = await opened(lambda: self._make_cycle(lease, cache), self._tell_unopened)
                group.create_task(watch.run(), name="watch")
                group.create_task(self._cycles(lease, watch, cycle, cache), name="cycles")
                group.create_task(look_over(self._settings.ledger_url, self._started), name="ledger")
        except* AIBudgetError as several:
            raise several.exceptions[0] from several

    async def _tell_unopened(self, problem: Transient) -> None:
        """That the ledger is away, of all budgets that the API server has: nothing is watched yet."""
        budgets = []
        try:
            for resource in (AIBUDGETS, CLUSTER_AIBUDGETS):
                budgets += [read(resource, found) for found in await self._cluster.list(resource)]
        except AIBudgetError as error:
            log.warning("budgets are not told: %s", error.message, extra={"reason": error.reason})
        await self._tell_away(problem, [one for one in budgets if isinstance(one, Seen)])

    async def _tell_away(self, problem: Transient, budgets: Iterable[Seen]) -> None:
        log.warning("a cycle is left out: %s", problem.message, extra={"reason": problem.reason})
        self._pulse = replace(self._pulse, progressed=time.monotonic(), away=problem.message)
        self._left_out += 1
        self._show(replace(self._shown, ledger_away=True))
        await tell(budgets, self._reporter, problem, int(self._now()))

    def _show(self, snapshot: Snapshot) -> None:
        """Let this be scraped, as a leader's."""
        counters = replace(snapshot.counters, left_out=self._left_out)
        self._shown = replace(snapshot, leader=True, counters=counters)
        self.exporter.show(self._shown)

    async def _cycles(self, lease: Lease, watch: Watch, cycle: Cycle, cache: Cache) -> None:
        await watch.synced.wait()
        telling = asyncio.create_task(cycle.notifier.run(), name="notifications")
        try:
            await self._repeat(cycle, lease, cache)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _repeat(self, cycle: Cycle, lease: Lease, cache: Cache) -> None:
        interval, outage = float(self._settings.interval_seconds), Outage(time.monotonic())
        while True:
            self._wake.clear()
            if not lease.held():
                raise LeaseLost("LeaseLost", "the Lease ran out; this process ends and stands by again.")
            try:
                due = await self._run_once(cycle, interval)
                outage.over(time.monotonic())
            except Transient as error:
                outage.bear(error, time.monotonic())
                due = _due(interval)
                await self._tell_away(error, cache.world().budgets)
            await self._nap(max(0.0, due - time.monotonic()))

    async def _run_once(self, cycle: Cycle, interval: float) -> float:
        """A cycle and what of the past fits behind it; when the next one is due by the monotonic clock."""
        snapshot = await cycle.run_once(self._now())
        self._show(snapshot)
        # What the cycle alone needed is gone by now: there is little left to look through.
        gc.collect(1)
        self._pulse = Pulse(leading=True, started=True, progressed=time.monotonic())
        self._started.set()
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
        system = await self._cluster.get(NAMESPACES, "kube-system", metadata_only=True)
        process = Process(
            settings=self._settings,
            cluster=self._cluster,
            lease=lease,
            worker=self._worker,
            fence=self._fence,
            reporter=self._reporter,
            now=self._now,
        )
        uid = system["metadata"]["uid"] if system else None
        parts = await asyncio.get_running_loop().run_in_executor(self._worker, assemble, process, cache, uid)
        return Cycle(parts, enforcement=self._settings.enforcement)

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
