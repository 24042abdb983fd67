"""`stop`: 500 Deployments at a real API server are stopped, looked at while held, and given back in waves.

With the operator's rights and the API server's own flow control; the evaluation alone is made by hand.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from aibudget.api.budget import ClusterAIBudget
from aibudget.api.kinds import parse
from aibudget.budgeting.evaluation import BudgetKey, Evaluation, Spend, ThresholdState, WorkloadSpend
from aibudget.budgeting.period import Period
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.rails import Rails
from aibudget.enforcement.waves import Waves
from aibudget.inventory.kubernetes import Cluster
from aibudget.inventory.resource import CLUSTER_AIBUDGETS, DEPLOYMENTS, HOLDS, PODS
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.nodes import P5, add_nodes
from aibudget.sandbox.operator import NAMESPACE, RELEASE, install
from bench.scenery import burst, cpu_seconds, name_of, say


class Counted:
    """A cluster that counts its calls."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        self.calls += name in ("get", "list", "create", "patch", "delete")
        return getattr(self._cluster, name)


def measure_stop(directory: Path, deployments: int) -> dict[str, Any]:
    """Seconds to stop so many at once, to look at them while held, and to give them back in waves."""
    with ControlPlane(directory / "control-plane") as control_plane:
        install(control_plane, {"prometheus.url": "http://127.0.0.1:9"})
        say(f"creating {deployments} Deployments …")
        nodes = [(f"node-{number}", P5) for number in range(-(-deployments // P5.gpus))]
        add_nodes(control_plane.client, nodes, timeout=300)
        workloads = [Workload(name_of(n // 25), "Deployment", f"llm-{n:04d}") for n in range(deployments)]
        for namespace in sorted({workload.namespace for workload in workloads}):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            control_plane.client.apply(body)
        for workload in workloads:
            control_plane.client.apply(burst(workload.namespace, workload.name, gpus=1))
        (budget,) = control_plane.client.apply(_whole_cluster())
        kubeconfig = directory / "operator.kubeconfig"
        control_plane.kubeconfig_for_service_account(NAMESPACE, RELEASE, kubeconfig)
        assert control_plane.api_server is not None
        server = control_plane.api_server.pid
        return asyncio.run(_stop_and_restore(kubeconfig, budget, workloads, server))


async def _stop_and_restore(
    kubeconfig: Path, budget: dict[str, Any], workloads: Sequence[Workload], server: int
) -> dict[str, Any]:
    async with await Cluster.connect(kubeconfig) as cluster:
        counted, number = Counted(cluster), len(workloads)
        limits = Limits(NAMESPACE, rails=Rails(number, 100, 60), waves=Waves(64, 120, 900))
        enforcer = Enforcer(counted, limits, lambda: True)
        now = datetime.now(UTC)

        async def cycle(over: Sequence[Workload], below: bool = False) -> tuple[float, int, Report]:
            began, before = time.monotonic(), counted.calls
            report = await enforcer.run([_claimant(budget, over, below=below)], now)
            return round(time.monotonic() - began, 2), counted.calls - before, report

        async def count(resource: Any) -> int:
            found = await cluster.list(resource, metadata_only=resource is not DEPLOYMENTS)
            return sum(one["spec"]["replicas"] > 0 if resource is DEPLOYMENTS else 1 for one in found)

        async def until(resource: Any, number: int) -> None:
            for _ in range(1200):
                if await count(resource) == number:
                    return
                await asyncio.sleep(0.25)
            raise TimeoutError(f"{resource.plural} do not become {number}")

        # The operator's own Deployment has a pod, too.
        await until(PODS, number + 1)
        steady = {0: (await cycle([]))[:2]}
        half, stopping, own, theirs, calls_made = [], [], 0.0, 0.0, 0
        for part in (workloads[: number // 2], workloads):
            began, cpu, server_cpu = time.monotonic(), time.process_time(), cpu_seconds(server)
            seconds, calls, _ = await cycle(part)
            stopping.append(seconds)
            calls_made += calls
            own += time.process_time() - cpu
            theirs += cpu_seconds(server) - server_cpu
            await until(PODS, number - len(part) + 1)
            half.append(round(time.monotonic() - began, 2))
            await cycle(part)
            steady[len(part)] = (await cycle(part))[:2]
            say(f"{len(part)} held: {stopping[-1]} s, pods gone after {half[-1]} s, then {steady[len(part)]}")
        began, waves = time.monotonic(), 0
        while await count(HOLDS):
            now += timedelta(seconds=1)
            _, _, report = await cycle(workloads, below=True)
            waves += any(act.reason == "WorkloadRestored" for act in report.acts)
            await asyncio.sleep(0.5)
        restored = await count(DEPLOYMENTS) - 1
        return {
            "deployments": number,
            "stopSeconds": round(sum(stopping), 2),
            "podsGoneSeconds": round(sum(half), 2),
            "allowedSeconds": 60,
            "callsPerStop": round(calls_made / number, 1),
            "cpuSeconds": {"operator": round(own, 1), "apiServer": round(theirs, 1)},
            "steadyCycles": {held: {"seconds": s, "calls": c} for held, (s, c) in steady.items()},
            "restored": restored,
            "restoreWaves": waves,
            "restoreSeconds": round(time.monotonic() - began, 2),
        }


def _claimant(obj: dict[str, Any], workloads: Sequence[Workload], *, below: bool) -> Claimant:
    budget = parse(obj)
    assert isinstance(budget, ClusterAIBudget)
    now = int(time.time())
    threshold = budget.spec.effective_thresholds[0]
    state = ThresholdState(threshold, "Below" if below else "Active", None if below else now)
    rate = Decimal("3.44")
    evaluation = Evaluation(
        budget=BudgetKey(budget.kind, None, budget.name, budget.uid),
        generation=budget.metadata.generation,
        period=Period("2026", Interval(now - 86_400, now + 86_400)),
        limit=Decimal(100),
        currency="USD",
        spend=Spend(Decimal(110), 110, now, 100, complete=True, estimated=Decimal(0), unpriced=()),
        rate_per_hour=rate * len(workloads),
        thresholds=(state,),
        changes=(),
        workloads=tuple(WorkloadSpend(workload, Decimal(1), rate, None) for workload in workloads),
        fresh=True,
        began=False,
        evaluated=now,
    )
    return Claimant(budget, evaluation)


def _whole_cluster() -> dict[str, Any]:
    return {
        "apiVersion": CLUSTER_AIBUDGETS.api_version,
        "kind": "ClusterAIBudget",
        "metadata": {"name": "all"},
        "spec": {
            "limit": {"amount": 100, "currency": "USD"},
            "scope": {"namespaceSelector": {}},
            "thresholds": [{"name": "over", "percent": 100, "actions": ["ScaleDown"]}],
            "enforcement": {"mode": "Enforce", "gracePeriodSeconds": 0},
        },
    }
