"""The status of a budget: the operator's answer to ``kubectl get``, and its memory of crossed thresholds.

Made by ``reporting`` alone, from the facts of all rooms before it. Everything may be unknown, and what is
unknown is absent: a zero is a fact.
"""

from typing import Annotated, Literal

from pydantic import Field

from aibudget.api.conditions import Conditions
from aibudget.api.driversstatus import DriversStatus
from aibudget.api.fields import AmountText, Currency, Generation, Instant
from aibudget.api.model import LIST_ATOMIC, LIST_BY_NAME, Observed

ThresholdState = Literal["Below", "Crossed", "Active", "Waiting"]

PastState = Literal["Settling", "Closed"]

Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int32"})]
Percent = Annotated[int, Field(json_schema_extra={"format": "int64"})]
"""May pass any bound: a limit can be tiny."""
Share = Annotated[int, Field(ge=0, le=100, json_schema_extra={"format": "int32"})]


class PeriodStatus(Observed):
    """The period that the status speaks of."""

    id: Annotated[str, Field(max_length=128)]
    """Names the period, such as 2026-11@Europe/Berlin."""
    start_time: Instant
    """Its beginning."""
    end_time: Instant
    """Its end, exclusive."""


class LimitStatus(Observed):
    """The money that percents count against: base - heldBack + rolledOver."""

    amount: AmountText
    """A decimal."""
    currency: Currency
    """ISO 4217 code."""
    base: AmountText | None = None
    """The amount in force by the spec; absent where it is all there is."""
    held_back: AmountText | None = None
    """What of it is kept back."""
    rolled_over: AmountText | None = None
    """What carries over from the period before; absent where nothing may, or it is not known."""
    provisional: bool | None = None
    """Whether what is rolled over may still change, for the period before is not closed yet."""


class Forecast(Observed):
    """Where use will be when the period ends, as its own past has it; absent fields are unknown."""

    amount: AmountText
    """A decimal, of money in the currency of the limit: as likely too low as too high."""
    low: AmountText | None = None
    """One period in ten ends below it."""
    high: AmountText | None = None
    """One period in ten ends above it."""
    exhausted_time: Instant | None = None
    """When the limit is reached; absent where that is not in this period."""
    used_percent: Percent | None = None
    """The amount in percent of the limit, rounded down; of limits that come later, the one that it uses most
    of."""
    error_percent: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] | None = None
    """How far off, in percent of the amount, this budget's forecasts were in the mean, as long before an
    end."""


class MeasureStatus(Observed):
    """One limit beside what is used of it; the money among them where it is limited."""

    name: Annotated[str, Field(max_length=63)]
    """The cap, or limit for the money."""
    unit: Annotated[str, Field(max_length=63)]
    """The unit of limit and used."""
    limit: AmountText
    """What percents count against."""
    used: AmountText | None = None
    """What is known to be used, a lower bound; absent where the meter tells nothing: unknown, not zero."""
    used_percent: Percent | None = None
    """In percent of the limit, rounded down, as far as it is known; absent until its meter has been read
    back to the period's start."""
    forecast: Forecast | None = None
    """Of a cap, where it will be when the period ends, in its unit; the money's is status.forecast."""


class Spend(Observed):
    """What is known to be spent in this period; absent fields are unknown."""

    amount: AmountText | None = None
    """A decimal in the currency of the limit; a lower bound while coverage is below 100."""
    currency: Currency | None = None
    """What it is in: the currency of the limit, or USD for a budget of caps alone."""
    used_percent: Percent | None = None
    """The amount in percent of the limit, rounded down; with caps, of the measure of which most is used."""
    measure: Annotated[str, Field(max_length=63)] | None = None
    """Which measure that is; absent without caps."""
    as_of_time: Instant | None = None
    """The instant up to which usage is known."""
    coverage_percent: Share | None = None
    """How much of the period so far was measured."""


class Rate(Observed):
    """How fast money is being spent now."""

    per_hour: AmountText
    """A decimal in the currency of the limit."""


class SharedCost(Observed):
    """Idle and shared cost that the platform's policies give to this scope, beside what it spends."""

    amount: AmountText
    """A decimal in the currency of the limit; no part of spend, and no threshold counts it."""


class ThresholdStatus(Observed):
    """Where one threshold stands in this period; also the operator's memory of it."""

    name: Annotated[str, Field(max_length=63)]
    """The threshold."""
    state: ThresholdState
    """Below; Crossed; Active where its actions are in force; Waiting for the next period to act."""
    crossed_time: Instant | None = None
    """When it was seen crossed."""


class TopWorkload(Observed):
    """One of the workloads that spend most in this period."""

    namespace: Annotated[str, Field(max_length=63)] | None = None
    """Its namespace, where the budget covers several."""
    kind: Annotated[str, Field(max_length=63)]
    """Its kind."""
    name: Annotated[str, Field(max_length=253)]
    """Its name."""
    part_of: Annotated[str, Field(max_length=317)] | None = None
    """What it is part of, such as InferenceService/llm; absent where it is nothing else's."""
    amount: AmountText
    """What it has spent."""
    percent: Percent
    """Its share of the budget's spend."""
    idle_percent: Share | None = None
    """How much of its device time was idle; absent when unknown."""


class SparedWorkload(Observed):
    """A workload that spends in a budget over an acting threshold, and that is not held for it."""

    namespace: Annotated[str, Field(max_length=63)] | None = None
    """Its namespace, where the budget covers several."""
    kind: Annotated[str, Field(max_length=63)]
    """Its kind."""
    name: Annotated[str, Field(max_length=253)]
    """Its name."""
    reason: Annotated[str, Field(max_length=63)]
    """Why, in one word, such as Protected, Vetoed, ForecastFits or NoPrice."""
    message: Annotated[str, Field(max_length=512)] = ""
    """Why, in a sentence."""


class HoldCounts(Observed):
    """The Holds of this budget, on workloads and namespaces."""

    active: Count = 0
    """In force."""
    pending: Count = 0
    """On notice, or waiting for approval."""


class AnomalyWorkload(Observed):
    """A workload behind an anomaly."""

    namespace: Annotated[str, Field(max_length=63)] | None = None
    """Its namespace, where the budget covers several."""
    kind: Annotated[str, Field(max_length=63)]
    """Its kind."""
    name: Annotated[str, Field(max_length=253)]
    """Its name."""
    amount: AmountText
    """What it cost more, or below zero less, than in the same hours of the weeks before."""
    change: Annotated[str, Field(max_length=128)] = ""
    """What was last done to it before, such as who changed it and when; absent where that is not known."""


class Anomaly(Observed):
    """Hours that cost far more or far less than such hours usually do."""

    start_time: Instant
    """The beginning of the hours that were unusual first."""
    detected_time: Instant
    """Their end: the hour that showed it."""
    amount: AmountText
    """What those hours cost."""
    expected: AmountText
    """What they usually cost."""
    end_time: Instant | None = None
    """The end of the last 1, 6 or 24 hours that were unusual; absent until a day has passed after it, or the
    opposite was unusual."""
    workloads: Annotated[tuple[AnomalyWorkload, ...], Field(max_length=2, json_schema_extra=LIST_ATOMIC)] = ()
    """Where it comes from, where that is known: at most 2."""


class PastPeriod(Observed):
    """How an earlier period ended."""

    id: Annotated[str, Field(max_length=128)]
    """The period."""
    limit: AmountText
    """Its limit, as percents counted against it."""
    spent: AmountText
    """What was spent in it."""
    used_percent: Percent
    """Spent in percent of the limit."""
    state: PastState | None = None
    """Settling while some of it may still become known; Closed for good. Absent where the ledger was lost."""
    corrected: AmountText | None = None
    """What is known since its close to have been spent in it; absent while that is the same."""


class UnitCostStatus(Observed):
    """What a unit of useful work costs in this period so far; also the operator's memory of it."""

    name: Annotated[str, Field(max_length=63)]
    """The unit cost."""
    amount: AmountText | None = None
    """What so many units cost; absent where there are less of them, or part of it is not known."""
    per: Annotated[int, Field(ge=1, json_schema_extra={"format": "int64"})]
    """How many units."""
    ceiling: AmountText
    """What they may cost."""
    state: Literal["Unknown", "Within", "Above"] = "Unknown"
    """Above until it is 5 % below its ceiling again."""


class BindingBudget(Observed):
    """The budget that is nearest to its limit, of those that count all that this one counts."""

    kind: Annotated[str, Field(max_length=63)]
    """AIBudget, in the same namespace, or ClusterAIBudget."""
    name: Annotated[str, Field(max_length=253)]
    """Its name."""


class ClusterStatus(Observed):
    """What one of several clusters has spent in this period; absent fields are unknown."""

    name: Annotated[str, Field(max_length=63)]
    """The cluster, by its name in the ledger."""
    amount: AmountText | None = None
    """What its operator has posted, and here what is known; a decimal in the currency of the limit."""
    as_of_time: Instant | None = None
    """The instant up to which that is."""
    enforced: bool = False
    """Whether workloads are held in it for this budget: in this cluster alone."""


class Omitted(Observed):
    """How many entries of each list of a status are known and not shown."""

    top_workloads: Count | None = None
    """Workloads that spend, beyond those in topWorkloads."""
    spared: Count | None = None
    """Workloads that are spared, beyond those in spared."""
    history: Count | None = None
    """Periods of the last 12 that are not in history."""
    measures: Count | None = None
    """Measures of which less is used than of those in measures."""
    drivers: Count | None = None
    """Comparisons of periods that are not in drivers."""
    anomalies: Count | None = None
    """Earlier anomalies than those in anomalies."""
    clusters: Count | None = None
    """Clusters that count and are not in clusters."""


class BudgetStatus(Observed):
    """Where the budget stands. Written by the operator; absent fields are unknown."""

    observed_generation: Generation = -1
    """The generation of the spec that this status speaks of; -1 until the operator has seen it."""
    conditions: Conditions = ()
    """Ready, WithinBudget, ForecastWithinBudget, DataFresh, SpendAsUsual, ReceiversResolved, UnitCostsWithin;
    Reconciling, Stalled, Enforced, ScopeUnclear, Overcommitted and Unpriced only while they are true."""
    period: PeriodStatus | None = None
    """The current period."""
    limit: LimitStatus | None = None
    """The limit in force; absent for a budget of caps alone."""
    measures: Annotated[tuple[MeasureStatus, ...], Field(max_length=9, json_schema_extra=LIST_BY_NAME)] = ()
    """The limit and each cap, and what is used of it; absent without caps."""
    spend: Spend | None = None
    """What is known to be spent."""
    rate: Rate | None = None
    """How fast money is being spent now."""
    forecast: Forecast | None = None
    """Where spend will be when the period ends; absent until enough is known to foresee it, and for a budget
    of caps alone."""
    drivers: Annotated[tuple[DriversStatus, ...], Field(max_length=2, json_schema_extra=LIST_ATOMIC)] = ()
    """Why spend is another than in the period before: of the current period so far, and of the last one as a
    whole; made anew once an hour."""
    shared: SharedCost | None = None
    """Idle and shared cost beside the spend; absent where the platform shares none."""
    thresholds: Annotated[
        tuple[ThresholdStatus, ...], Field(max_length=16, json_schema_extra=LIST_BY_NAME)
    ] = ()
    """Where each threshold stands."""
    top_workloads: Annotated[tuple[TopWorkload, ...], Field(max_length=5, json_schema_extra=LIST_ATOMIC)] = ()
    """The workloads that spend most, at most 5."""
    unit_costs: Annotated[
        tuple[UnitCostStatus, ...], Field(max_length=8, json_schema_extra=LIST_BY_NAME)
    ] = ()
    """What units of useful work cost, in the currency of the limit."""
    binding: BindingBudget | None = None
    """Which of several budgets decides: itself or the one that is tighter; absent where there is no other."""
    holds: HoldCounts | None = None
    """How many Holds it has."""
    clusters: Annotated[tuple[ClusterStatus, ...], Field(max_length=9, json_schema_extra=LIST_BY_NAME)] = ()
    """What of the spend is whose, where scope.clusters names others; this cluster first."""
    spared: Annotated[tuple[SparedWorkload, ...], Field(max_length=10, json_schema_extra=LIST_ATOMIC)] = ()
    """Who spends and is not held for an acting threshold, and why; the dearest 10."""
    history: Annotated[tuple[PastPeriod, ...], Field(max_length=12, json_schema_extra=LIST_ATOMIC)] = ()
    """The last 12 periods, newest first."""
    anomalies: Annotated[tuple[Anomaly, ...], Field(max_length=3, json_schema_extra=LIST_ATOMIC)] = ()
    """What was unusual in the last 7 days, newest first, at most 3; also the operator's memory of it."""
    omitted: Omitted | None = None
    """How much is left out of the lists above, for a status stays within 8 KiB; absent where nothing is."""
    last_evaluation_time: Instant | None = None
    """When the operator last evaluated this budget."""
