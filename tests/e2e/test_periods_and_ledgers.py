"""Ledgers that are lost, leaders that die, periods that end, and the ways out that people have."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aibudget.controller.accounts import Accounts
from aibudget.controller.books import Books
from aibudget.controller.cache import WATCHED, Cache, read_all
from aibudget.controller.cycle import Cycle
from aibudget.controller.parts import Parts
from aibudget.controller.reporter import Reporter
from aibudget.controller.sources import GpuSource, Upstream
from aibudget.enforcement.cluster import Enforcer, Limits
from aibudget.inventory.kubernetes import Cluster
from aibudget.ledger.store import Ledger
from aibudget.metering.catalogue import GPU
from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.metering.scene import MeterSettings
from aibudget.reporting.snapshot import Snapshot
from aibudget.sandbox.client import KubernetesClient
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.operator import NAMESPACE, Operator
from aibudget.sandbox.process import free_port, wait_until
from e2e.conftest import Instead, MakeTeam, followed
from e2e.team import LITTLE, PLENTY, await_cycles, metric

pytestmark = pytest.mark.e2e

JsonObject = dict[str, Any]

LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/aibudget"
SWITCH = f"/api/v1/namespaces/{NAMESPACE}/configmaps/aibudget-kill-switch"
CHAT = "/apis/apps/v1/namespaces/team-nlp/deployments/chat"
HOLDS = "/apis/aibudget.io/v1alpha1/namespaces/team-nlp/holds"
LOST = "/apis/aibudget.io/v1alpha1/namespaces/team-nlp/aibudgets/lost-ledger"


def test_a_lost_ledger_releases_nothing(sandbox: Sandbox, instead: Instead, tmp_path: Path) -> None:
    """With an empty ledger a month's spend looks low until it is read again; what is held stays held."""
    client = sandbox.control_plane.client
    with (
        instead({"AIBUDGET_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}"}) as operator,
        budget_of_chat(client),
    ):
        wait_until(lambda: is_complete(client), 120, "the month to be read")
        spent = amount(client)
        limit = {"spec": {"limit": {"amount": str(spent - 1)}}}
        client.patch(LOST, limit)
        wait_until(lambda: replicas(client) == 0, 60, "the chat to be held")
        (held,) = client.items(HOLDS)

        # Its status may not have been written yet: then nothing but the Hold tells that it was crossed.
        operator.kill()
        for part in tmp_path.glob("ledger.db*"):
            part.unlink()
        operator.start()
        lowest = spent

        def is_known_again() -> bool:
            nonlocal lowest
            lowest = min(lowest, amount(client))
            # It must have looked low in between for this to mean anything.
            return lowest < spent - 1 and is_complete(client) and amount(client) >= spent

        wait_until(is_known_again, 120, "the month to be read again")
        await_cycles(operator)
        assert replicas(client) == 0
        (still,) = client.items(HOLDS)
        assert still["metadata"]["uid"] == held["metadata"]["uid"], "it must not have been released meanwhile"
        client.patch(LOST, {"spec": {"limit": {"amount": PLENTY}}})
        wait_until(lambda: replicas(client) == 2, 60, "the chat to be given back")


def test_only_the_leader_acts_and_another_follows(
    sandbox: Sandbox, team: MakeTeam, instead: Instead, tmp_path: Path
) -> None:
    """A standby with a ledger of its own writes nothing; when the leader is killed it goes on."""
    client = sandbox.control_plane.client
    first, second = team("led-first"), team("led-second")
    own = followed(f"sqlite:///{tmp_path / 'ledger.db'}")
    standby = Operator(sandbox.control_plane, tmp_path, identity="standby", environment=own)
    with instead() as leader, standby:
        first.budget(LITTLE)
        first.await_held()
        (hold,) = first.holds()
        assert metric(leader, "aibudget_leader") == 1
        assert metric(standby, "aibudget_leader") == 0
        assert metric(standby, "aibudget_cycles_total") == 0
        assert metric(standby, "aibudget_status_writes_total") == 0

        leader.kill()
        wait_until(lambda: metric(standby, "aibudget_cycles_total") > 0, 60, "the standby to lead")
        assert client.get(LEASE)["spec"]["holderIdentity"].startswith("standby")
        second.budget(LITTLE)
        second.await_held()
        first.assert_held()
        assert first.holds()[0]["metadata"]["uid"] == hold["metadata"]["uid"]
        first.budget(PLENTY)
        wait_until(lambda: first.is_evaluated(), 120, "the month to be read by the new leader")
        first.await_free()


def test_the_kill_switch_stops_new_acts_alone(sandbox: Sandbox, team: MakeTeam) -> None:
    """While its ConfigMap is there nothing is held anew; what is held, here for a cap, can be given back."""
    client = sandbox.control_plane.client
    held, spared = team("held-before"), team("spared-by-switch")
    held.budget(PLENTY, hours=LITTLE)
    held.await_held()
    assert held.status()["spend"]["measure"] == "hours"
    with switched(client):
        spared.budget(LITTLE)
        wait_until(lambda: spared.threshold() == "Active", 60, "the limit to be crossed")
        held.budget(PLENTY, hours=PLENTY)
        held.await_free()
        await_cycles(sandbox.operator)
        assert spared.holds() == []
        spared.assert_untouched()
    spared.await_held()


def test_release_all_needs_no_operator(sandbox: Sandbox, team: MakeTeam) -> None:
    """With the operator down all comes back; when it returns, nothing is held until the switch is off."""
    client = sandbox.control_plane.client
    held = team("released-by-hand")
    held.budget(LITTLE)
    held.await_held()
    sandbox.operator.stop()
    try:
        environment = {
            **os.environ,
            "KUBECONFIG": str(sandbox.control_plane.kubeconfig),
            "PYTHONPATH": str(Path(__file__).parents[2] / "operator"),
        }
        command = [sys.executable, "-m", "aibudget", "release", "--all", "--yes"]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert "released-by-hand" in ran.stdout
        held.await_free()
    finally:
        sandbox.operator.start()
    try:
        await_cycles(sandbox.operator)
        assert held.holds() == []
        held.assert_untouched()
    finally:
        client.delete(SWITCH)
    held.await_held()


def test_a_deleted_budget_gives_back(team: MakeTeam) -> None:
    """The claim of a budget that is no more holds nothing."""
    held = team("unbudgeted")
    held.budget(LITTLE)
    held.await_held()
    held.forget_budget()
    held.await_free()


@pytest.mark.parametrize("data", ["fresh", "stale"])
def test_the_end_of_a_period_gives_back(sandbox: Sandbox, team: MakeTeam, tmp_path: Path, data: str) -> None:
    """It comes by the clock: a cycle after the boundary releases, whether or not usage is known."""
    daily, fixed = team(f"daily-{data}"), team(f"fixed-{data}")
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow = midnight + timedelta(days=1)
    daily.budget(LITTLE, period={"type": "Daily", "timeZone": "UTC"})
    dates = {"startTime": midnight, "endTime": tomorrow}
    fixed.budget(LITTLE, period={"type": "Fixed"} | {k: f"{v:%Y-%m-%dT%H:%M:%SZ}" for k, v in dates.items()})
    daily.await_held()
    fixed.await_held()
    sandbox.operator.stop()
    try:
        url = sandbox.prometheus.url if data == "fresh" else f"http://127.0.0.1:{free_port()}"
        snapshot = asyncio.run(cycles(sandbox, tmp_path, url, (tomorrow + timedelta(minutes=1)).timestamp()))
        assert bool(snapshot.counters.query_errors) == (data == "stale")
        for one in (daily, fixed):
            assert one.replicas() == 1
            assert one.holds() == []
            one.assert_untouched()
    finally:
        daily.forget_budget()
        fixed.forget_budget()
        sandbox.operator.start()


async def cycles(sandbox: Sandbox, directory: Path, prometheus_url: str, now: float) -> Snapshot:
    """Two cycles of the operator's own parts at another time, with its rights and an empty ledger."""
    with (
        ThreadPoolExecutor(max_workers=1) as worker,
        Prometheus(PrometheusSettings(prometheus_url, timeout=5)) as prometheus,
    ):
        async with await Cluster.connect(sandbox.operator.kubeconfig) as cluster:
            cache = Cache()
            for resource in WATCHED:
                known = cache.before_list(resource)
                cache.replace(resource, read_all(resource, await cluster.list(resource)), known)
            parts = Parts(
                cache=cache,
                books=worker.submit(books, prometheus, f"sqlite:///{directory / 'ledger.db'}").result(),
                enforcer=Enforcer(cluster, Limits(NAMESPACE), lambda: True),
                reporter=Reporter(cluster, "the-day-after"),
                worker=worker,
            )
            cycle = Cycle(parts)
            # Whoever writes in between, as controllers do, is followed in the next one.
            await cycle.run_once(now)
            return await cycle.run_once(now)


def books(prometheus: Prometheus, url: str) -> Books:
    ledger = Ledger.open(url, "default")
    upstream = Upstream(prometheus, MeterSettings(), ledger, time.time)
    accounts = Accounts(GPU.name, GpuSource(upstream), ledger, ledger.take_over())
    return Books([accounts], upstream.begin)


@contextmanager
def budget_of_chat(client: KubernetesClient) -> Iterator[None]:
    """A budget over team-nlp, which has a month of spending behind it."""
    spec: JsonObject = {
        "limit": {"amount": PLENTY, "currency": "USD"},
        "thresholds": [{"name": "over", "percent": 100, "actions": ["ScaleDown"]}],
        "enforcement": {"mode": "Enforce", "gracePeriodSeconds": 0, "onAlreadyCrossed": "Enforce"},
    }
    metadata = {"name": "lost-ledger", "namespace": "team-nlp"}
    client.apply(
        {"apiVersion": "aibudget.io/v1alpha1", "kind": "AIBudget", "metadata": metadata, "spec": spec}
    )
    try:
        yield
    finally:
        client.delete(LOST)
        wait_until(lambda: replicas(client) == 2, 60, "the chat to be given back")


def is_complete(client: KubernetesClient) -> bool:
    """Whether the budget of the chat is evaluated on its whole period."""
    status = client.get(LOST).get("status", {})
    conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
    return conditions.get("Ready") == "True" and "Reconciling" not in conditions


def amount(client: KubernetesClient) -> Decimal:
    """What the budget of the chat says is spent."""
    return Decimal(client.get(LOST).get("status", {}).get("spend", {}).get("amount", 0))


def replicas(client: KubernetesClient) -> int:
    return int(client.get(CHAT)["spec"]["replicas"])


@contextmanager
def switched(client: KubernetesClient) -> Iterator[None]:
    """The kill switch is set within."""
    metadata = {"name": "aibudget-kill-switch", "namespace": NAMESPACE}
    client.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    try:
        yield
    finally:
        client.delete(SWITCH)
