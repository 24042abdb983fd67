"""A Deployment is held and comes back, and everybody else's tools keep working on it."""

import json

import pytest

from aibudget.api.names import BUDGET_ANNOTATION, HOLD_LABEL, ORIGINAL_ANNOTATION, STATE_ANNOTATION
from cluster.enforcement.conftest import REPLICAS, Story

pytestmark = pytest.mark.cluster


def test_held_and_given_back(story: Story) -> None:
    """Over the threshold it is at 0, ours and marked; with the limit raised it is as it was, and nobody's."""
    story.deploy(manager="flux")
    budget = story.budget()

    first = story.cycle(budget)

    assert [act.reason for act in first.acts] == ["ScaleDownNotice", "WorkloadScaledDown"]
    assert story.replicas() == 0
    assert story.owners() == ["aibudget"]
    (hold,) = story.holds()
    assert hold["spec"]["original"] == [{"path": "/spec/replicas", "json": str(REPLICAS)}]
    assert hold["status"]["avoidedCostPerHour"] == "4.12"
    metadata = story.deployment()["metadata"]
    assert metadata["labels"][HOLD_LABEL] == hold["metadata"]["name"]
    assert json.loads(metadata["annotations"][ORIGINAL_ANNOTATION])["hold"] == hold["metadata"]["uid"]
    assert metadata["annotations"][BUDGET_ANNOTATION] == "AIBudget/training"
    assert metadata["annotations"][STATE_ANNOTATION] == "LimitExceeded"
    story.wait_for_pods(0)
    story.cycle(budget)
    assert story.conditions() == {"Applied": "True", "Effective": "True"}

    last = story.cycle(story.relaxed(budget))

    assert [act.reason for act in last.acts] == ["WorkloadRestored"]
    assert story.replicas() == REPLICAS
    assert story.owners() == []
    assert story.holds() == []
    story.wait_for_pods(REPLICAS)
    metadata = story.deployment()["metadata"]
    assert not [key for key in (*metadata.get("labels", {}), *metadata["annotations"]) if "aibudget" in key]
    story.ctl(
        "apply", "--server-side", "--field-manager=flux", "-f-", stdin=json.dumps(story.manifest(replicas=5))
    )
    assert story.owners() == ["flux"]


def test_client_side_apply_while_held(story: Story) -> None:
    """`kubectl apply` of something else leaves the hold alone; its own replicas count as a revert."""
    workload = story.deploy(manager="sandbox")
    budget = story.budget()
    story.cycle(budget)
    labelled = story.manifest(replicas=None, labels={"tier": "blue"})
    story.ctl("apply", "-f-", stdin=json.dumps(labelled))
    assert story.replicas() == 0
    assert story.cycle(budget).acts == ()

    story.ctl("apply", "-f-", stdin=json.dumps(story.manifest(replicas=REPLICAS)))
    story.wait_for_pods(REPLICAS)
    again = story.cycle(budget)

    assert [(act.workload, act.reason) for act in again.acts] == [
        (workload, "EnforcementReverted"),
        (workload, "WorkloadScaledDown"),
    ]
    assert "kubectl-client-side-apply" in again.acts[0].message
    assert story.replicas() == 0


def test_server_side_apply_conflicts_instead_of_restoring(story: Story) -> None:
    """A GitOps tool that does not force is told who holds the field; one that forces wins in the end."""
    story.deploy(manager="flux")
    budget = story.budget()
    story.cycle(budget)
    apply = ("apply", "--server-side", "--field-manager=flux", "-f-")
    with pytest.raises(AssertionError, match='conflict with "aibudget"'):
        story.ctl(*apply, stdin=json.dumps(story.manifest()))
    told = story.contested(
        budget, lambda: story.ctl(*apply, "--force-conflicts", stdin=json.dumps(story.manifest()))
    )

    assert [act.reason for act in told] == ["EnforcementReverted", "WorkloadScaledDown"] * 3 + [
        "EnforcementReverted",
        "EnforcementContested",
    ]
    assert story.conditions()["Contested"] == "True"
    assert story.replicas() == REPLICAS
    assert HOLD_LABEL not in story.deployment()["metadata"].get("labels", {})
    assert story.cycle(budget).acts == ()

    story.cycle(story.relaxed(budget))

    assert story.holds() == []
    assert story.replicas() == REPLICAS


def test_another_value_becomes_the_original(story: Story) -> None:
    """Who scales a held Deployment to another size gets that size back at the end."""
    story.deploy()
    budget = story.budget()
    story.cycle(budget)
    story.ctl("scale", "deployment/llm", "--replicas=2")
    story.wait_for_pods(2)

    story.cycle(budget)
    story.cycle(budget)

    assert story.replicas() == 0
    story.cycle(story.relaxed(budget))
    assert story.replicas() == 2


def test_owner_stops_it_himself_while_held(story: Story) -> None:
    """An owner who asks for 0 while it is held finds 0 after the release."""
    story.deploy()
    budget = story.budget()
    story.cycle(budget)
    story.ctl("scale", "deployment/llm", "--replicas=1")
    story.ctl("scale", "deployment/llm", "--replicas=0")

    report = story.cycle(budget)

    assert [act.reason for act in report.acts] == ["WorkloadLeftAlone"]
    story.cycle(story.relaxed(budget))
    assert story.replicas() == 0
    assert story.holds() == []


def test_deleted_hold_is_a_veto(story: Story) -> None:
    """Deleting the Hold gives the workload back for this period; the next one may act again."""
    story.deploy()
    budget = story.budget()
    story.cycle(budget)
    (hold,) = story.holds()
    story.ctl("delete", "holds.aibudget.io", hold["metadata"]["name"])

    report = story.cycle(budget)

    assert [act.reason for act in report.acts] == ["WorkloadRestored"]
    assert story.replicas() == REPLICAS
    assert story.owners() == []
    assert [spared.reason for spared in story.cycle(budget).spared] == ["Vetoed"]
    assert story.holds() == []
    story.wait_for_pods(REPLICAS)
    story.cycle(story.relaxed(budget, standing="Active", period="2026-12@UTC", names=("llm",)))
    assert story.replicas() == 0


def test_deleted_budget_lets_go(story: Story) -> None:
    """A budget that is gone, or was made anew under its name, lets go; an unevaluated one does not."""
    story.deploy()
    story.budget()
    claimant = story.budget("other")
    story.cycle(claimant)
    story.cycle()
    assert story.replicas() == 0, "nobody evaluated it, but it exists"
    story.ctl("delete", "aibudgets.aibudget.io", "other")
    story.budget("other")

    story.cycle()

    assert story.replicas() == REPLICAS
    assert story.holds() == []


def test_two_budgets_on_one_workload(story: Story) -> None:
    """It stays held until the last budget lets go."""
    story.deploy()
    own, wide = story.budget(), story.budget("research", cluster=True)
    story.cycle(own)
    story.cycle(own, wide)
    assert {claim["kind"] for claim in story.holds()[0]["spec"]["claims"]} == {"AIBudget", "ClusterAIBudget"}

    story.cycle(story.relaxed(own), wide)
    assert story.replicas() == 0

    story.cycle(story.relaxed(own), story.relaxed(wide))
    assert story.replicas() == REPLICAS


def test_replicas_left_out_come_back_as_the_default(story: Story) -> None:
    """A Deployment without replicas runs one pod; so it does again after the release, owned by nobody."""
    story.apply(story.manifest(replicas=None), manager="flux")
    story.wait_for_pods(1)
    budget = story.budget()
    story.cycle(budget)
    assert story.replicas() == 0

    story.cycle(story.relaxed(budget))

    assert story.replicas() == 1
    assert story.owners() == []
