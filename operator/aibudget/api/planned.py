"""Planned windows: hours of which people know beforehand that their spend will be unusual."""

from typing import Self

from pydantic import model_validator

from aibudget.api.fields import SlotInstant
from aibudget.api.model import Value, celed, rule


class PlannedWindow(Value):
    """A time whose spend is expected to be unusual, such as a load test, a migration or a holiday."""

    model_config = celed(
        rule("self.startTime < self.endTime", "endTime must be after startTime", ".endTime"),
    )

    start_time: SlotInstant
    """Its beginning, on a quarter of an hour."""
    end_time: SlotInstant
    """Its end, exclusive, on a quarter of an hour."""

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.end_time <= self.start_time:
            raise ValueError("endTime must be after startTime")
        return self
