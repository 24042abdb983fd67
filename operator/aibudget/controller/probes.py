"""What kubelet and Prometheus ask each replica: /healthz, /readyz and /metrics, over plain HTTP.

A standby is healthy, and ready while it sees the Lease: one that cannot see it could not take over, and a
rollout must not go on to it. A leader is healthy while its cycles come to an end; failing cycles are healthy
too, for a restart would not mend an outage, but a loop that hangs is not.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from aibudget.errors import Stalled
from aibudget.reporting.exporter import Exporter

PATIENCE_CYCLES: Final = 3
PATIENCE_SECONDS: Final = 300.0
UNHEARD_SECONDS: Final = 60.0
"""For how long a standby may not see the Lease and is still ready: restarts of API servers are shorter."""

log = logging.getLogger(__name__)

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Pulse:
    """A replica's sign of life, on one monotonic clock.

    `progressed` is its last cycle, finished or left out while the ledger was away, or its start; `heard` is
    for how many seconds nothing was heard of the Lease, None before the first time. `away` says why the
    ledger cannot be used, None while it can.
    """

    leading: bool
    started: bool
    progressed: float
    heard: float | None = None
    away: str | None = None


def healthy(pulse: Pulse, now: float, interval: float) -> bool:
    """Whether kubelet should leave the process alone."""
    patience = max(PATIENCE_CYCLES * interval, PATIENCE_SECONDS)
    return not pulse.leading or now - pulse.progressed < patience


def ready(pulse: Pulse) -> bool:
    """Whether the process does its part: leading with a first cycle behind it, or able to take over."""
    if pulse.leading:
        return pulse.started
    return pulse.heard is not None and pulse.heard < UNHEARD_SECONDS


class Probes:
    """The HTTP server; an async context manager. `pulse` is asked at each request."""

    def __init__(
        self,
        address: tuple[str, int],
        interval: float,
        pulse: Callable[[], tuple[Pulse, float]],
        exporter: Exporter,
    ) -> None:
        self._address = address
        self._interval = interval
        self._pulse = pulse
        self._exporter = exporter
        self._runner: web.AppRunner | None = None
        # One thread: each that ever rendered keeps megabytes of the allocator's to itself.
        self._renderer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")

    async def __aenter__(self) -> "Probes":
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        host, port = self._address
        try:
            await web.TCPSite(self._runner, host or None, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise Stalled(
                "AddressInUse", f"cannot listen on {host}:{port}: {error}. Give another address with --bind."
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._renderer.shutdown(wait=False)

    @property
    def port(self) -> int:
        """The port that is listened on; of interest where 0 was asked for."""
        assert self._runner is not None
        return int(self._runner.addresses[0][1])

    async def _healthz(self, _: web.Request) -> web.Response:
        pulse, now = self._pulse()
        age = now - pulse.progressed
        said = f"no cycle has ended, or was left out, since {age:.0f} s ago"
        return _answer(said, pulse, good=healthy(pulse, now, self._interval))

    async def _readyz(self, _: web.Request) -> web.Response:
        pulse, _now = self._pulse()
        otherwise = "the first cycle is still to end" if pulse.leading else "the Lease cannot be seen"
        return _answer(otherwise, pulse, good=ready(pulse))

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        # A third of a second for a thousand budgets: too long for a loop that renews a Lease.
        parts = await asyncio.get_running_loop().run_in_executor(self._renderer, self._exporter.render)
        answer = web.StreamResponse(headers={"Content-Type": _METRICS_TYPE})
        try:
            await answer.prepare(request)
            # Of thousands of budgets it is ten megabytes, which need not be there as a whole.
            for part in parts if request.method == "GET" else ():
                await answer.write(part)
            await answer.write_eof()
        except ConnectionError:
            log.info("whoever scraped has left before the end of it")
        return answer


def _answer(otherwise: str, pulse: Pulse, *, good: bool) -> web.Response:
    said = "ok" if good else otherwise
    if pulse.away is not None:
        said = f"{said}; cycles are left out: {pulse.away}"
    return web.Response(status=200 if good else 503, text=f"{said}\n")
