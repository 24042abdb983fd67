"""The operator's metrics: what the last snapshot says, and nothing of what is gone."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.limits import Measure
from aibudget.inventory.claims import Held, Offered
from aibudget.metering.usage import Balance
from aibudget.reporting.budgetmetrics import spelled
from aibudget.reporting.exporter import Exporter
from aibudget.reporting.facts import Facts
from aibudget.reporting.snapshot import BudgetView, Counters, CycleView, Snapshot
from aibudget.reporting.status import render
from unit.reporting.scraping import samples

EvaluationMaker = Callable[..., Evaluation]
FactsMaker = Callable[..., Facts]


def view(evaluation: Evaluation, facts: FactsMaker) -> BudgetView:
    """As a cycle would give it."""
    return BudgetView(evaluation.budget, render(facts(evaluation)).conditions, evaluation)


def test_a_budget_shows_limit_spend_ratio_and_conditions(
    evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """With its currency as a label."""
    exporter = Exporter()
    exporter.show(Snapshot(leader=True, budgets=spelled([view(evaluation("85", warn="Crossed"), facts)])))
    found = samples(exporter)
    budget = {("kind", "AIBudget"), ("namespace", "team"), ("name", "b")}
    money = frozenset({*budget, ("currency", "USD")})
    assert found["aibudget_limit", money] == 100
    assert found["aibudget_spend", money] == 85
    assert found["aibudget_used_ratio", money] == 0.85
    assert found["aibudget_threshold_crossed", frozenset({*budget, ("threshold", "warn")})] == 1
    assert found["aibudget_threshold_crossed", frozenset({*budget, ("threshold", "full")})] == 0
    ready = frozenset({*budget, ("condition", "Ready"), ("status", "true")})
    assert found["aibudget_status_condition", ready] == 1


def test_each_cap_has_its_series_and_an_unknown_one_no_use(
    evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """In the unit of the cap; a budget of caps alone has no limit in money."""
    hours = Measure("hours", "GPU-Hours", Fraction(100), Fraction(85), None, fresh=True, complete=True)
    tokens = Measure("tokens", "Tokens", Fraction(10**9), None, None, fresh=False, complete=False)
    exporter = Exporter()
    one = replace(evaluation("5"), limit=None, measures=(hours, tokens))
    exporter.show(Snapshot(leader=True, budgets=spelled([view(one, facts)])))
    found = samples(exporter)
    budget = {("kind", "AIBudget"), ("namespace", "team"), ("name", "b")}
    of_hours = frozenset({*budget, ("cap", "hours"), ("unit", "GPU-Hours")})
    of_tokens = frozenset({*budget, ("cap", "tokens"), ("unit", "Tokens")})
    assert (found["aibudget_cap", of_hours], found["aibudget_cap_used", of_hours]) == (100, 85)
    assert found["aibudget_cap", of_tokens] == 10**9
    assert ("aibudget_cap_used", of_tokens) not in found
    assert "aibudget_limit" not in {name for name, _ in found}


def test_unknown_spend_has_no_series(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """Rather than a zero that an alert would believe."""
    exporter = Exporter()
    exporter.show(Snapshot(leader=True, budgets=spelled([view(evaluation("0", as_of=None), facts)])))
    names = {name for name, _ in samples(exporter)}
    assert "aibudget_limit" in names
    assert "aibudget_spend" not in names


def test_a_budget_that_is_gone_leaves_no_series(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """Nor does its last value stay for ever."""
    exporter = Exporter()
    exporter.show(Snapshot(leader=True, budgets=spelled([view(evaluation(), facts)])))
    exporter.show(Snapshot(leader=True))
    assert "aibudget_limit" not in {name for name, _ in samples(exporter)}


def test_a_standby_says_only_that_it_does_not_lead(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """Two answers about one budget would be one too many."""
    exporter = Exporter()
    exporter.show(Snapshot(leader=False, budgets=spelled([view(evaluation(), facts)])))
    assert samples(exporter) == {("aibudget_leader", frozenset()): 0.0}


def test_the_cycle_is_shown(evaluation: EvaluationMaker) -> None:
    """When it ended, how long each phase took, how old the data is, and what failed."""
    exporter = Exporter()
    cycle = CycleView(
        finished=1e9,
        seconds=2.5,
        phases={"measure": 2.0},
        data_age=35,
        coverage={"gpu": 0.97},
        unpriced={"gpu": 0.5},
        balances={"h100": Balance(capacity=3_600_000, held=4_500_000, over=900_000)},
        lines={"images": 1200},
        folded={"images": 200},
        sources={"tokens": False, "energy": True},
    )
    counters = Counters(cycles=3, queries=24, query_errors={"PrometheusUnavailable": 2})
    exporter.show(Snapshot(leader=True, holds={("Freeze", "active"): 2}, cycle=cycle, counters=counters))
    found = samples(exporter)
    assert found["aibudget_last_cycle_timestamp_seconds", frozenset()] == 1e9
    assert found["aibudget_cycle_duration_seconds", frozenset()] == 2.5
    assert found["aibudget_cycle_phase_seconds", frozenset({("phase", "measure")})] == 2.0
    assert found["aibudget_data_age_seconds", frozenset()] == 35
    assert found["aibudget_coverage_ratio", frozenset({("meter", "gpu")})] == 0.97
    assert found["aibudget_unpriced_usage", frozenset({("meter", "gpu")})] == 0.5
    assert found["aibudget_meter_lines", frozenset({("meter", "images")})] == 1200
    assert found["aibudget_meter_source_present", frozenset({("meter", "tokens")})] == 0
    assert found["aibudget_meter_source_present", frozenset({("meter", "energy")})] == 1
    assert found["aibudget_meter_lines_folded", frozenset({("meter", "images")})] == 200
    parts = {"capacity": 3600, "held": 4500, "idle": 0, "unhealthy": 0, "unknown": 0, "over": 900}
    for part, seconds in parts.items():
        whose = frozenset({("node_pool", "h100"), ("part", part)})
        assert found["aibudget_conservation_gpu_seconds", whose] == seconds
    assert found["aibudget_holds", frozenset({("action", "Freeze"), ("state", "active")})] == 2
    assert found["aibudget_prometheus_queries_total", frozenset()] == 24
    reason = frozenset({("reason", "PrometheusUnavailable")})
    assert found["aibudget_prometheus_query_errors_total", reason] == 2


def test_claims_are_told_at_each_scrape() -> None:
    """What pods hold at this moment does not wait for the next cycle."""
    exporter, held, offered = Exporter(), dict[Held, int](), dict[Offered, int]()
    exporter.ask_devices(lambda: held, lambda: offered)
    exporter.show(Snapshot(leader=True, backlog={"Stop": 1}))
    name = "aibudget_dra_device_held"
    assert not any(found == name for found, _ in samples(exporter))
    held[Held(*Held._fields)] = 1
    offered[Offered(*Offered._fields)] = 2
    assert any(found == name for found, _ in samples(exporter))
    assert 2 in (value for (found, _), value in samples(exporter).items() if found == "aibudget_dra_devices")
    exporter.show(Snapshot(leader=True, backlog={"Stop": 2}))
    assert samples(exporter)["aibudget_backlog", frozenset({("action", "Stop")})] == 2
