"""AIPriceList: what a company really pays, laid over the built-in public prices.

Which of several rates wins is for ``pricing`` to decide; here only their shape is checked.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from aibudget.api.conditions import Conditions
from aibudget.api.fields import Currency, Generation, Integer, LimitAmount, SlotInstant
from aibudget.api.model import LIST_ATOMIC, LIST_BY_NAME, Observed, Resource, Value, celed, once_each_by, rule
from aibudget.api.rate import ListedRate


class ExchangeRate(Value):
    """What one of a currency is worth in another, from an instant on."""

    model_config = celed(rule("self.from != self.to", "must be two currencies", ".to"))

    sold: Annotated[Currency, Field(alias="from")]
    """The currency of which one is exchanged."""
    bought: Annotated[Currency, Field(alias="to")]
    """The currency of what it is worth."""
    rate: LimitAmount
    """How much of the second currency one of the first is worth."""
    valid_from: SlotInstant
    """The first instant it applies to, on a quarter of an hour; it ends where the next begins."""

    @model_validator(mode="after")
    def _two_currencies(self) -> Self:
        if self.sold == self.bought:
            raise ValueError("must be two currencies")
        return self


class PriceListSpec(Value):
    """Prices in one currency."""

    currency: Currency
    """ISO 4217 code, such as USD."""
    priority: Annotated[Integer, Field(ge=1, le=1000, json_schema_extra={"format": "int32"})] = 10
    """The highest priority with a matching rate wins; the built-in public prices have 0."""
    exchange_rates: Annotated[
        tuple[ExchangeRate, ...],
        Field(max_length=512, json_schema_extra=LIST_ATOMIC),
    ] = ()
    """What currencies are worth, dated, for budgets in another currency than their prices."""
    rates: Annotated[
        tuple[ListedRate, ...],
        Field(
            min_length=1,
            max_length=256,
            json_schema_extra=LIST_BY_NAME,
        ),
        AfterValidator(once_each_by("name")),
    ]
    """The prices."""


class PriceListStatus(Observed):
    """Whether the list is in use. Written by the operator."""

    observed_generation: Generation = -1
    """The generation of the spec that this status speaks of; -1 until the operator has seen it."""
    conditions: Conditions = ()
    """Ready; Reconciling and Stalled only while they are true."""


class AIPriceList(Resource):
    """What AI usage really costs here, laid over the built-in public prices."""

    kind: Literal["AIPriceList"]
    spec: PriceListSpec
    status: PriceListStatus = PriceListStatus()
