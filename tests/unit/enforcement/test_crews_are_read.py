"""What the order asks of the cluster: from pods and disruption budgets, with what is unknown left unknown."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.crews import Guards, crew_of
from aibudget.enforcement.pods import AcceleratorPod
from aibudget.enforcement.settling import SETTLES, Settling
from aibudget.enforcement.wish import Wish
from aibudget.inventory.workload import Workload
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.fake_api import FakeAPI, with_namespace
from unit.enforcement.test_who_is_held import claim, held, live

POD = AcceleratorPod("rs", 1, 30, priority=0, started=NOW, labels={"app": "llm", "tier": "web"})
NO_GUARDS = Guards(())


def guard(selector: Any, namespace: str = "team") -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": "pdb"}, "spec": {"selector": selector}}


def test_a_crew_is_as_important_as_its_most_important_pod() -> None:
    """The highest priority and the first and the last start count; one silent pod makes them unknown."""
    older = replace(POD, priority=100, started=NOW - timedelta(hours=3))
    crew = crew_of("team", [POD, older], NO_GUARDS)
    assert (crew.pods, crew.priority, crew.oldest, crew.youngest) == (2, 100, older.started, NOW)
    silent = crew_of("team", [POD, replace(POD, priority=None, started=None)], NO_GUARDS)
    assert (silent.priority, silent.oldest, silent.youngest) == (None, None, None)


@pytest.mark.parametrize(
    ("objects", "guarded"),
    [
        ([], False),
        (None, True),
        ([guard({"matchLabels": {"app": "llm"}})], True),
        ([guard({"matchLabels": {"app": "llm", "tier": "db"}})], False),
        ([guard({"matchLabels": {"app": "llm"}}, "other")], False),
        ([guard({"matchExpressions": [{"key": "app", "operator": "Exists"}]})], True),
        ([guard({})], True),
        ([guard(None)], False),
        ([guard({"matchLabels": {"a b": "is no label"}})], True),
    ],
    ids=[
        "none",
        "unreadable",
        "by label",
        "other label",
        "other place",
        "by expression",
        "all",
        "nothing",
        "not understood",
    ],
)
def test_disruption_budgets_guard_pods(objects: Any, guarded: bool) -> None:
    """As in Kubernetes an empty selector selects all and an absent one nothing; what is unknown guards."""
    assert crew_of("team", [POD], Guards(objects)).guarded is guarded


def cycles(api: FakeAPI, *rounds: Any) -> list[Report]:
    """So many cycles of one operator, each with its budgets."""

    async def run() -> list[Report]:
        enforcer = Enforcer(api, Limits("aibudget-system"), lambda: True)
        return [await enforcer.run(claimants, NOW) for claimants in rounds]

    return asyncio.run(run())


def test_a_notice_that_ends_without_an_act_is_told_once() -> None:
    """Whoever read that his workload would be stopped reads that it is not."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    on_notice = [make_claimant("llm", gracePeriodSeconds=900)]
    calm = [make_claimant("llm", gracePeriodSeconds=900, rates={"llm": 0})]
    told = [[str(act.reason) for act in report.acts] for report in cycles(api, on_notice, calm, calm)]
    assert told == [["ScaleDownNotice"], ["ScaleDownWithdrawn"], []]


def test_a_claim_says_where_it_stands() -> None:
    """The notice and the Hold have the same sentence."""
    api = FakeAPI()
    with_namespace(api, "team")
    api.deployment("llm", "team", 6)
    (report,) = cycles(api, [make_claimant("llm", gracePeriodSeconds=900)])
    (said,) = [hold.spec.claims[0] for hold in report.holds]
    assert said.rank == 1
    assert said.reason is not None
    assert said.reason in report.acts[0].message


def test_settling_lasts_until_usage_tells() -> None:
    """After a release, or a start that knows of none, nothing else comes back by forecast for a while."""
    settling, budget = Settling(), make_claimant("llm")
    assert settling.at([budget], NOW) == {"b-1"}
    later = NOW + SETTLES
    assert settling.at([budget], later) == frozenset()
    hold = held(live(replicas=0), claim())
    wish = Wish(Workload("team", "Deployment", "llm"), hold, None, ())
    settling.note([wish], [hold], later)
    assert settling.at([budget], later) == frozenset()
    settling.note([wish], [None], later)
    assert settling.at([budget], later + SETTLES / 2) == {"b-1"}
    assert settling.at([budget], later + SETTLES) == frozenset()
