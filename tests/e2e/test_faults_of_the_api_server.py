"""The API server that crashes, and objects in it that no model accepts."""

from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import requests

from aibudget.sandbox.client import KubernetesClient, object_path
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.process import wait_until
from e2e.conftest import Instead, MakeTeam
from e2e.team import LITTLE, PLENTY, Team, await_cycles

pytestmark = pytest.mark.e2e

JsonObject = dict[str, Any]

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def test_a_crash_of_the_api_server_in_the_grace_period(
    sandbox: Sandbox, team: MakeTeam, instead: Instead
) -> None:
    """The notice outlives the API server and the leader, who steps down meanwhile; then the act follows."""
    client, one = sandbox.control_plane.client, team("crashed-upon")
    with instead() as operator:
        one.budget(LITTLE, grace=5)
        wait_until(lambda: bool(one.holds()), 60, "notice to be given")
        (notice,) = one.holds()
        assert one.replicas() == 1
        assert operator.process is not None
        sandbox.control_plane.stop_api_server()
        try:
            leader = operator.process
            wait_until(lambda: not leader.alive, 30, "the leader to step down")
        finally:
            sandbox.control_plane.start_api_server()
            # Custom resources come a moment after the rest.
            wait_until(lambda: client.exists("/apis/aibudget.io/v1alpha1/holds"), 30, "Holds to be served")
        one.await_held()
        one.assert_held()
        assert one.holds()[0]["metadata"]["uid"] == notice["metadata"]["uid"]
        one.budget(PLENTY)
        one.await_free()


POISON = (
    {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIBudget",
        "metadata": {"name": "poison", "namespace": "poisoned"},
        "spec": {
            "limit": {"amount": "5", "currency": "USD"},
            "thresholds": [{"name": "over", "percent": 100, "actions": ["Explode"]}],
        },
    },
    {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIPriceList",
        "metadata": {"name": "poison"},
        "spec": {
            "currency": "USD",
            "rates": [
                {
                    "name": "l4",
                    "meter": "gpu",
                    "unit": "GPU-Fortnights",
                    "price": "1",
                    "from": "2026-01-01T00:00:00Z",
                }
            ],
        },
    },
    {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "Hold",
        "metadata": {"name": "poison", "namespace": "poisoned"},
        "spec": {"targetRef": {"kind": "Deployment", "name": "model"}, "claims": "mine"},
    },
)
UNSPEAKABLE = {
    "apiVersion": "aibudget.io/v1alpha1",
    "kind": "AIBudget",
    "metadata": {"name": "unspeakable", "namespace": "poisoned"},
    "spec": {"limit": {"amount": "a lot", "currency": "USD"}},
}
"""A rule of the CRD fails on it even where it does not change: the API server takes no status for it."""


def test_poisonous_objects_stop_no_other(sandbox: Sandbox, team: MakeTeam) -> None:
    """Stored under an older, looser CRD: each is told of with a reason, and other budgets are enforced."""
    client = sandbox.control_plane.client
    poisoned, healthy = team("poisoned"), team("healthy")
    try:
        for manifest in (*POISON, UNSPEAKABLE):
            smuggle(client, manifest)
        healthy.budget(LITTLE)
        healthy.await_held()
        for path in map(object_path, POISON[:2]):
            wait_until(partial(is_stalled, client, path), 30, f"{path} to be Stalled")
        wait_until(lambda: "unspeakable" in invalid(client, poisoned), 30, "the Event of the unspeakable")
        poisoned.budget(LITTLE)
        poisoned.await_held()
        healthy.budget(PLENTY)
        healthy.await_free()
    finally:
        for manifest in (*POISON, UNSPEAKABLE):
            client.delete(object_path(manifest))


def test_a_budget_in_another_currency_stalls_alone(sandbox: Sandbox, team: MakeTeam) -> None:
    """There are no prices in euros: nothing is acted on for it, and its neighbour is held."""
    foreign, other = team("in-euros"), team("in-dollars")
    foreign.budget(LITTLE, currency="EUR")
    other.budget(LITTLE)
    other.await_held()
    wait_until(lambda: bool(foreign.condition("Stalled")), 30, "the euros to be Stalled")
    assert foreign.condition("Stalled")["reason"] == "MixedCurrencies"
    assert foreign.condition("Ready")["status"] == "False"
    await_cycles(sandbox.operator)
    assert foreign.holds() == []
    foreign.assert_untouched()


def smuggle(client: KubernetesClient, manifest: JsonObject) -> None:
    """Store an object that its CRD refuses, while the CRD takes any spec."""
    path = object_path(manifest)
    definition = f"{DEFINITIONS}/{path.split('/')[-2]}.aibudget.io"
    strict = client.get(definition)["spec"]["versions"]
    loose = deepcopy(strict)
    for version in loose:
        version.pop("selectableFields", None)
        schema = version["schema"]["openAPIV3Schema"]
        schema["properties"]["spec"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    client.patch(definition, {"spec": {"versions": loose}})
    try:
        wait_until(lambda: is_taken(client, manifest), 30, f"{path} to be taken")
    finally:
        client.patch(definition, {"spec": {"versions": strict}})
    other = {**manifest, "metadata": {**manifest["metadata"], "name": "probe"}}
    wait_until(lambda: not is_taken(client, other, dry=True), 30, "the CRD to be strict again")


def is_taken(client: KubernetesClient, manifest: JsonObject, *, dry: bool = False) -> bool:
    collection = object_path(manifest).rpartition("/")[0]
    answer = client.request("POST", collection, manifest, params={"dryRun": "All"} if dry else None)
    return bool(answer.status_code == requests.codes.created)


def is_stalled(client: KubernetesClient, path: str) -> bool:
    """Whether its status says that the spec is at fault."""
    conditions: list[JsonObject] = client.get(path).get("status", {}).get("conditions", [])
    return any(one["type"] == "Stalled" and one["reason"] == "InvalidSpec" for one in conditions)


def invalid(client: KubernetesClient, team: Team) -> set[str]:
    """The objects of the team's namespace of which an Event says that they are not valid."""
    events = client.items(f"/api/v1/namespaces/{team.name}/events")
    return {event["involvedObject"]["name"] for event in events if event["reason"] == "InvalidSpec"}
