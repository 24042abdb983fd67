"""A namespace is frozen and blocked by the operator with the chart's rights, and let go again."""

import pytest

from aibudget.sandbox.client import JsonObject
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.process import wait_until
from e2e.conftest import MakeTeam
from e2e.team import LITTLE, PATIENCE, PLENTY

pytestmark = pytest.mark.e2e

FENCES = "/api/v1/namespaces/aibudget-system/configmaps/aibudget-fences"


def test_a_team_over_its_budget_grows_no_more(sandbox: Sandbox, team: MakeTeam) -> None:
    """What runs stays, more is refused with the reason; with the limit raised all is as before."""
    one = team("team-fences")
    client = sandbox.control_plane.client
    quota = f"/api/v1/namespaces/{one.name}/resourcequotas/aibudget-freeze"
    one.await_running()
    one.budget(LITTLE, actions=["Notify", "Freeze", "Block"])

    wait_until(lambda: _in_force(one.holds()) == 2, PATIENCE, "both Holds to be in force")
    assert client.get(quota)["spec"]["hard"]["requests.nvidia.com/gpu"] == str(one.wanted)
    limits = {"limits": {"nvidia.com/gpu": "1"}}
    pod = {
        "metadata": {"name": "more"},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": limits}]},
    }
    refused = client.request("POST", f"/api/v1/namespaces/{one.name}/pods", pod)
    assert refused.status_code == 403
    assert "AIBudget limits (threshold over" in refused.json()["message"]
    assert one.replicas() == one.wanted
    wait_until(
        lambda: one.condition("Enforced").get("reason") == "NamespacesFenced", PATIENCE, "the status to tell"
    )
    assert one.status()["holds"]["active"] == 2
    reasons = {event["reason"] for event in client.items(f"/api/v1/namespaces/{one.name}/events")}
    assert {"NamespaceFrozen", "NamespaceBlocked"} <= reasons

    one.budget(PLENTY, actions=["Notify", "Freeze", "Block"])

    wait_until(lambda: not one.holds(), PATIENCE, "the Holds to go")
    assert not client.exists(quota)
    assert one.name not in client.get(FENCES).get("data", {})


def _in_force(holds: list[JsonObject]) -> int:
    conditions = [one for hold in holds for one in hold.get("status", {}).get("conditions", [])]
    return len([one for one in conditions if one["type"] == "Effective" and one["status"] == "True"])
