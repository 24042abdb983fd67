"""A team of a test's own: a namespace, a Deployment of GPU pods and a budget, seen at the API server.

Tests of faults share one sandbox; each of them brings its teams and takes them away again.
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import requests

from aibudget.sandbox.client import KubernetesClient
from aibudget.sandbox.operator import Operator
from aibudget.sandbox.process import wait_until

JsonObject = dict[str, Any]

H100: Final = "NVIDIA-H100-80GB-HBM3"
L4: Final = "NVIDIA-L4"
HOURLY: Final = {H100: Decimal("6.88"), L4: Decimal("0.8048")}
"""The public prices of one device, in USD."""
LITTLE: Final = "0.001"
PLENTY: Final = "1000000"
"""Limits, in USD."""
PATIENCE: Final = 90.0
"""Seconds. Whoever begins with a quarter of an hour is no victim before a minute of it is known."""


class Team:
    """`replicas` pods of `gpus` devices each. Waits fail with what was waited for."""

    def __init__(
        self, client: KubernetesClient, name: str, *, product: str = L4, replicas: int = 1, gpus: int = 1
    ) -> None:
        self.name = name
        self.wanted = replicas
        self.per_second = HOURLY[product] * gpus * replicas / 3600
        self._client = client
        self._deployment = f"/apis/apps/v1/namespaces/{name}/deployments/model"
        self._holds = f"/apis/aibudget.io/v1alpha1/namespaces/{name}/holds"
        self._budget = f"/apis/aibudget.io/v1alpha1/namespaces/{name}/aibudgets/limits"
        client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        (self.before,) = client.apply(_deployment(name, product, replicas, gpus), field_manager="owner")

    def close(self) -> None:
        """Take everything away; what is still ending is in nobody's way."""
        self._client.delete(self._budget)
        self._client.delete(f"/api/v1/namespaces/{self.name}")

    def budget(
        self,
        amount: str | Decimal,
        *,
        currency: str = "USD",
        grace: int = 0,
        period: Mapping[str, str] | None = None,
        notify: Sequence[str] = (),
        mode: str = "Enforce",
        actions: Sequence[str] = ("Notify", "Annotate", "ScaleDown"),
        hours: str | None = None,
    ) -> None:
        """Make or change the team's budget: over the amount, or the GPU-hours, its Deployment is held."""
        spec: JsonObject = {
            "limit": {"amount": str(amount), "currency": currency},
            "thresholds": [{"name": "over", "percent": 100, "actions": list(actions)}],
            "enforcement": {"mode": mode, "gracePeriodSeconds": grace, "onAlreadyCrossed": "Enforce"},
        }
        if period is not None:
            spec["period"] = dict(period)
        if hours is not None:
            cap = {"name": "hours", "meter": "gpu", "quantity": hours, "unit": "GPU-Hours"}
            spec["caps"] = [cap]
        if notify:
            spec["notify"] = [{"name": name} for name in notify]
        metadata = {"name": "limits", "namespace": self.name}
        self._client.apply(
            {"apiVersion": "aibudget.io/v1alpha1", "kind": "AIBudget", "metadata": metadata, "spec": spec}
        )

    def forget_budget(self) -> None:
        """Delete the budget."""
        self._client.delete(self._budget)

    def status(self) -> JsonObject:
        """The budget's status, empty before there is one."""
        found: JsonObject = self._client.get(self._budget).get("status", {})
        return found

    def condition(self, kind: str) -> JsonObject:
        """One condition of the budget, empty if it is not there."""
        conditions: list[JsonObject] = self.status().get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), {})

    def is_evaluated(self) -> bool:
        """Whether the status speaks of the spec as it is now, on data that reaches back far enough."""
        budget = self._client.get(self._budget)
        status, generation = budget.get("status", {}), budget["metadata"]["generation"]
        conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
        return (
            status.get("observedGeneration") == generation
            and conditions.get("Ready") == "True"
            and "Reconciling" not in conditions
        )

    def spent(self) -> Decimal:
        """What the status says is spent; 0 before it says anything."""
        return Decimal(self.status().get("spend", {}).get("amount", 0))

    def threshold(self) -> str | None:
        """How the one threshold stands."""
        return next((str(one["state"]) for one in self.status().get("thresholds", [])), None)

    def deployment(self) -> JsonObject:
        """The Deployment as it is now."""
        return self._client.get(self._deployment)

    def replicas(self) -> int:
        """How many pods the Deployment asks for."""
        return int(self.deployment()["spec"]["replicas"])

    def holds(self) -> list[JsonObject]:
        """The Holds of the namespace."""
        return self._client.items(self._holds)

    def await_running(self) -> None:
        """All pods are there."""
        wait_until(
            lambda: self.deployment().get("status", {}).get("availableReplicas") == self.wanted,
            PATIENCE,
            f"the pods of {self.name} to run",
        )

    def await_spending(self) -> None:
        """The budget is evaluated, and something is spent."""
        wait_until(lambda: self.is_evaluated() and self.spent() > 0, PATIENCE, f"{self.name} to spend")

    def await_held(self) -> None:
        """The Deployment is at 0, and its Hold says that nothing is left of it."""
        wait_until(self._is_held, PATIENCE, f"{self.name} to be held")

    def await_free(self) -> None:
        """The Deployment is as its owner left it, and its Hold is gone."""
        wait_until(
            lambda: self.replicas() == self.wanted and not self.holds(), PATIENCE, f"{self.name} to be free"
        )
        self.assert_untouched()

    def assert_untouched(self) -> None:
        """Spec, labels and field owners are its owner's; of ours no more than notes may be there."""
        now = self.deployment()
        managers = {entry["manager"] for entry in now["metadata"]["managedFields"]}
        owners = {
            entry["manager"]
            for entry in now["metadata"]["managedFields"]
            if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
        }
        assert now["spec"] == self.before["spec"]
        assert "aibudget.io/hold" not in now["metadata"].get("labels", {})
        assert "aibudget.io/original" not in now["metadata"].get("annotations", {})
        assert owners <= {"owner"}, f"written by {managers}"

    def assert_held(self) -> None:
        """It is held now, and by a Hold that knows what to put back."""
        (hold,) = self.holds()
        now = self.deployment()
        assert now["spec"]["replicas"] == 0
        assert now["metadata"]["labels"]["aibudget.io/hold"] == hold["metadata"]["name"]
        assert hold["spec"]["original"] == [{"path": "/spec/replicas", "json": str(self.wanted)}]

    def _is_held(self) -> bool:
        conditions = [one for hold in self.holds() for one in hold.get("status", {}).get("conditions", [])]
        gone = any(one["type"] == "Effective" and one["status"] == "True" for one in conditions)
        return gone and self.replicas() == 0


def metric(operator: Operator, name: str) -> float:
    """One of its own metrics that has no labels; 0 before it is there, NaN while nobody answers."""
    try:
        lines = (line.split() for line in operator.metrics().splitlines())
    except requests.RequestException:
        return math.nan
    return next((float(line[1]) for line in lines if line[:1] == [name]), 0.0)


def await_cycles(operator: Operator, count: int = 2, timeout: float = PATIENCE) -> None:
    """So many more cycles have come to their end; from two on, one of them began after this call."""
    before = math.nan

    def passed() -> bool:
        nonlocal before
        total = metric(operator, "aibudget_cycles_total")
        if not before <= total:
            # The first look, or it was started again and counts from zero.
            before = total
        return total >= before + count

    wait_until(passed, timeout, f"{count} cycles")


def _deployment(namespace: str, product: str, replicas: int, gpus: int) -> JsonObject:
    labels = {"app": "model"}
    devices = {"nvidia.com/gpu": str(gpus)}
    container = {"name": "main", "image": "registry.example/model:1", "resources": {"limits": devices}}
    template = {
        "metadata": {"labels": labels},
        "spec": {
            "nodeSelector": {"nvidia.com/gpu.product": product},
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "model", "namespace": namespace, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }
