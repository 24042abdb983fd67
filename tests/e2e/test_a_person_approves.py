"""Mode Approve with a running operator and the chart's policies: asked, approved, vetoed, and told."""

from collections import Counter

import pytest
from click.testing import CliRunner, Result

from aibudget.cli.main import cli
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.process import wait_until
from e2e.conftest import MakeTeam
from e2e.team import LITTLE, PATIENCE, Team, await_cycles

pytestmark = pytest.mark.e2e


def test_asked_then_approved_then_vetoed(sandbox: Sandbox, team: MakeTeam) -> None:
    """Nothing happens unasked; each decision is carried out, and told once on the workload and the budget."""
    asked = team("asked")
    asked.await_running()
    asked.budget(LITTLE, mode="Approve")
    wait_until(lambda: bool(asked.holds()), PATIENCE, "a person to be asked")
    wait_until(
        lambda: asked.condition("Enforced").get("reason") == "AwaitingApproval", PATIENCE, "the status"
    )
    await_cycles(sandbox.operator, 3)
    asked.assert_untouched()
    assert asked.status()["holds"] == {"active": 0, "pending": 1}
    assert decided(asked) == [("Pending", None)]

    approved = aibudget(sandbox, "approve", "-n", "asked", "deployment/model")
    assert approved.exit_code == 0, approved.output
    asked.await_held()
    assert decided(asked) == [("Approved", "admin")]
    assert "Approved by admin" in aibudget(sandbox, "holds", "-n", "asked").stdout

    vetoed = aibudget(sandbox, "veto", "-n", "asked", "deployment/model")
    assert vetoed.exit_code == 0, vetoed.output
    asked.await_free()
    await_cycles(sandbox.operator, 3)
    told = Counter(
        (event["reason"], event["involvedObject"]["kind"])
        for event in sandbox.control_plane.client.items("/api/v1/namespaces/asked/events")
    )
    for reason in (
        "ApprovalRequested",
        "HoldApproved",
        "WorkloadScaledDown",
        "HoldVetoed",
        "WorkloadRestored",
    ):
        assert (told[reason, "Deployment"], told[reason, "AIBudget"]) == (1, 1), reason


def decided(team: Team) -> list[tuple[str, str | None]]:
    """The decisions of its only Hold, and whose they are."""
    (hold,) = team.holds()
    return [(claim["decision"], claim.get("decidedBy")) for claim in hold["spec"]["claims"]]


def aibudget(sandbox: Sandbox, *arguments: str) -> Result:
    """The program at the administrator's terminal."""
    return CliRunner().invoke(cli, [*arguments, "--kubeconfig", str(sandbox.control_plane.kubeconfig)])
