"""Where days of closed periods are packed, and another name for what is not.

A program from before knows nothing of packed days and would take them for days without usage. It does not
open this ledger; one that has it open already finds its table gone, and says so.
"""

from typing import Final

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, Integer, LargeBinary

revision: Final = "packed_days"
down_revision: Final = "hours_of_caps"


def upgrade(op: Operations) -> None:
    """Rename the one table and make the other, empty: operators pack days, one after the other."""
    op.rename_table("usage", "usage_slot")
    op.create_table(
        "usage_packed",
        Column("meter_id", Integer, primary_key=True),
        Column("day", BigInteger, primary_key=True),
        Column("line_id", Integer, primary_key=True),
        Column("rate_id", Integer, primary_key=True),
        Column("first", BigInteger, nullable=False),
        Column("last", BigInteger, nullable=False),
        Column("slots", Integer, nullable=False),
        Column("content", LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
