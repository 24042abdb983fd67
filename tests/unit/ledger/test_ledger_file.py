"""The ledger's file: private, checked when it is opened, and its faults told with the way out."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from aibudget.errors import Stalled, Transient
from aibudget.ledger.database import Database
from aibudget.ledger.register import Register
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.charge import Charge

FULL = Coverage(900, 900)

pytestmark = pytest.mark.file


def test_only_its_owner_may_read_it(ledger: Ledger, tmp_path: Path, post: Callable[..., None]) -> None:
    """What teams spend is nobody else's business: file, log and index."""
    post(ledger, {0: FULL})
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("url", ["mysql://db/ledger", "sqlite://", "ledger.db", ""])
def test_other_databases_are_refused(url: str) -> None:
    """A ledger in memory or on a server is not promised; the message says what to write."""
    with pytest.raises(Stalled, match="sqlite:///"):
        Ledger.open(url, "here")


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The volume is not mounted: say which path."""
    with pytest.raises(Stalled, match="nowhere"):
        Ledger.open(f"sqlite:///{tmp_path}/nowhere/ledger.db", "here")


def test_a_damaged_file_is_named_with_the_way_out(url: str, tmp_path: Path) -> None:
    """Bytes that were overwritten are found when the file is opened, not when a budget is summed."""
    Ledger.open(url, "here").close()
    path = tmp_path / "ledger.db"
    content = bytearray(path.read_bytes())
    content[4096:12288] = b"\xff" * 8192
    path.write_bytes(content)
    with pytest.raises(Stalled, match=r"ledger\.db is damaged.*backup") as caught:
        Ledger.open(url, "here")
    assert caught.value.reason == "LedgerCorrupt"


def test_damaged_slots_are_found_by_the_look_at_the_whole(
    url: str, tmp_path: Path, post: Callable[..., None], make_charge: Callable[..., Charge]
) -> None:
    """A start does not wait until months of slots are read: they are looked over beside it, and named."""
    ledger, path = Ledger.open(url, "here"), tmp_path / "ledger.db"
    post(ledger, {0: FULL}, *[make_charge(0, f"w{n}", 1) for n in range(1000)])
    ledger.close()
    with closing(Database(url)) as opened:
        opened.look_over()
    with sqlite3.connect(path) as raw:
        (root,) = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'usage_slot'").fetchone()
    raw.close()
    content = bytearray(path.read_bytes())
    content[4096 * (root - 1) : 4096 * root] = b"\xff" * 4096
    path.write_bytes(content)
    with closing(Database(url)) as opened, pytest.raises(Stalled, match=r"ledger\.db is damaged.*backup"):
        opened.look_over()


def test_a_file_of_another_kind_is_refused(url: str, tmp_path: Path) -> None:
    """Neither a text nor somebody else's database is written over."""
    path = tmp_path / "ledger.db"
    path.write_text("these are my notes, please keep them " * 100)
    with pytest.raises(Stalled, match="not a database"):
        Ledger.open(url, "here")
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE notes (text)")
    other.close()
    with pytest.raises(Stalled, match="not a ledger"):
        Ledger.open(url, "here")


def test_a_locked_ledger_is_a_matter_of_time(
    url: str, tmp_path: Path, post: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that does not go away is Transient, and nothing of the posting is left behind."""
    monkeypatch.setattr("aibudget.ledger.sqlite.BUSY_TIMEOUT_MS", 1)
    ledger = Ledger.open(url, "here")
    with sqlite3.connect(tmp_path / "ledger.db", isolation_level=None) as rival:
        rival.execute("BEGIN IMMEDIATE")
        with pytest.raises(Transient, match="locked"):
            post(ledger, {0: FULL})
        rival.execute("ROLLBACK")
    rival.close()
    assert ledger.watermark("gpu") is None
    post(ledger, {0: FULL})
    ledger.close()


def test_a_full_disk_is_a_matter_of_time(ledger: Ledger, post: Callable[..., None], make_charge) -> None:  # type: ignore[no-untyped-def]
    """No space: the posting is undone, the error says what to give, and it works again with space."""
    post(ledger, {0: FULL}, make_charge(0, "llm", 1))
    with ledger._database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    many = [make_charge(1, f"w{n}", 1) for n in range(2000)]
    with pytest.raises(Transient, match="full") as caught:
        post(ledger, {1: FULL}, *many)
    assert caught.value.reason == "LedgerUnavailable"
    assert ledger.watermark("gpu") == 900
    with ledger._database.reading() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=100000")
    post(ledger, {1: FULL}, *many)
    assert len(ledger.statement("gpu", Interval(0, 1800)).lines) == 2001


LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(*connection.execute(sys.argv[2]).fetchone())
connection.close()
"""


def look(path: Path, query: str) -> str:
    """What another process reads, as `aibudget ledger check` does beside the operator."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOOK, path, query], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_who_looks_at_it_takes_no_later_writes_away(
    url: str, tmp_path: Path, post: Callable[..., None]
) -> None:
    """A process that closes any file of its own on the ledger loses its locks on it. Whoever then looks at it
    takes itself for the last one and removes the log, and what is written afterwards is lost.
    """
    ledger = Ledger.open(url, "here")
    post(ledger, {0: FULL})
    register = Register.open(url, "here")  # the operator opens it several times
    path, newest = tmp_path / "ledger.db", "SELECT max(watermark) FROM meter"
    assert look(path, newest) == "900"
    assert (tmp_path / "ledger.db-wal").exists()
    post(ledger, {1: FULL})
    assert look(path, newest) == "1800"
    register.close()
    ledger.close()
