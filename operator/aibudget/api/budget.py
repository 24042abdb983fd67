"""AIBudget and ClusterAIBudget: how much may be spent, over which period, and what happens on the way.

The specs are what people write; the status is the operator's answer, made by ``reporting`` alone. Both kinds
share everything but their scope, so the rooms to the left work on ``Budget`` and ask ``scope`` who is meant.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.fields import Integer, Name, SlotInstant, TimeZone
from aibudget.api.limit import IN_ORDER, Cap, DatedAmount, Limit, Rollover, in_order
from aibudget.api.model import (
    LIST_ATOMIC,
    LIST_BY_NAME,
    LIST_SET,
    Resource,
    Value,
    celed,
    once_each,
    once_each_by,
    rule,
)
from aibudget.api.planned import PlannedWindow
from aibudget.api.scope import (
    COUNTS_MONEY_ELSEWHERE,
    FENCES_NEED_THE_WHOLE_NAMESPACE,
    FENCES_NEED_WHOLE_NAMESPACES,
    NO_FENCE,
    ONE_CLUSTER,
    Scope,
    WorkloadScope,
)
from aibudget.api.selector import LabelSelector
from aibudget.api.unitcost import UnitCosts

PeriodType = Literal["Daily", "Weekly", "Monthly", "Quarterly", "Yearly", "Fixed"]
Weekday = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
Basis = Literal["Actual", "Forecast"]
Action = Literal["Notify", "Annotate", "Freeze", "Block", "ScaleDown"]
Mode = Literal["Observe", "Approve", "Enforce"]
OnAlreadyCrossed = Literal["NextPeriod", "Enforce"]
Extent = Literal["Everything", "UntilForecastFits"]


class Period(Value):
    """When the budget starts anew. Cannot be changed later."""

    model_config = celed(
        rule(
            "self.type == 'Weekly' || !has(self.startDay)",
            "startDay belongs to type Weekly only",
            ".startDay",
        ),
        rule(
            "self.type == 'Fixed' ? has(self.startTime) : !has(self.startTime)",
            "startTime is needed with type Fixed, and belongs to no other",
            ".startTime",
        ),
        rule(
            "self.type == 'Fixed' ? has(self.endTime) : !has(self.endTime)",
            "endTime is needed with type Fixed, and belongs to no other",
            ".endTime",
        ),
        rule(
            "!has(self.startTime) || !has(self.endTime) || self.startTime < self.endTime",
            "endTime must be after startTime",
            ".endTime",
        ),
    )

    type: PeriodType = "Monthly"
    """Daily, Weekly, Monthly, Quarterly, Yearly, or Fixed: once from startTime to endTime."""
    time_zone: TimeZone = "UTC"
    """The IANA zone whose midnights begin the periods, such as Europe/Berlin."""
    start_day: Weekday | None = None
    """Weekly only: the first day of the week; Monday if absent."""
    start_time: SlotInstant | None = None
    """Fixed only: the beginning, on a quarter of an hour."""
    end_time: SlotInstant | None = None
    """Fixed only: the end, exclusive, on a quarter of an hour."""

    @model_validator(mode="after")
    def _fields_fit_type(self) -> Self:
        if self.start_day is not None and self.type != "Weekly":
            raise ValueError("startDay belongs to type Weekly only")
        for name, moment in (("startTime", self.start_time), ("endTime", self.end_time)):
            if (moment is not None) != (self.type == "Fixed"):
                raise ValueError(f"{name} is needed with type Fixed, and belongs to no other")
        if self.start_time and self.end_time and self.end_time <= self.start_time:
            raise ValueError("endTime must be after startTime")
        return self


class Threshold(Value):
    """What happens when a share of the limit is spent."""

    name: Name
    """Names it within the budget."""
    percent: Annotated[Integer, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})]
    """Percent of the limit, or of the cap of which most is used, 1 to 1000."""
    basis: Basis = "Actual"
    """What is compared with the percent: Actual is what has been used, Forecast what will be when the period
    ends, as soon as enough is known to foresee it."""
    actions: Annotated[
        tuple[Action, ...],
        Field(min_length=1, max_length=5, json_schema_extra=LIST_SET),
        AfterValidator(once_each),
    ]
    """Notify writes an Event, Annotate marks the workloads that spend. Freeze keeps the namespace's use of
    accelerators from growing, Block refuses its new pods that ask for any, ScaleDown holds what spends."""


BUILT_IN_THRESHOLDS: Final = (
    Threshold(name="warn", percent=80, actions=("Notify", "Annotate")),
    Threshold(name="full", percent=100, actions=("Notify", "Annotate")),
)
"""What a budget without ``thresholds`` gets. Not a schema default: such an entry would be owned by nobody."""


class Enforcement(Value):
    """Whether and how the actions that hold workloads happen."""

    mode: Mode = "Observe"
    """Observe writes to no workload and tells what would have happened; Approve asks a person
    about each Hold and acts on those that are approved; Enforce acts."""
    grace_period_seconds: Annotated[Integer, Field(ge=0, le=86400, json_schema_extra={"format": "int32"})] = (
        900
    )
    """The notice before the first ScaleDown, at most a day. Freeze and Block stop nothing that runs, and
    happen at once."""
    approval_seconds: Annotated[Integer, Field(ge=60, le=604800, json_schema_extra={"format": "int32"})] = (
        86400
    )
    """Mode Approve: how long a Hold waits for a person, at most a week and not past the period's end.
    Then the question lapses: nothing is done, and it is not asked again for that threshold in this period."""
    on_already_crossed: OnAlreadyCrossed = "NextPeriod"
    """What happens to thresholds that no new usage has crossed: those that were crossed when the budget was
    created, edited or left mode Observe, or that a dated amount, the end of a settling period or new prices
    crossed. NextPeriod leaves them alone until the next period begins, Enforce acts on them."""
    extent: Extent = "Everything"
    """How much a ScaleDown stops: Everything that spends and is not protected, or, UntilForecastFits,
    the first in the order of victims until the forecast fits the limit: status.forecast or, without one, the
    current rate for the rest of the period. Past the limit, or where a cap crosses the threshold or is
    foreseen to, that is everything, too."""
    protect: LabelSelector | None = None
    """Workloads that are never held for this budget."""


class Notification(Value):
    """Somebody to be told."""

    name: Name
    """The name of a receiver in the operator's configuration."""


NOTHING_LIMITED: Final = "give at least one of limit, caps"
NEEDS_LIMIT: Final = "needs a limit, of which it is a part"
COMES_ONCE: Final = "rollover needs periods that come again: type Fixed has no next one"

# Written with has() instead of optionals: the API server cannot bound the cost of an optional string.
_DEFAULT_PERIOD: Final = "(!has({0}.period) || {0}.period.type == 'Monthly' && {0}.period.timeZone == 'UTC')"
_IMMUTABLE_PERIOD: Final = (
    "has(self.period) && has(oldSelf.period) ? self.period == oldSelf.period : "
    f"{_DEFAULT_PERIOD.format('self')} && {_DEFAULT_PERIOD.format('oldSelf')}"
)


# The rule sits above the period, which may come and go: a rule inside it would not see that.
_SPEC_RULES: Final = (
    rule(
        _IMMUTABLE_PERIOD,
        "period is immutable; make a new budget",
        ".period",
        reason="FieldValueForbidden",
    ),
    rule("has(self.limit) || has(self.caps)", NOTHING_LIMITED),
    rule("has(self.limit) || !has(self.amounts)", f"amounts {NEEDS_LIMIT}"),
    rule("has(self.limit) || !has(self.rollover)", f"rollover {NEEDS_LIMIT}"),
    rule(
        "!has(self.rollover) || !has(self.period) || self.period.type != 'Fixed'",
        COMES_ONCE,
        ".rollover",
    ),
)


class CommonSpec(Value):
    """What budgets of both kinds say; each adds its scope."""

    limit: Limit | None = None
    """How much may be spent in one period; may be absent where there are caps."""
    amounts: Annotated[
        tuple[DatedAmount, ...] | None,
        Field(min_length=1, max_length=64, json_schema_extra=IN_ORDER),
        AfterValidator(in_order),
    ] = None
    """Other amounts of the limit, each from an instant on, earliest first. In the middle of a period one does
    what an edit of limit.amount would do at that instant."""
    rollover: Rollover | None = None
    """What is left of the limit when a period ends carries over into the next one; if absent nothing does."""
    holdback_percent: Annotated[Integer, Field(ge=1, le=99, json_schema_extra={"format": "int32"})] | None = (
        None
    )
    """Percent of the limit, and of each cap, that are kept back: percents count against the rest."""
    caps: Annotated[
        tuple[Cap, ...] | None,
        Field(min_length=1, max_length=8, json_schema_extra=LIST_BY_NAME),
        AfterValidator(once_each_by("name")),
    ] = None
    """Limits that are not money; what has used most of its own, limit or cap, is compared with thresholds."""
    period: Period = Period()
    """When the budget starts anew; calendar months in UTC if absent."""
    thresholds: Annotated[
        tuple[Threshold, ...] | None,
        Field(min_length=1, max_length=16, json_schema_extra=LIST_BY_NAME),
        AfterValidator(once_each_by("name")),
    ] = None
    """What happens on the way; if absent: warn at 80 % and full at 100 %, both Notify and Annotate."""
    unit_costs: UnitCosts = None
    """What units of useful work may cost; told, and nothing is stopped for it."""
    enforcement: Enforcement = Enforcement()
    """Whether and how the actions that hold workloads happen; if absent the budget only observes."""
    notify: Annotated[
        tuple[Notification, ...] | None,
        Field(min_length=1, max_length=16, json_schema_extra=LIST_BY_NAME),
        AfterValidator(once_each_by("name")),
    ] = None
    """Who is told, besides the Events: receivers that are configured for the operator, by name."""
    planned_windows: Annotated[
        tuple[PlannedWindow, ...], Field(max_length=32, json_schema_extra=LIST_ATOMIC)
    ] = ()
    """When unusual spend is no news: its hours are neither told as anomalies nor learnt from. What recurs
    each week needs none; the limit and its thresholds count on as ever."""

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.limit is None and self.caps is None:
            raise ValueError(NOTHING_LIMITED)
        for name, field in (("amounts", self.amounts), ("rollover", self.rollover)):
            if self.limit is None and field is not None:
                raise ValueError(f"{name} {NEEDS_LIMIT}")
        if self.rollover is not None and self.period.type == "Fixed":
            raise ValueError(COMES_ONCE)
        return self

    @property
    def currency(self) -> str:
        """What its money is told in: the limit's currency, or USD where it has caps alone."""
        return "USD" if self.limit is None else self.limit.currency

    def thresholds_of(self, basis: Basis) -> tuple[Threshold, ...]:
        """Those in force that look at this, lowest first."""
        return tuple(threshold for threshold in self.effective_thresholds if threshold.basis == basis)

    @property
    def effective_thresholds(self) -> tuple[Threshold, ...]:
        """The thresholds in force, lowest first: the written ones, or the built-in pair."""
        return tuple(sorted(self.thresholds or BUILT_IN_THRESHOLDS, key=lambda threshold: threshold.percent))


class BudgetSpec(CommonSpec):
    """A budget over its own namespace, or a part of it."""

    model_config = celed(*_SPEC_RULES, FENCES_NEED_THE_WHOLE_NAMESPACE)

    scope: WorkloadScope | None = None
    """What of the namespace it counts; all of it if absent."""

    @model_validator(mode="after")
    def _fences_fit_scope(self) -> Self:
        if self.scope and (self.scope.workload_selector is not None or self.scope.workloads):
            _refuse_fences(self)
        return self


class ClusterBudgetSpec(CommonSpec):
    """A budget over many namespaces; namespaced budgets keep applying inside it."""

    model_config = celed(*_SPEC_RULES, FENCES_NEED_WHOLE_NAMESPACES, COUNTS_MONEY_ELSEWHERE)

    scope: Scope
    """The namespaces that it covers, and what of them it counts."""

    @model_validator(mode="after")
    def _fences_fit_scope(self) -> Self:
        if self.scope.workload_selector is not None:
            _refuse_fences(self)
        return self

    @model_validator(mode="after")
    def _counts_money_elsewhere(self) -> Self:
        foresees = self.thresholds_of("Forecast") or self.enforcement.extent == "UntilForecastFits"
        if self.scope.clusters and (self.unit_costs or foresees):
            raise ValueError(ONE_CLUSTER)
        return self


def _refuse_fences(spec: CommonSpec) -> None:
    for threshold in spec.thresholds or ():
        if fences := sorted({"Freeze", "Block"} & set(threshold.actions)):
            raise ValueError(f"threshold {threshold.name} has {fences[0]}: {NO_FENCE}")


class AIBudget(Resource):
    """How much a namespace may spend on AI workloads, and what happens on the way."""

    kind: Literal["AIBudget"]
    spec: BudgetSpec
    status: BudgetStatus = BudgetStatus()


class ClusterAIBudget(Resource):
    """How much many namespaces together may spend on AI workloads, and what happens on the way."""

    kind: Literal["ClusterAIBudget"]
    spec: ClusterBudgetSpec
    status: BudgetStatus = BudgetStatus()


Budget = AIBudget | ClusterAIBudget
