"""Periods of budgets with their corrections, and the chained log of what was decided."""

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, Integer, String, Text

revision = "periods_and_decisions"
down_revision = "first_tables"


def upgrade(op: Operations) -> None:
    """Make the four tables."""
    _make_periods(op)
    _make_decisions(op)


def _make_periods(op: Operations) -> None:
    op.create_table(
        "period",
        Column("cluster_id", Integer, primary_key=True),
        Column("budget_uid", String(64), primary_key=True),
        Column("id", String(128), primary_key=True),
        Column("kind", String(63), nullable=False),
        Column("namespace", String(253), nullable=False),
        Column("name", String(253), nullable=False),
        Column("start", BigInteger, nullable=False),
        Column("end", BigInteger, nullable=False),
        Column("state", String(8), nullable=False),
        Column("currency", String(3), nullable=False),
        Column("limit_amount", Text),
        Column("rolled_over", Text),
        Column("spent", Text),
        Column("coverage_percent", Integer),
        Column("opened", BigInteger, nullable=False),
        Column("ended", BigInteger),
        Column("closed", BigInteger),
        Column("generation", BigInteger, nullable=False),
        Column("thresholds", Text, nullable=False),
        Column("told", Integer, nullable=False),
        Column("scope", String(64), nullable=False),
    )
    op.create_index("period_end", "period", ["cluster_id", "state", "end"])
    op.create_table(
        "period_correction",
        Column("cluster_id", Integer, primary_key=True),
        Column("budget_uid", String(64), primary_key=True),
        Column("period_id", String(128), primary_key=True),
        Column("known", BigInteger, primary_key=True),
        Column("spent", Text, nullable=False),
    )


def _make_decisions(op: Operations) -> None:
    op.create_table(
        "decision",
        Column("cluster_id", Integer, primary_key=True),
        Column("number", BigInteger, primary_key=True),
        Column("subject", String(512), nullable=False),
        Column("event", String(63), nullable=False),
        Column("content", Text, nullable=False),
        Column("hash", String(64), nullable=False),
    )
    op.create_index("decision_subject", "decision", ["cluster_id", "subject", "number"])
    op.create_table(
        "decision_head",
        Column("cluster_id", Integer, primary_key=True, autoincrement=False),
        Column("number", BigInteger, nullable=False),
        Column("hash", String(64), nullable=False),
    )
