"""`aibudget holds`: which workloads and namespaces are held, by whom, since when, and the way back."""

from typing import TYPE_CHECKING

import click

from aibudget.api.conditions import ConditionType, find_condition
from aibudget.api.fields import format_instant
from aibudget.api.hold import Claim, Hold
from aibudget.api.model import JsonObject
from aibudget.api.names import FREEZE_QUOTA
from aibudget.cli.connection import Connection, connection_options, namespace_options
from aibudget.cli.output import objects, output_option
from aibudget.reporting.table import table

if TYPE_CHECKING:
    from aibudget.inventory.kubernetes import Cluster

COLUMNS = ("namespace", "hold", "target", "action", "state", "since", "budgets", "puts back")
WIDE = (*COLUMNS, "periods", "per hour")

DECIDE = """
What is Pending waits for a person:          {program} approve|veto -n NAMESPACE HOLD"""
WAY_BACK = """
A workload comes back by itself when its budget's limit is raised or the period ends.
To give one back now:                        kubectl delete hold -n NAMESPACE HOLD
                                             (a ClusterAIBudget holds it again after its grace period)
To give back everything and stop all acts:   {program} release --all"""


@click.command()
@namespace_options
@connection_options
@output_option
@click.pass_context
def holds(ctx: click.Context, connection: Connection, output: str) -> None:
    """Show which workloads and namespaces are held, by which budget, and how to get them back."""
    found = connection.run(lambda cluster: _holds(cluster, connection.scope()))
    if output in ("json", "yaml"):
        click.echo(objects(found, output))
    elif found:
        rows = [row(Hold.read(hold), wide=output == "wide") for hold in found]
        click.echo(table(WIDE if output == "wide" else COLUMNS, rows))
        program = ctx.find_root().info_name
        if any(claim.decision == "Pending" for hold in found for claim in Hold.read(hold).spec.claims):
            click.echo(DECIDE.format(program=program), err=True)
        click.echo(WAY_BACK.format(program=program), err=True)
    else:
        namespace = connection.scope()
        where = f"in namespace {namespace}" if namespace else "in any namespace"
        click.echo(f"No workload is held {where}.", err=True)


def row(hold: Hold, *, wide: bool) -> tuple[str, ...]:
    """The cells of `COLUMNS`, or of `WIDE`."""
    spec, claims = hold.spec, hold.spec.claims
    applied = find_condition(hold.status.conditions, ConditionType.APPLIED)
    noticed = min((claim.notice_time for claim in claims if claim.notice_time), default=None)
    since = hold.status.enforced_time or noticed
    cells = (
        hold.namespace or "",
        hold.name,
        f"{spec.target_ref.kind}/{spec.target_ref.name}",
        spec.action,
        applied.reason if applied else "",
        format_instant(since) if since else "",
        ", ".join(
            f"{c.kind}/{c.name} ({', '.join(filter(None, (c.threshold, decision(c))))})" for c in claims
        ),
        _puts_back(hold),
    )
    if not wide:
        return cells
    avoided = hold.status.avoided_cost_per_hour
    return (*cells, ", ".join(claim.period_id for claim in claims), "" if avoided is None else str(avoided))


def decision(claim: Claim) -> str:
    """What was decided about a claim, by whom; until when it waits. Empty where nobody was asked."""
    if claim.decision == "Pending":
        return f"Pending until {format_instant(claim.expire_time)}" if claim.expire_time else "Pending"
    if claim.decision == "Approved" and claim.decided_by is None:
        return ""
    by = f" by {claim.decided_by}" if claim.decided_by else ""
    until = f" until {format_instant(claim.decided_until)}" if claim.decided_until else ""
    return f"{claim.decision}{by}{until}"


def _puts_back(hold: Hold) -> str:
    if not hold.spec.original:
        return ""
    if hold.spec.action == "Freeze":
        return f"deletes ResourceQuota {FREEZE_QUOTA}"
    if hold.spec.action == "Block":
        return "lets new pods in"
    return ", ".join(f"{one.path} = {one.json_value or 'absent'}" for one in hold.spec.original)


async def _holds(cluster: "Cluster", namespace: str | None) -> list[JsonObject]:
    from aibudget.inventory.resource import HOLDS

    return await cluster.list(HOLDS, namespace)
