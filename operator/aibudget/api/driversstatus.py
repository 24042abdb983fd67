"""The part of a budget's status that says why it spends more or less than in the period before.

Part of ``budgetstatus``, which it does not know; absent fields are unknown.
"""

from typing import Annotated, Literal

from pydantic import Field

from aibudget.api.fields import AmountText, Instant
from aibudget.api.model import LIST_ATOMIC, Observed


class SkuChange(Observed):
    """One of the SKUs that the change comes from most."""

    sku: Annotated[str, Field(max_length=128)]
    """Its meter and dimensions."""
    amount: AmountText
    """What it cost more, or below zero less."""
    driver: Literal["Price", "Volume", "Mix", "New", "Gone"]
    """The largest part of that."""


class WorkloadChange(Observed):
    """One of the workloads that the change comes from most."""

    namespace: Annotated[str, Field(max_length=63)] | None = None
    """Its namespace, where the budget covers several."""
    kind: Annotated[str, Field(max_length=63)]
    """Its kind."""
    name: Annotated[str, Field(max_length=253)]
    """Its name."""
    amount: AmountText
    """What it cost more, or below zero less."""


class DriversStatus(Observed):
    """Why a period costs more or less than the same part of the one before it: parts that add up to the
    change, each below zero where it makes the period cheaper; absent fields are unknown."""

    period: Annotated[str, Field(max_length=128)]
    """The period."""
    compared_with: Annotated[str, Field(max_length=128)]
    """The one before it, of which as much is taken as has passed of this one."""
    until_time: Instant
    """Up to when the period is compared, in whole hours."""
    before: AmountText | None = None
    """What that part of the one before it cost."""
    change: AmountText | None = None
    """How much more the period costs: price + volume + mix + new + gone."""
    change_percent: Annotated[int, Field(json_schema_extra={"format": "int64"})] | None = None
    """The change in percent of what it was before, rounded down."""
    price: AmountText | None = None
    """By other prices, at what is used now."""
    volume: AmountText | None = None
    """By how much is used of each meter, at the prices and in the mix of before."""
    mix: AmountText | None = None
    """By which SKUs it is used of, at the prices of before."""
    new: AmountText | None = None
    """By SKUs that the one before did not use."""
    gone: AmountText | None = None
    """By SKUs that are no longer used."""
    skus: Annotated[tuple[SkuChange, ...], Field(max_length=2, json_schema_extra=LIST_ATOMIC)] = ()
    """The SKUs that it comes from most, at most 2."""
    workloads: Annotated[tuple[WorkloadChange, ...], Field(max_length=3, json_schema_extra=LIST_ATOMIC)] = ()
    """The workloads that it comes from most, at most 3."""
    message: Annotated[str, Field(max_length=512)] = ""
    """All of it in a sentence; or why it is not known."""
