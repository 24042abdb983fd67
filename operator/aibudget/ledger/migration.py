"""Brings a ledger's tables to what this program knows: Alembic's scripts in `migrations/`, the oldest first.

All of it is one transaction, so that a migration that fails leaves the old tables whole, and of several
processes that open one ledger the first migrates it. Ledgers from before there were migrations are taken
over by the first script, which makes what is missing. There is no way down: a ledger that a newer program
has migrated is refused, and the copy that was made before is the way back.

Alembic is loaded where there is something to migrate, and stays away from a process that runs for weeks.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, column, inspect, select, table

from aibudget.errors import Stalled
from aibudget.ledger import schema

SCRIPTS: Final = Path(__file__).parent / "migrations"
_SAID: Final = re.compile(r'^(revision|down_revision)(?:: Final)? = "?(\w+)"?$', re.MULTILINE)
_ALEMBIC: Final = table("alembic_version", column("version_num"))


def wanting(connection: Connection, name: str, scripts: Path = SCRIPTS) -> tuple[str, ...]:
    """The migrations that the ledger of that name still lacks, the next first.

    Raises `Stalled` where a newer program wrote it, and where it is a database of something else.
    """
    tables = set(inspect(connection).get_table_names())
    if tables and schema.schema_version.name not in tables:
        raise Stalled(
            "LedgerUnusable", f"{name} is a database, but not a ledger of AIBudget; give another one."
        )
    version = connection.execute(select(schema.schema_version.c.version)).scalar() if tables else None
    there = _ALEMBIC.name in tables
    current = connection.execute(select(_ALEMBIC.c.version_num)).scalar() if there else None
    revisions = _revisions(scripts)
    if version not in (None, schema.UNMIGRATED, schema.MIGRATED):
        raise _newer(name, f"version {version}")
    if current not in (None, *revisions):
        raise _newer(name, current)
    return tuple(revisions if current is None else revisions[revisions.index(current) + 1 :])


@cache
def _revisions(scripts: Path) -> tuple[str, ...]:
    """All that there are, the oldest first, as they say themselves."""
    said = [dict(_SAID.findall(path.read_text("utf-8"))) for path in (scripts / "versions").glob("*.py")]
    after = {one["down_revision"]: one["revision"] for one in said if one}
    found: list[str] = []
    while revision := after.get(found[-1] if found else "None"):
        found.append(revision)
    return tuple(found)


def migrate(connection: Connection, revisions: tuple[str, ...], scripts: Path = SCRIPTS) -> None:
    """Run these migrations in the connection's transaction, which is the caller's to commit."""
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    directory = ScriptDirectory(str(scripts))
    context = MigrationContext.configure(connection)
    operations = Operations(context)
    for revision in revisions:
        script = directory.get_revision(revision)
        script.module.upgrade(operations)
        context.stamp(directory, revision)


def older(name: str, missing: tuple[str, ...]) -> Stalled:
    """The ledger lacks these migrations, and who found it may not run them."""
    return Stalled(
        "LedgerUnusable",
        f"the ledger {name} was written by an older AIBudget (it lacks {', '.join(missing)}); use that "
        "version's commands, or start this version's operator on it.",
    )


def _newer(name: str, found: object) -> Stalled:
    return Stalled(
        "LedgerUnusable",
        f"the ledger {name} was written by a newer AIBudget (it is at {found}, which this program does not "
        "know); run that version or a newer one, or put back the copy that was made before the upgrade.",
    )
