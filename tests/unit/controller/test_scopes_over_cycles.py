"""Budgets over parts of a namespace through whole cycles: who is counted, stopped, and given back."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from aibudget.inventory.resource import DEPLOYMENTS, NAMESPACES, PRICE_LISTS
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Reading
from unit.controller.atonce import AtOnce
from unit.controller.meters import DAY, MIDNIGHT, Meter
from unit.controller.world import ENFORCE, PRICE, STOP, World

ACTING: dict[str, Any] = {"thresholds": STOP, "enforcement": {**ENFORCE, "onAlreadyCrossed": "Enforce"}}
SERVICE = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "chat"}
OTHER = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm-1"}
BY_LABEL = {"workloadSelector": {"matchLabels": {"part": "detector"}}}


class Labelled(Meter):
    """Two workloads; of the first is told that it is a part of the detector, from `told` on."""

    told = MIDNIGHT

    def read(self, interval: Interval) -> Reading:
        """As the meter, with labels."""
        reading = super().read(interval)
        usages = (
            replace(one, labels=(("part", "detector" if one.workload.name == "llm" else ""),))
            if one.slot >= self.told
            else one
            for one in reading.usages
        )
        return replace(reading, usages=tuple(usages))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two GPUs at 3 USD an hour since ever; two days of November are over."""
    with AtOnce() as worker:
        made = World(tmp_path, worker, Labelled(MIDNIGHT + 2 * DAY))
        made.meter.workloads = 2
        made.cluster.seed(PRICE_LISTS, "company", spec=PRICE)
        made.cluster.seed(NAMESPACES, "team")
        for name in ("llm", "llm-1"):
            made.cluster.deployment(name, "team", 1)
        yield made
        made.stop()


def spent(world: World, name: str) -> Decimal:
    """As its status says."""
    return Decimal(world.status(name)["spend"]["amount"])


def test_a_budget_stops_only_what_is_inside_and_lets_go_what_is_no_more(world: World) -> None:
    """An InferenceService is named; then the scope becomes another, which is a decision like a veto."""
    served = world.cluster.objects[DEPLOYMENTS.plural, "team", "llm"]
    served["metadata"]["labels"] = {"serving.kserve.io/inferenceservice": "chat"}
    world.budget("service", 10, scope={"workloads": [SERVICE]}, **ACTING)
    world.pass_time(cycles=4)
    assert (world.replicas("llm"), world.replicas("llm-1")) == (0, 1)
    world.budget("service", 10, scope={"workloads": [OTHER]})
    world.pass_time(cycles=3)
    assert (world.replicas("llm"), world.replicas("llm-1")) == (1, 0)


def test_labels_of_the_time_part_what_is_spent(world: World) -> None:
    """Both parts add up to the namespace, whose budget binds the one that is further from its limit."""
    world.budget("part", 1000, scope=BY_LABEL)
    rest = {"matchExpressions": [{"key": "part", "operator": "NotIn", "values": ["detector"]}]}
    world.budget("rest", 200, scope={"workloadSelector": rest})
    world.budget("whole", 1000)
    world.pass_time(cycles=3)
    assert spent(world, "part") == spent(world, "rest") > 140
    assert spent(world, "part") + spent(world, "rest") == spent(world, "whole")
    assert [one["name"] for one in world.status("part")["topWorkloads"]] == ["llm"]
    names = {name: world.status(name)["binding"]["name"] for name in ("part", "rest")}
    assert names == {"part": "whole", "rest": "rest"}
    assert world.conditions("whole")["Overcommitted"] == ("True", "LimitsExceedLimit")
    assert world.events("whole").count("BudgetOvercommitted") == 1


def test_what_was_spent_before_labels_were_told_is_nobodys_and_stops_nothing(world: World) -> None:
    """It is said, with the flag that tells them; what a budget without a scope counts is whole."""
    assert isinstance(world.meter, Labelled)
    world.meter.told = MIDNIGHT + DAY
    world.budget("part", 100, scope=BY_LABEL, **ACTING)
    world.budget("whole", 1000)
    world.pass_time(cycles=3)
    assert world.conditions("part")["ScopeUnclear"] == ("True", "LabelsUnknown")
    assert 72 <= spent(world, "part") < 73
    assert spent(world, "whole") > 4 * 71
    assert "ScopeUnclear" not in world.conditions("whole")
    assert world.holds() == 0
