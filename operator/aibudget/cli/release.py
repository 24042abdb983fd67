"""`aibudget release --all`: the way out that needs no operator: everything held is given back from what is
written on the workloads and in the Holds, and nothing new is held until the kill switch is deleted.
"""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from aibudget.api.conditions import EventReason
from aibudget.api.model import JsonObject
from aibudget.api.names import KILL_SWITCH
from aibudget.cli.connection import Connection, connection_options
from aibudget.errors import Stalled
from aibudget.reporting.table import table

if TYPE_CHECKING:
    from aibudget.enforcement.notice import Act
    from aibudget.inventory.kubernetes import Cluster

_TOLD_EACH: Final = 50

OPERATOR = "app.kubernetes.io/name=aibudget,app.kubernetes.io/component=operator"
"""The labels of the chart's Deployment."""


@click.command()
@connection_options
@click.option("--all", "everything", is_flag=True, help="Every held workload of the cluster.")
@click.option(
    "--operator-namespace",
    metavar="NAME",
    help="Where the kill switch is set; the namespace of the operator's Deployment if absent.",
)
@click.option(
    "--wave",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help="Give back so many at a time and wait for their pods to be ready; all at once if absent.",
)
@click.option(
    "--wave-ready-seconds",
    type=click.IntRange(min=1),
    default=120,
    show_default=True,
    help="How long a wave waits for them at most.",
)
@click.option(
    "--uninstall",
    is_flag=True,
    help="The kill switch goes with the operator's Deployment, as the chart's hook has it.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def release(connection: Connection, everything: bool, yes: bool, **given: Any) -> None:
    """Give held workloads back, even with no operator running.

    Sets the kill switch first, so that an operator that still runs holds nothing anew; then puts every held
    workload back to its original. To give back a single one, delete its Hold (see `holds`).
    """
    if not everything:
        raise click.UsageError("Say --all to give back everything; for a single workload delete its Hold.")
    if not yes:
        click.confirm("Give back every held workload of the cluster, and stop all new acts?", abort=True)
    namespace, acts = connection.run(lambda cluster: _release(cluster, **given))
    if acts:
        rows = [
            (act.workload.namespace, f"{act.workload.kind}/{act.workload.name}", *_told(act)) for act in acts
        ]
        click.echo(table(("namespace", "workload", "result", "message"), rows))
    else:
        click.echo("Nothing was held.", err=True)
    click.echo(
        f"New acts are stopped. To let them go on: kubectl delete configmap -n {namespace} {KILL_SWITCH}",
        err=True,
    )
    if any(act.reason == EventReason.ENFORCEMENT_FAILED for act in acts):
        sys.exit(2)


def _told(act: "Act") -> tuple[str, str]:
    return str(act.reason), act.message


class _Progress:
    """Counts on stderr: a thousand workloads take minutes."""

    def __init__(self) -> None:
        self._done = 0

    def __call__(self, _: "Act") -> None:
        self._done += 1
        if self._done % _TOLD_EACH == 0:
            click.echo(f"{self._done} workloads so far …", err=True)


async def _release(
    cluster: "Cluster",
    operator_namespace: str | None,
    wave: int | None,
    wave_ready_seconds: int,
    *,
    uninstall: bool,
) -> "tuple[str, list[Act]]":
    from aibudget.enforcement.release import Manner, release_all
    from aibudget.inventory.resource import DEPLOYMENTS

    operators = await cluster.list(DEPLOYMENTS, operator_namespace, labels=OPERATOR)
    namespace = operator_namespace or _namespace_of(operators)
    owner = _reference(operators[0]) if uninstall and operators else None
    manner = Manner(wave, wave_ready_seconds, _Progress(), owner)
    return namespace, await release_all(cluster, namespace, datetime.now(UTC), manner)


def _reference(obj: JsonObject) -> JsonObject:
    metadata = obj["metadata"]
    return {key: obj[key] for key in ("apiVersion", "kind")} | {key: metadata[key] for key in ("name", "uid")}


def _namespace_of(operators: list[JsonObject]) -> str:
    """Where the one operator of the cluster lives: a kill switch anywhere else would stop nothing."""
    found = {one["metadata"]["namespace"] for one in operators}
    if len(found) == 1:
        return str(found.pop())
    seen = f"in {', '.join(sorted(found))}" if found else "nowhere"
    raise Stalled(
        "OperatorNotFound",
        f"The operator's Deployment is {seen}: name the namespace for the kill switch with "
        "--operator-namespace; where the operator is gone, any namespace will do.",
    )
