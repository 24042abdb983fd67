"""`aibudget ledger`: what whoever operates a ledger does with it, also while the operator writes to it.

Nothing here makes, migrates or changes a ledger: that is the operator's.
"""

import shutil
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import click

from aibudget.errors import Stalled
from aibudget.metering.slots import iso
from aibudget.reporting.table import table

if TYPE_CHECKING:
    from aibudget.ledger.inspection import Holding

STDOUT: Final = "-"
_COLUMNS: Final = ("cluster", "meter", "from", "until", "covered", "rows")

url_option = click.option(
    "--ledger-url",
    "url",
    envvar="AIBUDGET_LEDGER_URL",
    default="sqlite:////var/lib/aibudget/ledger.db",
    metavar="URL",
    show_envvar=True,
    help="The ledger, as the operator has it.",
)


@click.group()
def ledger() -> None:
    """Look after the ledger: check it, copy it.

    They find the operator's ledger in its pod: kubectl exec deploy/aibudget -- aibudget ledger check
    """


@ledger.command(short_help="Look the whole ledger over, and say what it holds.")
@url_option
def check(url: str) -> None:
    """Look the whole ledger over, and say what it holds.

    Reads every row, which takes minutes where there are millions. Exit codes: 0 all is well, 1 it is
    damaged, 2 it could not be read.
    """
    from aibudget.ledger.database import Database
    from aibudget.ledger.inspection import holdings

    try:
        with closing(Database(url, checked=True, borrowed=True)) as database:
            faults, rows = database.faults(), [_row(one) for one in holdings(database)]
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
