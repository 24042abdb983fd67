"""An Event for each transition, with a name that only this transition has; a repeat says nothing."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.budgeting.evaluation import Evaluation
from aibudget.inventory.kubernetes import AlreadyExists
from aibudget.inventory.resource import Resource
from aibudget.reporting.events import Event, budget, invalid, manifest, tell, transitions
from aibudget.reporting.facts import DataState, Facts
from aibudget.reporting.status import render

EvaluationMaker = Callable[..., Evaluation]
FactsMaker = Callable[..., Facts]


class Recorder:
    """An API server's Events: a name is taken once."""

    def __init__(self) -> None:
        self.told: dict[str, Mapping[str, Any]] = {}

    async def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None
    ) -> Mapping[str, Any]:
        """Keep it."""
        if body["metadata"]["name"] in self.told:
            raise AlreadyExists("AlreadyExists", "taken")
        self.told[body["metadata"]["name"]] = body
        return body


def reasons(events: tuple[Event, ...]) -> list[str]:
    """In their order."""
    return [event.reason.value for event in events]


def test_nothing_new_is_nothing_told(
    evaluation: EvaluationMaker, facts: FactsMaker, fresh: DataState
) -> None:
    """However often the budget is looked at."""
    before = render(facts(evaluation("90", warn="Crossed")))
    assert transitions(before, evaluation("90", warn="Crossed"), fresh, enforcing=True) == ()


def test_a_crossing_says_budget_spend_limit_percent_and_what_comes_next(
    evaluation: EvaluationMaker, fresh: DataState
) -> None:
    """With how to stop it."""
    crossed = evaluation("120", warn="Active", full="Active", changed=True)
    warn, full = transitions(BudgetStatus(), crossed, fresh, enforcing=True)
    assert (warn.reason.value, full.reason.value) == ("BudgetThresholdReached", "BudgetExceeded")
    for part in ("120.00 USD of 100.00 USD", "120 %", "2026-11@UTC", "full (100 %)"):
        assert part in full.message
    assert "scaled down after the grace period" in full.message
    assert "Raise spec.limit.amount" in full.message
    assert "2026-12-01T00:00:00Z" in full.message
    assert "Nothing is stopped" in warn.message


def test_observing_tells_what_enforcing_would_have_done(
    evaluation: EvaluationMaker, fresh: DataState
) -> None:
    """By name."""
    told = transitions(
        BudgetStatus(), evaluation("120", full="Crossed", changed=True, workloads=7), fresh, enforcing=True
    )
    assert reasons(told)[1:] == ["BudgetExceeded", "WouldScaleDown"]
    assert "Deployment team/llm-0" in told[2].message
    assert "and 2 more" in told[2].message


def test_a_switched_off_enforcement_says_so(evaluation: EvaluationMaker, fresh: DataState) -> None:
    """An act that does not happen is told like one."""
    told = transitions(BudgetStatus(), evaluation("120", full="Active", changed=True), fresh, enforcing=False)
    assert reasons(told)[1:] == ["BudgetExceeded", "EnforcementPaused"]


def test_a_threshold_without_notify_is_silent(evaluation: EvaluationMaker, fresh: DataState) -> None:
    """Its budget asked for no Events."""
    crossed = evaluation("120", warn="Active", full="Active", changed=True)
    quiet = replace(
        crossed,
        changes=tuple(
            replace(state, threshold=state.threshold.model_copy(update={"actions": ("Annotate",)}))
            for state in crossed.changes
        ),
    )
    assert transitions(BudgetStatus(), quiet, fresh, enforcing=True) == ()


def test_data_that_goes_stale_and_comes_back_is_told(
    evaluation: EvaluationMaker, facts: FactsMaker, stale: DataState, fresh: DataState
) -> None:
    """Once each."""
    known = render(facts(evaluation()))
    lost = render(facts(evaluation(), before=known, data=stale))
    assert reasons(transitions(known, evaluation(), stale, enforcing=True)) == ["DataStale"]
    assert transitions(lost, evaluation(), stale, enforcing=True) == ()
    assert reasons(transitions(lost, evaluation(), fresh, enforcing=True)) == ["DataRecovered"]


def test_a_new_period_is_told(evaluation: EvaluationMaker, facts: FactsMaker, fresh: DataState) -> None:
    """With the limit that it begins with."""
    before = render(facts(evaluation()))
    october = before.model_copy(
        update={"period": before.period.model_copy(update={"id": "2026-10@UTC"}) if before.period else None}
    )
    (event,) = transitions(october, evaluation("0"), fresh, enforcing=True)
    assert event.reason.value == "PeriodStarted"
    assert "100.00 USD" in event.message


def test_usage_without_a_price_is_told_and_not_charged_in_silence(
    evaluation: EvaluationMaker, fresh: DataState
) -> None:
    """Once for what it is, however often it is seen."""
    unpriced = evaluation(unpriced=("gpu (gpuProduct B300)",))
    (event,) = transitions(BudgetStatus(), unpriced, fresh, enforcing=True)
    (again,) = transitions(BudgetStatus(), unpriced, fresh, enforcing=True)
    assert event.reason.value == "PriceMissing"
    assert event.name == again.name


@pytest.mark.parametrize("namespace", ["team", None])
def test_an_event_is_shaped_as_every_kubectl_shows_it(
    evaluation: EvaluationMaker, fresh: DataState, namespace: str | None
) -> None:
    """Of cluster-scoped budgets in `default`, where kubectl looks for them."""
    crossed = evaluation("120", warn="Active", changed=True, namespace=namespace)
    body = manifest(transitions(BudgetStatus(), crossed, fresh, enforcing=True)[0], 1_795_255_200, "replica")
    assert body["metadata"]["namespace"] == (namespace or "default")
    assert body["involvedObject"].get("namespace") == namespace
    assert body["type"] == "Warning"
    assert body["reportingComponent"] == "aibudget"
    assert body["firstTimestamp"] == "2026-11-21T10:00:00Z"


def test_two_replicas_tell_it_once(evaluation: EvaluationMaker, fresh: DataState) -> None:
    """The second finds the name taken: also after a crash between the Event and the status."""
    recorder = Recorder()
    for _ in range(2):
        events = transitions(
            BudgetStatus(),
            evaluation("120", warn="Active", full="Active", changed=True),
            fresh,
            enforcing=True,
        )
        asyncio.run(tell(recorder, events, 0, "replica"))
    assert len(recorder.told) == 2


def test_crossing_again_after_an_edit_is_another_transition(
    evaluation: EvaluationMaker, fresh: DataState
) -> None:
    """Raised, recovered, spent on, and crossed anew."""
    first = evaluation("120", full="Active", changed=True)
    second = replace(first, generation=2)
    names = [transitions(BudgetStatus(), one, fresh, enforcing=True)[-1].name for one in (first, second)]
    assert names[0] != names[1]


def test_an_invalid_object_is_told_once_for_each_generation(evaluation: EvaluationMaker) -> None:
    """Its owner is the one who can mend it."""
    subject = budget(evaluation().budget)
    assert invalid(subject, 1, "wrong").name == invalid(subject, 1, "wrong, in other words").name
    assert invalid(subject, 1, "wrong").name != invalid(subject, 2, "wrong").name
