"""`make demo`, step by step, as the API server has it."""

import json
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from aibudget.ledger.database import Database
from aibudget.ledger.proof import logged, proofs
from aibudget.sandbox.demo import Story
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.process import wait_until

pytestmark = pytest.mark.e2e

JsonObject = dict[str, Any]


@pytest.fixture(scope="module")
def story(sandbox: Sandbox) -> Story:
    """The demo's own steps, told to nobody."""
    return Story(sandbox, tell=lambda line: None)


def test_budgets_count_the_month_behind_them(story: Story) -> None:
    """Applied in mid-month, each budget knows what was spent since the month began, and is Ready."""
    story.apply_budgets()

    budget = story.budget("team-vision", "training")
    status = budget["status"]
    assert status["observedGeneration"] == budget["metadata"]["generation"]
    assert conditions(budget)["Ready"]["status"] == "True"
    assert conditions(budget)["WithinBudget"]["status"] == "True"
    assert conditions(budget)["DataFresh"]["status"] == "True"
    assert "Enforced" not in conditions(budget)
    assert Decimal(status["spend"]["amount"]) > 1_000
    assert status["spend"]["coveragePercent"] >= 99
    assert status["period"]["id"].endswith("@Europe/Berlin")
    assert [one["state"] for one in status["thresholds"]] == ["Below", "Below"]
    assert status["topWorkloads"][0]["name"] == "detector"


def test_crossing_stops_what_is_not_protected(story: Story) -> None:
    """The cut budget is crossed; the detector is held with its original kept, the labeler is spared."""
    story.cut_limit()
    story.await_hold()

    (hold,) = story.holds()
    held = story.deployment("detector")
    assert held["spec"]["replicas"] == 0
    assert held["metadata"]["labels"]["aibudget.io/hold"] == hold["metadata"]["name"]
    assert field_owner(held, "replicas") == "aibudget"
    assert hold["spec"]["targetRef"]["uid"] == held["metadata"]["uid"]
    assert hold["spec"]["original"] == [{"path": "/spec/replicas", "json": "3"}]
    assert [(one["kind"], one["name"]) for one in hold["spec"]["claims"]] == [("AIBudget", "training")]
    assert "original" in json.dumps(held["metadata"]["annotations"])
    assert story.replicas("labeler") == 1

    wait_until(lambda: "Enforced" in conditions(story.budget("team-vision", "training")), 30, "Enforced")
    usual = ("SpendAsUsual", "Unknown", "Learning")
    wait_until(lambda: usual in standings(story.budget("team-vision", "training")), 60, "too short a past")
    budget = story.budget("team-vision", "training")
    assert conditions(budget)["WithinBudget"]["status"] == "False"
    assert conditions(budget)["Ready"]["status"] == "True", "an overspend is no failure of the budget"
    states = {one["name"]: one["state"] for one in budget["status"]["thresholds"]}
    assert states == {"warn": "Waiting", "over": "Active"}, "the cut itself crossed warn; usage crossed over"


def test_transitions_are_told_once(story: Story, sandbox: Sandbox) -> None:
    """Each crossing and each act has one Event, in words for people."""
    events = sandbox.control_plane.client.items("/api/v1/namespaces/team-vision/events")
    ours = [event for event in events if event.get("reportingComponent") == "aibudget"]
    told = [
        (event["reason"], event["involvedObject"]["kind"], event["involvedObject"]["name"]) for event in ours
    ]

    assert len(told) >= 3
    assert len(set(told)) == len(told) or len({event["message"] for event in ours}) == len(ours)
    assert any(kind == "Deployment" and name == "detector" for _, kind, name in told)
    (notice,) = [
        event["message"]
        for event in ours
        if event["reason"] == "ScaleDownNotice" and event["involvedObject"]["name"] == "detector"
    ]
    # Nothing guards it, which the operator can only know if it may read disruption budgets.
    assert "Place 1 of 1 in the order:" in notice
    assert "priority 0, Deployment, running for less than an hour" in notice, notice


def test_a_raised_limit_gives_everything_back(story: Story) -> None:
    """Replicas, labels, annotations and field ownership are as their owner left them."""
    story.raise_limit()

    free = story.deployment("detector")
    assert free["spec"]["replicas"] == 3
    assert "aibudget.io/hold" not in free["metadata"].get("labels", {})
    assert "aibudget.io/original" not in free["metadata"].get("annotations", {})
    assert field_owner(free, "replicas") != "aibudget"
    assert story.holds() == []
    wait_until(
        lambda: "Enforced" not in conditions(story.budget("team-vision", "training")), 30, "Enforced to end"
    )


def test_a_deleted_hold_is_a_veto(story: Story, sandbox: Sandbox) -> None:
    """Whoever deletes the Hold gets the workload back, and it is left alone for the rest of the period."""
    story.cut_limit()
    story.await_hold()
    (hold,) = story.holds()
    path = f"/apis/aibudget.io/v1alpha1/namespaces/team-vision/holds/{hold['metadata']['name']}"
    sandbox.control_plane.client.delete(path)

    wait_until(lambda: story.replicas("detector") == 3, 60, "the detector to be given back")
    evaluated = story.budget("team-vision", "training")["status"]["spend"]["asOfTime"]
    wait_until(
        lambda: story.budget("team-vision", "training")["status"]["spend"]["asOfTime"] > evaluated,
        60,
        "another evaluation",
    )
    assert story.replicas("detector") == 3
    assert story.holds() == []


def test_the_log_has_what_was_decided_and_by_what(sandbox: Sandbox) -> None:
    """Each step of the story in its order, with the figures it was decided by; the chain proves it."""
    with closing(Database(sandbox.operator.ledger_url, checked=True, borrowed=True)) as database:
        assert [proof.broken for proof in proofs(database)] == [None]
        log = [one for one in logged(database) if one["budget"].get("name", "training") == "training"]
    told = [one for one in log if one.get("target", {}).get("name") == "detector"]
    assert [one["event"] for one in told][:5] == ["Planned", "Acting", "Active", "Released", "Restored"]
    assert {one["event"] for one in told[5:]} >= {"Planned", "Acting", "Active", "Vetoed"}
    acting, released = told[1]["inputs"], told[3]["inputs"]
    assert Decimal(acting["spent"]) > Decimal(acting["limit"])
    assert Decimal(released["spent"]) < Decimal(released["limit"])
    assert told[1]["threshold"] == "over"
    assert "Opened" in [one["event"] for one in log if "from" in one]
    assert ("over", "Active") in [(one.get("threshold"), one["event"]) for one in log if "percent" in one]


def standings(budget: JsonObject) -> set[tuple[str, str, str]]:
    """Type, status and reason of each condition."""
    return {(one["type"], one["status"], one["reason"]) for one in conditions(budget).values()}


def conditions(budget: JsonObject) -> dict[str, JsonObject]:
    return {one["type"]: one for one in budget.get("status", {}).get("conditions", [])}


def field_owner(deployment: JsonObject, field: str) -> str | None:
    """Which manager owns a field of the spec."""
    owners = [
        entry["manager"]
        for entry in deployment["metadata"]["managedFields"]
        if f"f:{field}" in entry.get("fieldsV1", {}).get("f:spec", {})
    ]
    return owners[0] if owners else None
