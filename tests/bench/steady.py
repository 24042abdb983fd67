"""`cycle`: the operator's cycles over many GPU pods and budgets, size by size, beside Prometheus's own time.

The operator runs as it does in a cluster. Its own metrics say how long a cycle took and how many queries it
made, the kernel what processor time and memory it took; Prometheus's log says which queries those were, and
they are asked once more with nobody else around, their answers thrown away.
"""

import json
import re
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import requests

from aibudget.metering.slots import SLOT_SECONDS, iso, slot_of
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.operator import Operator, install
from aibudget.sandbox.process import wait_until
from aibudget.sandbox.prometheus import PrometheusServer
from bench.past import Size, write_past
from bench.scenery import cpu_seconds, name_of, say

PODS_PER_BUDGET: Final = 20
HISTORY_SECONDS: Final = 3_600
AHEAD_SECONDS: Final = 3_600
SCRAPE_SECONDS: Final = 30
INTERVAL_SECONDS: Final = 60
CYCLES: Final = 5
FIRST_CYCLE_SECONDS: Final = 600.0
# A scrape of thousands of budgets is work too: the whole of it is asked for after each cycle, once or twice.
SCRAPE_EACH_SECONDS: Final = 15.0
POLL_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One cycle: seconds by the wall, of our processor time, and by phase; `minute` is of all processor time
    from one cycle to the next. `prometheus` is what the same queries took with nobody else around.
    """

    wall: float
    cpu: float
    minute: float
    phases: dict[str, float]
    queries: Sequence[dict[str, Any]] = ()
    prometheus: float = 0.0

    @property
    def allowed(self) -> float:
        """Seconds by the wall."""
        return 1.5 * self.prometheus + 3

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "wallSeconds": round(self.wall, 2),
            "allowedWallSeconds": round(self.allowed, 2),
            "prometheusSeconds": round(self.prometheus, 2),
            "cpuSeconds": round(self.cpu, 2),
            "minuteCpuSeconds": round(self.minute, 2),
            "queries": len(self.queries),
            "phases": self.phases,
        }


def measure_cycles(directory: Path, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """One line for each size, in pods."""
    lines = []
    for pods in sizes:
        lines.append(measure_cycle(directory / str(pods), pods, max(1, pods // PODS_PER_BUDGET)))
        say(json.dumps({key: value for key, value in lines[-1].items() if key != "cycles"}))
    return lines


def measure_cycle(directory: Path, pods: int, budgets: int) -> dict[str, Any]:
    """One cycle over many pods and budgets, beside Prometheus's own time for the same queries."""
    with ExitStack() as running:
        control_plane = running.enter_context(ControlPlane(directory / "control-plane", components=()))
        prometheus = PrometheusServer(directory / "prometheus", query_log=directory / "queries.jsonl")
        say(f"creating {budgets} namespaces and budgets …")
        install(control_plane, {"prometheus.url": prometheus.url, "intervalSeconds": INTERVAL_SECONDS})
        start = int(time.time()) // SCRAPE_SECONDS * SCRAPE_SECONDS - HISTORY_SECONDS
        _create(control_plane, budgets, start)
        say(f"writing a past of {pods} pods …")
        # No two devices are equally busy in a cluster: what is alike is read once.
        end = start + HISTORY_SECONDS + AHEAD_SECONDS
        size = Size(pods, budgets, start, end, SCRAPE_SECONDS, courses=pods)
        series, _ = write_past(prometheus.data, size)
        running.enter_context(prometheus)
        operator = Operator(control_plane, directory / "operator", ready_within=FIRST_CYCLE_SECONDS)
        running.enter_context(operator)
        watched = _watched(operator, prometheus)
        peak = peak_rss_mib(operator)
        operator.stop()
        say("asking Prometheus the same with nobody else around …")
        cycles = [replace(one, prometheus=asked_alone(prometheus, one.queries)) for one in watched]
    return (
        {"pods": pods, "budgets": budgets, "series": series}
        | _summary(cycles)
        | {
            "peakRssMiB": peak,
            "cycles": [one.told() for one in cycles],
        }
    )


def _summary(cycles: Sequence[Measured]) -> dict[str, Any]:
    """Medians, but for the number of queries: of some cycles it is larger. `wallOfAllowed` is the median of
    each cycle's own.
    """
    return {
        "wallSeconds": round(statistics.median(one.wall for one in cycles), 2),
        "wallOfAllowed": round(statistics.median(one.wall / one.allowed for one in cycles), 2),
        "prometheusSeconds": round(statistics.median(one.prometheus for one in cycles), 2),
        "cpuSeconds": round(statistics.median(one.cpu for one in cycles), 2),
        "queries": round(statistics.mean(len(one.queries) for one in cycles), 1),
    }


def _create(control_plane: ControlPlane, budgets: int, start: int) -> None:
    def create(number: int) -> None:
        for manifest in namespace_with_budget(number, start):
            control_plane.client.apply(manifest)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(budgets)))


def _watched(operator: Operator, prometheus: PrometheusServer) -> list[Measured]:
    say("waiting for the past to be counted …")
    wait_until(lambda: _evaluated(operator), 1800, "every budget to be evaluated", every=SCRAPE_EACH_SECONDS)
    _next_cycle(operator, prometheus)
    return [_next_cycle(operator, prometheus) for _ in range(CYCLES)]


def _next_cycle(operator: Operator, prometheus: PrometheusServer) -> Measured:
    done, used, asked = _cycles_of(operator), cpu_of(operator), len(queries_of(prometheus))
    wait_until(lambda: _cycles_of(operator) > done, 600, "a cycle", every=POLL_SECONDS)
    after = operator.metrics()
    cycle = Measured(
        wall=metric(after, "aibudget_cycle_duration_seconds"),
        cpu=metric(after, "aibudget_cycle_cpu_seconds"),
        minute=(cpu_of(operator) - used) / (metric(after, "aibudget_cycles_total") - done),
        phases=_phases(after),
        queries=queries_of(prometheus)[asked:],
    )
    say(json.dumps(cycle.told()))
    return cycle


def _cycles_of(operator: Operator) -> float:
    """How many it has run; it tells that first, and megabytes of budgets after it are not waited for."""
    with requests.get(f"{operator.url}/metrics", stream=True, timeout=60) as page:
        for line in page.iter_lines(decode_unicode=True):
            if line.startswith("aibudget_cycles_total "):
                return float(line.split()[1])
    return 0.0


def namespace_with_budget(number: int, start: float) -> Iterator[dict[str, Any]]:
    """A budget whose period begins with the history: what is measured is the cycle, not the back-fill."""
    name = name_of(number)
    begins = slot_of(int(start)) + SLOT_SECONDS
    period = {"type": "Fixed", "startTime": iso(begins), "endTime": iso(begins + 86_400)}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    yield {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIBudget",
        "metadata": {"name": "team", "namespace": name},
        "spec": {"limit": {"amount": 1_000_000, "currency": "USD"}, "period": period},
    }


def queries_of(prometheus: PrometheusServer) -> list[dict[str, Any]]:
    """What Prometheus was ever asked, with the times and the step it was asked for."""
    return [params for params, _ in logged(prometheus)]


def logged(prometheus: PrometheusServer) -> list[tuple[dict[str, Any], float]]:
    """What Prometheus was ever asked, and the seconds that its log gives each: without writing the answer."""
    assert prometheus.query_log is not None
    entries = [json.loads(line) for line in prometheus.query_log.read_text().splitlines()]
    return [(entry["params"], entry["stats"]["timings"]["execTotalTime"]) for entry in entries]


def asked_alone(prometheus: PrometheusServer, queries: Sequence[dict[str, Any]]) -> float:
    """Seconds until the last byte of each answer, with nobody else asking; as the operator asks, unpacked."""
    unpacked, began = {"Accept-Encoding": "identity"}, time.monotonic()
    for params in queries:
        path = "query_range" if params.get("step") else "query"
        form = {"query": params["query"], "start": params["start"], "end": params["end"]}
        form |= {"step": params["step"]} if params.get("step") else {"time": params["end"]}
        url = f"{prometheus.url}/api/v1/{path}"
        with requests.post(url, data=form, headers=unpacked, stream=True, timeout=600) as answer:
            answer.raise_for_status()
            while answer.raw.read(1 << 20):
                pass
    return time.monotonic() - began


def metric(text: str, name: str) -> float:
    """The sum over all series of a metric in an exposition; 0 where there is none."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)", text, re.MULTILINE))


def peak_rss_mib(operator: Operator) -> float:
    """The most memory it ever held."""
    assert operator.process is not None
    status = Path(f"/proc/{operator.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return round(int(found[1]) / 1024, 1)


def cpu_of(operator: Operator) -> float:
    """Seconds of processor time it took since it was started."""
    assert operator.process is not None
    return cpu_seconds(operator.process.pid)


def _evaluated(operator: Operator) -> bool:
    text = operator.metrics()
    pattern = r'^aibudget_status_condition{[^}]*condition="Reconciling"[^}]*status="true"[^}]*} 1'
    reconciling = re.findall(pattern, text, re.MULTILINE)
    return metric(text, "aibudget_spend") > 0 and not reconciling


def _phases(text: str) -> dict[str, float]:
    found = re.findall(r'^aibudget_cycle_phase_seconds{phase="(\w+)"} (\S+)', text, re.MULTILINE)
    return {name: round(float(seconds), 3) for name, seconds in found}
