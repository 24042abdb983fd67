"""What is wrong with budgets right now, as alerts: a level, where messages are transitions. Pure.

Alertmanager wants to be told again and again while an alert lasts, and takes silence for its end. So alerts
are made anew at each cycle from what statuses and Holds say, and need no memory of their own. An alert is its
labels: they must not change while it lasts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aibudget.api.budget import Budget
from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import Condition, ConditionType, Reason
from aibudget.api.hold import Hold

LabelSet = tuple[tuple[str, str], ...]

_CRITICAL_PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Alert:
    """`labels` are sorted; `starts` is when it began, `summary` a sentence for people."""

    labels: LabelSet
    starts: datetime
    summary: str


def alerts_of(cluster: str, budget: Budget, status: BudgetStatus, holds: Sequence[Hold]) -> tuple[Alert, ...]:
    """What is wrong with one budget. `holds` are those that it claims."""
    own = {"cluster": cluster, "kind": budget.kind, "budget": budget.name}
    if budget.namespace:
        own["namespace"] = budget.namespace
    return (
        *_thresholds(own, budget, status),
        *_conditions(own, status.conditions),
        *(alert for hold in holds for alert in _hold(own, hold)),
    )


def _thresholds(own: dict[str, str], budget: Budget, status: BudgetStatus) -> Iterator[Alert]:
    told = {one.name: one for one in budget.spec.effective_thresholds if "Notify" in one.actions}
    for state in status.thresholds:
        threshold = told.get(state.name)
        if threshold is None or state.state == "Below" or state.crossed_time is None:
            continue
        severity = "critical" if threshold.percent >= _CRITICAL_PERCENT else "warning"
        name, percent = "AIBudgetThresholdCrossed", f"{threshold.percent} %"
        if threshold.basis == "Forecast":
            name, percent, severity = "AIBudgetForecastExceeded", f"forecast {percent}", "warning"
        summary = f"Threshold {threshold.name} ({percent}) of {budget} is crossed."
        labels = {"threshold": threshold.name}
        yield _alert(name, severity, own | labels, state.crossed_time, summary)


def _conditions(own: dict[str, str], conditions: Sequence[Condition]) -> Iterator[Alert]:
    for one in conditions:
        match one.type, one.status, one.reason:
            case ConditionType.DATA_FRESH, "False", _:
                yield _alert("AIBudgetDataStale", "warning", own, one.last_transition_time, one.message)
            case ConditionType.STALLED, "True", _:
                yield _alert("AIBudgetStalled", "warning", own, one.last_transition_time, one.message)
            case ConditionType.SPEND_AS_USUAL, "False", _:
                yield _alert("AIBudgetUnusualSpend", "warning", own, one.last_transition_time, one.message)
            case ConditionType.ENFORCED, "True", Reason.ENFORCEMENT_FAILED:
                name = "AIBudgetEnforcementFailed"
                yield _alert(name, "warning", own, one.last_transition_time, one.message)


def _hold(own: dict[str, str], hold: Hold) -> Iterator[Alert]:
    target = hold.spec.target_ref
    labels = {"workload_kind": target.kind, "workload": target.name, "namespace": hold.namespace or ""}
    for one in hold.status.conditions:
        if one.status == "True" and one.type in (ConditionType.CONTESTED, ConditionType.INEFFECTIVE):
            summary = f"{target.kind} {hold.namespace}/{target.name}: {one.message}"
            name = f"AIBudgetHold{one.type}"
            yield _alert(name, "warning", own | labels, one.last_transition_time, summary)


def _alert(name: str, severity: str, labels: dict[str, str], starts: datetime, summary: str) -> Alert:
    named = labels | {"alertname": name, "severity": severity}
    return Alert(tuple(sorted(named.items())), starts, summary)
