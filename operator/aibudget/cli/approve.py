"""`aibudget approve`: let what waits for a person be held."""

import sys
from datetime import datetime

import click

from aibudget.cli.connection import Connection, connection_options, namespace_options
from aibudget.cli.decision import Request, decide, instant
from aibudget.cli.output import output_option


@click.command()
@click.argument("targets", metavar="HOLD|KIND/NAME...", nargs=-1, required=True)
@click.option("--budget", metavar="[KIND/]NAME", help="Only for this budget; every one that asks if absent.")
@click.option("--until", metavar="TIME", callback=instant, help="RFC 3339; until the period ends if absent.")
@namespace_options
@connection_options
@output_option
def approve(
    connection: Connection,
    targets: tuple[str, ...],
    budget: str | None,
    until: datetime | None,
    output: str,
) -> None:
    """Let workloads be held for which budgets in mode Approve ask a person.

    Decides in your own name. What is approved is held when its notice has passed as well, and
    given back at --until.
    Needs the ClusterRole aibudget-approver, bound in the namespace, or in the cluster for a ClusterAIBudget.
    """
    if not decide(connection, Request(targets, "Approved", budget, until), output):
        sys.exit(2)
