"""What a budget means where it says little: defaults, built-in thresholds, scopes, protection."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from aibudget.api.budget import AIBudget, BudgetSpec, ClusterAIBudget
from aibudget.api.budgetstatus import BudgetStatus, Spend, ThresholdStatus
from aibudget.api.kinds import parse
from aibudget.api.money import Money
from aibudget.api.selector import LabelSelector
from aibudget.errors import InvalidManifest, Stalled


def manifest(kind: str = "AIBudget", **spec: Any) -> dict[str, Any]:
    """An object as the API server gives it."""
    return {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": "training",
            "namespace": "team",
            "uid": "u-1",
            "generation": 3,
            "creationTimestamp": "2026-11-01T00:00:00Z",
            "managedFields": [],
        },
        "spec": {"limit": {"amount": 5000, "currency": "USD"}} | spec,
    }


def test_the_shortest_budget_observes_months_in_utc() -> None:
    """Five lines of YAML are enough, and stop nothing."""
    budget = parse(manifest())
    assert isinstance(budget, AIBudget)
    spec = budget.spec
    assert spec.limit is not None
    assert spec.limit.money == Money(Decimal(5000), "USD")
    assert (spec.period.type, spec.period.time_zone) == ("Monthly", "UTC")
    assert (spec.enforcement.mode, spec.enforcement.grace_period_seconds) == ("Observe", 900)
    assert [(t.name, t.percent, t.actions) for t in spec.effective_thresholds] == [
        ("warn", 80, ("Notify", "Annotate")),
        ("full", 100, ("Notify", "Annotate")),
    ]
    assert (budget.metadata.uid, budget.metadata.generation) == ("u-1", 3)
    assert budget.metadata.creation_timestamp == datetime(2026, 11, 1, tzinfo=UTC)
    assert str(budget) == "AIBudget team/training"


def test_written_thresholds_replace_the_built_in_ones_and_come_lowest_first() -> None:
    """The order in the file has no meaning."""
    written = [
        {"name": name, "percent": percent, "actions": ["Notify"]} for name, percent in (("b", 90), ("a", 50))
    ]
    budget = parse(manifest(thresholds=written))
    assert isinstance(budget, AIBudget)
    assert [threshold.name for threshold in budget.spec.effective_thresholds] == ["a", "b"]


def test_a_scope_is_the_union_of_names_and_labels() -> None:
    """Either is enough."""
    scope = {"namespaces": ["shared"], "namespaceSelector": {"matchLabels": {"department": "research"}}}
    budget = parse(manifest("ClusterAIBudget", scope=scope))
    assert isinstance(budget, ClusterAIBudget)
    assert budget.spec.scope.covers("shared", {})
    assert budget.spec.scope.covers("other", {"department": "research"})
    assert not budget.spec.scope.covers("other", {"department": "sales"})


@pytest.mark.parametrize(
    ("operator", "values", "labels", "expected"),
    [
        ("In", ["a"], {"k": "a"}, True),
        ("In", ["a"], {}, False),
        ("NotIn", ["a"], {"k": "a"}, False),
        ("NotIn", ["a"], {}, True),
        ("Exists", [], {"k": ""}, True),
        ("DoesNotExist", [], {"k": ""}, False),
    ],
)
def test_selectors_match_as_in_kubernetes(
    operator: str, values: list[str], labels: dict[str, str], *, expected: bool
) -> None:
    """An absent label is NotIn every list."""
    selector = LabelSelector.model_validate(
        {"matchExpressions": [{"key": "k", "operator": operator, "values": values}]}
    )
    assert selector.matches(labels) is expected


def test_an_empty_selector_selects_everything() -> None:
    """As everywhere in Kubernetes."""
    assert LabelSelector().matches({}) is True


def test_a_status_leaves_out_what_is_unknown_and_keeps_zeros() -> None:
    """Absent is unknown; zero is a fact."""
    status = BudgetStatus(
        observed_generation=3,
        spend=Spend(amount=Decimal("0.00"), used_percent=0),
        thresholds=(ThresholdStatus(name="warn", state="Below"),),
    )
    written = status.to_dict()
    assert written["spend"] == {"amount": "0.00", "usedPercent": 0}
    assert written["thresholds"] == [{"name": "warn", "state": "Below"}]
    assert "rate" not in written
    assert BudgetStatus.model_validate(written) == status


def test_a_status_of_another_version_does_not_make_a_budget_invalid() -> None:
    """Fields that a later operator wrote are passed over."""
    budget = parse(manifest() | {"status": {"observedGeneration": 2, "forecast": {"amount": "1"}}})
    assert isinstance(budget, AIBudget)
    assert budget.status.observed_generation == 2


def test_specs_are_frozen() -> None:
    """Rooms share them without copying."""
    spec = BudgetSpec.model_validate(manifest()["spec"])
    with pytest.raises(ValidationError, match="frozen"):
        spec.limit = spec.limit  # type: ignore[misc]


def test_an_invalid_manifest_says_all_its_faults_and_the_way_out() -> None:
    """It stalls: waiting does not help."""
    with pytest.raises(InvalidManifest) as caught:
        parse(manifest(limit={"amount": 0}, thresholds=[]))
    error = caught.value
    assert [problem.path for problem in error.problems] == [
        "spec.limit.amount",
        "spec.limit.currency",
        "spec.thresholds",
    ]
    assert isinstance(error, Stalled)
    assert error.reason == "InvalidSpec"
    assert error.message.startswith(
        "AIBudget team/training is not valid: spec.limit.amount: must be greater than 0;"
    )
    assert error.message.endswith("Correct it and apply it again.")


@pytest.mark.parametrize(
    "name", ["", "+05:30", "Local", "localtime", "Europe/Atlantis", "europe/berlin", "../UTC"]
)
def test_only_zones_of_the_database_pass(name: str) -> None:
    """An offset has no summer time, and the host's own zone is nobody's."""
    with pytest.raises(InvalidManifest, match=r"spec\.period\.timeZone"):
        parse(manifest(period={"timeZone": name}))
