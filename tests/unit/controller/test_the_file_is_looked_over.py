"""The whole ledger is checked beside the cycles, after the first of them; damage ends the process."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aibudget.controller.checking import look_over
from aibudget.errors import Stalled
from aibudget.ledger.store import Ledger


@pytest.fixture
def damaged(tmp_path: Path) -> str:
    """A ledger whose slots were overwritten, which its opening does not see."""
    path = tmp_path / "ledger.db"
    Ledger.open(f"sqlite:///{path}", "here").close()
    with closing(sqlite3.connect(path)) as raw:
        (root,) = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'usage_slot'").fetchone()
    content = bytearray(path.read_bytes())
    content[4096 * (root - 1) : 4096 * root] = b"\xff" * 4096
    path.write_bytes(content)
    Ledger.open(f"sqlite:///{path}", "here").close()
    return f"sqlite:///{path}"


def test_damage_ends_the_process_once_the_first_cycle_is_over(damaged: str) -> None:
    """Not before: a start waits for nothing."""

    async def run() -> None:
        started = asyncio.Event()
        looking = asyncio.create_task(look_over(damaged, started))
        await asyncio.sleep(0)
        assert not looking.done()
        started.set()
        await looking

    with pytest.raises(Stalled, match="is damaged"):
        asyncio.run(run())


def test_a_ledger_that_is_whole_is_left_alone(tmp_path: Path) -> None:
    """And the task comes to its end."""
    url, started = f"sqlite:///{tmp_path / 'ledger.db'}", asyncio.Event()
    Ledger.open(url, "here").close()
    started.set()
    asyncio.run(look_over(url, started))
