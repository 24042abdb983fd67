"""What may change after an object was made, by whom, and what kubectl prints of it."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import yaml

from aibudget.api.budget import AIBudget
from aibudget.api.budgetstatus import (
    BindingBudget,
    BudgetStatus,
    Forecast,
    HoldCounts,
    LimitStatus,
    MeasureStatus,
    PastPeriod,
    PeriodStatus,
    Rate,
    Spend,
    ThresholdStatus,
    TopWorkload,
    UnitCostStatus,
)
from aibudget.api.conditions import Condition, ConditionType, Reason
from aibudget.api.driversstatus import DriversStatus, SkuChange, WorkloadChange
from aibudget.api.kinds import parse
from cluster.api.server import Server, collection_of, path_of

pytestmark = pytest.mark.cluster

WHEN = datetime(2026, 11, 1, tzinfo=UTC)
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def budget(name: str, spec: str = "", limit: str = "{amount: 5000, currency: USD}") -> str:
    """An AIBudget as YAML."""
    return (
        "apiVersion: aibudget.io/v1alpha1\nkind: AIBudget\n"
        f"metadata: {{name: {name}, namespace: default}}\nspec:\n  limit: {limit}\n  {spec}\n"
    )


def share(name: str, spec: str) -> str:
    """The part of an AIBudget that a second manager applies; the limit is another's."""
    return budget(name, spec).replace("  limit: {amount: 5000, currency: USD}\n", "")


def test_a_second_manager_leaves_nothing_behind(server: Server) -> None:
    """A tuner adds a threshold and a grace period, then withdraws: the budget is as its owner wrote it."""
    own = budget(
        "shared",
        "thresholds: [{name: full, percent: 100, actions: [Notify]}]\n  enforcement: {mode: Enforce}",
    )
    before = server.apply(own).json()["spec"]
    tuned = share(
        "shared",
        "thresholds: [{name: half, percent: 50, actions: [Notify]}]\n  enforcement: {gracePeriodSeconds: 60}",
    )
    response = server.apply(tuned, "tuner")
    assert response.ok, response.text
    assert [entry["name"] for entry in response.json()["spec"]["thresholds"]] == ["full", "half"]
    assert server.apply(own).json()["spec"]["enforcement"]["gracePeriodSeconds"] == 60

    withdrawn = server.apply(share("shared", "").replace("spec:\n", ""), "tuner")
    assert withdrawn.ok, withdrawn.text
    assert withdrawn.json()["spec"] == before


def test_a_part_that_its_owner_drops_is_gone(server: Server) -> None:
    """No default keeps an `enforcement` or a threshold alive that nobody wants any more."""
    server.apply(
        budget(
            "dropping",
            "thresholds: [{name: full, percent: 100, actions: [Notify]}]\n  enforcement: {mode: Enforce}",
        )
    )
    assert server.apply(budget("dropping")).json()["spec"] == {"limit": {"amount": 5000, "currency": "USD"}}


@pytest.mark.parametrize(
    ("case", "before", "after"),
    [
        ("month-to-week", "period: {type: Monthly}", "period: {type: Weekly}"),
        ("absent-to-week", "", "period: {type: Weekly}"),
        ("week-to-absent", "period: {type: Weekly}", ""),
        ("zone-to-absent", "period: {timeZone: Europe/Berlin}", ""),
        ("another-zone", "period: {timeZone: Europe/Berlin}", "period: {timeZone: Europe/Paris}"),
    ],
)
def test_the_period_is_immutable(server: Server, case: str, before: str, after: str) -> None:
    """Also where one of the two is the absent one."""
    assert server.apply(budget(case, before)).ok
    refused = server.apply(budget(case, after))
    assert refused.status_code == 422
    assert "spec.period: Forbidden: period is immutable" in refused.json()["message"]


def test_spelling_the_default_period_out_is_no_change(server: Server) -> None:
    """Absent means calendar months in UTC, so writing that down, or dropping it, is allowed."""
    for spec in ("", "period: {type: Monthly, timeZone: UTC}", ""):
        response = server.apply(budget("spelled", spec))
        assert response.ok, response.text


def test_the_currency_is_immutable_and_the_limit_is_not(server: Server) -> None:
    """Spend is counted in the currency that the budget was made with."""
    assert server.apply(budget("money")).ok
    assert server.apply(budget("money", limit='{amount: "7000.50", currency: USD}')).ok
    refused = server.apply(budget("money", limit="{amount: 7000, currency: EUR}"))
    assert refused.status_code == 422
    assert "spec.limit.currency: Forbidden: currency is immutable" in refused.json()["message"]


def test_the_original_of_a_hold_is_written_once(server: Server) -> None:
    """Absent at notice, written at the act, and never again: it is what will be put back."""
    hold = (
        "apiVersion: aibudget.io/v1alpha1\nkind: Hold\nmetadata: {name: h, namespace: default}\n"
        "spec:\n  action: ScaleDown\n"
        "  targetRef: {apiVersion: apps/v1, kind: Deployment, name: llm, uid: u-1}\n"
    )
    original = '  original: [{path: /spec/replicas, json: "6"}]\n'
    assert server.apply(hold).ok
    assert server.apply(hold + original).ok
    for text, field in (
        (hold + original.replace("6", "0"), "spec.original"),
        (hold, "spec.original"),
        ((hold + original).replace("name: llm", "name: other"), "spec.targetRef"),
    ):
        refused = server.apply(text)
        assert refused.status_code == 422
        assert f"{field}: Forbidden" in refused.json()["message"]


def test_a_full_status_is_kept_and_printed(server: Server) -> None:
    """Every field of the models has its place in the CRD, and kubectl's columns find theirs."""
    text = budget("printed")
    path = path_of(yaml.safe_load(text))
    assert server.apply(text).ok
    status = full_status()
    response = server.write_status(path, status.to_dict())
    assert response.ok, response.text
    kept = server.get(path)
    assert kept["status"] == status.to_dict()
    model = parse(kept)
    assert isinstance(model, AIBudget)
    assert model.status == status
    row = printed(server, "printed")
    assert re.fullmatch(r"\d+[smhdy].*", str(row.pop("As Of")))
    assert row == {
        "Name": "printed",
        "Limit": "5000",
        "Used": "2550.00",
        "Used%": 51,
        "Forecast": "4900.00",
        "State": "BelowThreshold",
        "Ready": "True",
        "Currency": "USD",
        "Measure": "limit",
        "Period": "2026-11@UTC",
        "Resets": "2126-12-01T00:00:00Z",
        "Holds": 1,
    }


def printed(server: Server, name: str) -> dict[str, object]:
    """The row of this budget in kubectl's table, without its age."""
    table = server.get(collection_of(yaml.safe_load(budget(name))), accept=TABLE)
    columns = [column["name"] for column in table["columnDefinitions"]]
    (row,) = (row["cells"] for row in table["rows"] if row["cells"][0] == name)
    return {column: cell for column, cell in zip(columns, row, strict=True) if column != "Age"}


def full_status() -> BudgetStatus:
    """A status in which nothing is unknown; its period ends in the future, as periods do."""
    return BudgetStatus(
        observed_generation=1,
        conditions=tuple(
            Condition(
                type=kind, status="True", reason=reason, last_transition_time=WHEN, observed_generation=1
            )
            for kind, reason in (
                (ConditionType.READY, Reason.RECONCILED),
                (ConditionType.WITHIN_BUDGET, Reason.BELOW_THRESHOLD),
            )
        ),
        period=PeriodStatus(id="2026-11@UTC", start_time=WHEN, end_time=datetime(2126, 12, 1, tzinfo=UTC)),
        limit=LimitStatus(
            amount=Decimal(5000),
            currency="USD",
            base=Decimal(5000),
            held_back=Decimal(500),
            rolled_over=Decimal("500.00"),
            provisional=True,
        ),
        measures=(
            MeasureStatus(
                name="limit", unit="USD", limit=Decimal(5000), used=Decimal("2550.00"), used_percent=51
            ),
            MeasureStatus(
                name="hours",
                unit="GPU-Hours",
                limit=Decimal("1350.5"),
                forecast=Forecast(amount=Decimal("1290.25"), used_percent=95),
            ),
        ),
        spend=Spend(
            amount=Decimal("2550.00"),
            currency="USD",
            used_percent=51,
            measure="limit",
            as_of_time=WHEN,
            coverage_percent=100,
        ),
        rate=Rate(per_hour=Decimal("14.20")),
        forecast=Forecast(
            amount=Decimal("4900.00"),
            low=Decimal("4700.00"),
            high=Decimal("5200.00"),
            exhausted_time=WHEN,
            used_percent=98,
            error_percent=6,
        ),
        drivers=(
            DriversStatus(
                period="2026-11@UTC",
                compared_with="2026-10@UTC",
                until_time=WHEN,
                before=Decimal("2700.00"),
                change=Decimal("-150.00"),
                change_percent=-6,
                price=Decimal("-200.00"),
                volume=Decimal("30.00"),
                mix=Decimal("20.00"),
                new=Decimal("0.00"),
                gone=Decimal("0.00"),
                skus=(SkuChange(sku="gpu (gpuProduct H100)", amount=Decimal("-150.00"), driver="Price"),),
                workloads=(WorkloadChange(kind="Deployment", name="llm", amount=Decimal("-150.00")),),
                message="Less.",
            ),
        ),
        thresholds=(
            ThresholdStatus(name="far", state="Below"),
            ThresholdStatus(name="told", state="Crossed", crossed_time=WHEN),
            ThresholdStatus(name="held", state="Active", crossed_time=WHEN),
            ThresholdStatus(name="next", state="Waiting", crossed_time=WHEN),
        ),
        top_workloads=(
            TopWorkload(
                namespace="default",
                kind="Deployment",
                name="llm",
                amount=Decimal("2000.00"),
                percent=78,
                idle_percent=12,
            ),
        ),
        unit_costs=(
            UnitCostStatus(
                name="tokens",
                amount=Decimal("2.666667"),
                per=1_000_000,
                ceiling=Decimal("2.50"),
                state="Above",
            ),
            UnitCostStatus(name="requests", per=1, ceiling=Decimal("0.01")),
        ),
        binding=BindingBudget(kind="ClusterAIBudget", name="research"),
        holds=HoldCounts(active=1),
        history=(
            PastPeriod(
                id="2026-10@UTC",
                limit=Decimal("0.00000001"),
                spent=Decimal("5000.00"),
                used_percent=82,
            ),
        ),
        last_evaluation_time=WHEN,
    )
