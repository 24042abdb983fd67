"""What people and other tools do to a held workload, on a real API server with its controllers."""

import json

import pytest

from aibudget.api.names import HOLD_LABEL, ORIGINAL_ANNOTATION, VETO_LABEL
from aibudget.inventory.resource import DEPLOYMENTS, PODS
from cluster.enforcement.conftest import NOW, REPLICAS, Story

pytestmark = pytest.mark.cluster


def test_restarted_and_undone_in_mid_hold(story: Story) -> None:
    """Neither `rollout restart` nor `rollout undo` starts a pod, takes the original away, or leaves marks."""
    story.deploy()
    budget = story.budget()
    story.cycle(budget)
    story.ctl("rollout", "restart", "deployment/llm")
    story.cycle(budget)
    story.ctl("rollout", "undo", "deployment/llm")
    story.cycle(budget)
    assert story.replicas() == 0
    assert ORIGINAL_ANNOTATION in story.deployment()["metadata"]["annotations"]

    story.cycle(story.relaxed(budget))
    assert story.replicas() == REPLICAS
    story.wait_for_pods(REPLICAS)

    # The revision of the hold has our annotations, and undo brings them back.
    story.ctl("rollout", "undo", "deployment/llm")
    story.cycle(story.relaxed(budget))
    assert ORIGINAL_ANNOTATION not in story.deployment()["metadata"]["annotations"]
    assert story.replicas() == REPLICAS


def test_a_veto_survives_an_undo(story: Story) -> None:
    """What somebody had back is not stopped again in this period, although undo puts old annotations back."""
    story.deploy()
    story.ctl("rollout", "restart", "deployment/llm")
    budget = story.budget()
    story.cycle(budget)
    (hold,) = story.holds()
    story.ctl("delete", "holds.aibudget.io", hold["metadata"]["name"])
    story.cycle(budget)
    assert story.replicas() == REPLICAS

    story.ctl("rollout", "undo", "deployment/llm")

    story.wait_for_pods(REPLICAS)
    assert [spared.reason for spared in story.cycle(budget).spared] == ["Vetoed"]
    assert story.replicas() == REPLICAS
    labels = story.deployment()["metadata"]["labels"]
    assert labels[f"{VETO_LABEL}{budget.budget.uid}"] == "2026-11_40UTC"


def test_deleted_and_made_again_in_mid_hold(story: Story) -> None:
    """The new one under the old name is another one: it has its own notice and its own original."""
    story.deploy()
    budget = story.budget(gracePeriodSeconds=600)
    story.cycle(budget)
    story.cycle(budget, now=NOW.replace(minute=10))
    assert story.replicas() == 0
    (old,) = story.holds()
    story.ctl("delete", "deployment", "llm")
    story.apply(story.manifest(replicas=2), manager="kubectl-create")
    story.wait_for_pods(2)

    told = story.told(budget, now=NOW.replace(minute=11))

    assert "ScaleDownNotice" in [act.reason for act in told]
    assert story.replicas() == 2
    (new,) = story.holds()
    assert new["metadata"]["name"] != old["metadata"]["name"]
    story.cycle(budget, now=NOW.replace(minute=22))
    assert story.replicas() == 0
    story.cycle(story.relaxed(budget), now=NOW.replace(minute=23))
    assert story.replicas() == 2


def test_an_autoscaler_rests_in_mid_hold_and_goes_on(story: Story) -> None:
    """A HorizontalPodAutoscaler neither wakes what is held nor keeps it from coming back."""
    story.deploy()
    story.ctl("autoscale", "deployment/llm", "--min=1", "--max=5", "--cpu=50%")
    budget = story.budget()
    story.cycle(budget)
    story.wait_for_pods(0)
    story.ctl("wait", "hpa/llm", "--for=condition=ScalingActive=false", "--timeout=40s")
    assert story.told(budget) == []
    assert story.replicas() == 0
    story.cycle(story.relaxed(budget))
    assert story.replicas() == REPLICAS
    assert story.holds() == []


def test_what_a_downscaler_stopped_is_its_own(story: Story) -> None:
    """Its mark and its zero are neither held nor restored; what it brings back is held like any other."""
    story.deploy()
    mark = {"metadata": {"annotations": {"downscaler/original-replicas": str(REPLICAS)}}}
    story.ctl("patch", "deployment/llm", "--type=merge", "-p", json.dumps(mark | {"spec": {"replicas": 0}}))
    budget = story.budget()
    report = story.cycle(budget)
    assert [spared.reason for spared in report.spared] == ["StoppedByAnotherTool"]
    assert story.holds() == []
    story.cycle(story.relaxed(budget))
    assert story.replicas() == 0

    mark["metadata"]["annotations"]["downscaler/original-replicas"] = None  # type: ignore[assignment]
    back = json.dumps(mark | {"spec": {"replicas": REPLICAS}})
    story.ctl("patch", "deployment/llm", "--type=merge", "-p", back)
    story.wait_for_pods(REPLICAS)
    story.cycle(budget)
    assert story.replicas() == 0


def test_replaced_in_mid_hold(story: Story) -> None:
    """`kubectl replace` wipes the marks and asks for pods: it counts as a revert, and all is held again."""
    story.deploy()
    budget = story.budget()
    story.cycle(budget)
    story.ctl("replace", "-f-", stdin=json.dumps(story.manifest(replicas=2)))
    assert HOLD_LABEL not in story.deployment()["metadata"].get("labels", {})
    story.wait_for_pods(2)

    reasons = [act.reason for act in story.told(budget)]
    reasons += [act.reason for act in story.told(budget)]

    assert reasons[0] == "EnforcementReverted"
    assert story.replicas() == 0
    story.cycle(story.relaxed(budget))
    assert story.replicas() == 2


def test_a_pod_that_does_not_end(story: Story) -> None:
    """A finalizer keeps a pod: the Hold says Ineffective after its grace, until the pod is gone."""
    story.deploy()
    pod = story.run(lambda c: c.list(PODS, story.namespace))[0]["metadata"]["name"]
    held_up = json.dumps({"metadata": {"finalizers": ["example.com/slow"]}})
    story.ctl("patch", "pod", pod, "--type=merge", "-p", held_up)
    budget = story.budget()
    story.cycle(budget)
    told = story.told(budget, now=NOW.replace(minute=5))
    assert [act.reason for act in told] == ["EnforcementIneffective"]
    assert story.conditions()["Ineffective"] == "True"
    story.ctl("patch", "pod", pod, "--type=merge", "-p", json.dumps({"metadata": {"finalizers": None}}))
    story.wait_for_pods(0)
    story.cycle(budget, now=NOW.replace(minute=6))
    assert story.conditions() == {"Applied": "True", "Effective": "True"}
    assert story.run(lambda c: c.get(DEPLOYMENTS, "llm", story.namespace)) is not None
