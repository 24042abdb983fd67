"""A budget over two clusters of one ledger: what both spent counts, and only one's workloads are held."""

from collections.abc import Iterator
from concurrent.futures import Executor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aibudget.controller.namesakes import added
from aibudget.inventory.resource import CLUSTER_AIBUDGETS, NAMESPACES, PRICE_LISTS
from unit.controller.atonce import AtOnce
from unit.controller.meters import DAY, MIDNIGHT, Meter
from unit.controller.world import ENFORCE, PRICE, STOP, World

BOTH = {"namespaces": ["team"], "clusters": ["us-2"]}
ACTING: dict[str, Any] = {"thresholds": STOP, "enforcement": {**ENFORCE, "onAlreadyCrossed": "Enforce"}}


def made(directory: Path, worker: Executor, name: str) -> World:
    """One GPU at 3 USD an hour since ever; two days of November are over."""
    world = World(directory, worker, Meter(MIDNIGHT + 2 * DAY), name=name)
    world.cluster.seed(PRICE_LISTS, "company", spec=PRICE)
    world.cluster.seed(NAMESPACES, "team")
    world.cluster.deployment("llm", "team", 1)
    return world


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """The cluster that has the budget."""
    with AtOnce() as worker:
        world = made(tmp_path, worker, "eu-1")
        yield world
        world.stop()


@pytest.fixture
def there(tmp_path: Path, here: World) -> Iterator[World]:
    """Another one in the same ledger: a workload of the same name, twice as dear."""
    with AtOnce() as worker:
        world = made(tmp_path, worker, "us-2")
        stored = world.cluster.objects[PRICE_LISTS.plural, "", "company"]
        stored["spec"] = {**PRICE, "rates": [{**PRICE["rates"][0], "price": "6"}]}  # type: ignore[dict-item]
        world.cluster.seed(NAMESPACES, "uids-differ-from-here-on")
        applied(world, 1000, scope={**BOTH, "clusters": ["eu-1"]})
        world.pass_time(900, cycles=3)
        here.meter.now = world.meter.now
        yield world
        world.stop()


def applied(world: World, amount: int, **spec: Any) -> None:
    """A ClusterAIBudget."""
    spec = {"limit": {"amount": amount, "currency": "USD"}, "scope": BOTH, **spec}
    world.cluster.seed(CLUSTER_AIBUDGETS, "both", spec=spec)


def status(world: World) -> dict[str, Any]:
    """What kubectl would show."""
    found: dict[str, Any] = world.cluster.objects[CLUSTER_AIBUDGETS.plural, "", "both"]["status"]
    return found


def conditions(world: World) -> dict[str, tuple[str, str]]:
    """Status and reason by type."""
    return {c["type"]: (c["status"], c["reason"]) for c in status(world)["conditions"]}


def parts(world: World) -> dict[str, tuple[Decimal | None, bool]]:
    """Each cluster's amount, and whether workloads are held in it."""
    return {
        one["name"]: (Decimal(one["amount"]) if "amount" in one else None, one["enforced"])
        for one in status(world)["clusters"]
    }


def test_what_another_cluster_spent_counts_and_its_namesake_is_left_alone(here: World, there: World) -> None:
    """146 of 437 USD are spent here: the limit of 300 is passed by both, and llm is stopped in this one."""
    # A manifest can be the same in all clusters: the own name is no other one.
    applied(here, 300, scope={**BOTH, "clusters": ["eu-1", "us-2"]}, **ACTING)
    here.pass_time(cycles=4)
    told = parts(here)
    assert list(told) == ["eu-1", "us-2"]
    assert (told["eu-1"][1], told["us-2"][1]) == (True, False)
    own, other = told["eu-1"][0], told["us-2"][0]
    assert own is not None
    assert other is not None
    posted = MIDNIGHT + 2 * DAY + 2 * 900
    assert other == Decimal(posted - MIDNIGHT) / 3600 * 6
    assert Decimal(status(here)["spend"]["amount"]) == own + other
    assert [(one["name"], Decimal(one["amount"])) for one in status(here)["topWorkloads"]] == [("llm", own)]
    assert (here.replicas("llm"), there.replicas("llm"), there.holds()) == (0, 1, 0)


def test_nothing_is_known_sooner_than_the_other_cluster_posts_it(here: World, there: World) -> None:
    """The spend is as of the slot that is posted there, and fresh all the same; the pace is that of both."""
    applied(here, 1000, caps=[{"name": "hours", "meter": "gpu", "quantity": 200, "unit": "GPU-Hours"}])
    here.pass_time(cycles=4)
    (used,) = [one["used"] for one in status(here)["measures"] if one["name"] == "hours"]
    own = Decimal(here.meter.now - MIDNIGHT) / 3600
    assert abs(Decimal(used) - own - Decimal("48.5")) < Decimal("0.01"), "caps count in both, too"
    assert status(here)["spend"]["asOfTime"] == "2026-11-03T00:30:00Z"
    assert status(here)["spend"]["coveragePercent"] == 100
    assert conditions(here)["DataFresh"] == ("True", "Fresh")
    assert status(here)["rate"] == {"perHour": "9.00"}


def test_a_cluster_that_fell_silent_is_unknown_from_then_on(here: World, there: World) -> None:
    """Its spend stays, as a lower bound; nothing is stopped on it until it is told of again."""
    applied(here, 300, **ACTING)
    here.meter.now += 3000
    here.pass_time(cycles=4)
    assert conditions(here)["DataFresh"] == ("False", "ClusterSilent")
    assert status(here)["spend"]["asOfTime"] == "2026-11-03T00:30:00Z"
    assert status(here)["spend"]["coveragePercent"] < 100
    assert conditions(here)["WithinBudget"] == ("False", "LimitExceeded")
    assert here.replicas("llm") == 1
    there.meter.now = here.meter.now
    there.pass_time(cycles=2)
    here.pass_time(cycles=2)
    assert conditions(here)["DataFresh"] == ("True", "Fresh")
    assert status(here)["spend"]["coveragePercent"] == 100
    assert here.replicas("llm") == 0


def test_a_cluster_that_the_ledger_does_not_have_is_unknown_and_not_made(here: World) -> None:
    """A misspelt name is told; it spends nothing that is known, which is not nothing."""
    applied(here, 100, **ACTING)
    here.pass_time(cycles=4)
    assert parts(here)["us-2"] == (None, False)
    assert conditions(here)["ScopeUnclear"] == ("True", "ClusterUnknown")
    assert conditions(here)["DataFresh"] == ("False", "ClusterSilent")
    assert status(here)["spend"]["coveragePercent"] == 0
    assert Decimal(status(here)["spend"]["amount"]) > 100
    assert here.replicas("llm") == 1
    assert here.in_worker(lambda: here.neighbours.named("us-2")) is None


def test_new_prices_in_another_cluster_stop_nobody_here(here: World, there: World) -> None:
    """What they cross is no new usage, wherever it was."""
    applied(here, 600, thresholds=STOP, enforcement=ENFORCE)
    here.pass_time(cycles=4)
    stored = there.cluster.objects[PRICE_LISTS.plural, "", "company"]
    rates = [{**PRICE["rates"][0], "price": "60"}]  # type: ignore[dict-item]
    there.cluster._store(PRICE_LISTS, {**stored, "spec": {**PRICE, "rates": rates}}, manager="kubectl")
    there.meter.now = here.meter.now
    there.pass_time(cycles=2)
    here.pass_time(cycles=3)
    assert conditions(here)["WithinBudget"] == ("False", "LimitExceeded")
    assert [one["state"] for one in status(here)["thresholds"]] == ["Waiting"]
    assert here.replicas("llm") == 1


def foreseen(here: World, there: World, seconds: int, cycles: int = 1) -> Decimal | None:
    """What is foreseen here once time has passed in both, to ten USD; None where that is unknown."""
    for _ in range(cycles):
        there.meter.now = here.meter.now
        there.pass_time(seconds)
        here.pass_time(seconds)
    amount = status(here).get("forecast", {}).get("amount")
    return None if amount is None else round(Decimal(amount), -1)


def test_the_sum_of_all_clusters_is_foreseen_from_their_own_hours(here: World, there: World) -> None:
    """720 hours of November at 3 USD here and 6 USD there: each operator counts its own hours of a budget of
    the same name and scope. Without one there nothing is known of those hours, and nothing is foreseen.
    """
    applied(here, 6000)
    assert foreseen(here, there, DAY, 2) == 6480
    assert conditions(here)["ForecastWithinBudget"] == ("False", "ForecastExceeds")
    applied(there, 1000, scope={**BOTH, "namespaces": ["team", "other"], "clusters": ["eu-1"]})
    assert foreseen(here, there, 1800) is None
    assert conditions(here)["ForecastWithinBudget"] == ("Unknown", "SeveralClusters")
    del there.cluster.objects[CLUSTER_AIBUDGETS.plural, "", "both"]
    assert foreseen(here, there, 1800) is None


CAP: list[dict[str, Any]] = [{"name": "hours", "meter": "gpu", "quantity": 2000, "unit": "GPU-Hours"}]


def test_a_cap_that_one_cluster_does_not_count_leaves_the_money_foreseen(here: World, there: World) -> None:
    """The namesake has no such cap: of the cap nothing is foreseen, and that is said. Once it has, both are.
    Of a budget of caps alone nothing is foreseen before that, for that reason.
    """
    applied(here, 6000, caps=CAP)
    assert foreseen(here, there, DAY, 2) == 6480
    assert conditions(here)["ForecastWithinBudget"] == ("False", "ForecastExceeds")
    told = {one["type"]: one["message"] for one in status(here)["conditions"]}
    assert "nothing is foreseen of cap hours" in told["ForecastWithinBudget"]
    assert "forecast" not in status(here)["measures"][1]
    here.cluster.seed(CLUSTER_AIBUDGETS, "both", spec={"scope": BOTH, "caps": CAP})
    foreseen(here, there, 1800, 2)
    assert conditions(here)["ForecastWithinBudget"] == ("Unknown", "SeveralClusters")
    applied(there, 1000, scope={**BOTH, "clusters": ["eu-1"]}, caps=CAP)
    foreseen(here, there, 3600, 3)
    assert round(Decimal(status(here)["measures"][0]["forecast"]["amount"]), -1) == 1440


def test_a_budget_that_is_deleted_elsewhere_is_missed(here: World, there: World) -> None:
    """Its period stays open in the ledger, and its hours stay where they were: two days later they tell
    nothing of what is to come. One of that name again is another, and is counted from the beginning.
    """
    applied(here, 6000)
    assert foreseen(here, there, DAY, 2) == 6480
    del there.cluster.objects[CLUSTER_AIBUDGETS.plural, "", "both"]
    assert foreseen(here, there, 3 * DAY) is None
    assert conditions(here)["ForecastWithinBudget"] == ("Unknown", "SeveralClusters")
    applied(there, 1000, scope={**BOTH, "clusters": ["eu-1"]})
    assert foreseen(here, there, 3600, 3) == 6480


def test_an_hour_that_one_cluster_does_not_know_is_known_of_none() -> None:
    """Neither one that nobody counted there nor one in which something was held there is a small sum."""
    here: dict[int, int | None] = {0: 1, 3600: 2, 7200: 3, 10_800: None}
    assert added([here, {3600: 20, 7200: None, 10_800: 4}]) == {3600: 22, 7200: None, 10_800: None}
    assert added([here]) == here
