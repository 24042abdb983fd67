"""Prometheus away, hanging, replaced or fed nonsense: it is said, and nothing is done for lack of data."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import partial

import pytest

from aibudget.sandbox.client import JsonObject, object_path
from aibudget.sandbox.exporter import Faults
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.process import wait_until
from e2e.conftest import Instead, MakeTeam
from e2e.impostor import Impostor, Page
from e2e.team import H100, LITTLE, PATIENCE, PLENTY, Team, await_cycles

pytestmark = pytest.mark.e2e

LEASE = "/apis/coordination.k8s.io/v1/namespaces/aibudget-system/leases/aibudget"
CENT = Decimal("0.01")


@pytest.fixture(scope="module")
def held(sandbox: Sandbox) -> Iterator[Team]:
    """A team that is over its limit and held; tests leave it so."""
    one = Team(sandbox.control_plane.client, "over-its-limit")
    one.budget(LITTLE)
    one.await_held()
    yield one
    one.close()


def test_an_outage_stops_nothing_and_releases_nothing(sandbox: Sandbox, held: Team, team: MakeTeam) -> None:
    """What would cross a limit and what would be given back both wait until usage is known again."""
    near = team("near-its-limit", product=H100, gpus=4)
    near.budget(PLENTY)
    near.await_spending()
    near.budget(near.spent() + 12 * CENT)
    wait_until(near.is_evaluated, PATIENCE, "the new limit to be looked at")
    (before,) = held.holds()

    with outage(sandbox) as began:
        held.budget(PLENTY)
        wait_until(lambda: not is_fresh(held) and held.is_evaluated(), 30, "the outage to be noticed")
        wait_until(lambda: not is_fresh(near), 30, "the outage to be noticed")
        known = near.spent()
        crossing = began + float(12 * CENT / near.per_second)
        wait_until(lambda: time.time() > crossing, 30, "the limit to be crossed unseen")
        await_cycles(sandbox.operator)
        assert held.condition("DataFresh")["reason"] == "UsageSourceUnavailable"
        assert "cannot be reached" in held.condition("DataFresh")["message"]
        assert held.condition("Ready")["status"] == "True"
        held.assert_held()
        assert held.holds()[0]["metadata"]["uid"] == before["metadata"]["uid"]
        assert near.condition("Ready")["status"] == "True"
        assert near.threshold() == "Below"
        assert near.spent() == known
        assert near.holds() == []
        unseen = Decimal(time.time() - began)

    near.await_held()
    held.await_free()
    held.budget(LITTLE)
    held.await_held()
    wait_until(lambda: is_fresh(held) and is_fresh(near), PATIENCE, "the data to be fresh")
    # Nothing was scraped meanwhile and nothing comes back of it; so short a gap is filled from its two sides.
    assert near.spent() >= known + near.per_second * unseen - CENT


def test_a_prometheus_that_hangs_costs_no_lease(sandbox: Sandbox, held: Team, instead: Instead) -> None:
    """Queries run into their time-out; the cycles, the Lease and what is held go on."""
    with instead({"AIBUDGET_PROMETHEUS_TIMEOUT_SECONDS": "1"}) as operator:
        led = sandbox.control_plane.client.get(LEASE)["spec"]
        sandbox.prometheus.signal(signal.SIGSTOP)
        try:
            wait_until(lambda: not is_fresh(held), 30, "the silence to be noticed")
            assert "did not answer within" in message(held)
            await_cycles(operator, 3)
            held.assert_held()
            assert held.condition("Ready")["status"] == "True"
            leads = sandbox.control_plane.client.get(LEASE)["spec"]
            assert leads["holderIdentity"] == led["holderIdentity"]
            assert leads["leaseTransitions"] == led["leaseTransitions"]
        finally:
            sandbox.prometheus.signal(signal.SIGCONT)
        wait_until(lambda: is_fresh(held), 30, "the data to be fresh")


def success(result: object, **more: object) -> bytes:
    return json.dumps(
        {"status": "success", "data": {"resultType": "scalar", "result": result}, **more}
    ).encode()


PAGES = {
    "a login page": (Page(b"<html>Log in</html>", content_type="text/html"), "does not answer as Prometheus"),
    "a proxy's error": (Page(b"<html>Bad Gateway</html>", 502, "text/html"), "status 502"),
    "garbage": (Page(b"\x00\xff{]"), "application/json"),
    "a part of the data": (Page(success([0, "1"], warnings=["store-7 is down"])), "store-7 is down"),
    "an error": (
        Page(b'{"status":"error","errorType":"internal","error":"head is corrupt"}', 500),
        "head is corrupt",
    ),
    "another document": (Page(success({"cpu": "busy"})), "no time came back"),
    "a time that is none": (Page(success([0, "NaN"])), "time() is nan"),
}


def test_an_impostor_is_not_believed(sandbox: Sandbox, held: Team) -> None:
    """Whatever answers in Prometheus's place is told in DataFresh, and changes neither spend nor Hold."""
    unsaid: dict[str, str] = {}
    with outage(sandbox):
        wait_until(lambda: not is_fresh(held), 30, "the outage to be noticed")
        known = held.spent()
        with Impostor(sandbox.prometheus.port, PAGES["a login page"][0]) as impostor:
            for name, (page, words) in PAGES.items():
                impostor.page = page
                try:
                    wait_until(partial(says, held, words), 20, f"{name} to be told")
                except TimeoutError:
                    unsaid[name] = message(held)
        assert unsaid == {}
        assert held.spent() == known
        assert held.condition("Ready")["status"] == "True"
        held.assert_held()
    wait_until(lambda: is_fresh(held), 30, "the data to be fresh")


FAULTS = {
    "no number of devices": (
        Faults(nan_families=frozenset({"kube_pod_container_resource_requests"})),
        "no count of devices",
    ),
    "no phases": (
        Faults(silent_families=frozenset({"kube_pod_status_phase"})),
        "kube_pod_status_phase was missing",
    ),
    "no owners": (
        Faults(silent_families=frozenset({"kube_pod_owner"})),
        "no known owner",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_nonsense_from_an_exporter_is_said(sandbox: Sandbox, held: Team, team: MakeTeam, fault: str) -> None:
    """DataFresh names the metric at fault; spend does not shrink, and what is held stays held."""
    faults, words = FAULTS[fault]
    spent = held.spent()
    sandbox.exporter.faults = faults
    try:
        # Owners that were seen once are remembered; only who comes now is a stranger.
        team("a-stranger" if fault == "no owners" else "another")
        wait_until(partial(says, held, words), 30, f"{fault} to be told")
        held.assert_held()
        assert held.spent() >= spent
        assert held.condition("Ready")["status"] == "True"
    finally:
        sandbox.exporter.faults = Faults()


def test_two_kube_state_metrics_bill_once(sandbox: Sandbox, team: MakeTeam) -> None:
    """During a roll-over two instances tell the same; nothing fails and nothing is counted twice."""
    busy = team("told-twice", product=H100, gpus=4)
    busy.budget(PLENTY)
    busy.await_spending()
    sandbox.prometheus.scrape(sandbox.exporter.jobs(ksm_instances=2))
    try:
        two = 'count(count by (instance) (kube_node_info{job="kube-state-metrics"})) == 2'
        wait_until(lambda: bool(sandbox.prometheus.query(two)), PATIENCE, "both to be scraped")
        assert_billed_on(busy)
    finally:
        sandbox.prometheus.scrape(sandbox.exporter.jobs())


def test_node_labels_that_vanish_are_remembered(sandbox: Sandbox, team: MakeTeam) -> None:
    """A kube-state-metrics that forgets node labels does not make running devices free."""
    busy = team("unlabelled", product=H100, gpus=4)
    busy.budget(PLENTY)
    busy.await_spending()
    sandbox.exporter.faults = Faults(silent_families=frozenset({"kube_node_labels"}))
    try:
        # The past was written without stale markers and lasts for five minutes.
        told = "timestamp(kube_node_labels) > time() - 5"
        wait_until(lambda: not sandbox.prometheus.query(told), PATIENCE, "the labels to be gone")
        assert_billed_on(busy)
    finally:
        sandbox.exporter.faults = Faults()


def test_a_meter_that_prometheus_refuses_stalls_alone(sandbox: Sandbox) -> None:
    """Its status has Prometheus's words; the meter beside it is read, priced and in its budget's spend."""
    client = sandbox.control_plane.client
    seats = '$held(kube_pod_container_resource_requests{resource="nvidia_com_gpu",namespace="platform"})'
    broken = meter("broken", "rate(kube_node_info)")
    objects = [broken, meter("seats", seats), SEAT_PRICES, SEAT_BUDGET]
    try:
        for one in objects:
            client.apply(one)
        wait_until(lambda: bool(condition(client.get(object_path(broken)), "Stalled")), 30, "the bad one")
        said = condition(client.get(object_path(broken)), "Stalled")
        assert said["reason"] == "QueryRefused"
        assert "parse error" in said["message"]
        assert "got instant vector" in said["message"]
        # A month of one seat at a million an hour: no device costs so much.
        wait_until(lambda: spend_of(client.get(object_path(SEAT_BUDGET))) > 100_000, 30, "the seats' cost")
        found = client.get(object_path(objects[1]))
        assert condition(found, "Ready")["status"] == "True"
        assert condition(found, "DataFresh")["status"] == "True"
        assert found["status"]["lines"] == 1
        # An edit that is refused loses nothing: what was counted before goes on.
        client.apply(meter("seats", "count(kube_node_info)"))
        wait_until(lambda: bool(condition(client.get(object_path(objects[1])), "Stalled")), 30, "the edit")
        assert condition(client.get(object_path(objects[1])), "Stalled")["reason"] == "LabelsMissing"
        await_cycles(sandbox.operator)
        assert spend_of(client.get(object_path(SEAT_BUDGET))) > 100_000
    finally:
        for one in objects:
            client.delete(object_path(one))


def meter(name: str, query: str) -> JsonObject:
    """An AIMeter of what is held."""
    source = {"name": "held", "query": query}
    return {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIMeter",
        "metadata": {"name": name},
        "spec": {"unit": "Seat-Hours", "type": "Gauge", "sources": [source]},
    }


SEAT_PRICES: JsonObject = {
    "apiVersion": "aibudget.io/v1alpha1",
    "kind": "AIPriceList",
    "metadata": {"name": "seats"},
    "spec": {
        "currency": "USD",
        "rates": [
            {
                "name": "seat",
                "meter": "seats",
                "unit": "Seat-Hours",
                "price": 1_000_000,
                "from": "2026-01-01T00:00:00Z",
            }
        ],
    },
}
SEAT_BUDGET: JsonObject = {
    "apiVersion": "aibudget.io/v1alpha1",
    "kind": "AIBudget",
    "metadata": {"name": "seats", "namespace": "platform"},
    "spec": {"limit": {"amount": 999_999_999_999, "currency": "USD"}},
}


def spend_of(budget: JsonObject) -> Decimal:
    return Decimal(budget.get("status", {}).get("spend", {}).get("amount", 0))


def condition(obj: JsonObject, kind: str) -> JsonObject:
    found: list[JsonObject] = obj.get("status", {}).get("conditions", [])
    return next((one for one in found if one["type"] == kind), {})


def assert_billed_on(team: Team, seconds: int = 10) -> None:
    """Spend grows as its devices cost, neither more nor less, on fresh data."""
    since, before = as_of(team), team.spent()
    wait_until(lambda: as_of(team) > since + seconds, 60, f"{seconds} s to be counted")
    until, after = as_of(team), team.spent()
    assert abs(after - before - team.per_second * Decimal(until - since)) <= 2 * CENT
    assert is_fresh(team)


@contextmanager
def outage(sandbox: Sandbox) -> Iterator[float]:
    """Prometheus is away within; gives when it went."""
    sandbox.prometheus.stop()
    try:
        yield time.time()
    finally:
        sandbox.prometheus.start()


def is_fresh(team: Team) -> bool:
    return bool(team.condition("DataFresh").get("status") == "True")


def says(team: Team, words: str) -> bool:
    return words in message(team)


def message(team: Team) -> str:
    return str(team.condition("DataFresh").get("message", ""))


def as_of(team: Team) -> float:
    """Up to when usage is in the status, Unix seconds."""
    return datetime.fromisoformat(team.status()["spend"]["asOfTime"]).timestamp()
