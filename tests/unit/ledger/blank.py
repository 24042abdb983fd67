"""A ledger as its first start leaves it, made once in a process: what most tests begin with is a copy of it.

To run the migrations takes a tenth of a second, and there are hundreds of tests with a ledger of their own.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from aibudget.ledger.database import Database


def blank(path: Path) -> str:
    """The address of an empty ledger, which is put there where there is none."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(_content())
    return f"sqlite:///{path}"


@cache
def _content() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "ledger.db"
        Database(f"sqlite:///{path}").close()
        assert [one.name for one in path.parent.iterdir()] == [path.name], "a log would be lost"
        return path.read_bytes()
