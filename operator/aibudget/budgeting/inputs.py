"""What a decision was made from, as the decision log keeps it. Pure.

Amounts are text, as they are compared: a log that rounds could not be checked against a bill.
"""

from aibudget.budgeting.evaluation import BudgetKey, Evaluation, ThresholdState
from aibudget.ledger.decision import Decision, Facts
from aibudget.metering.slots import iso


def named(key: BudgetKey) -> Facts:
    """Which budget it is about."""
    found = {"kind": key.kind, "name": key.name, "uid": key.uid}
    return {"budget": found | ({"namespace": key.namespace} if key.namespace else {})}


def inputs(evaluation: Evaluation) -> Facts:
    """What was known of the budget: spend, limit, and how far and how well it was known."""
    spend = evaluation.spend
    return {
        "inputs": {
            "period": evaluation.period.id,
            "spent": str(spend.amount),
            "limit": None if evaluation.limit is None else str(evaluation.limit),
            "currency": evaluation.currency,
            "usedPercent": spend.used_percent,
            "asOf": None if spend.as_of is None else iso(spend.as_of),
            "coveragePercent": spend.coverage_percent,
            "complete": spend.complete,
            "fresh": evaluation.fresh,
            "generation": evaluation.generation,
            **_caps(evaluation),
        },
    }


def _caps(evaluation: Evaluation) -> Facts:
    caps = [one for one in evaluation.measures if not one.is_money]
    if not caps:
        return {}
    told = [
        {
            "name": one.name,
            "unit": one.unit,
            "limit": str(one.limit),
            "used": None if one.used is None else str(one.used),
            "fresh": one.fresh,
        }
        for one in caps
    ]
    return {"caps": told}


def crossed(evaluation: Evaluation, state: ThresholdState) -> Decision:
    """A threshold that stands otherwise than before."""
    threshold = state.threshold
    facts = {
        **named(evaluation.budget),
        **inputs(evaluation),
        "period": evaluation.period.id,
        "threshold": threshold.name,
        "percent": threshold.percent,
        "actions": list(threshold.actions),
    }
    subject = f"threshold/{evaluation.budget.uid}/{evaluation.period.id}/{threshold.name}"
    return Decision(subject, state.standing, evaluation.evaluated, facts)
