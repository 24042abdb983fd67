"""What conditions say of a budget's scope, and of the budgets around it. Pure; used by `conditions`.

Each is abnormal-true: it is there only while there is something to be done about it, and says what.
"""

from decimal import Decimal

from aibudget.api.budgetstatus import BindingBudget
from aibudget.api.conditions import Reason, Status
from aibudget.api.money import Money
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.hierarchy import Place

Fact = tuple[Status, Reason, str]


def scope_unclear(evaluation: Evaluation | None) -> Fact | None:
    """What is not known of the usage that the scope may select; None where all of it is."""
    if evaluation is None:
        return None
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
    limits = (
        "The limit of a budget inside it is"
        if place.children == 1
        else f"The limits of {place.children} budgets inside it add up to"
    )
    return f"{limits} {inside}, more than its own {whole}. Nothing is stopped for that."


def binding_of(place: Place) -> BindingBudget | None:
    """The budget that binds, as a status names it."""
    key = place.binding
    return None if key is None else BindingBudget(kind=key.kind, name=key.name)
