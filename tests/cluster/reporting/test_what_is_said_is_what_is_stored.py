"""On a real API server: no field of a status is pruned, no value refused, and no Event told twice."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aibudget.api.budget import Threshold
from aibudget.api.budgetstatus import BudgetStatus, PastPeriod
from aibudget.api.conditions import Reason
from aibudget.budgeting.evaluation import (
    BudgetKey,
    Evaluation,
    Spend,
    ThresholdStanding,
    ThresholdState,
    WorkloadSpend,
)
from aibudget.budgeting.period import Period
from aibudget.controller.cache import Seen, read
from aibudget.controller.reporter import Report, Reporter
from aibudget.controller.stored import unpacked
from aibudget.errors import Stalled
from aibudget.inventory.kubernetes import Cluster
from aibudget.inventory.resource import AIBUDGETS, EVENTS
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from aibudget.reporting.events import transitions
from aibudget.reporting.facts import DataState, Enforcing, Facts
from aibudget.reporting.status import render
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.process import wait_until

pytestmark = pytest.mark.cluster

CRDS = Path(__file__).parents[3] / "crds"
NOW = int(datetime(2026, 11, 21, 10, 0, tzinfo=UTC).timestamp())
PATH = "/apis/aibudget.io/v1alpha1/namespaces/default/aibudgets"


@pytest.fixture(scope="module", autouse=True)
def crds(api_server: ControlPlane) -> None:
    """The group is served."""
    for path in sorted(CRDS.glob("*.yaml")):
        (crd,) = api_server.client.apply(path.read_text())
        served = f"/apis/aibudget.io/v1alpha1/{crd['spec']['names']['plural']}"
        wait_until(partial(api_server.client.exists, served), 30, f"{served} to be served")


def evaluation(uid: str, name: str) -> Evaluation:
    """A budget about which there is something to say in every field."""
    standings: tuple[tuple[int, ThresholdStanding, int | None], ...] = (
        (80, "Waiting", NOW),
        (90, "Active", NOW),
        (100, "Crossed", NOW),
        (200, "Below", None),
    )
    thresholds = tuple(
        ThresholdState(
            Threshold(name=standing.lower(), percent=percent, actions=("Notify",)), standing, crossed
        )
        for percent, standing, crossed in standings
    )
    return Evaluation(
        budget=BudgetKey("AIBudget", "default", name, uid),
        generation=1,
        period=Period("2026-11@Europe/Berlin", Interval(1_793_487_600, 1_796_079_600)),
        limit=Decimal("100.50"),
        currency="USD",
        spend=Spend(Decimal("120.456"), 119, NOW - 30, 98, True, Decimal(1), ()),
        rate_per_hour=Decimal("14.2"),
        thresholds=thresholds,
        changes=thresholds[1:3],
        workloads=(WorkloadSpend(Workload("default", "Deployment", "llm"), Decimal(120), Decimal(3), 40),),
        fresh=True,
        began=False,
        evaluated=NOW,
    )


def seen(plane: ControlPlane, name: str) -> Seen:
    """The budget as the watch would give it now."""
    found = read(AIBUDGETS, plane.client.get(f"{PATH}/{name}"))
    assert isinstance(found, Seen)
    return found


def made(plane: ControlPlane, name: str) -> Seen:
    """A new budget."""
    manifest = {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"limit": {"amount": "100.50", "currency": "USD"}},
    }
    plane.client.delete(f"{PATH}/{name}")
    plane.client.apply(manifest)
    return seen(plane, name)


def report(plane: ControlPlane, *reports: Report, now: int = NOW) -> Reporter:
    """As a new process would write them."""

    async def work() -> Reporter:
        async with await Cluster.connect(plane.kubeconfig) as cluster:
            reporter = Reporter(cluster, "replica")
            await reporter.report(reports, now)
            return reporter

    return asyncio.run(work())


def facts(budget: Seen, **changes: Any) -> Facts:
    """All of them."""
    given: Mapping[str, Any] = {
        "generation": budget.metadata.generation,
        "before": BudgetStatus.model_validate(unpacked(budget.stored), by_alias=True, by_name=False),
        "now": NOW,
        "evaluation": evaluation(budget.uid, budget.metadata.name),
        "data": DataState(fresh=False, reason=Reason.LOW_COVERAGE, message="90 % of it was scraped."),
        "enforcing": Enforcing(active=1, pending=2),
        "backfill": "Usage is read back to yesterday so far.",
        "history": (PastPeriod(id="2026-10", limit=Decimal(100), spent=Decimal("9.99"), used_percent=9),),
    }
    return Facts(**{**given, **changes})


def test_every_field_of_a_status_is_stored_as_it_was_sent(api_server: ControlPlane) -> None:
    """What a CRD does not declare is pruned in silence."""
    budget = made(api_server, "whole")
    status = render(facts(budget))
    assert report(api_server, Report(budget, status)).writes == 1
    assert api_server.client.get(f"{PATH}/whole")["status"] == status.to_dict()


def test_the_next_status_takes_away_what_is_no_longer_so(api_server: ControlPlane) -> None:
    """Also by a process that did not write the first one."""
    budget = made(api_server, "next")
    report(api_server, Report(budget, render(facts(budget))))
    again = seen(api_server, "next")
    stalled = render(
        facts(again, evaluation=None, problem=Stalled("MixedCurrencies", "Prices are in EUR."), backfill=None)
    )
    report(api_server, Report(again, stalled))
    stored = api_server.client.get(f"{PATH}/next")["status"]
    assert stored == stalled.to_dict()
    assert {c["type"] for c in stored["conditions"]} == {
        "Ready",
        "Stalled",
        "WithinBudget",
        "ForecastWithinBudget",
        "DataFresh",
        "Enforced",
    }


def test_a_status_that_is_stored_is_not_written_again(api_server: ControlPlane) -> None:
    """By whichever process."""
    budget = made(api_server, "same")
    report(api_server, Report(budget, render(facts(budget))))
    again = seen(api_server, "same")
    assert report(api_server, Report(again, render(facts(again)))).writes == 0


def test_an_event_is_told_once_whoever_tells_it(api_server: ControlPlane) -> None:
    """Two replicas, or one that crashed before its status was written."""
    budget = made(api_server, "told")
    told = transitions(BudgetStatus(), evaluation(budget.uid, "told"), facts(budget).data, enforcing=True)
    for _ in range(2):
        report(api_server, Report(budget, render(facts(budget)), told))
    selector = {"fieldSelector": f"involvedObject.uid={budget.uid}"}
    stored = api_server.client.items("/api/v1/namespaces/default/events", selector)
    assert sorted(event["reason"] for event in stored) == ["BudgetExceeded", "BudgetThresholdReached"]
    assert {event["reportingComponent"] for event in stored} == {"aibudget"}
    assert all(event["metadata"]["namespace"] == "default" for event in stored)


def test_the_event_of_a_cluster_scoped_budget_is_accepted(api_server: ControlPlane) -> None:
    """Its Events live in `default`."""

    async def work() -> None:
        async with await Cluster.connect(api_server.kubeconfig) as cluster:
            one = evaluation("uid-of-research", "research")
            key = BudgetKey("ClusterAIBudget", None, "research", "uid-of-research")
            wide = Evaluation(**{**{f: getattr(one, f) for f in Evaluation.__slots__}, "budget": key})
            data = DataState(fresh=True, reason=Reason.FRESH, message="known")
            await Reporter(cluster, "replica").tell(
                transitions(BudgetStatus(), wide, data, enforcing=True), NOW
            )

    asyncio.run(work())
    selector = {"fieldSelector": "involvedObject.uid=uid-of-research"}
    stored = api_server.client.items(f"/api/v1/namespaces/default/{EVENTS.plural}", selector)
    assert {event["involvedObject"]["kind"] for event in stored} == {"ClusterAIBudget"}
