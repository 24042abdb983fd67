"""`make bench`: the operator under load, as JSON on stdout; ratios are within one run, progress on stderr.

`cycle`: 10,000 GPU pods in a real Prometheus and 1,000 budgets at a real API server. The operator runs as it
does in a cluster; its own metrics say how long a cycle took and how many queries it made, and Prometheus's
own metrics how long it took to answer them.
`reaction`: from the moment the crossing sample can be queried to the Deployment scaled down and its pods
gone, grace 0.
`stop`: 500 Deployments at a real API server, with the rights and the flow control of the operator: stopped at
once, looked at while they are held, and given back in waves.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import requests

from aibudget.metering.slots import SLOT_SECONDS, iso, slot_of
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.history import History, PodHistory, Present, ScrapeHistory, dcgm_scrapes, write_history
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.nodes import P5, node
from aibudget.sandbox.operator import Operator, install
from aibudget.sandbox.process import wait_until
from aibudget.sandbox.prometheus import PrometheusServer
from aibudget.sandbox.snapshot import GPU, Container, Namespace, Node, Owned, Owner, Pod, node_from
from aibudget.sandbox.tenants import FAMILIES
from bench.scenery import burst, name_of, say
from bench.stopping import measure_stop

HISTORY_SECONDS = 3_600
AHEAD_SECONDS = 1_800
SCRAPE_SECONDS = 30.0
INTERVAL_SECONDS = 15
CYCLES = 5
# A scrape of a thousand budgets is work too: as often as a hasty Prometheus, no more.
POLL_SECONDS = 5.0
REACTION_INTERVAL_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """One cycle: seconds by the wall, in Prometheus and by phase."""

    wall: float
    prometheus: float
    queries: float
    phases: dict[str, float]


def measure_cycle(directory: Path, pods: int, budgets: int) -> dict[str, Any]:
    """One cycle over many pods and budgets, beside Prometheus's own time for the same queries."""
    now = time.time()
    with ExitStack() as running:
        control_plane = running.enter_context(ControlPlane(directory / "control-plane", components=()))
        prometheus = PrometheusServer(directory / "prometheus")
        say(f"writing a past of {pods} pods …")
        file = directory / "past.om"
        start, end = now - HISTORY_SECONDS, now + AHEAD_SECONDS
        scrapes = [ScrapeHistory(start, end, SCRAPE_SECONDS), dcgm_scrapes(start, end, SCRAPE_SECONDS)]
        samples = write_history(file, many_pods(pods, budgets, start), scrapes, FAMILIES)
        say(f"loading {samples} samples …")
        prometheus.backfill(file)
        file.unlink()
        running.enter_context(prometheus)
        install(control_plane, {"prometheus.url": prometheus.url, "intervalSeconds": INTERVAL_SECONDS})
        say(f"creating {budgets} namespaces and budgets …")
        for number in range(budgets):
            for manifest in namespace_with_budget(number, start):
                control_plane.client.apply(manifest)
        operator = Operator(control_plane, directory / "operator")
        running.enter_context(operator)
        return _watched(operator, prometheus) | {"pods": pods, "budgets": budgets}


def _watched(operator: Operator, prometheus: PrometheusServer) -> dict[str, Any]:
    say("waiting for the past to be counted …")
    wait_until(lambda: _evaluated(operator), 600, "every budget to be evaluated", every=POLL_SECONDS)
    cycles = [_next_cycle(operator, prometheus) for _ in range(CYCLES)]
    wall = statistics.median(cycle.wall for cycle in cycles)
    own = statistics.median(cycle.prometheus for cycle in cycles)
    return {
        "cycleWallSeconds": round(wall, 3),
        "prometheusSeconds": round(own, 3),
        "allowedWallSeconds": round(2 * own + 2, 3),
        "queriesPerCycle": max(cycle.queries for cycle in cycles),
        "peakRssMiB": peak_rss_mib(operator),
        "cycles": [asdict(cycle) for cycle in cycles],
    }


def _next_cycle(operator: Operator, prometheus: PrometheusServer) -> Measured:
    before, own = operator.metrics(), _prometheus_seconds(prometheus)
    done = metric(before, "aibudget_cycles_total")
    wait_until(
        lambda: metric(operator.metrics(), "aibudget_cycles_total") > done, 120, "a cycle", every=POLL_SECONDS
    )
    after = operator.metrics()
    queries = "aibudget_prometheus_queries_total"
    cycle = Measured(
        wall=metric(after, "aibudget_cycle_duration_seconds"),
        prometheus=_prometheus_seconds(prometheus) - own,
        queries=metric(after, queries) - metric(before, queries),
        phases=_phases(after),
    )
    say(str(cycle))
    return cycle


def many_pods(count: int, namespaces: int, start: float) -> History:
    """Pods of one H100 each, eight to a node, one Deployment to a namespace."""
    nodes = [node_from(node(f"node-{number}", P5)) for number in range(-(-count // 8))]
    owned = [
        Owned("ReplicaSet", name_of(n), "llm-7d9f", (Owner("Deployment", "llm"),)) for n in range(namespaces)
    ]
    spaces = [Namespace(name_of(number), {}) for number in range(namespaces)]
    things: list[Node | Owned | Namespace] = [*nodes, *owned, *spaces]
    present = [Present(thing) for thing in things]
    return History(pods=list(_lives(count, namespaces, start)), present=present)


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


def measure_reaction(directory: Path, rounds: int) -> dict[str, Any]:
    """Seconds from the queryable crossing sample to the Deployment's replicas at 0."""
    seconds: list[tuple[float, float]] = []
    with Sandbox(directory, interval=REACTION_INTERVAL_SECONDS, scrape_interval=2.0, progress=say) as sandbox:
        for number in range(rounds):
            seconds.append(_react(sandbox, f"burst-{number}"))
            say(f"round {number}: {seconds[-1]} s")
    return {
        "rounds": rounds,
        "cycleSeconds": REACTION_INTERVAL_SECONDS,
        "medianSeconds": statistics.median(down for down, _ in seconds),
        "allowedSeconds": REACTION_INTERVAL_SECONDS + 5,
        "seconds": [down for down, _ in seconds],
        "worstPodsGoneSeconds": max(gone for _, gone in seconds),
        "allowedPodsGoneSeconds": REACTION_INTERVAL_SECONDS + 10,
        "podsGoneSeconds": [gone for _, gone in seconds],
    }


def _react(sandbox: Sandbox, name: str) -> tuple[float, float]:
    client = sandbox.control_plane.client
    budget = f"/apis/aibudget.io/v1alpha1/namespaces/{name}/aibudgets/tiny"
    deployment = f"/apis/apps/v1/namespaces/{name}/deployments/burst"
    held = f'kube_pod_container_resource_requests{{namespace="{name}",node!=""}}'
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    client.apply(_tiny_budget(name))
    wait_until(lambda: _is_below(client.get(budget)), 120, "the threshold to be judged")
    client.apply(burst(name))
    wait_until(lambda: bool(sandbox.prometheus.query(held)), 60, "the crossing sample")
    queryable = time.monotonic()
    wait_until(lambda: client.get(deployment)["spec"]["replicas"] == 0, 120, "the scale-down")
    down = time.monotonic()
    wait_until(lambda: not client.items(f"/api/v1/namespaces/{name}/pods"), 120, "the pods to be gone")
    return round(down - queryable, 2), round(time.monotonic() - queryable, 2)


def _is_below(budget: dict[str, Any]) -> bool:
    return any(one["state"] == "Below" for one in budget["status"].get("thresholds", ()))


def _tiny_budget(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIBudget",
        "metadata": {"name": "tiny", "namespace": namespace},
        "spec": {
            "limit": {"amount": "0.001", "currency": "USD"},
            "thresholds": [{"name": "over", "percent": 100, "actions": ["Notify", "ScaleDown"]}],
            "enforcement": {"mode": "Enforce", "gracePeriodSeconds": 0},
        },
    }


def metric(text: str, name: str) -> float:
    """The sum over all series of a metric in an exposition; 0 where there is none."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)", text, re.MULTILINE))


def peak_rss_mib(operator: Operator) -> float:
    assert operator.process is not None
    status = Path(f"/proc/{operator.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return round(int(found[1]) / 1024, 1)


def _evaluated(operator: Operator) -> bool:
    text = operator.metrics()
    pattern = r'^aibudget_status_condition{[^}]*condition="Reconciling"[^}]*status="true"[^}]*} 1'
    reconciling = re.findall(pattern, text, re.MULTILINE)
    return metric(text, "aibudget_spend") > 0 and not reconciling


def _phases(text: str) -> dict[str, float]:
    found = re.findall(r'^aibudget_cycle_phase_seconds{phase="(\w+)"} (\S+)', text, re.MULTILINE)
    return {name: round(float(seconds), 3) for name, seconds in found}


def _prometheus_seconds(prometheus: PrometheusServer) -> float:
    text = requests.get(f"{prometheus.url}/metrics", timeout=10).text
    handlers = r'prometheus_http_request_duration_seconds_sum{handler="/api/v1/query(?:_range)?"} (\S+)'
    return sum(float(value) for value in re.findall(handlers, text))


def _measure(name: str, directory: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    match name:
        case "cycle":
            return measure_cycle(directory, arguments.pods, arguments.budgets)
        case "reaction":
            return measure_reaction(directory, arguments.rounds)
        case _:
            return measure_stop(directory, arguments.deployments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--budgets", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--deployments", type=int, default=500)
    parser.add_argument("--only", choices=("cycle", "reaction", "stop"))
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="aibudget-bench-") as directory:
        chosen = [arguments.only] if arguments.only else ["cycle", "reaction", "stop"]
        for name in chosen:
            result[name] = _measure(name, Path(directory) / name, arguments)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
