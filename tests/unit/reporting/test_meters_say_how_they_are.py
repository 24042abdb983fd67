"""The status of an AIMeter: kstatus reads it, and an outage is no fault of the meter."""

import pytest

from aibudget.api.conditions import Reason
from aibudget.api.meter import MeterStatus
from aibudget.errors import AIBudgetError, Stalled, Transient
from aibudget.reporting import status
from aibudget.reporting.facts import DataState, MeterFacts

NOW = 1_793_491_200
REFUSED = Stalled("QueryRefused", "parse error: unexpected end of input")
AWAY = Transient("PrometheusUnavailable", "Prometheus is away.")
FRESH = DataState(fresh=True, reason=Reason.FRESH, message="Usage of the last 30 minutes is known.")


def told(before: MeterStatus, problem: AIBudgetError | None = None, generation: int = 1) -> MeterStatus:
    """The status after this."""
    return status.meter(
        before, MeterFacts(generation, problem, ("A remark.",), FRESH, lines=3, folded=0), NOW
    )


def standing(one: MeterStatus) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    return {condition.type: (condition.status, condition.reason) for condition in one.conditions}


def test_a_meter_that_is_read_is_ready() -> None:
    """With how many lines it has."""
    one = told(MeterStatus())
    assert standing(one) == {"Ready": ("True", "Reconciled"), "DataFresh": ("True", "Fresh")}
    assert one.conditions[0].message == "The meter is counted. A remark."
    assert (one.lines, one.folded_lines, one.observed_generation) == (3, 0, 1)


def test_a_refused_query_is_stalled_until_it_is_mended() -> None:
    """In Prometheus's own words; the condition is gone afterwards."""
    one = told(MeterStatus(), REFUSED)
    assert standing(one)["Stalled"] == ("True", "QueryRefused")
    assert standing(one)["Ready"] == ("False", "QueryRefused")
    assert "unexpected end of input" in one.conditions[0].message
    assert "Stalled" not in standing(told(one, generation=2))


@pytest.mark.parametrize(("generation", "ready"), [(1, "True"), (2, "Unknown")])
def test_an_outage_leaves_what_was_accepted_ready(generation: int, ready: str) -> None:
    """A generation that was never tried is not; both are tried again."""
    one = told(told(MeterStatus()), AWAY, generation)
    assert standing(one)["Ready"][0] == ready
    assert standing(one)["Reconciling"] == ("True", "ProgressingWithRetry")
    assert "Reconciling" not in standing(told(one, generation=generation))
