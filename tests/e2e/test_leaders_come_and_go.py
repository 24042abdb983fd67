"""Two replicas on one ledger: a leader is paused amid its acts, another is killed; nothing is done twice.

The first replica reaches the API server through a proxy that sees all it writes, and can hold a write back
until long after its sender has lost the Lease.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
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
from e2e.conftest import MakeTeam, followed
from e2e.interception import Delay, Interception, Phase, Write
from e2e.team import LITTLE, PATIENCE, PLENTY, Team, metric

pytestmark = pytest.mark.e2e

JsonObject = dict[str, Any]

NAMES: Final = ("leaders-a", "leaders-b", "leaders-c")
DEPLOYMENTS: Final = tuple(f"/apis/apps/v1/namespaces/{name}/deployments/model" for name in NAMES)
ACTIONS: Final = ("Notify", "ScaleDown")


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
        if is_act(write) and self.armed.is_set() and self.late is None:
            assert self.operator is not None
            send(self.operator, signal.SIGSTOP)
            self.late = write
            self.paused.set()
            return Delay(self.let_go.is_set)
        return True


def test_a_paused_leader_wakes_to_nothing_and_a_killed_one_is_followed(
    sandbox: Sandbox, team: MakeTeam, tmp_path: Path
) -> None:
    """Paused amid the stops, the next one killed amid the returns: each workload is stopped once."""
    teams, doorman = [team(name) for name in NAMES], Doorman()
    for one in teams:
        one.await_running()
        one.budget(PLENTY, actions=ACTIONS)
    sandbox.operator.stop()
    try:
        with replicas(sandbox, tmp_path, doorman) as (first, second):
            for one in teams:
                one.await_spending()
            before = [(one.deployment(), *known_spend(one)) for one in teams]
            doorman.armed.set()
            limit(teams, LITTLE)
            assert doorman.paused.wait(PATIENCE), "no act began"
            wait_until(lambda: metric(second, "aibudget_leader") == 1, 60, "the standby to lead")
            for one in teams:
                one.await_held()

            doorman.let_go.set()
            assert doorman.arrived.wait(30), "the late act did not arrive"
            already = len(doorman.seen)
            send(first, signal.SIGCONT)
            process = first.process
            assert process is not None
            wait_until(lambda: not process.alive, 30, "the paused leader to end")
            # What was past the fence when it was paused goes out, and the API server refuses it.
            assert all(
                is_act(write) and b"/metadata/resourceVersion" in write.body
                for write in doorman.seen[already:]
            )

            first.await_ready()
            assert metric(first, "aibudget_leader") == 0
            limit(teams, PLENTY)
            wait_until(lambda: any(one.replicas() for one in teams), 60, "the returns to begin")
            second.kill()
            wait_until(lambda: metric(first, "aibudget_leader") == 1, 60, "the first to lead again")
            for one in teams:
                one.await_free()
            wait_until(lambda: metric(first, "aibudget_cycles_total") > 1, 60, "all to be told")
            for one, (deployment, spent, at) in zip(teams, before, strict=True):
                # The generation of a Deployment counts its spec and its annotations: one stop, one return.
                acts = one.deployment()["metadata"]["generation"] - deployment["metadata"]["generation"]
                assert acts == 2
                assert_told_once(sandbox.control_plane.client, one, deployment)
                assert_counted_once(one, spent, at)
    finally:
        sandbox.operator.start()


@contextmanager
def replicas(sandbox: Sandbox, tmp_path: Path, doorman: Doorman) -> Iterator[tuple[Operator, Operator]]:
    """The first leads, the second is ready and stands by; both on the sandbox's ledger."""
    plane = sandbox.control_plane
    # Long enough for a busy machine: whoever leads here is to lose the Lease by the test alone.
    environment = followed(sandbox.operator.ledger_url) | {"AIBUDGET_LEASE_SECONDS": "6"}
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
        wait_until(lambda: requests.get(f"{second.url}/readyz", timeout=5).ok, 60, "the second to be ready")
        yield first, second


def limit(teams: Sequence[Team], amount: str) -> None:
    """Give all budgets another limit."""
    for one in teams:
        one.budget(amount, actions=ACTIONS)


def is_act(write: Write) -> bool:
    return write.method == "PATCH" and write.path in DEPLOYMENTS


def send(operator: Operator, number: signal.Signals) -> None:
    assert operator.process is not None
    os.kill(operator.process.pid, number)


def assert_told_once(client: KubernetesClient, one: Team, deployment: JsonObject) -> None:
    """Each transition is one Event, whoever was paused or killed around it."""
    told = [
        (event["reason"], event["firstTimestamp"], event["reportingInstance"], event["message"])
        for event in client.items(f"/api/v1/namespaces/{one.name}/events")
        if event["involvedObject"].get("uid") == deployment["metadata"]["uid"]
        or event["involvedObject"]["kind"] == "AIBudget"
    ]
    # What is told of the workload is told of its budget as well.
    reasons = Counter(reason for reason, *_, said in told if not said.startswith("Deployment "))
    assert reasons["ScaleDownNotice"] == reasons["WorkloadScaledDown"] == reasons["BudgetExceeded"] == 1, told
    assert reasons["WorkloadRestored"] <= 1, told


def known_spend(one: Team) -> tuple[Decimal, float]:
    """What a team is known to have spent in this period, and until when (Unix seconds)."""
    spend = one.status()["spend"]
    return Decimal(spend["amount"]), datetime.fromisoformat(spend["asOfTime"]).timestamp()


def assert_counted_once(one: Team, spent: Decimal, at: float) -> None:
    """Its devices cannot have cost more than they cost in that time; a scrape or two is between."""
    now, until = known_spend(one)
    assert 0 <= now - spent <= one.per_second * Decimal(until - at + 10)
