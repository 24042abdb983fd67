"""`catchup`: a new operator reads days of the past of many pods, beside Prometheus's own time for that.

It is ended and started again on the way, so what is measured goes on where it was. Memory is looked at all
the while: it must not grow with how much has been read.
"""

import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from aibudget.metering.slots import iso, slot_of
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.operator import Operator, install
from aibudget.sandbox.process import wait_until
from aibudget.sandbox.prometheus import PrometheusServer
from bench.past import Size, write_past
from bench.scenery import say
from bench.steady import PODS_PER_BUDGET, asked_alone, cpu_of, logged, peak_rss_mib

DAY: Final = 86_400
AHEAD_SECONDS: Final = 4 * 3600
SCRAPE_SECONDS: Final = 60
INTERVAL_SECONDS: Final = 60
POLL_SECONDS: Final = 2.0
SAMPLED: Final = 7
"""Each so-manyth query is asked again alone; all of them would take as long as the catching up itself."""
MOST_ASKED: Final = 500
"""Up to so many are all asked again."""


def measure_catchup(directory: Path, pods: int, days: float) -> dict[str, Any]:
    """Seconds and memory until the past is read, and what Prometheus takes for the same queries."""
    namespaces = max(1, pods // PODS_PER_BUDGET)
    with ExitStack() as running:
        control_plane = running.enter_context(ControlPlane(directory / "control-plane", components=()))
        prometheus = PrometheusServer(directory / "prometheus", query_log=directory / "queries.jsonl")
        install(control_plane, {"prometheus.url": prometheus.url, "intervalSeconds": INTERVAL_SECONDS})
        now = int(time.time()) // SCRAPE_SECONDS * SCRAPE_SECONDS
        start = slot_of(now - round(days * DAY))
        say(f"writing {days} days of {pods} pods …")
        size = Size(pods, namespaces, start - 3600, now + AHEAD_SECONDS, SCRAPE_SECONDS)
        series, _ = write_past(prometheus.data, size)
        running.enter_context(prometheus)
        control_plane.client.apply(_whole_cluster(start))
        operator = Operator(control_plane, directory / "operator")
        running.enter_context(operator)
        found = _watched(operator, start)
        operator.stop()
        queries = logged(prometheus)
        sample = queries[::SAMPLED] if len(queries) > MOST_ASKED else queries
        say(f"asking {len(sample)} of {len(queries)} queries again …")
        in_log, in_log_of_sample = (sum(seconds for _, seconds in some) for some in (queries, sample))
        # A query over a day takes a hundred times as long as one over a minute: by time, not by number.
        alone = asked_alone(prometheus, [params for params, _ in sample]) * in_log / in_log_of_sample
    return {
        "pods": pods,
        "days": days,
        "series": series,
        "queries": len(queries),
        "askedAgain": len(sample),
        "prometheusSecondsInLog": round(in_log, 1),
        "prometheusSeconds": round(alone, 1),
        "allowedWallSeconds": round(1.3 * alone, 1),
    } | found


def _watched(operator: Operator, start: int) -> dict[str, Any]:
    began, now, cpu = time.monotonic(), time.time(), 0.0
    peaks: list[float] = []

    def is_read(part: float) -> bool:
        begins = _begins(operator)
        read = 0.0 if begins is None else (now - begins) / (now - start)
        peaks.append(peak_rss_mib(operator))
        say(f"{time.monotonic() - began:.0f} s: {read:.0%} read, {peaks[-1]} MiB")
        return read >= part

    wait_until(lambda: is_read(0.4), 86_400, "some of the past to be read", every=POLL_SECONDS)
    cpu += cpu_of(operator)
    say("ending the operator once, to go on where it was …")
    operator.stop()
    operator.start()
    wait_until(lambda: is_read(0.999), 86_400, "the past to be read", every=POLL_SECONDS)
    return {
        "wallSeconds": round(time.monotonic() - began, 1),
        "cpuSeconds": round(cpu + cpu_of(operator), 1),
        "peakRssMiB": max(peaks),
        "rssMiBByTime": peaks,
    }


def _begins(operator: Operator) -> int | None:
    """From when on the ledger knows the past; None before there is any."""
    ledger = operator.directory / "ledger.db"
    if not ledger.exists():
        return None
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT begins FROM meter WHERE name = 'gpu'").fetchone()
    return None if found is None else found[0]


def _whole_cluster(start: int) -> dict[str, Any]:
    period = {"type": "Fixed", "startTime": iso(start), "endTime": iso(start + 366 * DAY)}
    return {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "ClusterAIBudget",
        "metadata": {"name": "all"},
        "spec": {
            "limit": {"amount": 1_000_000_000, "currency": "USD"},
            "period": period,
            "scope": {"namespaceSelector": {}},
        },
    }
