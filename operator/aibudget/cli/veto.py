"""`aibudget veto`: have a workload left alone, or given back, until the budget's period ends."""

import sys
from datetime import datetime

import click

from aibudget.cli.connection import Connection, connection_options, namespace_options
from aibudget.cli.decision import Request, decide, instant
from aibudget.cli.output import output_option


@click.command()
@click.argument("targets", metavar="HOLD|KIND/NAME...", nargs=-1, required=True)
@click.option(
    "--budget", metavar="[KIND/]NAME", help="Only for this budget; every one that claims if absent."
)
@click.option("--until", metavar="TIME", callback=instant, help="RFC 3339; until the period ends if absent.")
@namespace_options
@connection_options
@output_option
def veto(
    connection: Connection,
    targets: tuple[str, ...],
    budget: str | None,
    until: datetime | None,
    output: str,
) -> None:
    """Have workloads left alone, or given back, until the period ends.

    Decides in your own name. Counts for each budget of its own: what another budget claims stays held.
    At --until the budget may ask anew.
    Needs the ClusterRole aibudget-approver, bound in the namespace, or in the cluster for a ClusterAIBudget.
    """
    if not decide(connection, Request(targets, "Vetoed", budget, until), output):
        sys.exit(2)
