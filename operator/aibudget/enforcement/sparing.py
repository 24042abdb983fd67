"""Who is spared, and why: what people decided, and what could not be stopped and given back. Pure.

What people decide (a protection, a veto, another scope) is no data and counts always, also while data is
stale and after a Hold was made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from aibudget.budgeting.evaluation import BudgetKey
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.facts import Facts
from aibudget.enforcement.live import Live, is_protected, vetoes_of
from aibudget.inventory.workload import Workload


class SpareReason(StrEnum):
    """Why a workload that spends in a budget over its threshold is not held."""

    UNTOUCHABLE_NAMESPACE = "UntouchableNamespace"
    KIND_NOT_STOPPED = "KindNotStopped"
    OUTSIDE_SCOPE = "OutsideScope"
    NOT_READABLE = "NotReadable"
    GONE = "Gone"
    CONTROLLED = "Controlled"
    NAMESPACE_PROTECTED = "NamespaceProtected"
    PROTECTED = "Protected"
    PROTECTED_BY_BUDGET = "ProtectedByBudget"
    VETOED = "Vetoed"
    FOREIGN = "StoppedByAnotherTool"
    ALREADY_STOPPED = "AlreadyStopped"
    TOO_LARGE = "TooLarge"
    TOO_MANY_CLAIMS = "TooManyClaims"
    NOT_APPROVED = "NotApproved"
    NO_PRICE = "NoPrice"
    FORECAST_FITS = "ForecastFits"


VETOED: Final = (SpareReason.VETOED, "somebody had it back in this period")
FITS: Final = (SpareReason.FORECAST_FITS, "the forecast fits the limit without its stop")
CLOSED: Final[Mapping[str, tuple[SpareReason, str]]] = {
    "Vetoed": VETOED,
    "Expired": (SpareReason.NOT_APPROVED, "nobody approved it in time"),
}
"""What the decision of a claim that is closed says."""


@dataclass(frozen=True, slots=True)
class Spared:
    """One workload that a budget would have held."""

    budget: BudgetKey
    workload: Workload
    reason: SpareReason
    message: str


def exempt(claimant: Claimant, live: Live, facts: Facts, now: datetime) -> tuple[SpareReason, str] | None:
    """What a person decided that keeps this budget's hands off this workload, now; None if nothing does.

    A ClusterAIBudget does not hear what a tenant can write: only the namespace and its own selector count.
    """
    workload = live.workload
    namespace = facts.namespaces.get(workload.namespace)
    if workload.namespace in facts.untouchable:
        return SpareReason.UNTOUCHABLE_NAMESPACE, f"namespace {workload.namespace} is never touched"
    if namespace is not None:
        if is_protected(namespace.labels, namespace.annotations, now):
            return SpareReason.NAMESPACE_PROTECTED, f"namespace {workload.namespace} is protected"
        if not claimant.covers(workload.namespace, namespace.labels):
            return SpareReason.OUTSIDE_SCOPE, f"namespace {workload.namespace} is not in the budget's scope"
    selector = claimant.budget.spec.enforcement.protect
    if selector is not None and selector.matches(live.labels):
        return SpareReason.PROTECTED_BY_BUDGET, "the budget's enforcement.protect selects it"
    if claimant.hears_tenants:
        if is_protected(live.labels, live.annotations, now):
            return SpareReason.PROTECTED, "it is protected"
        if (claimant.budget.uid, claimant.evaluation.period.id) in vetoes_of(live):
            return VETOED
    return None


def unfit(live: Live, *, heard: bool = True) -> tuple[SpareReason, str] | None:
    """Why this object, as it is now, cannot be stopped and given back; None if it can.

    `heard`: whether the mark of another tool counts on what is running. Any tenant can write one, so that a
    ClusterAIBudget does not hear it.
    """
    if live.kind.stop is None:
        return SpareReason.KIND_NOT_STOPPED, f"AIBudget does not stop a {live.kind.name}"
    if live.controller is not None:
        return SpareReason.CONTROLLED, f"{live.controller} controls it and would undo the stop"
    if live.foreign is not None and (heard or live.stopped):
        return SpareReason.FOREIGN, f"another tool has stopped it ({live.foreign})"
    if live.stopped:
        return SpareReason.ALREADY_STOPPED, "its owner has stopped it"
    if not live.kind.stop.accepts(live.value):
        return SpareReason.TOO_LARGE, f"{live.kind.stop.path} is {live.value}, which could not be put back"
    return None
