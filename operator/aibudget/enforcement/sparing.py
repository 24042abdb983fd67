"""Who is spared, and why: what people decided, and what could not be stopped and given back. Pure.

What people decide (a protection, a veto, another scope) is no data and counts always, also while data is
stale and after a Hold was made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aibudget.api.names import ALLOW_STOP
from aibudget.budgeting.evaluation import BudgetKey
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.facts import Facts
from aibudget.enforcement.live import Live, is_protected, is_vetoed
from aibudget.enforcement.refusal import Refusal, SpareReason
from aibudget.inventory.workload import Workload

VETOED: Final = (SpareReason.VETOED, "somebody had it back in this period")
FITS: Final = (SpareReason.FORECAST_FITS, "the forecast fits the limit without its stop")
CLOSED: Final[Mapping[str, Refusal]] = {
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


def exempt(claimant: Claimant, live: Live, facts: Facts, now: datetime) -> Refusal | None:
    """What a person decided that keeps this budget's hands off this workload, now; None if nothing does.

    A ClusterAIBudget does not hear what a tenant can write: only the namespace and its own selector count,
    and for kinds that are never stopped unasked what their owner allows.
    """
    parent = facts.lives.get(live.parent) if live.parent is not None else None
    if parent is not None and (why := exempt(claimant, parent, facts, now) or _controlled(parent)):
        return why
    return (
        _outside(claimant, live.workload.namespace, facts, now)
        or _unselected(claimant, live)
        or _spoken_for(claimant, live, now)
    )


def _outside(claimant: Claimant, name: str, facts: Facts, now: datetime) -> Refusal | None:
    """What its namespace says."""
    namespace = facts.namespaces.get(name)
    if name in facts.untouchable:
        return SpareReason.UNTOUCHABLE_NAMESPACE, f"namespace {name} is never touched"
    if namespace is not None:
        if is_protected(namespace.labels, namespace.annotations, now):
            return SpareReason.NAMESPACE_PROTECTED, f"namespace {name} is protected"
        if not claimant.covers(name, namespace.labels):
            return SpareReason.OUTSIDE_SCOPE, f"namespace {name} is not in the budget's scope"
    return None


def _unselected(claimant: Claimant, live: Live) -> Refusal | None:
    """What the scope says of workloads. Of what it knows nothing of, it says nothing."""
    if live.workload not in claimant.evaluation.outside:
        return None
    return SpareReason.OUTSIDE_SCOPE, "the budget's scope does not select it"


def _spoken_for(claimant: Claimant, live: Live, now: datetime) -> Refusal | None:
    """What is written on the workload, and of it in the budget."""
    if (why := spared_by_person(claimant, live, now)) is not None:
        return why
    if live.kind.asks and live.annotations.get(ALLOW_STOP) != "true":
        return SpareReason.NOT_ASKED, (
            f'a {live.kind.name} is stopped only where its annotation {ALLOW_STOP} is "true"'
        )
    return None


def spared_by_person(claimant: Claimant, live: Live, now: datetime) -> Refusal | None:
    """What somebody decided about this very workload that counts against this budget."""
    selector = claimant.budget.spec.enforcement.protect
    if selector is not None and selector.matches(live.labels):
        return SpareReason.PROTECTED_BY_BUDGET, "the budget's enforcement.protect selects it"
    if claimant.hears_tenants:
        if is_protected(live.labels, live.annotations, now):
            return SpareReason.PROTECTED, "it is protected"
        if is_vetoed(live, claimant.budget.uid, claimant.evaluation.period.id):
            return VETOED
    return None


def unfit(live: Live, *, heard: bool = True) -> Refusal | None:
    """Why this object, as it is now, cannot be stopped and given back; None if it can.

    `heard`: whether the mark of another tool counts on what is running. Any tenant can write one, so that a
    ClusterAIBudget does not hear it.
    """
    if live.kind.stop is None:
        return SpareReason.KIND_NOT_STOPPED, f"AIBudget does not stop a {live.kind.name}"
    if (controlled := _controlled(live)) is not None:
        return controlled
    if live.foreign is not None and (heard or live.stopped):
        return SpareReason.FOREIGN, f"another tool has stopped it ({live.foreign})"
    if live.refusal is not None:
        return live.refusal
    if live.stopped:
        return SpareReason.ALREADY_STOPPED, "its owner has stopped it"
    if not live.kind.stop.accepts(live.value):
        return SpareReason.TOO_LARGE, f"{live.kind.stop.path} is {live.value}, which could not be put back"
    return None


def _controlled(live: Live) -> Refusal | None:
    if live.controller is None or live.parent is not None:
        return None
    return SpareReason.CONTROLLED, f"{live.controller} controls it and would undo the stop"
