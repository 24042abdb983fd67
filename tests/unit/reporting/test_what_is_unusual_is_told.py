"""Anomalies in the status, the condition, Events, alerts, metrics and in the words of the commands."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from aibudget.api.budget import AIBudget
from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import find_condition
from aibudget.budgeting.evaluation import BudgetKey, ClusterSpend, Evaluation
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.vigil import HOUR, Anomaly, Cause, Standing, Watched
from aibudget.inventory.workload import Workload
from aibudget.notification.alerts import alerts_of
from aibudget.reporting.events import transitions
from aibudget.reporting.explanation import unusual_of
from aibudget.reporting.facts import Facts
from aibudget.reporting.status import outline, render
from aibudget.reporting.unusual import sentence
from unit.reporting.scraping import samples_of

EvaluationMaker = Callable[..., Evaluation]
FactsMaker = Callable[..., Facts]
NOON = 1_795_262_400
LLM = Workload("team", "Deployment", "llm")
RUNAWAY = Anomaly(
    NOON - 6 * HOUR, NOON, 412.0, 131.2, (Cause(LLM, 274.1, "changed by kubectl at 2026-11-21T05:41:10Z"),)
)
SAID = (
    "The 6 hours up to 2026-11-21T12:00:00Z cost 412.00 USD, where 131.20 USD is usual: 280.80 USD more. "
    "Deployment llm (changed by kubectl at 2026-11-21T05:41:10Z): 274.10 USD more."
)


@pytest.fixture
def runaway(evaluation: EvaluationMaker) -> Evaluation:
    """A budget in which an anomaly lasts."""
    return evaluation(watched=Watched("Unusual", (RUNAWAY,), NOON))


def test_it_is_said_in_full(runaway: Evaluation) -> None:
    """When, how much, how much is usual, by whom, and what was done to that."""
    assert sentence(RUNAWAY, runaway) == SAID
    wide = replace(runaway, budget=BudgetKey("ClusterAIBudget", None, "b", "uid-b"))
    less = Anomaly(NOON - HOUR, NOON, 0.0, 20.0, (Cause(LLM, -20.0),))
    assert sentence(less, wide) == (
        "The hour up to 2026-11-21T12:00:00Z cost 0.00 USD, where 20.00 USD is usual: 20.00 USD less. "
        "Deployment team/llm: 20.00 USD less."
    )


def test_the_status_says_it_and_remembers_it(runaway: Evaluation, facts: FactsMaker) -> None:
    """What stands there is what the next process goes on from."""
    status = render(facts(runaway))
    assert status.to_dict()["anomalies"] == [
        {
            "startTime": "2026-11-21T06:00:00Z",
            "detectedTime": "2026-11-21T12:00:00Z",
            "amount": "412.00",
            "expected": "131.20",
            "workloads": [
                {
                    "kind": "Deployment",
                    "name": "llm",
                    "amount": "274.10",
                    "change": "changed by kubectl at 2026-11-21T05:41:10Z",
                }
            ],
        }
    ]
    known = find_condition(status.conditions, "SpendAsUsual")
    assert known is not None
    assert (known.status, known.reason, known.message) == ("False", "UnusualSpend", SAID)
    (restored,) = Memory.from_status(status).anomalies
    assert replace(restored, causes=()) == replace(RUNAWAY, causes=())
    assert sentence(restored, runaway) == SAID


@pytest.mark.parametrize(
    ("standing", "status", "reason"),
    [
        ("AsUsual", "True", "AsUsual"),
        ("Learning", "Unknown", "Learning"),
        ("Unknown", "Unknown", "HourUnknown"),
        ("Planned", "Unknown", "SpendPlanned"),
    ],
)
def test_what_cannot_be_told_is_unknown(
    evaluation: EvaluationMaker, facts: FactsMaker, standing: Standing, status: str, reason: str
) -> None:
    """Neither usual nor unusual, and why."""
    rendered = render(facts(evaluation(watched=Watched(standing))))
    known = find_condition(rendered.conditions, "SpendAsUsual")
    assert known is not None
    assert (known.status, known.reason) == (status, reason)


def test_until_the_first_look_what_stood_stands(
    runaway: Evaluation, evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """A restart is no transition; a budget that was never looked at says nothing."""
    assert find_condition(render(facts(evaluation())).conditions, "SpendAsUsual") is None
    before = render(facts(runaway))
    after = render(replace(facts(evaluation(watched=Watched(None, (RUNAWAY,)))), before=before))
    assert (after.conditions, after.anomalies) == (before.conditions, before.anomalies)


def test_what_stood_of_one_cluster_is_not_said_of_several(
    runaway: Evaluation, evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """Nobody looks at a budget over several: what it was told of before would stand, and alert, for ever."""
    before = render(facts(runaway))
    several = evaluation(clusters=(ClusterSpend("eu-1", Decimal(5), NOON, "Here"),))
    after = render(facts(several, before=before))
    assert find_condition(after.conditions, "SpendAsUsual") is None
    assert alerts_of("eu-1", budget(), after, ()) == ()


def test_it_is_an_event_once(runaway: Evaluation, facts: FactsMaker) -> None:
    """Until another one comes."""
    known = facts(runaway)

    def told(before: BudgetStatus) -> list[tuple[str, str]]:
        found = transitions(before, runaway, known.data, enforcing=True)
        return [(event.reason.value, event.message) for event in found]

    assert told(BudgetStatus()) == [("UnusualSpend", SAID)]
    assert told(render(known)) == []


def test_a_budget_does_not_rest_through_it(
    runaway: Evaluation, evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """What begins, ends or is unknown is written at once."""
    over = Watched("AsUsual", (replace(RUNAWAY, ended=NOON),))
    outlines = [
        outline(facts(one))
        for one in (runaway, evaluation(watched=over), evaluation(watched=Watched("Unknown")))
    ]
    assert None not in outlines
    assert len(set(outlines)) == 3


def test_alertmanager_hears_of_it_while_it_lasts(runaway: Evaluation, facts: FactsMaker) -> None:
    """As a level."""
    status = render(facts(runaway))
    alerts = alerts_of("eu-1", budget(), status, ())
    assert [(dict(one.labels)["alertname"], one.summary) for one in alerts] == [
        ("AIBudgetUnusualSpend", SAID)
    ]


def test_the_metric_is_the_difference_while_it_lasts_and_absent_while_unknown(
    runaway: Evaluation, evaluation: EvaluationMaker
) -> None:
    """Zero is a fact."""
    of = {"kind": "AIBudget", "namespace": "team", "name": "b", "currency": "USD"}
    series = "aibudget_anomaly_amount", frozenset(of.items())
    assert samples_of(runaway)[series] == 280.8
    assert samples_of(evaluation(watched=Watched("AsUsual")))[series] == 0
    assert series not in samples_of(evaluation(watched=Watched("Learning")))


def test_explain_tells_whose_part_it_is(runaway: Evaluation, facts: FactsMaker) -> None:
    """To those that are behind it, as long as it lasts."""
    lasting = budget().model_copy(update={"status": render(facts(runaway))})
    told = unusual_of(lasting, LLM)
    assert told is not None
    assert told.startswith("Unusual: it cost 274.10 USD more from 2026-11-21T06:00:00Z")
    assert told.endswith("(changed by kubectl at 2026-11-21T05:41:10Z).")
    assert unusual_of(lasting, Workload("team", "Deployment", "other")) is None
    over = replace(runaway, watched=Watched("AsUsual", (replace(RUNAWAY, ended=NOON),)))
    assert unusual_of(lasting.model_copy(update={"status": render(facts(over))}), LLM) is None


def budget() -> AIBudget:
    """As people wrote it."""
    return AIBudget.read(
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": "AIBudget",
            "metadata": {"name": "b", "namespace": "team", "uid": "uid-b", "generation": 1},
            "spec": {"limit": {"amount": 100, "currency": "USD"}},
        }
    )
