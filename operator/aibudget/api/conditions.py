"""The words of the API for what is going on: condition types, reasons, event reasons; and how they move.

One vocabulary serves conditions, events, metrics and errors, so that a reason seen anywhere can be looked up
here. ``Ready`` speaks of the object alone: an outage touches ``DataFresh``, overspending ``WithinBudget``,
and neither of them may turn a GitOps application unhealthy. Knows nothing of who finds the facts out.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field

from aibudget.api.fields import Instant
from aibudget.api.model import Observed, list_by

Status = Literal["True", "False", "Unknown"]
Polarity = Literal["normal-true", "abnormal-true"]


class ConditionType(StrEnum):
    """Every condition type, with its polarity; an abnormal-true one is present only while it is true."""

    polarity: Polarity
    meaning: str

    def __new__(cls, value: str, polarity: Polarity, meaning: str) -> Self:
        """A str that also carries how to read it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.polarity = polarity
        member.meaning = meaning
        return member

    READY = "Ready", "normal-true", "accepted and evaluated at this generation"
    RECONCILING = "Reconciling", "abnormal-true", "being worked on, or waiting for the next attempt"
    STALLED = "Stalled", "abnormal-true", "waits for a human; retrying changes nothing"
    WITHIN_BUDGET = (
        "WithinBudget",
        "normal-true",
        "known spend is below the limit, and known use below each cap; Unknown without data",
    )
    FORECAST_WITHIN_BUDGET = (
        "ForecastWithinBudget",
        "normal-true",
        "no limit or cap is foreseen to be reached in the period; Unknown where nothing is foreseen",
    )
    DATA_FRESH = "DataFresh", "normal-true", "usage of the last 30 minutes is known well enough to act on"
    ENFORCED = "Enforced", "abnormal-true", "workloads or namespaces are held for this budget"
    SPEND_AS_USUAL = (
        "SpendAsUsual",
        "normal-true",
        "the last hours cost about what such hours usually do; Unknown while that cannot be told",
    )
    RECEIVERS_RESOLVED = (
        "ReceiversResolved",
        "normal-true",
        "every receiver in `notify` is configured for this budget; absent where none is named",
    )
    SCOPE_UNCLEAR = (
        "ScopeUnclear",
        "abnormal-true",
        "some usage cannot be told to be inside or outside of its scope, or meters of it are not read",
    )
    OVERCOMMITTED = (
        "Overcommitted",
        "abnormal-true",
        "the limits of budgets inside it add up to more than its own",
    )
    UNPRICED = (
        "Unpriced",
        "abnormal-true",
        "some usage has no matching price: it is counted and not charged",
    )

    UNIT_COSTS_WITHIN = (
        "UnitCostsWithin",
        "normal-true",
        "no unit cost is above its ceiling; Unknown while there is none to speak of; absent without any",
    )

    APPLIED = "Applied", "normal-true", "the act is written to the target"
    EFFECTIVE = "Effective", "normal-true", "accelerator pods are gone, or new ones refused, as the act means"
    CONTESTED = "Contested", "abnormal-true", "another manager keeps reverting the act; acting has stopped"
    RELEASING = "Releasing", "abnormal-true", "no budget holds it any more; it comes back in a wave"
    INEFFECTIVE = "Ineffective", "abnormal-true", "accelerator pods are still there after their time to end"


class Reason(StrEnum):
    """Every reason of a condition, with what it means."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        """A str that also carries its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # Ready, Reconciling, Stalled
    RECONCILED = "Reconciled", "accepted and evaluated"
    PROGRESSING = "Progressing", "seen, and not yet evaluated at this generation"
    PROGRESSING_WITH_RETRY = (
        "ProgressingWithRetry",
        "failed for a reason that may pass; tried again at the next cycle",
    )
    INVALID_SPEC = "InvalidSpec", "the spec breaks a rule of the API"
    MIXED_CURRENCIES = (
        "MixedCurrencies",
        "budget and prices have different currencies and no exchange rate is known",
    )
    UNKNOWN_METER = "UnknownMeter", "a cap is on a meter that nobody defines"
    UNIT_MISMATCH = "UnitMismatch", "a cap is in another unit than its meter"
    AMBIGUOUS_CLUSTER = (
        "AmbiguousCluster",
        "Prometheus holds several clusters and no matcher tells which is this one",
    )
    QUERY_REFUSED = "QueryRefused", "Prometheus refuses the meter's query; the message has its own words"
    LABELS_MISSING = "LabelsMissing", "the meter's query returns series that do not say who used it"
    CLOCK_BEHIND = (
        "ClockBehind",
        "the clock says that a period has not begun that has; nothing is judged until it is right",
    )
    INTERNAL_ERROR = "InternalError", "an error of AIBudget itself; the operator's log has its trace"

    # WithinBudget
    BELOW_THRESHOLD = "BelowThreshold", "no threshold is crossed"
    THRESHOLD_REACHED = "ThresholdReached", "a threshold below the limit is crossed"
    LIMIT_EXCEEDED = "LimitExceeded", "known spend has reached the limit, or known use a cap"
    NO_DATA = "NoData", "no spend is known yet"

    # ForecastWithinBudget
    FORECAST_FITS = "ForecastFits", "no limit or cap is foreseen to be reached in the period"
    FORECAST_EXCEEDS = "ForecastExceeds", "the limit or a cap is foreseen to be reached in the period"
    HISTORY_TOO_SHORT = "HistoryTooShort", "fewer than three days of hours are known"
    HISTORY_INCOMPLETE = "HistoryIncomplete", "the budget's past is still being counted by the hour"
    NOT_RUNNING = "NotRunning", "the period has not begun, or is over"
    SEVERAL_CLUSTERS = (
        "SeveralClusters",
        "several clusters count, and one of them has no budget of this name, currency, scope and caps",
    )

    # DataFresh
    FRESH = "Fresh", "all meters are up to date and their coverage is sufficient"
    USAGE_SOURCE_UNAVAILABLE = (
        "UsageSourceUnavailable",
        "Prometheus cannot be reached, or answers with errors",
    )
    STALE = "Stale", "the newest usage is too old to act on"
    SOURCE_ABSENT = "SourceAbsent", "of an AIMeter: nothing in Prometheus matches its queries"
    LOW_COVERAGE = "LowCoverage", "too much of the last 30 minutes was never scraped"
    LEDGER_UNAVAILABLE = (
        "LedgerUnavailable",
        "the ledger cannot be used for the moment; all else stands as it was last known",
    )
    CLUSTER_SILENT = (
        "ClusterSilent",
        "another cluster of its scope has posted nothing lately, or is not in the ledger",
    )

    # SpendAsUsual
    AS_USUAL = "AsUsual", "nothing unusual lasts"
    UNUSUAL_SPEND = "UnusualSpend", "hours cost far more or far less than such hours usually do"
    LEARNING = "Learning", "fewer than four weeks of hours are known to learn from"
    HOUR_UNKNOWN = "HourUnknown", "the newest hour was not measured, or something was held in it"
    SPEND_PLANNED = "SpendPlanned", "the newest hour lies in a planned window"

    # Enforced
    NAMESPACES_FENCED = "NamespacesFenced", "growth, or new accelerator pods, are refused for this budget"
    WORKLOADS_HELD = "WorkloadsHeld", "workloads are held back for this budget"
    AWAITING_APPROVAL = "AwaitingApproval", "mode Approve: a person is asked first"
    GRACE_PERIOD = "GracePeriod", "a threshold that acts is crossed; the notice before the act is running"
    ENFORCEMENT_PAUSED = "EnforcementPaused", "the kill switch is set: nothing new is held"
    STOPS_PACED = "StopsPaced", "more is to be stopped than the rails let at once; the rest waits its turn"
    ENFORCEMENT_FAILED = "EnforcementFailed", "a workload could not be held or released"

    # Unpriced
    PRICE_MISSING = "PriceMissing", "usage has no matching price; it is counted and not yet charged"

    # ReceiversResolved
    RECEIVERS_FOUND = "ReceiversFound", "all receivers that the budget names are told"
    RECEIVER_UNKNOWN = (
        "ReceiverUnknown",
        "a receiver that the budget names is not configured, or not for its namespace",
    )

    # ScopeUnclear
    LABELS_UNKNOWN = "LabelsUnknown", "labels that its scope selects by are not known of some usage"
    METERS_NOT_READ = "MetersNotRead", "meters of its scope are not read, or have no price"
    CLUSTER_UNKNOWN = "ClusterUnknown", "clusters of its scope are not in the ledger"

    # Overcommitted
    LIMITS_EXCEED_LIMIT = "LimitsExceedLimit", "budgets of the same period and currency inside it, together"

    # UnitCostsWithin
    WITHIN_CEILINGS = "WithinCeilings", "what is known of unit costs is within their ceilings"
    CEILING_EXCEEDED = "CeilingExceeded", "a unit of useful work costs more than its ceiling"
    TOO_LITTLE_WORK = "TooLittleWork", "too little work, or too little known of it, to say what a unit costs"

    # Hold: Applied, Effective, Contested, Ineffective
    PENDING = "Pending", "noticed, not yet acted"
    NOT_APPROVED = "NotApproved", "nobody approved it in time, or no longer; the target is left alone"
    VETOED = "Vetoed", "a person vetoed it; the target is left alone for now"
    HELD = "Held", "the target carries the act"
    QUEUED = "Queued", "no claim is left; it waits for its turn to be given back"
    RELEASING = "Releasing", "no claim is left; it comes back, or its pods are not all ready yet"
    PODS_RUNNING = "PodsRunning", "accelerator pods of the target are still ending"
    PODS_GONE = "PodsGone", "no accelerator pod of the target is left"
    REVERTED_BY_OTHER = "RevertedByOther", "another manager has put the held field back three times"
    REFUSING = "Refusing", "growth, or each new accelerator pod, is refused in the namespace"
    PARTIAL = "Partial", "growth is refused, but some DRA device classes are not counted by the API server"
    NOT_REFUSING = "NotRefusing", "the quota or the admission policy that should refuse is not in force"
    PODS_REMAIN = "PodsRemain", "accelerator pods outlived their termination grace period"


class EventReason(StrEnum):
    """Every reason of an Event; ``kind`` is the Event's type. Each is written on a transition, once."""

    kind: Literal["Normal", "Warning"]
    meaning: str

    def __new__(cls, value: str, kind: Literal["Normal", "Warning"], meaning: str) -> Self:
        """A str that also carries the type of the Event and its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.kind = kind
        member.meaning = meaning
        return member

    BUDGET_THRESHOLD_REACHED = "BudgetThresholdReached", "Warning", "a threshold below 100 % was crossed"
    BUDGET_EXCEEDED = "BudgetExceeded", "Warning", "a threshold of 100 % or more was crossed"
    BUDGET_FORECAST_EXCEEDED = (
        "BudgetForecastExceeded",
        "Warning",
        "what is foreseen crossed a threshold with basis Forecast",
    )
    BUDGET_RECOVERED = (
        "BudgetRecovered",
        "Normal",
        "a crossed threshold was left by a new limit, price or scope, or by what is foreseen",
    )
    BUDGET_OVERCOMMITTED = (
        "BudgetOvercommitted",
        "Warning",
        "the limits of budgets inside it add up to more than its own",
    )
    UNIT_COST_EXCEEDED = "UnitCostExceeded", "Warning", "a unit of useful work costs more than its ceiling"
    PERIOD_STARTED = "PeriodStarted", "Normal", "a new period began"
    WOULD_SCALE_DOWN = "WouldScaleDown", "Normal", "mode Observe: what would have been held"
    WOULD_FREEZE = "WouldFreeze", "Normal", "mode Observe: the namespaces that would have been frozen"
    WOULD_BLOCK = "WouldBlock", "Normal", "mode Observe: the namespaces that would have been blocked"
    NAMESPACE_FROZEN = "NamespaceFrozen", "Warning", "a namespace may not use more accelerators than it does"
    NAMESPACE_BLOCKED = "NamespaceBlocked", "Warning", "new accelerator pods are refused in a namespace"
    NAMESPACE_RELEASED = "NamespaceReleased", "Normal", "a namespace is no longer frozen or blocked"
    SCALE_DOWN_NOTICE = "ScaleDownNotice", "Warning", "a workload will be held when the grace period ends"
    APPROVAL_REQUESTED = "ApprovalRequested", "Warning", "a workload will be held if a person approves it"
    APPROVAL_EXPIRED = (
        "ApprovalExpired",
        "Normal",
        "nobody decided in time, or an approval ended: a workload is left alone",
    )
    HOLD_APPROVED = "HoldApproved", "Normal", "a workload may be held: a person approved it"
    SCALE_DOWN_WITHDRAWN = "ScaleDownWithdrawn", "Normal", "a notice ended without an act: it is not needed"
    WORKLOAD_SCALED_DOWN = "WorkloadScaledDown", "Warning", "a workload was held"
    WORKLOAD_RESTORED = "WorkloadRestored", "Normal", "a workload was put back as it was"
    WORKLOAD_LEFT_ALONE = (
        "WorkloadLeftAlone",
        "Normal",
        "a Hold ended without a restore: somebody else had changed it",
    )
    HOLD_VETOED = "HoldVetoed", "Normal", "a person deleted or vetoed a Hold"
    ENFORCEMENT_REVERTED = "EnforcementReverted", "Warning", "another manager put a held field back"
    ENFORCEMENT_CONTESTED = "EnforcementContested", "Warning", "another manager won; acting has stopped"
    ENFORCEMENT_INEFFECTIVE = (
        "EnforcementIneffective",
        "Warning",
        "accelerator pods stayed although the act is written",
    )
    ENFORCEMENT_FAILED = "EnforcementFailed", "Warning", "a workload could not be held or released"
    ENFORCEMENT_PAUSED = "EnforcementPaused", "Warning", "the kill switch kept an act from happening"
    STOPS_PACED = (
        "StopsPaced",
        "Warning",
        "more is to be stopped than the rails let at once; the rest waits its turn",
    )
    UNUSUAL_SPEND = (
        "UnusualSpend",
        "Warning",
        "hours cost far more or far less than such hours usually do",
    )
    PRICE_MISSING = "PriceMissing", "Warning", "usage has no matching price"
    DATA_STALE = "DataStale", "Warning", "usage is no longer known well enough to act on"
    DATA_RECOVERED = "DataRecovered", "Normal", "usage is known again"
    DELIVERY_FAILED = (
        "DeliveryFailed",
        "Warning",
        "a receiver could not be told of a transition",
    )
    STALLED = "Stalled", "Warning", "an AIMeter or AIPriceList is left out until somebody mends it"
    RECOVERED = "Recovered", "Normal", "an AIMeter or AIPriceList that was left out is used again"
    INVALID_SPEC = "InvalidSpec", "Warning", "the object breaks a rule of the API and is left out"


class Condition(Observed):
    """One fact about an object, in the shape and the limits of metav1.Condition."""

    type: Annotated[str, Field(min_length=1, max_length=316)]
    """What the fact is about."""
    status: Status
    """True, False or Unknown."""
    reason: Annotated[
        str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ]
    """Why, in one CamelCase word."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Why, in a sentence for people."""
    last_transition_time: Instant
    """When the status last changed."""
    observed_generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] = 0
    """The generation of the spec that this was judged on."""


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=list_by("type"))]


def set_condition(existing: Sequence[Condition], new: Condition, now: datetime) -> tuple[Condition, ...]:
    """The conditions with ``new`` in the place of its type, at the end if it is new.

    ``lastTransitionTime`` moves to ``now`` only if the status differs; the one in ``new`` is ignored.
    """
    before = find_condition(existing, new.type)
    since = before.last_transition_time if before and before.status == new.status else now
    placed = new.model_copy(update={"last_transition_time": since})
    if before is None:
        return (*existing, placed)
    return tuple(placed if condition.type == new.type else condition for condition in existing)


def drop_condition(existing: Sequence[Condition], condition_type: str) -> tuple[Condition, ...]:
    """The conditions without that type: an abnormal-true condition that is no longer true."""
    return tuple(condition for condition in existing if condition.type != condition_type)


def find_condition(existing: Sequence[Condition], condition_type: str) -> Condition | None:
    """The condition of that type, if there is one."""
    return next((condition for condition in existing if condition.type == condition_type), None)
