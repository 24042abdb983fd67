"""What budgets spent by the hour, and which hours are to be counted: at first all that is posted."""

from typing import Final

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, String

revision: Final = "budget_hours"
down_revision: Final = "periods_and_decisions"


def upgrade(op: Operations) -> None:
    """Make the tables, and mark the hours of the slots that are there."""
    op.create_table(
        "hour",
        Column("cluster_id", Integer, primary_key=True),
        Column("start", BigInteger, primary_key=True),
        Column("revision", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("hour_revision", "hour", ["cluster_id", "revision"])
    op.create_table(
        "budget_hours",
        Column("cluster_id", Integer, primary_key=True),
        Column("budget", String(63), primary_key=True),
        Column("month", BigInteger, primary_key=True),
        Column("hours", LargeBinary, nullable=False),
    )
    op.create_table(
        "budget_counted",
        Column("cluster_id", Integer, primary_key=True),
        Column("budget", String(63), primary_key=True),
        Column("scope", String(64), nullable=False),
        Column("revision", BigInteger, nullable=False),
        Column("since", BigInteger, nullable=False),
    )
    op.create_table(
        "budget_held",
        Column("cluster_id", Integer, primary_key=True),
        Column("budget", String(63), primary_key=True),
        Column("hour", BigInteger, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO hour (cluster_id, start, revision) "
        "SELECT DISTINCT meter.cluster_id, coverage.slot - coverage.slot % 3600, 1 "
        "FROM coverage JOIN meter ON meter.id = coverage.meter_id"
    )
