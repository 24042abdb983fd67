"""SIGKILL before and after each write of a hold and of its release: nothing is stopped twice or forgotten."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.operator import Operator
from aibudget.sandbox.process import wait_until
from e2e.interception import Interception, Phase, Write

pytestmark = pytest.mark.e2e

JsonObject = dict[str, Any]

DEPLOYMENT = "/apis/apps/v1/namespaces/team-nlp/deployments/chat"
HOLDS = "/apis/aibudget.io/v1alpha1/namespaces/team-nlp/holds"
BUDGET = {
    "apiVersion": "aibudget.io/v1alpha1",
    "kind": "AIBudget",
    "metadata": {"name": "crashes", "namespace": "team-nlp"},
    "spec": {
        "limit": {"amount": "0.01", "currency": "USD"},
        "thresholds": [{"name": "over", "percent": 100, "actions": ["Notify", "Annotate", "ScaleDown"]}],
        "enforcement": {"mode": "Enforce", "gracePeriodSeconds": 0, "onAlreadyCrossed": "Enforce"},
    },
}


class Killer:
    """Kills the operator once before and once after each kind of write, and looks at the workload then."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._client = sandbox.control_plane.connect()
        self.operator: Operator | None = None
        self.kills: list[tuple[str, Phase]] = []
        self.broken: list[str] = []

    def close(self) -> None:
        self._client.close()

    def __call__(self, write: Write, phase: Phase) -> bool:
        step = (write.step, phase)
        if step in self.kills or (phase == "after" and (step[0], "before") not in self.kills):
            return True
        self.kills.append(step)
        assert self.operator is not None
        assert self.operator.process is not None
        # It may be dead already: two writes can be under way at once.
        with suppress(ProcessLookupError):
            os.kill(self.operator.process.pid, signal.SIGKILL)
        if wrong := violation(self._client.get(DEPLOYMENT), self._client.items(HOLDS)):
            self.broken.append(f"{step}: {wrong}")
        return False


def violation(deployment: JsonObject, holds: list[JsonObject]) -> str | None:
    """What is wrong with the workload, if it is neither as its owner left it nor held with its original."""
    labels = deployment["metadata"].get("labels", {})
    replicas = deployment["spec"]["replicas"]
    held = labels.get("aibudget.io/hold")
    if held is None and replicas != 2:
        return f"free, but with {replicas} replicas"
    if held is not None and replicas == 0:
        kept = deployment["metadata"].get("annotations", {}).get("aibudget.io/original", "")
        if '"2"' not in kept and "2" not in kept:
            return f"held without its original: {kept}"
        recorded = [one["spec"].get("original") for one in holds if one["metadata"]["name"] == held]
        if recorded and recorded[0] != [{"path": "/spec/replicas", "json": "2"}]:
            return f"the Hold has forgotten the original: {recorded}"
    return None


def test_every_crash_leaves_the_workload_held_or_free(sandbox: Sandbox, tmp_path: Path) -> None:
    """One Deployment is held and given back although the operator dies before and after every write of it."""
    client = sandbox.control_plane.client
    sandbox.operator.stop()
    killer = Killer(sandbox)
    wanted = ("/holds", "/deployments/chat")
    with Interception(
        sandbox.control_plane.url,
        str(sandbox.control_plane.ca),
        wanted=lambda method, path: any(part in path for part in wanted),
        hook=killer,
    ) as proxy:
        operator = Operator(
            sandbox.control_plane,
            tmp_path / "operator",
            identity="crashing",
            # A new process waits for the Lease of the one that was killed.
            environment={"AIBUDGET_LEASE_SECONDS": "3"},
            api_url=proxy.url,
        )
        killer.operator = operator
        operator.start()
        client.apply(BUDGET)
        try:
            survive(killer, lambda: client.get(DEPLOYMENT)["spec"]["replicas"] == 0, "the hold")
            survive(killer, lambda: effective(client.items(HOLDS)), "the Hold to be effective")
            spec: JsonObject = {"spec": {"limit": {"amount": "1000000"}}}
            client.patch("/apis/aibudget.io/v1alpha1/namespaces/team-nlp/aibudgets/crashes", spec)
            survive(killer, lambda: client.get(DEPLOYMENT)["spec"]["replicas"] == 2, "the release")
            survive(killer, lambda: not client.items(HOLDS), "the Hold to be gone")
        finally:
            operator.stop()
            killer.close()
            client.delete("/apis/aibudget.io/v1alpha1/namespaces/team-nlp/aibudgets/crashes")
            sandbox.operator.start()

    free = client.get(DEPLOYMENT)
    assert killer.broken == []
    assert violation(free, []) is None
    assert "aibudget.io/hold" not in free["metadata"].get("labels", {})
    survived = {step for step, phase in killer.kills if phase == "after"}
    assert len(survived) >= 6, f"too few writes were seen to mean anything: {sorted(survived)}"


def survive(killer: Killer, done: Callable[[], bool], what: str) -> None:
    """The operator, which is started again after each kill, gets there."""
    operator = killer.operator
    assert operator is not None
    try:
        wait_until(done, 240, what)
    except TimeoutError as late:
        assert operator.process is not None
        raise AssertionError(f"{late}; killed at {killer.kills}; {operator.process.log_tail(40)}") from late


def effective(holds: list[JsonObject]) -> bool:
    return any(
        condition["type"] == "Effective" and condition["status"] == "True"
        for hold in holds
        for condition in hold.get("status", {}).get("conditions", [])
    )
