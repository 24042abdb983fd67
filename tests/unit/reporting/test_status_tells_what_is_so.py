"""Each condition speaks of its own matter alone, and kstatus makes of them what people expect."""

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from itertools import product

import pytest

from aibudget.api.budget import Basis
from aibudget.api.budgetstatus import BudgetStatus, PastPeriod
from aibudget.api.pricelist import PriceListStatus
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.memory import Memory
from aibudget.errors import AIBudgetError, Stalled, Transient
from aibudget.inventory.owners import Child, OwnerBook, OwnerLink
from aibudget.inventory.workload import Owner, Workload
from aibudget.reporting.conditions import state_of
from aibudget.reporting.difference import patch
from aibudget.reporting.facts import DataState, Enforcing, Facts
from aibudget.reporting.status import price_list, render
from unit.reporting.oracles import kstatus

EvaluationMaker = Callable[..., Evaluation]
FactsMaker = Callable[..., Facts]

STALLED = Stalled("MixedCurrencies", "Prices are in EUR. Add a price in USD.")
RETRY = Transient("LedgerUnavailable", "The ledger is locked. It is tried again.")
REFUSED = Stalled("InvalidSpec", "spec.limit.amount must be greater than 0.")


def health(status: BudgetStatus, generation: int = 1) -> str:
    """kstatus's word on a budget with this status."""
    return kstatus({"metadata": {"generation": generation}, "status": status.to_dict()})


def conditions(status: BudgetStatus) -> dict[str, tuple[str, str]]:
    """Status and reason by type."""
    return {condition.type: (condition.status, condition.reason) for condition in status.conditions}


def test_a_budget_within_its_limit(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """Four conditions, and no more."""
    status = render(facts(evaluation()))
    assert conditions(status) == {
        "Ready": ("True", "Reconciled"),
        "WithinBudget": ("True", "BelowThreshold"),
        "ForecastWithinBudget": ("Unknown", "HistoryIncomplete"),
        "DataFresh": ("True", "Fresh"),
    }
    assert health(status) == "Current"


@pytest.mark.parametrize(
    ("amount", "warn", "expected"),
    [
        ("10", "Below", ("True", "BelowThreshold")),
        ("85", "Crossed", ("True", "ThresholdReached")),
        ("85", "Waiting", ("True", "ThresholdReached")),
        ("100", "Active", ("False", "LimitExceeded")),
        ("250", "Active", ("False", "LimitExceeded")),
    ],
)
def test_within_budget_is_about_spend(
    evaluation: EvaluationMaker, facts: FactsMaker, amount: str, warn: str, expected: tuple[str, str]
) -> None:
    """And leaves the health of the object alone."""
    status = render(facts(evaluation(amount, warn=warn)))
    assert conditions(status)["WithinBudget"] == expected
    assert health(status) == "Current"


@pytest.mark.parametrize(
    ("basis", "said"),
    [
        ("Actual", "threshold full (100 %) stays in force until usage is known again."),
        ("Forecast", "threshold full (forecast 100 %) is crossed."),
    ],
)
def test_what_stays_in_force_below_its_percent_says_why(
    evaluation: EvaluationMaker, basis: Basis, said: str
) -> None:
    """A limit that was raised while nothing is known lifts nothing yet; forecasts look at something else."""
    (state,) = (one for one in evaluation("46", full="Active").thresholds if one.threshold.name == "full")
    threshold = state.threshold.model_copy(update={"basis": basis})
    held = evaluation("46", thresholds=(replace(state, threshold=threshold),), fresh=False)
    assert state_of(held)[2].endswith(said)


def test_without_any_data_spend_is_unknown_and_not_zero(
    evaluation: EvaluationMaker, facts: FactsMaker, stale: DataState
) -> None:
    """Unknown is neither within nor over."""
    status = render(facts(evaluation("0", as_of=None), data=stale))
    assert conditions(status)["WithinBudget"] == ("Unknown", "NoData")
    assert status.spend is not None
    assert status.spend.to_dict() == {}
    assert health(status) == "Current"


def test_neither_an_outage_nor_overspend_touches_ready(
    evaluation: EvaluationMaker, facts: FactsMaker, stale: DataState, fresh: DataState
) -> None:
    """An application that holds a budget must not turn unhealthy for it."""
    for amount, data, held in product(("10", "400"), (fresh, stale), (0, 3)):
        status = render(facts(evaluation(amount), data=data, enforcing=Enforcing(active=held)))
        assert conditions(status)["Ready"] == ("True", "Reconciled")
        assert health(status) == "Current"


def test_an_outage_shows_in_data_fresh_and_spend_stays(
    evaluation: EvaluationMaker, facts: FactsMaker, stale: DataState
) -> None:
    """What was known is still known."""
    before = render(facts(evaluation("85", warn="Crossed")))
    after = render(facts(evaluation("85", warn="Crossed"), before=before, data=stale))
    assert conditions(after)["DataFresh"] == ("False", "UsageSourceUnavailable")
    assert after.spend == before.spend


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (STALLED, {"Ready": ("False", "MixedCurrencies"), "Stalled": ("True", "MixedCurrencies")}),
        (REFUSED, {"Ready": ("False", "InvalidSpec"), "Stalled": ("True", "InvalidSpec")}),
        (
            Stalled("CurrencyMismatch", "as another room calls it"),
            {"Ready": ("False", "MixedCurrencies"), "Stalled": ("True", "MixedCurrencies")},
        ),
        (
            Stalled("Surprise", "a word that nobody knows"),
            {"Ready": ("False", "InternalError"), "Stalled": ("True", "InternalError")},
        ),
    ],
)
def test_what_waits_for_a_human_is_stalled(
    facts: FactsMaker, problem: AIBudgetError, expected: dict[str, tuple[str, str]]
) -> None:
    """Ready and Stalled say the same, and kstatus calls it failed at once."""
    status = render(facts(None, problem=problem))
    found = conditions(status)
    assert {kind: found[kind] for kind in expected} == expected
    assert "Reconciling" not in found
    assert health(status) == "Failed"


def test_what_may_pass_is_reconciling(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """A budget that was ready stays it while the ledger is locked."""
    before = render(facts(evaluation()))
    status = render(facts(None, before=before, problem=RETRY))
    assert conditions(status)["Ready"] == ("True", "Reconciled")
    assert conditions(status)["Reconciling"] == ("True", "LedgerUnavailable")
    assert status.spend == before.spend
    assert health(status) == "InProgress"


def test_while_history_is_read_the_budget_is_reconciling(
    evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """A wait for it ends when the sum is whole."""
    status = render(facts(evaluation(), backfill="Usage is read back to yesterday so far."))
    assert conditions(status)["Reconciling"] == ("True", "Progressing")
    assert health(status) == "InProgress"
    assert health(render(facts(evaluation(), before=status))) == "Current"


def test_an_object_that_nobody_has_looked_at_is_in_progress() -> None:
    """By the default of observedGeneration, even with no operator running."""
    assert health(BudgetStatus()) == "InProgress"


def test_a_recovered_budget_loses_its_abnormal_conditions(
    evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """They are there only while they are true."""
    before = render(facts(None, problem=STALLED))
    status = render(facts(evaluation(), before=before))
    assert set(conditions(status)) == {"Ready", "WithinBudget", "ForecastWithinBudget", "DataFresh"}


@pytest.mark.parametrize(
    ("enforcing", "expected"),
    [
        (Enforcing(), None),
        (Enforcing(active=1), ("True", "WorkloadsHeld")),
        (Enforcing(pending=2), ("True", "GracePeriod")),
        (Enforcing(pending=2, paused=True), None),
        (Enforcing(active=1, failures=("It was refused.",)), ("True", "EnforcementFailed")),
    ],
)
def test_enforced_is_there_while_something_is_held(
    evaluation: EvaluationMaker, facts: FactsMaker, enforcing: Enforcing, expected: tuple[str, str] | None
) -> None:
    """And says on what it depends."""
    status = render(facts(evaluation("120", full="Active"), enforcing=enforcing))
    assert conditions(status).get("Enforced") == expected
    assert status.holds is not None
    assert (status.holds.active, status.holds.pending) == (enforcing.active, enforcing.pending)


def test_the_time_of_a_transition_moves_only_with_it(
    evaluation: EvaluationMaker, facts: FactsMaker, stale: DataState
) -> None:
    """A message may change every cycle."""
    first = render(facts(evaluation("10")))
    second = render(facts(evaluation("11"), before=first, now=first_now(first) + 60))
    third = render(facts(evaluation("11"), before=second, now=first_now(first) + 120, data=stale))
    times = [{c.type: c.last_transition_time for c in status.conditions} for status in (first, second, third)]
    assert times[0] == times[1]
    assert times[2]["DataFresh"] > times[1]["DataFresh"]
    assert times[2]["Ready"] == times[1]["Ready"]


def first_now(status: BudgetStatus) -> int:
    """When it was made."""
    assert status.last_evaluation_time is not None
    return int(status.last_evaluation_time.timestamp())


def test_the_status_is_the_memory_of_the_next_evaluation(
    evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """A new process reads from it what the old one knew."""
    judged = evaluation("120", warn="Waiting", full="Active")
    stored = BudgetStatus.model_validate(render(facts(judged)).to_dict(), by_alias=True, by_name=False)
    assert Memory.from_status(stored) == Memory.of(judged)


def test_a_threshold_that_is_unknown_is_absent(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """And is then judged as one that was never seen."""
    status = render(facts(evaluation(warn="Unknown")))
    assert [threshold.name for threshold in status.thresholds] == ["full"]


def test_an_edit_that_could_not_be_evaluated_is_remembered_as_one(
    evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """What it crossed must not pass for new spend later; what was active stays so."""
    before = render(facts(evaluation("90", warn="Active")))
    status = render(facts(None, before=before, generation=2, problem=STALLED))
    assert [(t.name, t.state) for t in status.thresholds] == [("warn", "Active")]
    assert status.observed_generation == 2


def test_money_is_rounded_half_even_where_it_is_shown(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """To cents, and never in scientific spelling."""
    for amount, shown in (("0.125", "0.12"), ("0.135", "0.14"), ("1E+3", "1000.00"), ("0.0000001", "0.00")):
        spend = render(facts(evaluation(amount, limit="100000"))).to_dict()["spend"]
        assert spend["amount"] == shown


def test_the_greatest_spenders_come_first_and_five_are_enough(
    evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """With their namespace only where there are several."""
    status = render(facts(evaluation(workloads=9)))
    assert len(status.top_workloads) == 5
    assert {top.namespace for top in status.top_workloads} == {None}
    cluster = render(facts(evaluation(workloads=2, namespace=None)))
    assert {top.namespace for top in cluster.top_workloads} == {"team"}


def test_a_spender_is_told_with_what_it_is_part_of(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """People know the InferenceService; what is billed and can be stopped is still named."""
    known = facts(evaluation(workloads=2))
    assert known.evaluation is not None
    served, alone = (spend.workload for spend in known.evaluation.workloads)
    above = OwnerLink(Child(served.namespace, served.kind, served.name), Owner("InferenceService", "llm"))
    status = render(replace(known, owners=OwnerBook.of([above])))
    told = {top.name: (top.kind, top.part_of) for top in status.top_workloads}
    assert told == {served.name: (served.kind, "InferenceService/llm"), alone.name: (alone.kind, None)}


def test_a_whole_status_stays_under_eight_kilobytes(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """Whatever errors and names have to say."""
    history = tuple(
        PastPeriod(
            id=f"2026-{n:02}@America/Argentina/ComodRivadavia",
            limit=Decimal(10**11),
            spent=Decimal(10**11),
            used_percent=100,
        )
        for n in range(12)
    )
    long = evaluation("120", warn="Active", full="Active", workloads=9)
    long_names = tuple(
        spend.__class__(Workload("n" * 63, "k" * 63, "w" * 253), spend.amount, spend.rate_per_hour, 100)
        for spend in long.workloads
    )
    busy = evaluation("120", warn="Active", full="Active", namespace=None)
    status = render(
        facts(
            busy.__class__(**{**{f: getattr(busy, f) for f in busy.__slots__}, "workloads": long_names}),
            data=DataState(fresh=False, reason=facts(None).data.reason, message="m" * 30_000),
            enforcing=Enforcing(active=1, failures=("f" * 30_000,)),
            backfill="b" * 30_000,
            history=history,
        )
    )
    assert len(json.dumps(status.to_dict())) <= 8192


def test_an_unchanged_status_is_not_written(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """A thousand idle budgets cost nothing; their times are written every few minutes."""
    stored = render(facts(evaluation())).to_dict()
    at = facts(None).now
    later = evaluation(evaluated=at + 60, as_of=at + 30)
    after = render(facts(later, before=BudgetStatus.model_validate(stored), now=at + 60))
    assert patch(stored, after, at + 60) is None
    much_later = patch(stored, after, at + 301)
    assert much_later is not None
    assert set(much_later) == {"lastEvaluationTime", "spend"}


def test_a_patch_takes_away_what_is_no_longer_known(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """A merge patch keeps what it does not name."""
    stored = render(facts(evaluation())).to_dict()
    after = render(facts(evaluation(rate_per_hour=None), before=BudgetStatus.model_validate(stored)))
    assert patch(stored, after, facts(None).now) == {"rate": None}


def test_a_price_list_is_ready_while_it_is_used(facts: FactsMaker) -> None:
    """Remarks do not keep it out; a wrong one is stalled until it is mended."""
    now = facts(None).now
    used = price_list(PriceListStatus(), 1, None, ["Two rates are alike."], now)
    assert [(c.type, c.status) for c in used.conditions] == [("Ready", "True")]
    assert "alike" in used.conditions[0].message
    wrong = price_list(used, 2, REFUSED, [], now)
    assert kstatus({"metadata": {"generation": 2}, "status": wrong.to_dict()}) == "Failed"
    mended = price_list(wrong, 3, None, [], now)
    assert [(c.type, c.status) for c in mended.conditions] == [("Ready", "True")]
