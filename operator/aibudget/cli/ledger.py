"""`aibudget ledger`: what whoever operates a ledger does with it, also while the operator writes to it.

Nothing here makes or migrates a ledger, or changes what was posted: that is the operator's.
"""

import json
import shutil
import sys
from contextlib import closing
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import click

from aibudget.api.money import Money
from aibudget.budgeting.limits import hundredths
from aibudget.errors import Stalled
from aibudget.metering.slots import iso
from aibudget.reporting.table import table

if TYPE_CHECKING:
    from aibudget.ledger.inspection import Holding

STDOUT: Final = "-"
_COLUMNS: Final = ("cluster", "meter", "from", "until", "covered", "rows", "packed days")
_DECIDED: Final = ("number", "time", "budget", "event", "about", "spent", "limit", "caps", "by")

url_option = click.option(
    "--ledger-url",
    "url",
    envvar="AIBUDGET_LEDGER_URL",
    default="sqlite:////var/lib/aibudget/ledger.db",
    metavar="URL",
    show_envvar=True,
    help="The ledger, as the operator has it.",
)


@click.group(short_help="Look after the ledger: check and copy it, prove and read its log of decisions.")
def ledger() -> None:
    """Look after the ledger: check it, copy it, prove and read the log of what was decided.

    They find the operator's ledger in its pod: kubectl exec deploy/aibudget -- aibudget ledger check
    """


@ledger.command(short_help="Look the whole ledger over, and say what it holds.")
@url_option
def check(url: str) -> None:
    """Look the whole ledger over, and say what it holds.

    Reads every row, which takes minutes where there are millions, and compares what is kept by day with the
    slots it was added up from. Exit codes: 0 all is well, 1 it is damaged, 2 it could not be read.
    """
    from aibudget.ledger.database import Database
    from aibudget.ledger.inspection import differences, holdings

    try:
        with closing(Database(url, checked=True, borrowed=True)) as database:
            faults = database.faults() or differences(database)
            rows = [_row(one) for one in holdings(database)]
    except Stalled as error:
        if error.reason != "LedgerCorrupt":
            raise
        faults, rows = (error.message,), []
    click.echo("\n".join(faults) if faults else table(_COLUMNS, rows))
    sys.exit(1 if faults else 0)


def _row(holding: "Holding") -> tuple[str, ...]:
    covered, total = holding.coverage.covered_seconds, holding.coverage.total_seconds
    return (
        holding.cluster,
        holding.meter,
        "" if holding.begins is None else iso(holding.begins),
        "" if holding.watermark is None else iso(holding.watermark),
        f"{covered / total:.1%}" if total else "",
        str(holding.rows),
        str(holding.packed),
    )


@ledger.command(short_help="Copy the ledger while it is written to.")
@url_option
@click.argument("path")
def backup(url: str, path: str) -> None:
    """Copy the ledger to PATH while it is written to; - is standard output.

    The copy is a ledger in itself, whole or not there at all: to restore it, put it in the ledger's place
    while no operator runs. For a ledger in PostgreSQL there is pg_dump.
    """
    from aibudget.ledger.database import Database

    with closing(Database(url, checked=True, borrowed=True)) as database:
        if path != STDOUT:
            database.copy(Path(path))
            click.echo(f"{database.name} is copied to {path}.", err=True)
            return
        # Beside the ledger: nothing else in the operator's pod has its size.
        with TemporaryDirectory(dir=Path(database.name).parent) as directory:
            copy = Path(directory) / "ledger.db"
            database.copy(copy)
            with copy.open("rb") as content:
                shutil.copyfileobj(content, sys.stdout.buffer)


@ledger.command(name="hand-over", short_help="Let a cluster that was built anew go on under its old name.")
@url_option
@click.argument("cluster")
def hand_over(url: str, cluster: str) -> None:
    """Let a cluster that was built anew go on under its old name CLUSTER.

    A name belongs to the cluster that first had it. After this the next operator with that name has it, and
    goes on where the old one was.
    """
    from aibudget.ledger import meters
    from aibudget.ledger.database import Database

    with closing(Database(url, checked=True, borrowed=True)) as database, database.writing() as connection:
        meters.hand_over(connection, cluster)
    click.echo(f"The next cluster that comes as {cluster} goes on for it.", err=True)


@ledger.command(short_help="Have the operator add up by day anew what is posted.")
@url_option
def recount(url: str) -> None:
    """Have the operator add up by day anew what is posted, when it starts next.

    For when the check finds that days are not what their slots add up to. Until the restart slots are added
    up instead, which is as right and slower.
    """
    from aibudget.ledger.database import Database
    from aibudget.ledger.inspection import forget_days

    with closing(Database(url, checked=True, borrowed=True)) as database:
        forget_days(database)
    click.echo("Days are added up anew when the operator starts next: restart it.", err=True)


@ledger.command(short_help="Prove that the decision log is as it was written.")
@url_option
def verify(url: str) -> None:
    """Prove that the decision log is as it was written, from its first entry to its last.

    The operator logs the number and the hash of the last entry whenever it adds some: compare them with what
    is printed here to see that nothing was cut off or written anew. Exit codes: 0 all of it is, 1 an entry is
    broken or missing, which is named, 2 it could not be read.
    """
    from aibudget.ledger.database import Database
    from aibudget.ledger.proof import proofs

    with closing(Database(url, checked=True, borrowed=True)) as database:
        found = list(proofs(database))
    for cluster, head, broken in found:
        if broken is not None:
            click.echo(f"{cluster}: entry {broken.number} is broken: {broken.message}")
        else:
            click.echo(f"{cluster}: {head.number} entries, the last one's hash is {head.hash}")
    sys.exit(1 if any(one.broken for one in found) else 0)


@ledger.command(short_help="Show what was decided, and by what.")
@url_option
@click.option("--budget", metavar="[NAMESPACE/]NAME", help="Of this budget only.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print; json has all that was known, one entry a line.",
)
def decisions(url: str, budget: str | None, output: str) -> None:
    """Show what was decided, and by what: thresholds, notices, stops, releases and periods, oldest first."""
    from aibudget.ledger.database import Database
    from aibudget.ledger.proof import logged

    with closing(Database(url, checked=True, borrowed=True)) as database:
        found = [one for one in logged(database) if budget in (None, _budget(one))]
    if output == "json":
        for one in found:
            click.echo(json.dumps(one, sort_keys=True, ensure_ascii=False))
    else:
        click.echo(table(_DECIDED, [_decided(one) for one in found]))


def _budget(decision: dict[str, Any]) -> str:
    budget = decision.get("budget", {})
    return "/".join(part for part in (budget.get("namespace"), budget.get("name")) if part)


def _decided(decision: dict[str, Any]) -> tuple[str, ...]:
    known, target = decision.get("inputs", decision), decision.get("target", {})
    about = "/".join(part for part in (target.get("kind"), target.get("name")) if part)
    return (
        str(decision["number"]),
        decision["time"],
        _budget(decision),
        decision["event"],
        about or decision.get("threshold") or decision.get("period", ""),
        _money(known, "spent"),
        _money(known, "limit"),
        ", ".join(_cap(cap) for cap in known.get("caps") or ()),
        decision.get("decidedBy") or "",
    )


def _money(known: dict[str, Any], key: str) -> str:
    amount = known.get(key)
    return "" if amount is None else str(Money(Decimal(amount), known.get("currency", ""))).rstrip()


def _cap(cap: dict[str, Any]) -> str:
    used = "?" if cap.get("used") is None else str(hundredths(Fraction(cap["used"])))
    return f"{cap['name']} {used}/{hundredths(Fraction(cap['limit']))} {cap['unit']}"
