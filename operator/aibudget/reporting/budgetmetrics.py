"""The metrics of budgets: what each may spend, has spent and will spend, and how it stands.

Money carries its currency as a label, since it has no base unit; what is unknown has no series.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from aibudget.api.conditions import Condition
from aibudget.pricing.charge import amount_of
from aibudget.reporting.snapshot import BudgetView

_BUDGET: Final = ("kind", "namespace", "name")
_STATUSES: Final = ("True", "False", "Unknown")


def of_budgets(budgets: Sequence[BudgetView]) -> Iterator[Metric]:
    """All of them, of all budgets."""
    money = (*_BUDGET, "currency")
    limit = GaugeMetricFamily("aibudget_limit", "The limit of the current period.", labels=money)
    spend = GaugeMetricFamily("aibudget_spend", "Known spend of the current period.", labels=money)
    used = GaugeMetricFamily("aibudget_used_ratio", "Known spend over limit.", labels=money)
    foreseen = _forecasts(budgets)
    shared = GaugeMetricFamily(
        "aibudget_shared_cost",
        "Idle and shared cost given to the scope by policy, beside its spend; no threshold counts it.",
        labels=money,
    )
    crossed = GaugeMetricFamily(
        "aibudget_threshold_crossed",
        "Whether a threshold is crossed in the current period.",
        labels=(*_BUDGET, "threshold"),
    )
    anomaly = GaugeMetricFamily(
        "aibudget_anomaly_amount",
        "What unusual hours cost more, or below zero less, than usual; 0 while nothing unusual lasts.",
        labels=money,
    )
    condition = GaugeMetricFamily(
        "aibudget_status_condition",
        "The conditions of the budgets.",
        labels=(*_BUDGET, "condition", "status"),
    )
    for view in budgets:
        labels = [view.key.kind, view.key.namespace or "", view.key.name]
        _add_conditions(condition, labels, view.conditions)
        evaluation = view.evaluation
        if evaluation is None:
            continue
        in_money = [*labels, evaluation.currency]
        if evaluation.limit is not None:
            limit.add_metric(in_money, float(evaluation.limit))
        if evaluation.shared is not None:
            shared.add_metric(in_money, float(evaluation.shared))
        if (unusual := evaluation.watched.impact) is not None:
            anomaly.add_metric(in_money, unusual)
        for state in evaluation.thresholds:
            if state.standing != "Unknown":
                crossed.add_metric([*labels, state.threshold.name], float(state.standing != "Below"))
        if evaluation.spend.as_of is not None:
            spend.add_metric(in_money, float(evaluation.spend.amount))
            if evaluation.limit is not None:
                used.add_metric(in_money, float(evaluation.spend.amount / evaluation.limit))
    yield from (limit, spend, used, *foreseen, _changes(budgets), shared, crossed, anomaly, condition)
    yield from _caps(budgets)
    yield from _unit_costs(budgets)


def _add_conditions(
    family: GaugeMetricFamily, labels: Sequence[str], conditions: Iterable[Condition]
) -> None:
    for fact in conditions:
        for status in _STATUSES:
            family.add_metric([*labels, fact.type, status.lower()], float(fact.status == status))


def _caps(budgets: Sequence[BudgetView]) -> Iterator[Metric]:
    labels = (*_BUDGET, "cap", "unit")
    limit = GaugeMetricFamily("aibudget_cap", "What a cap allows in the current period.", labels=labels)
    used = GaugeMetricFamily("aibudget_cap_used", "What of it is known to be used.", labels=labels)
    for view in budgets:
        for one in () if view.evaluation is None else view.evaluation.measures:
            if one.is_money:
                continue
            of = [view.key.kind, view.key.namespace or "", view.key.name, one.name, one.unit]
            limit.add_metric(of, float(one.limit))
            if one.used is not None:
                used.add_metric(of, float(one.used))
    yield from (limit, used)


def _forecasts(budgets: Sequence[BudgetView]) -> Iterator[Metric]:
    amount = GaugeMetricFamily(
        "aibudget_forecast",
        "What is foreseen to be spent when the period ends: low and high hold it four times in five.",
        labels=(*_BUDGET, "currency", "bound"),
    )
    exhausted = GaugeMetricFamily(
        "aibudget_forecast_exhausted_timestamp_seconds",
        "When the limit is foreseen to be reached; absent where that is not in the period.",
        labels=_BUDGET,
    )
    error = GaugeMetricFamily(
        "aibudget_forecast_error_ratio",
        "Mean error of this budget's forecasts as long before an end, over the amount.",
        labels=_BUDGET,
    )
    for view in budgets:
        found = None if view.evaluation is None else view.evaluation.foreseen.forecast
        if view.evaluation is None or found is None:
            continue
        labels = [view.key.kind, view.key.namespace or "", view.key.name]
        for bound, value in (("low", found.low), ("middle", found.amount), ("high", found.high)):
            if value is not None:
                amount.add_metric([*labels, view.evaluation.currency, bound], value)
        if found.exhausted is not None:
            exhausted.add_metric(labels, found.exhausted)
        if found.error_percent is not None:
            error.add_metric(labels, found.error_percent / 100)
    yield from (amount, exhausted, error)


def _changes(budgets: Sequence[BudgetView]) -> Metric:
    change = GaugeMetricFamily(
        "aibudget_spend_change",
        "What the period costs more than the same part of the one before it, by driver; their sum is all.",
        labels=(*_BUDGET, "currency", "driver"),
    )
    for view in budgets:
        evaluation = view.evaluation
        for one in () if evaluation is None else evaluation.drivers:
            if evaluation is None or one.drivers is None or one.period != evaluation.period.id:
                continue
            labels = [view.key.kind, view.key.namespace or "", view.key.name, evaluation.currency]
            for driver, units in one.drivers.effects.parts.items():
                change.add_metric([*labels, driver], float(amount_of(units)))
    return change


def _unit_costs(budgets: Sequence[BudgetView]) -> Iterator[Metric]:
    labels = (*_BUDGET, "unit_cost", "currency")
    cost = GaugeMetricFamily(
        "aibudget_unit_cost",
        "What as much work costs as its ceiling is for.",
        labels=labels,
    )
    ceiling = GaugeMetricFamily("aibudget_unit_cost_ceiling", "What it may cost.", labels=labels)
    for view in budgets:
        for one in () if view.evaluation is None else view.evaluation.unit_costs:
            currency = "" if view.evaluation is None else view.evaluation.currency
            of = [view.key.kind, view.key.namespace or "", view.key.name, one.spec.name, currency]
            ceiling.add_metric(of, float(one.spec.ceiling))
            if one.amount is not None:
                cost.add_metric(of, float(one.amount))
    yield from (cost, ceiling)
