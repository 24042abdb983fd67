"""Teams whose Deployments are stopped and given back batch by batch, and what was done to each of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aibudget.sandbox.client import KubernetesClient, object_path
from aibudget.sandbox.nodes import P5, add_nodes
from aibudget.sandbox.process import wait_until
from bench.scenery import burst, name_of, say

LITTLE: Final = "0.2"
PLENTY: Final = "1000000"
"""Limits, in USD. An H100 costs the little one in less than two minutes."""
PATIENCE: Final = 120.0


class Teams:
    """A namespace, a Deployment of one GPU and a budget each. In turn n batch n is to be stopped, and the one
    before it to be given back.
    """

    def __init__(self, client: KubernetesClient, number: int, batch: int) -> None:
        self._client = client
        self._number = number
        self._batch = batch
        self._expected: dict[str, int] = {}

    def create(self) -> None:
        """All of them, running, with room in their budgets."""
        say(f"creating {self._number} Deployments and budgets …")
        nodes = [(f"bench-{number}", P5) for number in range(-(-self._number // P5.gpus))]
        add_nodes(self._client, nodes, timeout=PATIENCE)
        for number in range(self._number):
            namespace = name_of(number)
            self._client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
            self._client.apply(burst(namespace, f"batch-{number // self._batch}", gpus=1))
            self._client.apply(_budget(namespace))
        wait_until(lambda: all(map(_runs, self._deployments())), PATIENCE, "all pods to run", every=1.0)
        self._expected = _generations(self._deployments())

    def have_spent(self) -> bool:
        """Whether each is known to have spent more than the little limit, and all of the past is read."""
        return all(map(_has_spent, self._client.items("/apis/aibudget.io/v1alpha1/aibudgets")))

    def change(self, turn: int) -> None:
        """Let batch `turn` come over its limit, and then the one before it have room again."""
        for batch, limit in ((turn, LITTLE), (turn - 1, PLENTY)):
            for team in range(self._number):
                if team // self._batch == batch:
                    spec = {"spec": {"limit": {"amount": limit, "currency": "USD"}}}
                    self._client.patch(object_path(_budget(name_of(team))), spec)
                    self._expected[name_of(team)] += 1

    def are_planned(self, turn: int) -> bool:
        """Whether the first of the batch has its Hold, from which on it may be stopped."""
        holds = self._client.items("/apis/aibudget.io/v1alpha1/holds")
        return any(hold["spec"]["targetRef"]["name"] == f"batch-{turn}" for hold in holds)

    def undone(self, turn: int) -> frozenset[str]:
        """The namespaces whose Deployments nobody has acted upon yet in this turn."""
        there = _generations([one for batch in (turn, turn - 1) for one in self._deployments(batch)])
        return frozenset(name for name, generation in there.items() if generation < self._expected[name])

    def are_begun(self, turn: int) -> bool:
        """Whether the first of the batch is stopped."""
        return any(one["spec"]["replicas"] == 0 for one in self._deployments(turn))

    def check(self) -> None:
        """Raise where a Deployment was not acted upon exactly once for each change of its budget."""
        found = _generations(self._deployments())
        if wrong := {n: (found[n], self._expected[n]) for n in found if found[n] != self._expected[n]}:
            raise AssertionError(f"generations that are found, and expected: {wrong}")

    def _deployments(self, batch: int | None = None) -> list[dict[str, Any]]:
        everywhere = "/apis/apps/v1/deployments"
        if batch is not None:
            return self._client.items(everywhere, {"fieldSelector": f"metadata.name=batch-{batch}"})
        found = self._client.items(everywhere)
        return [one for one in found if one["metadata"]["name"].startswith("batch-")]


def _generations(deployments: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """By namespace. The generation of a Deployment counts changes of its spec and its annotations."""
    return {one["metadata"]["namespace"]: int(one["metadata"]["generation"]) for one in deployments}


def _runs(deployment: Mapping[str, Any]) -> bool:
    return bool(deployment.get("status", {}).get("availableReplicas") == 1)


def _has_spent(budget: Mapping[str, Any]) -> bool:
    status = budget.get("status", {})
    reconciling = any(one["type"] == "Reconciling" for one in status.get("conditions", ()))
    return not reconciling and float(status.get("spend", {}).get("amount", 0)) > float(LITTLE)


def _budget(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIBudget",
        "metadata": {"name": "team", "namespace": namespace},
        "spec": {
            "limit": {"amount": PLENTY, "currency": "USD"},
            # A note on the Deployment would be a generation of it, too.
            "thresholds": [{"name": "over", "percent": 100, "actions": ["Notify", "ScaleDown"]}],
            "enforcement": {"mode": "Enforce", "gracePeriodSeconds": 0, "onAlreadyCrossed": "Enforce"},
        },
    }
