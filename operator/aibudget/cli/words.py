"""What flags take that is no plain text: times, steps, meters. A wrong word is answered with a right one."""

from datetime import UTC, date, datetime
from typing import Any

import click

from aibudget.metering.slots import STEPS


class Instant(click.ParamType[int]):
    """RFC 3339 with a zone, or a day, which begins at midnight UTC; as Unix seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Fails on times without a zone: they are another hour elsewhere."""
        if isinstance(value, int):
            return value
        try:
            if len(value) == len("2026-03-01"):
                day = date.fromisoformat(value)
                return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time. Write 2026-03-01T00:00:00Z or 2026-03-01.", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{value!r} has no zone. Write {value}Z for UTC.", param, ctx)
        return int(moment.timestamp())


class Step(click.ParamType[int | None]):
    """`auto`, or seconds that divide a slot."""

    name = "step"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """None is auto."""
        if value is None or value == "auto":
            return None
        if str(value).isascii() and str(value).isdecimal() and int(value) in STEPS:
            return int(value)
        return self.fail(
            f"{value!r} is no step. Write auto or seconds that divide 900, such as 30.", param, ctx
        )
