"""Flux, Helm and Argo CD wait for a budget that is read, fail for a wrong one, and leave overspend alone."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import Reason
from aibudget.api.meter import MeterStatus
from aibudget.api.pricelist import PriceListStatus
from aibudget.budgeting.evaluation import Evaluation
from aibudget.errors import InvalidManifest, Stalled, Transient
from aibudget.reporting.facts import DataState, Enforcing, Facts, MeterFacts
from aibudget.reporting.status import meter, price_list, render
from unit.reporting.oracles import argo, kstatus

EvaluationMaker = Callable[..., Evaluation]
FactsMaker = Callable[..., Facts]

STALE = DataState(fresh=False, reason=Reason.STALE, message="The newest usage is old.")
WRONG = Stalled("InvalidSpec", "spec.limit is wrong.")
LOCKED = Transient("LedgerUnavailable", "The ledger is locked.")


def seen(status: BudgetStatus | MeterStatus | PriceListStatus, generation: int = 1, **metadata: str) -> Any:
    """The object as tools read it: kstatus's word, and Argo CD's."""
    obj = {"metadata": {"generation": generation, **metadata}, "status": status.to_dict()}
    return kstatus(obj), argo(obj)


def test_a_budget_through_its_whole_life(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """Each status is made from the one before, as the operator does."""
    told: dict[str, Any] = {"new": seen(BudgetStatus())}

    def go_on(what: str, before: BudgetStatus, now: Evaluation | None, **changes: Any) -> BudgetStatus:
        after = render(facts(now, before=before, **changes))
        told[what] = seen(after, changes.get("generation", 1))
        return after

    status = go_on("not evaluated", BudgetStatus(), None)
    status = go_on("catching up", status, evaluation(), backfill="Read back to yesterday so far.")
    status = go_on("well", status, evaluation())
    status = go_on("exceeded", status, evaluation("120", warn="Active", full="Active"))
    status = go_on("held", status, evaluation("120", full="Active"), enforcing=Enforcing(active=3))
    status = go_on("without data", status, evaluation("120", full="Active"), data=STALE)
    status = go_on("tried again", status, None, problem=LOCKED)
    told["edited, not seen"] = seen(status, generation=2)
    status = go_on("edited wrongly", status, None, problem=WRONG, generation=2)
    told["mended, not seen"] = seen(status, generation=3)
    status = go_on("mended", status, evaluation(), generation=3)
    told["deleted, kept by a finalizer"] = seen(status, 3, deletionTimestamp="2026-11-22T00:00:00Z")

    waiting, well, failed = ("InProgress", "Progressing"), ("Current", "Healthy"), ("Failed", "Degraded")
    assert told == {
        "new": waiting,
        "not evaluated": waiting,
        "catching up": waiting,
        "well": well,
        "exceeded": well,
        "held": well,
        "without data": well,
        "tried again": waiting,
        "edited, not seen": waiting,
        "edited wrongly": failed,
        "mended, not seen": waiting,
        "mended": well,
        "deleted, kept by a finalizer": ("Terminating", "Progressing"),
    }


def test_price_lists_and_meters_are_understood_by_the_same_rules() -> None:
    """One health check does for all kinds."""
    prices, now = PriceListStatus(), 1_795_255_200
    assert seen(price_list(prices, 1, None, (), now)) == ("Current", "Healthy")
    wrong = InvalidManifest("AIPriceList own", ())
    assert seen(price_list(prices, 1, wrong, (), now)) == ("Failed", "Degraded")
    meters = MeterStatus()
    assert seen(meters) == ("InProgress", "Progressing")
    assert seen(meter(meters, MeterFacts(1), now)) == ("Current", "Healthy")
    assert seen(meter(meters, MeterFacts(1, WRONG), now)) == ("Failed", "Degraded")
    assert seen(meter(meters, MeterFacts(1, LOCKED), now)) == ("InProgress", "Progressing")


@pytest.mark.parametrize("obj", [{"metadata": {"generation": 1}}])
def test_argo_waits_for_an_object_without_a_status(obj: Mapping[str, Any]) -> None:
    """As it comes from Git."""
    assert argo(obj) == "Progressing"
