"""Who is stopped first on a real cluster, and whether `aibudget explain` says of each workload what is so."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import Reason
from aibudget.budgeting.period import Period
from aibudget.cli.main import cli
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Report
from aibudget.inventory.resource import AIBUDGETS
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from aibudget.reporting import enforcing, status
from aibudget.reporting.facts import DataState, Enforcing, Facts
from cluster.enforcement.conftest import Story

pytestmark = pytest.mark.cluster

ORDER = ("idle", "humble", "plain", "guarded", "unseen")
RATE = Decimal("4.125")
PRIORITY = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}


def deploy(story: Story, name: str, priority: str | None = None, **metadata: Any) -> None:
    manifest = story.manifest(name, replicas=1, **metadata)
    if priority is not None:
        manifest["spec"]["template"]["spec"]["priorityClassName"] = priority
    story.apply(manifest, manager="kubectl")


def team(story: Story) -> datetime:
    """Five Deployments, one for each key of the order, and a protected one; an hour after they started."""
    for name, value in (("humble", -10), ("important", 1000)):
        story.ctl("apply", "-f-", stdin=json.dumps({**PRIORITY, "metadata": {"name": name}, "value": value}))
    guard = {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "guarded"}}}
    metadata = {"name": "guarded", "namespace": story.namespace}
    story.plane.client.apply(
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata, "spec": guard}
    )
    deploy(story, "idle", "important")
    deploy(story, "humble", "humble")
    deploy(story, "plain")
    deploy(story, "guarded")
    deploy(story, "unseen", "important")
    deploy(story, "safe", annotations={"aibudget.io/protected": "true"})
    story.wait_for_pods(6)
    return (datetime.now(UTC) + timedelta(hours=1)).replace(microsecond=0)


def judged(story: Story, claimant: Claimant, now: datetime) -> Claimant:
    """10 of 100 spent, and 10 hours left at 24.75 an hour; "idle" does nothing, nobody watches "unseen"."""
    idle = {"idle": True, "unseen": None}
    spends = tuple(
        replace(
            story_spend(claimant),
            workload=Workload(story.namespace, "Deployment", name),
            idle=idle.get(name, False),
        )
        for name in (*ORDER, "safe")
    )
    at = int(now.timestamp())
    evaluation = replace(
        claimant.evaluation,
        period=Period("2026-11@UTC", Interval(0, at + 36_000)),
        spend=replace(claimant.evaluation.spend, amount=Decimal(10), used_percent=10, as_of=at),
        rate_per_hour=6 * RATE,
        workloads=spends,
        evaluated=at,
        extent=claimant.budget.spec.enforcement.extent,
    )
    return replace(claimant, evaluation=evaluation)


def story_spend(claimant: Claimant) -> Any:
    return replace(claimant.evaluation.workloads[0], amount=Decimal(8), rate_per_hour=RATE)


def tell(story: Story, claimant: Claimant, report: Report) -> None:
    """Write the budget's status as the operator does."""
    budget = claimant.budget
    after = status.render(
        Facts(
            generation=budget.metadata.generation,
            before=BudgetStatus(),
            now=claimant.evaluation.evaluated,
            evaluation=claimant.evaluation,
            data=DataState(fresh=True, reason=Reason.FRESH, message="known"),
            enforcing=enforcing.by_budget(report).get(budget.uid, Enforcing()),
        )
    )
    patch = {"status": after.to_dict()}
    story.run(lambda c: c.patch(AIBUDGETS, budget.name, patch, budget.namespace, status=True))


def explain(story: Story, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(story, name, "-o", "json"))
    return found


def said(story: Story, name: str, *options: str) -> str:
    where = ["--kubeconfig", str(story.plane.kubeconfig), "-n", story.namespace]
    ran = CliRunner().invoke(cli, ["explain", f"deploy/{name}", *where, *options])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_the_first_are_stopped_and_everybody_is_told_why(story: Story) -> None:
    """Idle, then low priority, then what no disruption budget guards; the last is not needed and runs on."""
    now = team(story)
    budget = judged(story, story.budget(extent="UntilForecastFits"), now)

    report = story.cycle(budget, now=now)
    tell(story, budget, report)

    places = {hold["spec"]["targetRef"]["name"]: hold["spec"]["claims"][0] for hold in story.holds()}
    assert {name: claim["rank"] for name, claim in places.items()} == {
        name: rank for rank, name in enumerate(ORDER[:4], start=1)
    }
    assert {name: story.replicas(name) for name in (*ORDER, "safe")} == {
        **dict.fromkeys(ORDER[:4], 0),
        "unseen": 1,
        "safe": 1,
    }
    assert places["idle"]["reason"].startswith("Place 1 of 5 in the order: idle, priority 1000, Deployment,")
    assert "Deployment with a PodDisruptionBudget" in places["guarded"]["reason"]
    notices = {act.workload.name: act.message for act in report.acts if act.reason == "ScaleDownNotice"}
    assert all(places[name]["reason"] in notice for name, notice in notices.items())

    held = explain(story, "humble")
    assert (held["state"], held["putsBack"]) == ("Held", [{"path": "/spec/replicas", "json": "1"}])
    (word,) = held["budgets"]
    assert (word["verdict"], word["rank"], word["place"]) == ("Holds", 2, places["humble"]["reason"])
    assert word["until"] == f"{now + timedelta(hours=10):%Y-%m-%dT%H:%M:%SZ}"
    text = said(story, "humble")
    assert "is held since" in text
    assert f"kubectl delete hold -n {story.namespace} {held['hold']}" in text

    for name, reason in (("unseen", "ForecastFits"), ("safe", "Protected")):
        spared = explain(story, name)
        assert (spared["state"], spared["budgets"][0]["verdict"]) == ("Free", "Spares")
        assert f"({reason})" in spared["budgets"][0]["message"]
        assert f"Deployment {name} in {story.namespace} is not held." in said(story, name)


def test_everything_goes_in_the_order(story: Story) -> None:
    """Without an extent all are stopped, each with its place; nothing else of what was read matters."""
    now = team(story)
    budget = judged(story, story.budget(), now)

    story.cycle(budget, now=now)

    ranks = {h["spec"]["targetRef"]["name"]: h["spec"]["claims"][0]["rank"] for h in story.holds()}
    assert sorted(ranks, key=ranks.__getitem__) == list(ORDER)
    assert story.replicas("safe") == 1


def test_a_workload_that_no_budget_stops_is_explained_too(story: Story) -> None:
    """No budget, one that only observes, one below its threshold: each is said as it is."""
    deploy(story, "llm")
    assert explain(story, "llm")["budgets"] == []
    assert "No budget that you may see covers it." in said(story, "llm")
    watching = story.budget("watching", mode="Observe")
    calm = story.claimant(story.run(lambda c: c.get(AIBUDGETS, "watching", story.namespace)), "llm")
    assert calm.budget.uid == watching.budget.uid
    below = story.budget("below")
    below = replace(below, evaluation=story.relaxed(below).evaluation)
    tell(story, below, story.cycle(below))
    words = {word["name"]: word["verdict"] for word in explain(story, "llm")["budgets"]}
    assert words == {"watching": "Observes", "below": "BelowThreshold"}
    wrong = CliRunner().invoke(
        cli, ["explain", "deploy/none", "--kubeconfig", str(story.plane.kubeconfig), "-n", story.namespace]
    )
    assert wrong.exit_code == 2
    assert "There is no Deployment none" in wrong.stderr
