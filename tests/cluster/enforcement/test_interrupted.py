"""Killed or refused at any write, on a real API server: the next process completes what it finds."""

from collections.abc import Callable
from typing import Any

import pytest

from aibudget.api.names import HOLD_LABEL, KILL_SWITCH, PROTECTED
from aibudget.enforcement.cluster import Enforcer, Limits
from aibudget.enforcement.release import release_all
from aibudget.errors import AIBudgetError, Conflict
from aibudget.inventory.kubernetes import Cluster, Forbidden, Unavailable
from aibudget.inventory.resource import HOLDS, Resource
from cluster.enforcement.conftest import NOW, OPERATOR, REPLICAS, Story

pytestmark = pytest.mark.cluster

WRITES = ("create", "patch", "delete")


class Killed(BaseException):
    """Nothing in the code under test may catch it."""


class Faulty:
    """A Cluster whose `nth` write fails: before it is sent, or after it was done and unheard."""

    def __init__(self, cluster: Cluster, fault: BaseException, nth: int, *, unheard: bool = False) -> None:
        self._cluster = cluster
        self._fault = fault
        self._nth = nth
        self._unheard = unheard
        self.writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name) if name not in WRITES else self._faulty(name)

    def _faulty(self, name: str) -> Callable[..., Any]:
        async def call(*arguments: Any, **options: Any) -> Any:
            self.writes += 1
            strikes = self.writes == self._nth
            if strikes and not self._unheard:
                raise self._fault
            answer = await getattr(self._cluster, name)(*arguments, **options)
            if strikes:
                raise self._fault
            return answer

        return call


def interrupt(story: Story, fault: BaseException, nth: int, *, unheard: bool = False) -> list[Faulty]:
    """Make the story's next cycles fail at their `nth` write; gives the connections that are made."""
    made: list[Faulty] = []

    def wrap(cluster: Cluster) -> Faulty:
        made.append(Faulty(cluster, fault, nth, unheard=unheard))
        return made[-1]

    story.wrap = wrap
    return made


def heal(story: Story) -> None:
    story.wrap = lambda cluster: cluster


@pytest.mark.parametrize("unheard", [False, True], ids=["unsent", "unheard"])
def test_killed_at_any_write(story: Story, *, unheard: bool) -> None:
    """Killed at each write of holding and of releasing, it ends held with its original, or free as it was."""
    story.deploy(manager="flux")
    budget = story.budget()
    below = story.relaxed(budget)
    for claimant, held in ((budget, True), (below, False)):
        nth = 0
        while True:
            nth += 1
            connections = interrupt(story, Killed(), nth, unheard=unheard)
            if held:
                story.wait_for_pods(REPLICAS)
            try:
                story.cycle(claimant)
            except Killed:
                check(story)
            heal(story)
            story.cycle(claimant)
            check(story)
            assert (story.replicas() == 0) is held
            if connections[0].writes < nth:
                break
            # Back to where this phase begins.
            story.cycle(below if held else budget)
            if not held:
                story.wait_for_pods(0)
            elif story.replicas() == REPLICAS:
                story.wait_for_pods(REPLICAS)
        assert nth > 4
    assert story.holds() == []
    assert story.owners() == []


def check(story: Story) -> None:
    """As its owner asked, or marked and held with the original in its Hold."""
    deployment = story.deployment()
    if deployment["spec"]["replicas"] == REPLICAS:
        return
    assert deployment["spec"]["replicas"] == 0
    name = deployment["metadata"]["labels"][HOLD_LABEL]
    (hold,) = story.holds()
    assert hold["metadata"]["name"] == name
    assert hold["spec"]["original"] == [{"path": "/spec/replicas", "json": str(REPLICAS)}]


FAULTS = (
    Conflict("Conflict", "409"),
    Unavailable("APIServerUnavailable", "429 or 500"),
    Forbidden("Forbidden", "403"),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.reason)
def test_refused_at_any_write(story: Story, fault: AIBudgetError) -> None:
    """A refusal is followed up at once or reported; the next cycle gets there."""
    story.deploy()
    budget = story.budget()
    for nth in range(1, 6):
        interrupt(story, fault, nth)
        report = story.cycle(budget)
        check(story)
        if story.replicas() != 0:
            assert [act for act in report.acts if act.reason == "EnforcementFailed"]
        heal(story)
        story.cycle(budget)
        assert story.replicas() == 0
        interrupt(story, fault, nth)
        story.cycle(story.relaxed(budget))
        check(story)
        heal(story)
        story.cycle(story.relaxed(budget))
        assert story.holds() == []
        story.wait_for_pods(REPLICAS)


def test_one_bad_object_stops_nobody_else(story: Story) -> None:
    """Where one Deployment cannot be read, another is held all the same."""
    story.deploy("llm")
    story.apply(story.manifest("other"), manager="flux")
    story.wait_for_pods(2 * REPLICAS)
    made = story.budget()
    budget = story.relaxed(made, standing="Active", names=("llm", "other"))

    class Blind(Faulty):
        async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Any:
            if name == "llm":
                raise Forbidden("Forbidden", "no access to llm")
            return await self._cluster.get(resource, name, namespace)

    story.wrap = lambda cluster: Blind(cluster, Killed(), 0)
    report = story.cycle(budget)

    assert (story.replicas("llm"), story.replicas("other")) == (REPLICAS, 0)
    assert [a.workload.name for a in report.acts if a.reason == "EnforcementFailed"] == ["llm"]
    assert [spared.reason for spared in report.spared] == ["NotReadable"]


def test_protected_during_the_notice(story: Story) -> None:
    """A workload that is protected before the notice ends is not held, and its Hold goes."""
    story.deploy()
    budget = story.budget(gracePeriodSeconds=900)
    notice = story.cycle(budget)
    assert [act.reason for act in notice.acts] == ["ScaleDownNotice"]
    assert story.conditions() == {"Applied": "False"}
    assert story.replicas() == REPLICAS
    story.ctl("annotate", "deployment/llm", f"{PROTECTED}=true")

    report = story.cycle(budget, now=NOW.replace(hour=11))

    assert story.replicas() == REPLICAS
    assert story.holds() == []
    assert [spared.reason for spared in report.spared] == ["Protected"]
    story.ctl("annotate", "deployment/llm", f"{PROTECTED}-")
    story.cycle(budget, now=NOW.replace(hour=12))
    story.cycle(budget, now=NOW.replace(hour=12, minute=14))
    assert story.replicas() == REPLICAS, "the notice began anew"
    story.cycle(budget, now=NOW.replace(hour=12, minute=15))
    assert story.replicas() == 0


def test_hold_deleted_during_the_notice(story: Story) -> None:
    """Deleting the Hold before it acts is a veto as well."""
    story.deploy()
    budget = story.budget(gracePeriodSeconds=900)

    async def work(cluster: Cluster) -> None:
        enforcer = Enforcer(cluster, Limits(OPERATOR), lambda: True)
        await enforcer.run([budget], NOW)
        (hold,) = await cluster.list(HOLDS, story.namespace)
        await cluster.delete(HOLDS, hold["metadata"]["name"], story.namespace)
        report = await enforcer.run([budget], NOW.replace(hour=11))
        assert [act.reason for act in report.acts] == ["HoldVetoed"]
        assert [spared.reason for spared in report.spared] == ["Vetoed"]
        assert await cluster.list(HOLDS, story.namespace) == []

    story.run(work)
    assert story.replicas() == REPLICAS


def test_kill_switch_during_the_notice(story: Story) -> None:
    """With the kill switch set nothing new is held; what is held is still given back."""
    story.deploy()
    budget = story.budget(gracePeriodSeconds=900)
    story.cycle(budget)
    story.plane.client.create(
        f"/api/v1/namespaces/{OPERATOR}/configmaps", {"metadata": {"name": KILL_SWITCH}, "data": {}}
    )

    report = story.cycle(budget, now=NOW.replace(hour=11))

    assert report.paused
    assert story.replicas() == REPLICAS
    story.plane.client.delete(f"/api/v1/namespaces/{OPERATOR}/configmaps/{KILL_SWITCH}")
    story.cycle(budget, now=NOW.replace(hour=11))
    assert story.replicas() == 0
    story.plane.client.create(
        f"/api/v1/namespaces/{OPERATOR}/configmaps", {"metadata": {"name": KILL_SWITCH}, "data": {}}
    )
    story.cycle(story.relaxed(budget))
    assert story.replicas() == REPLICAS


def test_not_leading_writes_nothing(story: Story) -> None:
    """Without the lease not a single write is made, not even a release."""
    story.deploy()
    budget = story.budget()
    story.may_write = lambda: False
    story.cycle(budget)
    assert story.holds() == []
    story.may_write = lambda: True
    story.cycle(budget)
    story.may_write = lambda: False
    story.cycle(story.relaxed(budget))
    assert story.replicas() == 0


def test_release_all_without_an_operator(story: Story) -> None:
    """Everything comes back, also what has lost its Hold, and the kill switch keeps it so."""
    story.deploy()
    story.apply(story.manifest("other"), manager="flux")
    story.wait_for_pods(2 * REPLICAS)
    made = story.budget()
    budget = story.relaxed(made, standing="Active", names=("llm", "other"))
    story.cycle(budget)
    story.wait_for_pods(0)
    orphan = next(h for h in story.holds() if h["spec"]["targetRef"]["name"] == "other")
    story.ctl("delete", "holds.aibudget.io", orphan["metadata"]["name"])

    acts = story.run(lambda cluster: release_all(cluster, OPERATOR, NOW))

    ours = [act for act in acts if act.workload.namespace == story.namespace]
    assert [act.reason for act in ours] == ["WorkloadRestored"] * 2
    assert (story.replicas("llm"), story.replicas("other")) == (REPLICAS, REPLICAS)
    assert story.holds() == []
    assert story.cycle(budget).paused
    assert story.replicas() == REPLICAS
