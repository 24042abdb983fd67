"""A namespace with a real Deployment on GPUs and a real budget, and the operator's hand on both."""

import asyncio
import subprocess
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from aibudget.api.crds import crd_documents
from aibudget.api.kinds import parse
from aibudget.api.names import API_VERSION, KILL_SWITCH
from aibudget.budgeting.evaluation import BudgetKey, Evaluation, Spend, ThresholdState, WorkloadSpend
from aibudget.budgeting.period import Period
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.notice import Act
from aibudget.inventory.kubernetes import Cluster, Json
from aibudget.inventory.resource import AIBUDGETS, CLUSTER_AIBUDGETS, DEPLOYMENTS, HOLDS, PODS
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from aibudget.sandbox.binaries import locate
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.process import wait_until

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
NOVEMBER = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
DECEMBER = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())
OPERATOR = "aibudget-system"
REPLICAS = 3

T = TypeVar("T")


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with our CRDs served and the operator's namespace."""
    for document in crd_documents().values():
        control_plane.client.apply(document)
    control_plane.client.create("/api/v1/namespaces", {"metadata": {"name": OPERATOR}})
    paths = [f"/apis/{API_VERSION}/{plural}" for plural in ("aibudgets", "clusteraibudgets", "holds")]
    wait_until(lambda: all(map(control_plane.client.exists, paths)), 30, "CRDs to be served")
    return control_plane


@dataclass
class Story:
    """One test's world. `connect` may be replaced to put faults between the operator and the cluster."""

    plane: ControlPlane
    namespace: str
    kubectl: str
    wrap: Callable[[Cluster], Any] = field(default=lambda cluster: cluster)
    may_write: Callable[[], bool] = field(default=lambda: True)
    limits: Limits = field(default_factory=lambda: Limits(OPERATOR))

    def run(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Do something with a connection of its own, as a new process would."""

        async def connected() -> T:
            async with await Cluster.connect(self.plane.kubeconfig) as cluster:
                return await work(cluster)

        return asyncio.run(connected())

    def cycle(self, *claimants: Claimant, now: datetime = NOW) -> Report:
        """One cycle of a freshly started operator."""

        async def work(cluster: Cluster) -> Report:
            enforcer = Enforcer(self.wrap(cluster), self.limits, self.may_write)
            return await enforcer.run(claimants, now)

        return self.run(work)

    def told(self, *claimants: Claimant, now: datetime = NOW) -> list[Act]:
        """What a cycle does in this story's namespace: those of earlier ones may still be ending."""
        return [
            act for act in self.cycle(*claimants, now=now).acts if act.workload.namespace == self.namespace
        ]

    def contested(self, budget: Claimant, revert: Callable[[], object]) -> list[Act]:
        """What is told while somebody reverts again and again, until acting stops.

        The controllers may be taking pods away for the zero of a moment ago: nothing is stopped then for want
        of a pod that runs, and a round is without an act.
        """
        told: list[Act] = []
        for _ in range(12):
            revert()
            self.wait_for_pods(REPLICAS)
            told += self.told(budget)
            if told and told[-1].reason == "EnforcementContested":
                return told
        raise AssertionError([(act.reason, act.message) for act in told])

    def deploy(self, name: str = "llm", *, manager: str = "kubectl-create", **metadata: Any) -> Workload:
        """A Deployment of 3 pods with a GPU each, applied by `manager`; returns when all run."""
        self.apply(self.manifest(name, **metadata), manager=manager)
        self.wait_for_pods(REPLICAS)
        return Workload(self.namespace, "Deployment", name)

    def manifest(self, name: str = "llm", replicas: int | None = REPLICAS, **metadata: Any) -> Json:
        labels = {"app": name}
        gpu = {"limits": {"nvidia.com/gpu": "1"}}
        pod = {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "i", "resources": gpu}],
        }
        spec: Json = {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        if replicas is not None:
            spec["replicas"] = replicas
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.namespace, **metadata},
            "spec": spec,
        }

    def apply(self, manifest: Json, *, manager: str) -> None:
        self.plane.client.apply(manifest, field_manager=manager)

    def ctl(self, *arguments: str, stdin: str | None = None) -> str:
        """kubectl, as a person would call it; raises when it fails."""
        command = [self.kubectl, "--kubeconfig", str(self.plane.kubeconfig), "-n", self.namespace, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def deployment(self, name: str = "llm") -> Json:
        found: Json | None = self.run(lambda c: c.get(DEPLOYMENTS, name, self.namespace))
        assert found is not None
        return found

    def replicas(self, name: str = "llm") -> int:
        return int(self.deployment(name)["spec"]["replicas"])

    def owners(self, name: str = "llm") -> list[str]:
        """Who owns spec.replicas."""
        fields = self.deployment(name)["metadata"]["managedFields"]
        return [e["manager"] for e in fields if "f:replicas" in e["fieldsV1"].get("f:spec", {})]

    def holds(self) -> list[Json]:
        found: list[Json] = self.run(lambda c: c.list(HOLDS, self.namespace))
        return found

    def conditions(self) -> dict[str, str]:
        """Type to status of the only Hold."""
        (hold,) = self.holds()
        return {c["type"]: c["status"] for c in hold["status"].get("conditions", ())}

    def wait_for_pods(self, number: int) -> None:
        """Until so many run, and those that are to go are gone: they are Running to the end."""

        def counted() -> bool:
            pods = self.run(lambda c: c.list(PODS, self.namespace))
            staying = [p for p in pods if "deletionTimestamp" not in p["metadata"]]
            running = [p for p in staying if p.get("status", {}).get("phase") == "Running"]
            return len(running) == len(pods) == number

        wait_until(counted, 60, f"{number} running pods")

    def budget(
        self,
        name: str = "training",
        *,
        cluster: bool = False,
        actions: Sequence[str] = ("ScaleDown", "Annotate"),
        **enforcement: Any,
    ) -> Claimant:
        """A budget that exists, is over its threshold and may act at once."""
        spec: Json = {
            "limit": {"amount": 100, "currency": "USD"},
            "thresholds": [{"name": "over", "percent": 100, "actions": list(actions)}],
            "enforcement": {"mode": "Enforce", "gracePeriodSeconds": 0, **enforcement},
        }
        if cluster:
            spec["scope"] = {"namespaces": [self.namespace]}
        resource = CLUSTER_AIBUDGETS if cluster else AIBUDGETS
        body = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        made = self.run(lambda c: c.create(resource, body, None if cluster else self.namespace))
        return self.claimant(made, "llm")

    def claimant(
        self,
        obj: Json,
        *names: str,
        standing: Any = "Active",
        fresh: bool = True,
        period: str = "2026-11@UTC",
    ) -> Claimant:
        """The budget as it would be evaluated when these Deployments spend."""
        budget = parse(obj)
        assert budget.kind in ("AIBudget", "ClusterAIBudget")
        threshold = budget.spec.effective_thresholds[0]
        state = ThresholdState(threshold, standing, None if standing == "Below" else int(NOW.timestamp()))
        spends = tuple(
            WorkloadSpend(Workload(self.namespace, "Deployment", name), Decimal(110), Decimal("4.125"), None)
            for name in names
        )
        evaluation = Evaluation(
            budget=BudgetKey(budget.kind, budget.namespace, budget.name, budget.uid),
            generation=budget.metadata.generation,
            period=Period(period, Interval(NOVEMBER, DECEMBER)),
            limit=Decimal(100),
            currency="USD",
            spend=Spend(Decimal(110), 110, int(NOW.timestamp()), 100, True, Decimal(0), ()),
            rate_per_hour=Decimal(4),
            thresholds=(state,),
            changes=(),
            workloads=spends,
            fresh=fresh,
            began=False,
            evaluated=int(NOW.timestamp()),
        )
        return Claimant(budget, evaluation)

    def relaxed(self, claimant: Claimant, **how: Any) -> Claimant:
        """The same budget after its limit was raised, or with another standing."""
        raw = self.run(
            lambda c: c.get(
                AIBUDGETS if claimant.budget.kind == "AIBudget" else CLUSTER_AIBUDGETS,
                claimant.budget.name,
                claimant.budget.namespace,
            )
        )
        names: Sequence[str] = how.pop("names", ())
        return self.claimant(raw, *names, **({"standing": "Below"} | how))


@pytest.fixture
def story(installed: ControlPlane, namespace: Callable[..., str]) -> Iterator[Story]:
    yield Story(installed, namespace(), str(locate(["kubectl"], lambda _: None)["kubectl"]))
    for budget in installed.client.items("/apis/aibudget.io/v1alpha1/clusteraibudgets"):
        installed.client.delete(f"/apis/aibudget.io/v1alpha1/clusteraibudgets/{budget['metadata']['name']}")
    installed.client.delete(f"/api/v1/namespaces/{OPERATOR}/configmaps/{KILL_SWITCH}")
