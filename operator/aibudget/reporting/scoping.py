"""What is said of a budget's scope, of the budgets around it and of its unit costs. Pure.

Facts for `conditions`, parts for `status`, sentences for `events`; each says what can be done about it.
"""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from aibudget.api.budgetstatus import BindingBudget, ClusterStatus, UnitCostStatus
from aibudget.api.conditions import Reason, Status
from aibudget.api.money import Money
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.hierarchy import Place
from aibudget.budgeting.unitcost import UnitCosting, shown

Fact = tuple[Status, Reason, str]


def scope_unclear(evaluation: Evaluation | None) -> Fact | None:
    """What is not known of the usage that the scope may select; None where all of it is."""
    if evaluation is None:
        return None
    if unknown := [one.name for one in evaluation.clusters if one.standing == "Unknown"]:
        said = (
            f"Of the clusters {', '.join(unknown)} the ledger has nothing: spend is a lower bound. Give them "
            "the names that their operators have (--cluster), which have to post to this ledger."
        )
        return "True", Reason.CLUSTER_UNKNOWN, said
    if evaluation.unlabelled:
        keys = ",".join(evaluation.unlabelled)
        said = (
            f"Of some usage of this period it is not known whether its pods had the labels {keys}: it is not "
            "counted, and spend is a lower bound. Labels are kept from when a budget first asks for them and "
            "kube-state-metrics tells them, which it does with "
            f"--metric-labels-allowlist=pods=[{keys}]."
        )
        return "True", Reason.LABELS_UNKNOWN, said
    if evaluation.unmetered:
        names = ", ".join(evaluation.unmetered)
        said = (
            f"Nothing is known of the meters {names} of its scope: they are misspelt, nothing tells of them, "
            "or nothing prices them."
        )
        return "True", Reason.METERS_NOT_READ, said
    return None


def unit_costs_within(evaluation: Evaluation | None) -> Fact | None:
    """How unit costs stand against their ceilings; None where there are none."""
    if evaluation is None or not evaluation.unit_costs:
        return None
    above = [one for one in evaluation.unit_costs if one.state == "Above"]
    if above:
        return "False", Reason.CEILING_EXCEEDED, " ".join(costly(one, evaluation.currency) for one in above)
    if all(one.state == "Unknown" for one in evaluation.unit_costs):
        named = ", ".join(f"{one.spec.name} ({one.spec.meter})" for one in evaluation.unit_costs)
        said = (
            "Too little work is known in this period to divide by, or what it cost is not known whole: "
            f"{named}. Where there is work: is the meter's name right, and does something tell of it?"
        )
        return "Unknown", Reason.TOO_LITTLE_WORK, said
    return "True", Reason.WITHIN_CEILINGS, "What is known of unit costs is within their ceilings."


def costly(one: UnitCosting, currency: str) -> str:
    """How a unit cost stands, in a sentence."""
    amount = "" if one.amount is None else f" {format(shown(one.amount), 'f')} {currency}"
    of, ceiling = one.spec, format(one.spec.ceiling, "f")
    return f"{of.name}:{amount} per {of.per} of {of.meter}, with a ceiling of {ceiling} {currency}."


def unit_costs_of(evaluation: Evaluation) -> tuple[UnitCostStatus, ...]:
    """Unit costs as a status has them."""
    return tuple(
        UnitCostStatus(
            name=one.spec.name,
            amount=None if one.amount is None else shown(one.amount),
            per=one.spec.per,
            ceiling=one.spec.ceiling,
            state=one.state,
        )
        for one in evaluation.unit_costs
    )


def overcommitted(evaluation: Evaluation | None, place: Place) -> Fact | None:
    """That the limits of budgets inside this one do not fit into it."""
    if evaluation is None or place.committed is None:
        return None
    return "True", Reason.LIMITS_EXCEED_LIMIT, over(evaluation, place)


def over(evaluation: Evaluation, place: Place) -> str:
    """By how much limits are over-committed, in a sentence."""
    none = Decimal(0)
    inside = Money(place.committed or none, evaluation.currency)
    whole = Money(evaluation.limit or none, evaluation.currency)
    name = "a budget" if place.largest is None else str(place.largest)
    limits = (
        f"The limit of {name} inside it is"
        if place.children == 1
        else f"The limits of {place.children} budgets inside it (the largest: {name}) add up to"
    )
    return f"{limits} {inside}, more than its own {whole}. Nothing is stopped for that."


def binding_of(place: Place) -> BindingBudget | None:
    """The budget that binds, as a status names it."""
    key = place.binding
    return None if key is None else BindingBudget(kind=key.kind, name=key.name)


def clusters_of(evaluation: Evaluation) -> tuple[ClusterStatus, ...]:
    """The parts of several clusters as a status has them."""
    return tuple(
        ClusterStatus(
            name=one.name,
            amount=None if one.amount is None else one.amount.quantize(Decimal("0.01"), ROUND_HALF_EVEN),
            as_of_time=None if one.as_of is None else datetime.fromtimestamp(one.as_of, UTC),
            enforced=one.standing == "Here",
        )
        for one in evaluation.clusters
    )
