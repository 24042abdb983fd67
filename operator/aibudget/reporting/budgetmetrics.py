"""The metrics of budgets: what each may spend, has spent and will spend, and how it stands.

Money carries its currency as a label, since it has no base unit; what is unknown has no series.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from aibudget.api.conditions import Condition
from aibudget.budgeting.forecast import Forecast
from aibudget.pricing.charge import amount_of
from aibudget.reporting.exposition import Gauge, ending, told
from aibudget.reporting.snapshot import BudgetView

_BUDGET: Final = ("kind", "namespace", "name")
_STATUSES: Final = ("True", "False", "Unknown")

_Told = tuple[BudgetView, str]
"""A budget, and the labels that name it."""


def spelled(budgets: Sequence[BudgetView]) -> tuple[bytes, ...]:
    """All of them as Prometheus reads them, in parts, each packed with zlib: a twentieth of ten megabytes.

    What is known of thousands of budgets need not wait for a scrape.
    """
    return tuple(zlib.compress(part, 1) for gauge in of_budgets(budgets) for part in gauge.spelled())


def of_budgets(budgets: Sequence[BudgetView]) -> Iterator[Gauge]:
    """All of them, of all budgets, one after the other: no two need to stand in memory together."""
    named = [(view, _name(view)) for view in budgets]
    yield from _money(named)
    yield from _forecasts(named)
    yield _changes(named)
    yield _thresholds(named)
    yield _conditions(named)
    yield from _caps(named)
    yield from _unit_costs(named)


def _name(view: BudgetView) -> str:
    key = view.key
    return told(kind=key.kind, namespace=key.namespace or "", name=key.name)


def _money(budgets: Sequence[_Told]) -> Iterator[Gauge]:
    labels = (*_BUDGET, "currency")
    limit = Gauge("aibudget_limit", "The limit of the current period.", labels)
    spend = Gauge("aibudget_spend", "Known spend of the current period.", labels)
    used = Gauge("aibudget_used_ratio", "Known spend over limit.", labels)
    shared = Gauge(
        "aibudget_shared_cost",
        "Idle and shared cost given to the scope by policy, beside its spend; no threshold counts it.",
        labels,
    )
    anomaly = Gauge(
        "aibudget_anomaly_amount",
        "What unusual hours cost more, or below zero less, than usual; 0 while nothing unusual lasts.",
        labels,
    )
    for view, name in budgets:
        evaluation = view.evaluation
        if evaluation is None:
            continue
        of = f"{name},{told(currency=evaluation.currency)}"
        if evaluation.limit is not None:
            limit.add(of, float(evaluation.limit))
        if evaluation.shared is not None:
            shared.add(of, float(evaluation.shared))
        if (unusual := evaluation.watched.impact) is not None:
            anomaly.add(of, unusual)
        if evaluation.spend.as_of is not None:
            spend.add(of, float(evaluation.spend.amount))
            if evaluation.limit is not None:
                used.add(of, float(evaluation.spend.amount / evaluation.limit))
    yield from (limit, spend, used, shared, anomaly)


def _thresholds(budgets: Sequence[_Told]) -> Gauge:
    crossed = Gauge(
        "aibudget_threshold_crossed",
        "Whether a threshold is crossed in the current period.",
        (*_BUDGET, "threshold"),
    )
    for view, name in budgets:
        for state in () if view.evaluation is None else view.evaluation.thresholds:
            if state.standing != "Unknown":
                of = f"{name},{told(threshold=state.threshold.name)}"
                crossed.add(of, float(state.standing != "Below"))
    return crossed


def _conditions(budgets: Sequence[_Told]) -> Gauge:
    """Most budgets stand alike: what they share of these many lines is spelled once."""
    family = Gauge(
        "aibudget_status_condition",
        "The conditions of the budgets.",
        (*_BUDGET, "condition", "status"),
    )
    endings: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for view, name in budgets:
        standing = tuple([(fact.type, fact.status) for fact in view.conditions])
        if standing not in endings:
            endings[standing] = [_ending(fact, status) for fact in view.conditions for status in _STATUSES]
        family.add_all(name, endings[standing])
    return family


def _ending(fact: Condition, status: str) -> str:
    return ending(told(condition=fact.type, status=status.lower()), float(fact.status == status))


def _caps(budgets: Sequence[_Told]) -> Iterator[Gauge]:
    labels = (*_BUDGET, "cap", "unit")
    limit = Gauge("aibudget_cap", "What a cap allows in the current period.", labels)
    used = Gauge("aibudget_cap_used", "What of it is known to be used.", labels)
    for view, name in budgets:
        for one in () if view.evaluation is None else view.evaluation.measures:
            if one.is_money:
                continue
            of = f"{name},{told(cap=one.name, unit=one.unit)}"
            limit.add(of, float(one.limit))
            if one.used is not None:
                used.add(of, float(one.used))
    yield from (limit, used, *_caps_ahead(budgets))


def _caps_ahead(budgets: Sequence[_Told]) -> Iterator[Gauge]:
    labels = (*_BUDGET, "cap", "unit")
    amount = Gauge(
        "aibudget_cap_forecast",
        "What of a cap is foreseen to be used when the period ends: low and high hold it four times in five.",
        (*labels, "bound"),
    )
    exhausted = Gauge(
        "aibudget_cap_forecast_exhausted_timestamp_seconds",
        "When a cap is foreseen to be reached; absent where that is not in the period.",
        labels,
    )
    for view, name in budgets:
        for one in () if view.evaluation is None else view.evaluation.foreseen.caps:
            of = f"{name},{told(cap=one.name, unit=one.unit)}"
            _add_bounds(amount, of, one.forecast)
            if one.forecast.exhausted is not None:
                exhausted.add(of, one.forecast.exhausted)
    yield from (amount, exhausted)


def _add_bounds(family: Gauge, of: str, found: Forecast) -> None:
    for bound, value in (("low", found.low), ("middle", found.amount), ("high", found.high)):
        if value is not None:
            family.add(f"{of},{told(bound=bound)}", value)


def _forecasts(budgets: Sequence[_Told]) -> Iterator[Gauge]:
    amount = Gauge(
        "aibudget_forecast",
        "What is foreseen to be spent when the period ends: low and high hold it four times in five.",
        (*_BUDGET, "currency", "bound"),
    )
    exhausted = Gauge(
        "aibudget_forecast_exhausted_timestamp_seconds",
        "When the limit is foreseen to be reached; absent where that is not in the period.",
        _BUDGET,
    )
    error = Gauge(
        "aibudget_forecast_error_ratio",
        "Mean error of this budget's forecasts as long before an end, over the amount.",
        _BUDGET,
    )
    for view, name in budgets:
        found = None if view.evaluation is None else view.evaluation.foreseen.forecast
        if view.evaluation is None or found is None:
            continue
        _add_bounds(amount, f"{name},{told(currency=view.evaluation.currency)}", found)
        if found.exhausted is not None:
            exhausted.add(name, found.exhausted)
        if found.error_percent is not None:
            error.add(name, found.error_percent / 100)
    yield from (amount, exhausted, error)


def _changes(budgets: Sequence[_Told]) -> Gauge:
    change = Gauge(
        "aibudget_spend_change",
        "What the period costs more than the same part of the one before it, by driver; their sum is all.",
        (*_BUDGET, "currency", "driver"),
    )
    for view, name in budgets:
        evaluation = view.evaluation
        for one in () if evaluation is None else evaluation.drivers:
            if evaluation is None or one.drivers is None or one.period != evaluation.period.id:
                continue
            for driver, units in one.drivers.effects.parts.items():
                of = f"{name},{told(currency=evaluation.currency, driver=driver)}"
                change.add(of, float(amount_of(units)))
    return change


def _unit_costs(budgets: Sequence[_Told]) -> Iterator[Gauge]:
    labels = (*_BUDGET, "unit_cost", "currency")
    cost = Gauge("aibudget_unit_cost", "What as much work costs as its ceiling is for.", labels)
    ceiling = Gauge("aibudget_unit_cost_ceiling", "What it may cost.", labels)
    for view, name in budgets:
        for one in () if view.evaluation is None else view.evaluation.unit_costs:
            currency = "" if view.evaluation is None else view.evaluation.currency
            of = f"{name},{told(unit_cost=one.spec.name, currency=currency)}"
            ceiling.add(of, float(one.spec.ceiling))
            if one.amount is not None:
                cost.add(of, float(one.amount))
    yield from (cost, ceiling)
