"""What a unit of useful work may cost: a ceiling on money per so many tokens, requests or anything metered.

It is told and stops nothing: work that costs too much is stopped by no limit, but made cheaper by people.
"""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from aibudget.api.fields import Integer, LimitAmount, Name
from aibudget.api.model import LIST_BY_NAME, Value, once_each_by

MOST_PER: Final = 10**12


class UnitCost(Value):
    """A ceiling on what so many units of a meter cost, over the period so far."""

    name: Name
    """Names it within the budget."""
    meter: Name
    """What is counted of useful work, such as tokens. The cost is that of the workloads that do it."""
    per: Annotated[Integer, Field(ge=1, le=MOST_PER, json_schema_extra={"format": "int64"})] = 1
    """How many of the meter's units the ceiling is for, such as 1000000. With less than that in a period
    nothing is said."""
    ceiling: LimitAmount
    """What they may cost, in the currency of the limit."""


UnitCosts = Annotated[
    tuple[UnitCost, ...] | None,
    Field(min_length=1, max_length=8, json_schema_extra=LIST_BY_NAME),
    AfterValidator(once_each_by("name")),
]
