"""`make bench`: the operator under load, as JSON on stdout; ratios are within one run, progress on stderr.

`cycle`: up to 100,000 GPU pods in a real Prometheus and 5,000 budgets at a real API server, a line for each
size; see `steady`.
`catchup`: days of the past of 10,000 pods, read and posted by a new operator; see `catchup`.
`reaction`: from the moment the crossing sample can be queried to the Deployment scaled down and its pods
gone, grace 0.
`stop`: 500 Deployments at a real API server, with the rights and the flow control of the operator: stopped at
once, looked at while they are held, and given back in waves.
`ledger`: a month of 1,000 budgets and 23 million usage rows, and a smaller one on PostgreSQL; see `ledger`.
`failover`: three replicas on PostgreSQL, whose leader is killed, paused or told to stop while 150 budgets are
at work: until another one leads, acts, and has ended a cycle; see `failover`.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.process import wait_until
from bench.catchup import measure_catchup
from bench.failover import measure_failover
from bench.ledger import measure_ledger
from bench.scenery import burst, say
from bench.steady import measure_cycles
from bench.stopping import measure_stop

REACTION_INTERVAL_SECONDS = 5


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


def _measure(name: str, directory: Path, arguments: argparse.Namespace) -> Any:
    match name:
        case "cycle":
            return measure_cycles(directory, [int(size) for size in arguments.pods.split(",")])
        case "catchup":
            return measure_catchup(directory, arguments.catchup_pods, arguments.days)
        case "reaction":
            return measure_reaction(directory, arguments.rounds)
        case "ledger":
            return measure_ledger(directory, arguments.ledger_budgets, arguments.ledger_days)
        case "failover":
            return measure_failover(directory, arguments.failover_budgets, arguments.rounds)
        case _:
            return measure_stop(directory, arguments.deployments)


def main() -> None:
    benches = ("cycle", "catchup", "reaction", "stop", "ledger", "failover")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", default="1000,10000,100000", help="sizes of `cycle`")
    parser.add_argument("--catchup-pods", type=int, default=10_000)
    parser.add_argument("--days", type=float, default=30, help="how much of the past `catchup` reads")
    parser.add_argument("--rounds", type=int, default=5, help="of `reaction`, and of each blow of `failover`")
    parser.add_argument("--failover-budgets", type=int, default=150)
    parser.add_argument("--deployments", type=int, default=500)
    parser.add_argument("--ledger-budgets", type=int, default=1000, help="of two workloads each")
    parser.add_argument("--ledger-days", type=int, default=30)
    parser.add_argument("--only", choices=benches)
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="aibudget-bench-") as directory:
        for name in [arguments.only] if arguments.only else benches:
            result[name] = _measure(name, Path(directory) / name, arguments)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
