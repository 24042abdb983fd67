"""Whoever operates a ledger can check and copy it while it is in use, and changes nothing by that."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aibudget.cli.main import cli
from aibudget.ledger.decision import Decision
from aibudget.ledger.posting import Posting
from aibudget.ledger.register import Register
from aibudget.ledger.store import Ledger
from aibudget.metering.usage import Coverage
from unit.ledger.blank import blank

HEADER = "CLUSTER   METER   FROM                   UNTIL                  COVERED   ROWS   PACKED DAYS"


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Where the ledger lives."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def in_use(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of an operator that runs: half of a slot was covered."""
    ledger = Ledger.open(blank(tmp_path / "ledger.db"), "eu-1")
    epoch = ledger.take_over()
    ledger.post(Posting("gpu", {0: Coverage(450, 900)}, (), watermark=900, revision=0, at=900, epoch=epoch))
    yield ledger
    ledger.close()


def aibudget(*arguments: str) -> Result:
    """Run the program with these arguments."""
    return CliRunner().invoke(cli, arguments)


def test_a_check_says_what_the_ledger_holds(in_use: Ledger, url: str) -> None:
    """How far each meter is posted, and how much of that was covered."""
    ran = aibudget("ledger", "check", "--ledger-url", url)
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.splitlines() == [
        HEADER,
        "eu-1      gpu     1970-01-01T00:00:00Z   1970-01-01T00:15:00Z   50.0%     0      0",
    ]


def test_a_check_finds_rows_whose_owner_is_gone(in_use: Ledger, url: str, tmp_path: Path) -> None:
    """What SQLite cannot see, either: a cluster that somebody deleted by hand. The answer is no."""
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as raw:
        raw.execute("DELETE FROM cluster")
    ran = aibudget("ledger", "check", "--ledger-url", url)
    assert ran.exit_code == 1
    assert "meter has rows of a cluster that is not there" in ran.stdout


def test_a_check_finds_days_that_are_not_their_slots(in_use: Ledger, url: str, tmp_path: Path) -> None:
    """It names meter and day, and the way out works: the next start adds them up anew."""
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as raw:
        raw.execute("INSERT INTO usage_day VALUES (1, 0, 1, 0, 7, 0, 0, 0)")
    ran = aibudget("ledger", "check", "--ledger-url", url)
    assert ran.exit_code == 1
    assert "eu-1: what is kept of gpu by day is not what its slots add up to" in ran.stdout
    assert aibudget("ledger", "recount", "--ledger-url", url).exit_code == 0
    with closing(Ledger.open(url, "eu-1")) as next_one:
        next_one.take_over()
    assert aibudget("ledger", "check", "--ledger-url", url).exit_code == 0


def test_a_check_finds_overwritten_bytes(url: str, tmp_path: Path) -> None:
    """Whatever SQLite says of it, the answer is no."""
    Ledger.open(url, "eu-1").close()
    content = bytearray((tmp_path / "ledger.db").read_bytes())
    content[4096:12288] = b"\xff" * 8192
    (tmp_path / "ledger.db").write_bytes(content)
    ran = aibudget("ledger", "check", "--ledger-url", url)
    assert ran.exit_code == 1
    assert ran.stdout


def test_a_copy_is_a_ledger(in_use: Ledger, url: str, tmp_path: Path) -> None:
    """It is made beside a writer, private, and can be put in the ledger's place."""
    copy = tmp_path / "copy.db"
    ran = aibudget("ledger", "backup", "--ledger-url", url, str(copy))
    assert ran.exit_code == 0, ran.output
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(Ledger.open(f"sqlite:///{copy}", "eu-1")) as restored:
        assert restored.state("gpu") == in_use.state("gpu")


def test_a_copy_can_be_streamed(in_use: Ledger, url: str, tmp_path: Path) -> None:
    """Out of the operator's pod, whose volume it leaves as it was."""
    before = set(tmp_path.iterdir())
    ran = aibudget("ledger", "backup", "--ledger-url", url, "-")
    assert ran.exit_code == 0, ran.output
    assert set(tmp_path.iterdir()) == before
    copy = tmp_path / "copy.db"
    copy.write_bytes(ran.stdout_bytes)
    with closing(Ledger.open(f"sqlite:///{copy}", "eu-1")) as restored:
        assert restored.watermark("gpu") == 900


def test_a_copy_onto_the_ledger_is_refused(in_use: Ledger, url: str, tmp_path: Path) -> None:
    """It would pull the file from under the operator."""
    ran = aibudget("ledger", "backup", "--ledger-url", url, str(tmp_path / "ledger.db"))
    assert ran.exit_code == 2
    assert "the ledger itself" in ran.stderr


@pytest.mark.parametrize("command", [["check"], ["backup", "copy.db"]])
def test_no_ledger_is_made(url: str, tmp_path: Path, command: list[str]) -> None:
    """An address that is mistyped is said to be one."""
    ran = aibudget("ledger", *command, "--ledger-url", url)
    assert ran.exit_code == 2
    assert "there is no ledger at" in ran.stderr
    assert not list(tmp_path.iterdir())


def test_no_ledger_is_migrated(in_use: Ledger, url: str, tmp_path: Path) -> None:
    """A newer program that only looks must not shut the older operator out."""
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as raw:
        raw.execute("DROP TABLE alembic_version")
        raw.execute("UPDATE schema_version SET version = 1")
    ran = aibudget("ledger", "check", "--ledger-url", url)
    assert ran.exit_code == 2
    assert "written by an older AIBudget" in ran.stderr
    assert in_use.watermark("gpu") == 900


def test_decisions_are_told_in_the_units_of_their_limits(in_use: Ledger, url: str) -> None:
    """Money as money and caps as caps, with no more digits than anybody reads."""
    caps = [
        {"name": "hours", "unit": "GPU-Hours", "limit": "200", "used": "38333/60", "fresh": True},
        {"name": "tokens", "unit": "Tokens", "limit": "1000", "used": None, "fresh": False},
    ]
    known = {"spent": "514.1733066666666666666666667", "limit": None, "currency": "EUR", "caps": caps}
    content = {"budget": {"namespace": "team", "name": "b"}, "threshold": "full", "inputs": known}
    with closing(Register.open(url, "eu-1")) as register:
        register.write([Decision("threshold/b/full", "Crossed", 900, content)])
    ran = aibudget("ledger", "decisions", "--ledger-url", url)
    told = "514.17 EUR   -       hours 638.88/200 GPU-Hours, tokens ?/1000 Tokens"
    assert told in ran.stdout, ran.output
