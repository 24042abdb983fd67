"""Two replicas on one ledger: a leader is paused amid its acts, another is killed; nothing is done twice.

The first replica reaches the API server through a proxy that sees all it writes, and can hold a write back
until long after its sender has lost the Lease.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest
import requests

from aibudget.sandbox.client import KubernetesClient
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.operator import Operator
from aibudget.sandbox.process import wait_until
from e2e.conftest import followed
from e2e.interception import Delay, Interception, Phase, Write
from e2e.team import H100, HOURLY, LITTLE, PATIENCE, PLENTY, metric

pytestmark = pytest.mark.e2e

JsonObject = dict[str, Any]

DEPLOYMENTS: Final = tuple(
    f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    for namespace, name in (("team-vision", "detector"), ("team-vision", "labeler"), ("team-nlp", "chat"))
)
NAMESPACES: Final = ("team-vision", "team-nlp")
DEVICES: Final = 7
"""H100s of team-vision: what it can spend at most."""


class Doorman:
    """Writes down every write of one replica; pauses the replica at an act and keeps the act with him."""

    def __init__(self) -> None:
        self.operator: Operator | None = None
        self.armed = threading.Event()
        self.paused = threading.Event()
        self.let_go = threading.Event()
        self.arrived = threading.Event()
        self.late: Write | None = None
        self.seen: list[Write] = []

    def __call__(self, write: Write, phase: Phase) -> bool | Delay:
        if phase == "after":
            if write is self.late:
                self.arrived.set()
            return True
        self.seen.append(write)
        is_act = write.method == "PATCH" and write.path in DEPLOYMENTS
        if is_act and self.armed.is_set() and self.late is None:
            assert self.operator is not None
            send(self.operator, signal.SIGSTOP)
            self.late = write
            self.paused.set()
            return Delay(self.let_go.is_set)
        return True


def test_a_paused_leader_wakes_to_nothing_and_a_killed_one_is_followed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """Paused amid the stops, the next one killed amid the returns: each workload is stopped once."""
    client, doorman = sandbox.control_plane.client, Doorman()
    before = {path: client.get(path) for path in DEPLOYMENTS}
    sandbox.operator.stop()
    try:
        with budgets(client), replicas(sandbox, tmp_path, doorman) as (first, second):
            began = known_spend(client)
            doorman.armed.set()
            limit(client, LITTLE)
            assert doorman.paused.wait(PATIENCE), "no act began"
            wait_until(lambda: metric(second, "aibudget_leader") == 1, 60, "the standby to lead")
            wait_until(lambda: all(map(is_stopped, deployments(client))), PATIENCE, "all to be stopped")

            doorman.let_go.set()
            assert doorman.arrived.wait(30), "the late act did not arrive"
            already = len(doorman.seen)
            send(first, signal.SIGCONT)
            process = first.process
            assert process is not None
            wait_until(lambda: not process.alive, 30, "the paused leader to end")
            assert doorman.seen[already:] == []

            first.start()
            assert metric(first, "aibudget_leader") == 0
            limit(client, PLENTY)
            wait_until(lambda: not all(map(is_stopped, deployments(client))), 60, "the returns to begin")
            second.kill()
            wait_until(lambda: metric(first, "aibudget_leader") == 1, 60, "the first to lead again")
            wait_until(lambda: is_free(client, before), PATIENCE, "all to be given back")
            assert acts(client, before) == dict.fromkeys(DEPLOYMENTS, 2)
            wait_until(lambda: metric(first, "aibudget_cycles_total") > 1, 60, "all to be told")
            assert_told_once(client, before)
            assert_counted_once(began, known_spend(client))
    finally:
        sandbox.operator.start()


@contextmanager
def replicas(sandbox: Sandbox, tmp_path: Path, doorman: Doorman) -> Iterator[tuple[Operator, Operator]]:
    """The first leads, the second is ready and stands by; both on the sandbox's ledger."""
    plane = sandbox.control_plane
    # Long enough for a busy machine: whoever leads here is to lose the Lease by the test alone.
    environment = followed(sandbox.operator.directory) | {"AIBUDGET_LEASE_SECONDS": "6"}
    with ExitStack() as stack:
        door = stack.enter_context(
            Interception(plane.url, str(plane.ca), lambda _, path: "/leases" not in path, doorman)
        )
        # Before the door is closed: it may still stand there, paused.
        stack.callback(doorman.let_go.set)
        first = Operator(
            plane, tmp_path / "first", identity="first", environment=environment, api_url=door.url
        )
        doorman.operator = stack.enter_context(first)
        wait_until(lambda: metric(first, "aibudget_leader") == 1, 60, "the first to lead")
        second = Operator(plane, tmp_path / "second", identity="second", environment=environment)
        stack.enter_context(second)
        assert metric(second, "aibudget_leader") == 0
        assert requests.get(f"{second.url}/readyz", timeout=5).ok
        yield first, second


@contextmanager
def budgets(client: KubernetesClient) -> Iterator[None]:
    """One of each namespace, far from its limit."""
    for namespace in NAMESPACES:
        spec = {
            "limit": {"amount": PLENTY, "currency": "USD"},
            "thresholds": [{"name": "over", "percent": 100, "actions": ["Notify", "ScaleDown"]}],
            "enforcement": {"mode": "Enforce", "gracePeriodSeconds": 0, "onAlreadyCrossed": "Enforce"},
        }
        metadata = {"name": "leaders", "namespace": namespace}
        client.apply(
            {"apiVersion": "aibudget.io/v1alpha1", "kind": "AIBudget", "metadata": metadata, "spec": spec}
        )
    try:
        yield
    finally:
        for namespace in NAMESPACES:
            client.delete(budget_path(namespace))


def budget_path(namespace: str) -> str:
    return f"/apis/aibudget.io/v1alpha1/namespaces/{namespace}/aibudgets/leaders"


def limit(client: KubernetesClient, amount: str) -> None:
    """Give both budgets another limit."""
    for namespace in NAMESPACES:
        client.patch(budget_path(namespace), {"spec": {"limit": {"amount": amount}}})


def send(operator: Operator, number: signal.Signals) -> None:
    assert operator.process is not None
    os.kill(operator.process.pid, number)


def deployments(client: KubernetesClient) -> list[JsonObject]:
    return [client.get(path) for path in DEPLOYMENTS]


def is_stopped(deployment: JsonObject) -> bool:
    return bool(deployment["spec"]["replicas"] == 0)


def is_free(client: KubernetesClient, before: dict[str, JsonObject]) -> bool:
    """Whether all are as their owners left them, and nothing is held."""
    return all(client.get(path)["spec"] == one["spec"] for path, one in before.items()) and not any(
        client.items(f"/apis/aibudget.io/v1alpha1/namespaces/{name}/holds") for name in NAMESPACES
    )


def acts(client: KubernetesClient, before: dict[str, JsonObject]) -> dict[str, int]:
    """How often each was written: the generation of a Deployment counts spec and annotations."""
    return {
        path: client.get(path)["metadata"]["generation"] - one["metadata"]["generation"]
        for path, one in before.items()
    }


def assert_told_once(client: KubernetesClient, before: dict[str, JsonObject]) -> None:
    """Each transition is one Event, whoever was paused or killed around it."""
    for namespace in NAMESPACES:
        events = client.items(f"/api/v1/namespaces/{namespace}/events")
        for one in before.values():
            uid = one["metadata"]["uid"]
            reasons = [event["reason"] for event in events if event["involvedObject"].get("uid") == uid]
            if one["metadata"]["namespace"] == namespace:
                assert reasons.count("WorkloadScaledDown") == 1
                assert reasons.count("WorkloadRestored") <= 1
        exceeded = [e for e in events if e["reason"] == "BudgetExceeded" and is_about(e, "leaders")]
        assert len(exceeded) == 1


def is_about(event: JsonObject, name: str) -> bool:
    return bool(event["involvedObject"]["name"] == name)


def known_spend(client: KubernetesClient) -> tuple[Decimal, float]:
    """What team-vision is known to have spent in this period, and until when (Unix seconds)."""

    def is_settled() -> bool:
        status = client.get(budget_path("team-vision")).get("status", {})
        types = {one["type"] for one in status.get("conditions", [])}
        return "asOfTime" in status.get("spend", {}) and "Reconciling" not in types

    wait_until(is_settled, PATIENCE, "the past to be read")
    spend = client.get(budget_path("team-vision"))["status"]["spend"]
    return Decimal(spend["amount"]), datetime.fromisoformat(spend["asOfTime"]).timestamp()


def assert_counted_once(began: tuple[Decimal, float], ended: tuple[Decimal, float]) -> None:
    """Its devices cannot have cost more than they cost in that time; a scrape or two is between."""
    possible = HOURLY[H100] * DEVICES * Decimal(ended[1] - began[1] + 10) / 3600
    assert 0 <= ended[0] - began[0] <= possible
