"""Thirty Deployments stopped under the rails and given back in waves, by a new operator at every cycle."""

from datetime import timedelta
from typing import Any

import pytest

from aibudget.api.names import FIELD_MANAGER, HOLD_LABEL
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.rails import Rails
from aibudget.enforcement.waves import Waves
from aibudget.inventory.kubernetes import Cluster
from aibudget.inventory.resource import AIBUDGETS, DEPLOYMENTS
from aibudget.sandbox.nodes import P5, add_nodes
from aibudget.sandbox.process import wait_until
from cluster.enforcement.conftest import NOW, OPERATOR, Story

pytestmark = pytest.mark.cluster

NAMES = tuple(f"llm-{number:02}" for number in range(30))
LIMITS = Limits(
    OPERATOR,
    rails=Rails(stops=12, percent=100, seconds=60),
    # No time limit is in reach: a wave is over only by the pods that are ready.
    waves=Waves(accelerators=10, ready_seconds=3000, within_seconds=30_000),
)


def cycle(story: Story, claimant: Claimant, minute: int) -> Report:
    """One cycle of a process that knows nothing of the ones before."""

    async def sleep(_: float) -> None:
        """The spread within a wave is proven elsewhere."""

    async def work(cluster: Cluster) -> Report:
        enforcer = Enforcer(cluster, LIMITS, lambda: True, sleep=sleep)
        return await enforcer.run([claimant], NOW + timedelta(minutes=minute))

    return story.run(work)


def deployments(story: Story) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = story.run(lambda c: c.list(DEPLOYMENTS, story.namespace))
    return found


def running(story: Story) -> int:
    return sum(obj["spec"]["replicas"] > 0 for obj in deployments(story))


def _brings(story: Story, claimant: Claimant, minute: int, number: int) -> bool:
    cycle(story, claimant, minute)
    return running(story) == number


def test_thirty_are_stopped_and_come_back(story: Story) -> None:
    """At most twelve a minute are stopped, ten come back at a time, and each wave waits for real pods."""
    add_nodes(story.plane.client, [(f"waves-{number}", P5) for number in range(4)])
    for name in NAMES:
        story.apply(story.manifest(name, 1), manager="flux")
    story.wait_for_pods(len(NAMES))
    story.budget()
    raw = story.run(lambda c: c.get(AIBUDGETS, "training", story.namespace))

    stopped = []
    for minute in (0, 0, 2, 4):
        report = cycle(story, story.claimant(raw, *NAMES), minute)
        stopped.append(len(NAMES) - running(story))
    assert stopped == [12, 12, 24, 30]
    assert [act for act in report.acts if act.reason == "EnforcementFailed"] == []
    story.wait_for_pods(0)

    below = story.claimant(raw, *NAMES, standing="Below")
    cycle(story, below, 10)
    assert running(story) == 10
    # Until kwok has made the pods of a wave ready, nothing comes; then the next wave goes.
    for minute, number in ((11, 20), (12, 30)):
        wait_until(lambda m=minute, n=number: _brings(story, below, m, n), 30, f"{number} to be back")  # type: ignore[misc]
    cycle(story, below, 13)
    assert story.holds() == []

    story.wait_for_pods(len(NAMES))
    for obj in deployments(story):
        assert obj["spec"]["replicas"] == 1
        assert HOLD_LABEL not in obj["metadata"].get("labels", {})
        assert FIELD_MANAGER not in {entry["manager"] for entry in obj["metadata"]["managedFields"]}
