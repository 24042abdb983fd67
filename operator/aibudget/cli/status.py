"""`aibudget status`: where budgets stand, the namespaced and the cluster-wide ones in one table.

Shows what the operator has written into their status and computes nothing: no operator, no news.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import click

from aibudget.api.budgetstatus import BudgetStatus, Forecast
from aibudget.api.conditions import Condition, ConditionType, find_condition
from aibudget.api.fields import format_instant
from aibudget.api.limit import MONEY
from aibudget.api.model import JsonObject
from aibudget.cli.connection import Connection, connection_options, namespace_options
from aibudget.cli.output import objects, output_option
from aibudget.errors import Stalled
from aibudget.reporting.table import table

if TYPE_CHECKING:
    from aibudget.inventory.kubernetes import Cluster

COLUMNS = (
    "namespace",
    "kind",
    "name",
    "limit",
    "used",
    "used%",
    "forecast",
    "state",
    "data",
    "held",
    "resets",
)
WIDE = (*COLUMNS, "caps", "period", "per hour", "coverage", "as of", "range", "error", "exhausted", "message")

_REMARKED: Final = (
    (ConditionType.STALLED, "True"),
    (ConditionType.SCOPE_UNCLEAR, "True"),
    (ConditionType.UNPRICED, "True"),
    (ConditionType.RECEIVERS_RESOLVED, "False"),
    (ConditionType.SPEND_AS_USUAL, "False"),
)
"""Conditions whose message stands below the table: no cell would show them."""


@click.command()
@click.argument("name", required=False)
@namespace_options
@connection_options
@output_option
@click.option("--exit-code", is_flag=True, help="Exit with 1 when a shown budget is over its limit.")
def status(connection: Connection, name: str | None, output: str, exit_code: bool) -> None:
    """Show where budgets stand: those of the namespace, and those over many namespaces.

    With NAME, only the budgets of that name. With it, or with -o wide, also why they spend more or less
    than in the period before.
    """
    found = connection.run(lambda cluster: _budgets(cluster, connection.scope(), name))
    if output in ("json", "yaml"):
        click.echo(objects(found, output))
    elif found:
        rows = [Standing.of(budget).row(wide=output == "wide") for budget in found]
        click.echo(table(WIDE if output == "wide" else COLUMNS, rows))
        told = [Standing.of(budget) for budget in found]
        for line in (said for one in told for said in one.remarks):
            click.echo(f"\n{line}")
        for line in (one.changed for one in told if one.changed and (name or output == "wide")):
            click.echo(f"\n{line}")
    else:
        click.echo("No budgets here. Look in all namespaces with -A, or apply one.", err=True)
    if exit_code and any(Standing.of(budget).over for budget in found):
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class Standing:
    """One budget object with its status read; unknown values print as "-"."""

    budget: JsonObject
    status: BudgetStatus

    @classmethod
    def of(cls, budget: JsonObject) -> Self:
        """Read an object as the API server gives it."""
        return cls(budget, BudgetStatus.model_validate(budget.get("status") or {}))

    @property
    def over(self) -> bool:
        """Known to be over its limit. Unknown is neither within nor over."""
        within = self._condition(ConditionType.WITHIN_BUDGET)
        return within is not None and within.status == "False"

    @property
    def remarks(self) -> list[str]:
        """What somebody should know or mend, as long as it lasts: a sentence or two each."""
        found = ((self._condition(condition), status) for condition, status in _REMARKED)
        told = [one.message or one.reason for one, status in found if one and one.status == status]
        return [said if said.startswith(self._name) else f"{self._name}: {said}" for said in told]

    @property
    def changed(self) -> str:
        """Why it spends more or less than in the period before, or why that is not known."""
        found = self.status.drivers
        return f"{self._name}: {found[0].message}" if found and found[0].message else ""

    @property
    def _name(self) -> str:
        metadata = self.budget["metadata"]
        name = "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))
        return f"{self.budget['kind']} {name}"

    def row(self, *, wide: bool) -> tuple[str, ...]:
        """The cells of `COLUMNS`, or of `WIDE`."""
        metadata = self.budget["metadata"]
        spend, period, holds = self.status.spend, self.status.period, self.status.holds
        forecast, unit = self._forecast()
        state = self._condition(ConditionType.STALLED) or self._condition(ConditionType.WITHIN_BUDGET)
        data = self._condition(ConditionType.DATA_FRESH)
        cells = (
            metadata.get("namespace", ""),
            self.budget["kind"],
            metadata["name"],
            self._limit(),
            _text(spend and spend.amount),
            _text(spend and spend.used_percent, "%"),
            _text(forecast and forecast.amount, unit),
            state.reason if state else "",
            data.reason if data else "",
            _text(holds and holds.active),
            format_instant(period.end_time) if period else "",
        )
        if not wide:
            return cells
        return (
            *cells,
            self._measures(),
            period.id if period else "",
            _text(self.status.rate and self.status.rate.per_hour),
            _text(spend and spend.coverage_percent, "%"),
            format_instant(spend.as_of_time) if spend and spend.as_of_time else "",
            f"{forecast.low} to {forecast.high}" if forecast and forecast.low and forecast.high else "",
            _text(forecast and forecast.error_percent, "%"),
            format_instant(forecast.exhausted_time) if forecast and forecast.exhausted_time else "",
            state.message if state else "",
        )

    def _forecast(self) -> tuple[Forecast | None, str]:
        """Of what is foreseen to be used most, money or a cap, with the unit of a cap."""
        known = [
            (self.status.forecast, ""),
            *((one.forecast, f" {one.unit}") for one in self.status.measures),
        ]
        foreseen = [(one, unit) for one, unit in known if one is not None]
        return max(foreseen, key=lambda one: one[0].used_percent or 0, default=(None, ""))

    def _limit(self) -> str:
        """The limit in force, as soon as the operator has said it."""
        known, written = self.status.limit, self.budget["spec"].get("limit")
        if known is not None:
            return f"{known.amount} {known.currency}"
        return f"{written['amount']} {written['currency']}" if written else ""

    def _measures(self) -> str:
        return ", ".join(
            f"{one.name} {_text(one.used) or '?'}/{one.limit} {one.unit}"
            for one in self.status.measures
            if one.name != MONEY
        )

    def _condition(self, condition: ConditionType) -> Condition | None:
        return find_condition(self.status.conditions, condition)


async def _budgets(cluster: "Cluster", namespace: str | None, name: str | None) -> list[JsonObject]:
    from aibudget.inventory.kubernetes import Forbidden
    from aibudget.inventory.resource import AIBUDGETS, CLUSTER_AIBUDGETS

    found = await cluster.list(AIBUDGETS, namespace)
    try:
        found += await cluster.list(CLUSTER_AIBUDGETS)
    except Forbidden:
        # A team may well see its own budgets and nothing beyond them.
        click.echo("ClusterAIBudgets are left out: you may not list them.", err=True)
    if name is None:
        return found
    if named := [budget for budget in found if budget["metadata"]["name"] == name]:
        return named
    where = f"in namespace {namespace}" if namespace else "in any namespace"
    raise Stalled("NotFound", f"There is no budget {name!r} {where}; `status -A` lists all of them.")


def _text(value: object, unit: str = "") -> str:
    return "" if value is None else f"{value}{unit}"
