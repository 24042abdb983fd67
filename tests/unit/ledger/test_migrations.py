"""Tables are brought up to date script by script, all at once or not at all, and nothing posted is lost."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect

from aibudget.errors import AIBudgetError, Stalled
from aibudget.ledger import schema
from aibudget.ledger.database import Database
from aibudget.ledger.migration import SCRIPTS, wanting
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage
from unit.ledger.blank import blank

OLD = Path(__file__).with_name("before_migrations.sql")
FULL = Coverage(900, 900)


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is nothing, not even tables."""
    if request.config.getoption("--ledger") == "postgresql":
        return str(request.getfixturevalue("postgresql").empty("migrated"))
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A ledger that a program from before there were migrations wrote, without a table that came later."""
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(OLD.read_text(encoding="utf-8"))
    return path


@pytest.fixture
def scripts(tmp_path: Path) -> Callable[[str], Path]:
    """The program's migrations with one more, whose upgrade does this."""

    def make(body: str, revision: str = "next_table") -> Path:
        copied = tmp_path / "scripts"
        shutil.copytree(SCRIPTS, copied, dirs_exist_ok=True)
        head = ScriptDirectory(str(copied)).get_current_head()
        (copied / "versions" / f"{revision}.py").write_text(
            f'import sqlalchemy as sa\nrevision = "{revision}"\ndown_revision = "{head}"\n'
            f"def upgrade(op):\n    {body}\n",
            encoding="utf-8",
        )
        return copied

    return make


def tables(path: Path) -> set[str]:
    """The names of the tables in a file."""
    with closing(sqlite3.connect(path)) as raw:
        return {name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_migrations_make_the_tables_of_the_schema(url: str) -> None:
    """Whoever changes `schema.py` adds a migration that comes to the same."""
    database = Database(url)
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []
    database.close()


def test_migrations_follow_one_upon_the_other() -> None:
    """Two heads are two orders, and ledgers that differ: the later one's `down_revision` is the earlier."""
    directory = ScriptDirectory(str(SCRIPTS))
    assert len(directory.get_heads()) == 1
    with create_engine("sqlite://").connect() as empty:
        ours = wanting(empty, "empty")
    assert ours == tuple(script.revision for script in directory.walk_revisions())[::-1]


def test_nothing_that_migrates_is_loaded_where_all_is_up_to_date(tmp_path: Path) -> None:
    """With what it brings along it takes seven megabytes, of a process that runs for weeks."""
    opens = (
        "import sys; from aibudget.ledger.store import Ledger; Ledger.open(sys.argv[1], 'here').close(); "
        "print({'alembic', 'mako', 'pygments'}.intersection(sys.modules) or None)"
    )
    process = [sys.executable, "-c", opens, blank(tmp_path / "ledger.db")]
    assert subprocess.run(process, capture_output=True, text=True, check=True).stdout == "None\n"


@pytest.mark.file
def test_a_ledger_from_before_migrations_loses_nothing(
    old: Path, url: str, post: Callable[..., None]
) -> None:
    """Months of postings are taken over as they are, with tables that were added since, and posted on."""
    ledger = Ledger.open(url, "here")
    statement = ledger.statement("gpu", Interval(0, 1800))
    assert [
        (line.workload.name, line.quantity, line.rate and line.rate.price) for line in statement.lines
    ] == [
        ("llm", 1_500_000, 2),
        ("rag", 450_000, None),
    ]
    assert statement.coverage == Coverage(1500, 1800)
    assert ledger.take_over() == 2
    post(ledger, {2: FULL}, epoch=2)
    ledger.close()
    with closing(sqlite3.connect(old)) as raw:
        assert raw.execute("SELECT count(*) FROM delivery").fetchone() == (0,)
        assert raw.execute("SELECT version FROM schema_version").fetchall() == [(schema.MIGRATED,)]


@pytest.mark.file
def test_of_an_empty_ledger_nothing_is_kept(url: str, tmp_path: Path) -> None:
    """A copy of nothing is no way back."""
    Ledger.open(url, "here").close()
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.db"]


@pytest.mark.file
def test_the_old_ledger_is_kept_beside_the_new_one(old: Path, url: str) -> None:
    """The way back from an upgrade is a file: private, whole, and readable by the program from before."""
    before = tables(old)
    Ledger.open(url, "here").close()
    (copy,) = old.parent.glob("ledger.db.*")
    assert copy.name == f"ledger.db.before-{ScriptDirectory(str(SCRIPTS)).get_current_head()}"
    assert copy.stat().st_mode & 0o777 == 0o600
    assert tables(copy) == before
    assert before - {"usage"} < tables(old)
    with closing(sqlite3.connect(copy)) as raw:
        assert raw.execute("SELECT sum(quantity) FROM usage").fetchone() == (1_950_000,)
        assert raw.execute("SELECT version FROM schema_version").fetchall() == [(schema.UNMIGRATED,)]


@pytest.mark.file
def test_only_the_newest_copy_is_kept(old: Path, url: str, scripts: Callable[[str], Path]) -> None:
    """A volume does not fill up with upgrades; and what needs no migration is not copied."""
    Database(url).close()
    Database(url).close()
    Database(url, scripts=scripts("pass")).close()
    assert [path.name for path in old.parent.glob("ledger.db.*")] == ["ledger.db.before-next_table"]


def test_a_migration_that_fails_leaves_the_old_ledger_whole(
    url: str, scripts: Callable[[str], Path], post: Callable[..., None]
) -> None:
    """What a script did before it failed is undone, and the program from before goes on with the ledger."""
    ledger = Ledger.open(url, "here")
    post(ledger, {0: FULL})
    ledger.close()
    fails = scripts('op.create_table("half", sa.Column("id", sa.Integer)); op.execute("DROP TABLE nowhere")')
    with pytest.raises(AIBudgetError, match="nowhere"):
        Database(url, scripts=fails)
    with closing(Database(url)) as again, again.reading() as connection:
        assert set(inspect(connection).get_table_names()) == {*schema.metadata.tables, "alembic_version"}
    with closing(Ledger.open(url, "here")) as ledger:
        assert ledger.watermark("gpu") == 900


@pytest.mark.file
def test_a_table_made_anew_keeps_what_refers_to_it(
    old: Path, url: str, scripts: Callable[[str], Path]
) -> None:
    """SQLite changes a column by making its table anew, which must not take its children's rows along."""
    body = 'with op.batch_alter_table("meter") as to: to.alter_column("name", type_=sa.String(253))'
    database = Database(url, scripts=scripts(body))
    with database.writing() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("SELECT count(*) FROM line").scalar() == 2
    database.close()


def test_a_newer_ledger_is_left_alone(url: str, scripts: Callable[[str], Path]) -> None:
    """A program that was rolled back must not write into tables it does not know."""
    Database(url, scripts=scripts("pass")).close()
    with pytest.raises(Stalled, match=r"newer AIBudget.*next_table.*put back the copy"):
        Ledger.open(url, "here")


@pytest.mark.file
def test_a_version_from_far_ahead_is_left_alone(url: str, tmp_path: Path) -> None:
    """The number that shuts out programs without migrations can shut out this one too."""
    Ledger.open(url, "here").close()
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as raw:
        raw.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(Stalled, match="version 99"):
        Ledger.open(url, "here")
