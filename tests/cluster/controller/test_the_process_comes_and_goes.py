"""`aibudget run` as a process: told to stop, killed, followed, and with a Prometheus that comes and goes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.exporter import Exporter
from aibudget.sandbox.process import free_port, wait_until
from aibudget.sandbox.prometheus import PrometheusServer

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[3]
NAMESPACE = "aibudget-system"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/aibudget"
BUDGET = "/apis/aibudget.io/v1alpha1/namespaces/default/aibudgets/watched"


class Replica:
    """One `aibudget run`, with the administrator's rights and a short interval."""

    def __init__(self, environment: dict[str, str], directory: Path) -> None:
        self.port = free_port()
        self.log = directory / f"replica-{self.port}.log"
        variables = {**environment, "AIBUDGET_BIND": f"127.0.0.1:{self.port}"}
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aibudget", "run"], env=variables, stdout=output, stderr=output
            )

    def metric(self, name: str) -> float | None:
        """The value of a metric without labels; None while it cannot be had."""
        try:
            text = requests.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5).text
        except requests.RequestException:
            return None
        lines = (line.split() for line in text.splitlines() if line.startswith(f"{name} "))
        return next((float(value) for _, value in lines), None)

    def answers(self, path: str) -> bool:
        """Whether a probe of it is well."""
        return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=5).ok

    def leads(self) -> bool:
        """Whether it says so, with a cycle behind it."""
        return self.metric("aibudget_leader") == 1 and (self.metric("aibudget_cycles_total") or 0) > 0

    def await_leading(self) -> None:
        """Its log is in the failure."""
        try:
            wait_until(self.leads, 60, "the replica to lead")
        except TimeoutError as late:
            raise AssertionError(self.log.read_text()) from late


Start = Callable[[], Replica]


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> ControlPlane:
    """CRDs, the operator's namespace and one budget."""
    client = control_plane.client
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        (crd,) = client.apply(path.read_text())
        served = f"/apis/aibudget.io/v1alpha1/{crd['spec']['names']['plural']}"
        wait_until(partial(client.exists, served), 30, f"{served} to be served")
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    budget: dict[str, Any] = {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIBudget",
        "metadata": {"name": "watched", "namespace": "default"},
        "spec": {"limit": {"amount": 100, "currency": "USD"}, "period": {"type": "Daily"}},
    }
    client.apply(budget)
    return control_plane


@pytest.fixture
def prometheus(
    installed: ControlPlane, prometheus_factory: Callable[..., PrometheusServer]
) -> Iterator[PrometheusServer]:
    """One that scrapes the cluster each second."""
    with installed.connect() as client, Exporter(client) as exporter:
        yield prometheus_factory(exporter.jobs())


@pytest.fixture
def start(installed: ControlPlane, prometheus: PrometheusServer, tmp_path: Path) -> Iterator[Start]:
    """Starts a replica; all of them share one ledger and end with the test."""
    environment = {
        **os.environ,
        "KUBECONFIG": str(installed.kubeconfig),
        "PYTHONPATH": str(ROOT / "operator"),
        "AIBUDGET_PROMETHEUS_URL": prometheus.url,
        "AIBUDGET_PROMETHEUS_TIMEOUT_SECONDS": "5",
        "AIBUDGET_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}",
        "AIBUDGET_INTERVAL_SECONDS": "1",
        # Long enough for a machine that stands still for a moment: none of these is to lose it by that.
        "AIBUDGET_LEASE_SECONDS": "8",
        "AIBUDGET_NAMESPACE": NAMESPACE,
    }
    with ExitStack() as running:

        def begin() -> Replica:
            replica = Replica(environment, tmp_path)
            running.callback(replica.process.wait)
            running.callback(replica.process.kill)
            return replica

        yield begin


def holder(plane: ControlPlane) -> str:
    """Whom the Lease names."""
    name: str = plane.client.get(LEASE)["spec"]["holderIdentity"]
    return name


def reason(plane: ControlPlane, condition: str) -> str:
    """The reason of a condition of the budget; "" while there is none."""
    conditions = plane.client.get(BUDGET).get("status", {}).get("conditions", ())
    return next((str(c["reason"]) for c in conditions if c["type"] == condition), "")


def test_told_to_stop_it_ends_with_0_and_gives_the_lease_back(installed: ControlPlane, start: Start) -> None:
    """Within the time that a rollout grants."""
    replica = start()
    replica.await_leading()
    assert holder(installed)
    replica.process.send_signal(signal.SIGTERM)
    assert replica.process.wait(timeout=30) == 0, replica.log.read_text()
    assert holder(installed) == ""


def test_a_standby_waits_healthy_and_takes_over_at_once(installed: ControlPlane, start: Start) -> None:
    """It speaks of no budgets until it leads."""
    first = start()
    first.await_leading()
    second = start()
    wait_until(lambda: second.metric("aibudget_leader") == 0, 60, "the standby to serve")
    wait_until(partial(second.answers, "/readyz"), 60, "the standby to be ready")
    assert second.answers("/healthz")
    first.process.send_signal(signal.SIGTERM)
    second.await_leading()
    assert first.process.wait(timeout=30) == 0
    second.process.send_signal(signal.SIGTERM)
    assert second.process.wait(timeout=30) == 0


def test_a_leader_that_lost_the_lease_ends_with_1(installed: ControlPlane, start: Start) -> None:
    """To be started again as a standby; until then it writes nothing more."""
    replica = start()
    replica.await_leading()
    stolen = {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 1}}
    installed.client.patch(LEASE, stolen)
    assert replica.process.wait(timeout=30) == 1
    assert "thief leads now" in replica.log.read_text()
    assert holder(installed) == "thief"


def test_killed_it_is_followed_and_nothing_is_told_twice(installed: ControlPlane, start: Start) -> None:
    """Another process goes on from what is stored."""
    first = start()
    first.await_leading()
    wait_until(lambda: reason(installed, "Ready") == "Reconciled", 30, "the first status")
    events = "/api/v1/namespaces/default/events"
    before = {event["metadata"]["uid"] for event in installed.client.items(events)}
    first.process.kill()
    second = start()
    second.await_leading()
    assert {event["metadata"]["uid"] for event in installed.client.items(events)} == before
    assert reason(installed, "Ready") == "Reconciled"


def test_a_prometheus_that_goes_and_comes_shows_in_data_fresh_alone(
    installed: ControlPlane, prometheus: PrometheusServer, start: Start
) -> None:
    """The process lives on, healthy, and so does Ready."""
    replica = start()
    replica.await_leading()
    prometheus.stop()
    wait_until(
        lambda: reason(installed, "DataFresh") == "UsageSourceUnavailable", 60, "the outage to be told"
    )
    assert reason(installed, "Ready") == "Reconciled"
    assert replica.answers("/healthz")
    prometheus.start()
    wait_until(lambda: reason(installed, "DataFresh") != "UsageSourceUnavailable", 60, "its end to be told")
    assert replica.process.poll() is None


def test_a_prometheus_that_hangs_does_not_keep_it_from_ending(
    installed: ControlPlane, prometheus: PrometheusServer, start: Start
) -> None:
    """Nor from renewing its Lease meanwhile."""
    replica = start()
    replica.await_leading()
    prometheus.signal(signal.SIGSTOP)
    try:
        wait_until(
            lambda: reason(installed, "DataFresh") == "UsageSourceUnavailable", 60, "the hang to be told"
        )
        assert replica.process.poll() is None
        assert holder(installed)
        replica.process.send_signal(signal.SIGTERM)
        assert replica.process.wait(timeout=30) == 0, replica.log.read_text()
    finally:
        prometheus.signal(signal.SIGCONT)


def test_its_log_is_one_json_object_a_line(installed: ControlPlane, start: Start) -> None:
    """Those of kopf and the other libraries, too."""
    replica = start()
    replica.await_leading()
    replica.process.send_signal(signal.SIGTERM)
    replica.process.wait(timeout=30)
    lines = [json.loads(line) for line in replica.log.read_text().splitlines()]
    assert lines
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    assert not [line for line in lines if line["level"] in ("WARNING", "ERROR")]


def test_a_bad_setting_ends_it_with_2_and_one_sentence(installed: ControlPlane) -> None:
    """Before anything is started."""
    variables = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "operator"),
        "AIBUDGET_PROMETHEUS_URL": "http://prometheus",
        "AIBUDGET_INTERVAL_SECONDS": "5m",
    }
    ran = subprocess.run(
        [sys.executable, "-m", "aibudget", "run"], env=variables, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "AIBUDGET_INTERVAL_SECONDS is '5m'" in ran.stderr
    assert "Traceback" not in ran.stderr
