"""An Event for each transition, with a name that only this transition has; a repeat says nothing."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import Reason
from aibudget.api.meter import MeterStatus
from aibudget.budgeting.evaluation import Evaluation
from aibudget.errors import Stalled
from aibudget.inventory.kubernetes import AlreadyExists
from aibudget.inventory.resource import Resource
from aibudget.reporting.events import (
    Event,
    Subject,
    budget,
    invalid,
    manifest,
    standing,
    tell,
    transitions,
)
from aibudget.reporting.facts import DataState, Facts, MeterFacts
from aibudget.reporting.status import meter, render

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


def test_who_is_asked_first_reads_where(evaluation: EvaluationMaker, fresh: DataState) -> None:
    """And nobody reads of approvals whose budget asks for none."""
    crossed = evaluation("120", full="Active", changed=True)
    asked, acted = (
        transitions(BudgetStatus(), crossed, fresh, enforcing=True, asking=asking)[-1].message
        for asking in (True, False)
    )
    assert "Each waits for a person (kubectl aibudget holds)." in asked
    assert "waits for a person" not in acted


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
    begun = replace(evaluation("0"), began=True)
    (event,) = transitions(october, begun, fresh, enforcing=True)
    assert event.reason.value == "PeriodStarted"
    assert "100.00 USD" in event.message
    # Its status was put back to an old one: the period began long ago.
    assert transitions(october, evaluation("0"), fresh, enforcing=True) == ()


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


def test_an_invalid_object_is_told_once_for_each_generation(
    evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """Its owner is the one who can mend it; once its status says so, nothing is told."""
    subject, wrong = budget(evaluation().budget), Stalled("InvalidSpec", "spec.limit is wrong.")
    (first,) = invalid(subject, (), 1, "wrong")
    (same,) = invalid(subject, (), 1, "wrong, in other words")
    assert first.name == same.name
    stored = render(facts(None, problem=wrong)).conditions
    assert invalid(subject, stored, 1, "wrong") == ()
    (edited,) = invalid(subject, stored, 2, "wrong")
    assert edited.name != first.name


def test_what_lasts_is_told_as_it_begins_and_by_no_restart(
    evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """Over the limit, without data and prices: told in the first cycle, and not again from what is stored."""
    cycles = 30
    began = evaluation("120", warn="Active", full="Active", unpriced=("gpu",), changed=True)
    lasts = replace(began, changes=())
    stale = DataState(fresh=False, reason=Reason.STALE, message="The newest usage is old.")
    stored, told = render(facts(evaluation())), []
    for cycle in range(cycles):
        now = began if cycle == 0 else lasts
        told.append([event.reason.value for event in transitions(stored, now, stale, enforcing=True)])
        # Read again as another process would: what it remembers is in the status.
        whole = render(facts(now, data=stale, before=stored)).to_dict()
        stored = BudgetStatus.model_validate(whole, by_alias=True, by_name=False)
    assert sorted(told[0]) == ["BudgetExceeded", "BudgetThresholdReached", "DataStale", "PriceMissing"]
    assert told[1:] == [[]] * (cycles - 1)


def test_another_missing_price_is_news(
    evaluation: EvaluationMaker, facts: FactsMaker, fresh: DataState
) -> None:
    """The list of them has grown."""
    one, two = evaluation(unpriced=("gpu (B300)",)), evaluation(unpriced=("gpu (B300)", "tokens (m)"))
    stored = render(facts(one))
    assert [e.reason.value for e in transitions(stored, two, fresh, enforcing=True)] == ["PriceMissing"]
    gone = render(facts(evaluation(), before=stored))
    assert "Unpriced" not in {condition.type for condition in gone.conditions}


def test_a_meter_that_is_left_out_and_used_again_is_told(evaluation: EvaluationMaker) -> None:
    """Once for each reason and generation; its writer may not look at the status."""
    subject = Subject("aibudget.io/v1alpha1", "AIMeter", None, "steps", "uid-m")
    refused = Stalled("QueryRefused", "parse error. Correct the query.")

    def after(before: MeterStatus, generation: int, problem: Stalled | None) -> MeterStatus:
        return meter(before, MeterFacts(generation, problem), 1_795_255_200)

    story = [(1, None), (2, refused), (2, refused), (3, refused), (4, None), (4, None)]
    stored, told = MeterStatus(), []
    for generation, problem in story:
        status = after(stored, generation, problem)
        told.append([e.reason.value for e in standing(subject, stored.conditions, status.conditions)])
        stored = status
    assert told == [[], ["Stalled"], [], ["Stalled"], ["Recovered"], []]
