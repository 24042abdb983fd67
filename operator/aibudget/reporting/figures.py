"""A budget's figures in words, the same in conditions, Events and notifications. Pure."""

from fractions import Fraction

from aibudget.api.money import Money
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.limits import hundredths


def used_of(evaluation: Evaluation) -> str:
    """Of the measure of which most is used: `90.00 USD of 100.00 USD is spent (90 %) in 2026-11`."""
    spend, cap, period = evaluation.spend, evaluation.leading_cap, evaluation.period.id
    if cap is not None:
        used, limit = hundredths(cap.used or Fraction(0)), hundredths(cap.limit)
        return f"{used} of {limit} {cap.unit} is used (cap {cap.name}, {cap.percent} %) in {period}"
    known = Money(spend.amount, evaluation.currency)
    if evaluation.limit is None:
        return f"{known} is spent in {period}"
    limit_money = Money(evaluation.limit, evaluation.currency)
    return f"{known} of {limit_money} is spent ({spend.used_percent} %) in {period}"


def limits_of(evaluation: Evaluation) -> str:
    """All limits of the period: `100.00 USD and 1500 GPU-Hours`."""
    money = [] if evaluation.limit is None else [str(Money(evaluation.limit, evaluation.currency))]
    caps = [f"{hundredths(one.limit)} {one.unit}" for one in evaluation.measures if not one.is_money]
    return " and ".join((*money, *caps))
