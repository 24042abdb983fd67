"""The tables that there were when migrations began.

Ledgers of that time have some or all of them: what is missing is made, and what is there stays as it is.
"""

from typing import Any, Final

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Text, UniqueConstraint, column, table

revision = "first_tables"
down_revision = None

_MIGRATED: Final = 2
"""The version that shuts out programs which know no migrations."""
_MISSING: Final[dict[str, Any]] = {"if_not_exists": True}
_BY_KEY: Final[dict[str, Any]] = {"if_not_exists": True, "sqlite_with_rowid": False}


def upgrade(op: Operations) -> None:
    """Make those tables that are missing."""
    _make_meters(op)
    _make_lines(op)
    _make_prices(op)
    _make_slots(op)
    _make_counters(op)
    _make_links(op)
    _make_outbox(op)
    op.create_table(
        "schema_version", Column("version", Integer, primary_key=True, autoincrement=False), **_MISSING
    )
    version = table("schema_version", column("version", Integer))
    op.execute(version.delete())
    op.execute(version.insert().values(version=_MIGRATED))


def _make_meters(op: Operations) -> None:
    op.create_table(
        "cluster",
        Column("id", Integer, primary_key=True),
        Column("name", String(253), nullable=False, unique=True),
        Column("epoch", BigInteger, nullable=False),
        **_MISSING,
    )
    op.create_table(
        "meter",
        Column("id", Integer, primary_key=True),
        Column("cluster_id", Integer, ForeignKey("cluster.id"), nullable=False),
        Column("name", String(253), nullable=False),
        Column("begins", BigInteger),
        Column("watermark", BigInteger),
        Column("revision", BigInteger, nullable=False),
        UniqueConstraint("cluster_id", "name"),
        **_MISSING,
    )


def _make_lines(op: Operations) -> None:
    op.create_table(
        "subject",
        Column("id", Integer, primary_key=True),
        Column("hash", String(64), nullable=False, unique=True),
        Column("cluster_id", Integer, ForeignKey("cluster.id"), nullable=False),
        Column("namespace", String(253), nullable=False),
        Column("labels", Text, nullable=False),
        Column("known", BigInteger, nullable=False),
        **_MISSING,
    )
    op.create_table(
        "line",
        Column("id", Integer, primary_key=True),
        Column("hash", String(64), nullable=False, unique=True),
        Column("meter_id", Integer, ForeignKey("meter.id"), nullable=False),
        Column("subject_id", Integer, ForeignKey("subject.id"), nullable=False),
        Column("kind", String(253), nullable=False),
        Column("name", String(253), nullable=False),
        Column("dimensions", Text, nullable=False),
        **_MISSING,
    )
    op.create_table(
        "line_label",
        Column("line_id", Integer, ForeignKey("line.id"), primary_key=True),
        Column("labels", Text, nullable=False),
        **_MISSING,
    )


def _make_prices(op: Operations) -> None:
    op.create_table(
        "rate",
        Column("id", Integer, primary_key=True),
        Column("hash", String(64), nullable=False, unique=True),
        Column("content", Text, nullable=False),
        Column("known", BigInteger, nullable=False),
        **_MISSING,
    )
    op.create_table(
        "price_book",
        Column("cluster_id", Integer, primary_key=True, autoincrement=False),
        Column("content", Text, nullable=False),
        Column("known", BigInteger, nullable=False),
        Column("repriced", BigInteger, nullable=False),
        **_MISSING,
    )
    op.create_table(
        "correction",
        Column("id", Integer, primary_key=True),
        Column("meter_id", Integer, ForeignKey("meter.id"), nullable=False),
        Column("dimensions", Text, nullable=False),
        Column("billed_id", Integer, nullable=False),
        Column("was_id", Integer, nullable=False),
        Column("rate_id", Integer, nullable=False),
        Column("start", BigInteger, nullable=False),
        Column("end", BigInteger, nullable=False),
        Column("known", BigInteger, nullable=False),
        **_MISSING,
    )
    op.create_index("correction_known", "correction", ["meter_id", "known"], **_MISSING)


def _make_slots(op: Operations) -> None:
    op.create_table(
        "usage",
        Column("meter_id", Integer, primary_key=True),
        Column("slot", BigInteger, primary_key=True),
        Column("line_id", Integer, primary_key=True),
        Column("rate_id", Integer),
        Column("quantity", BigInteger, nullable=False),
        Column("estimated", BigInteger, nullable=False),
        Column("busy", BigInteger, nullable=False),
        Column("observed", BigInteger, nullable=False),
        **_BY_KEY,
    )
    op.create_table(
        "coverage",
        Column("meter_id", Integer, primary_key=True),
        Column("slot", BigInteger, primary_key=True),
        Column("covered_seconds", Integer, nullable=False),
        Column("total_seconds", Integer, nullable=False),
        Column("known", BigInteger, nullable=False),
        **_BY_KEY,
    )


def _make_counters(op: Operations) -> None:
    op.create_table(
        "level",
        Column("id", Integer, primary_key=True),
        Column("hash", String(64), nullable=False, unique=True),
        Column("meter_id", Integer, nullable=False),
        Column("family", String(253), nullable=False),
        Column("labels", Text, nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("value", BigInteger, nullable=False),
        **_MISSING,
    )
    op.create_index("ix_level_meter_id", "level", ["meter_id"], **_MISSING)
    op.create_table(
        "levels_end",
        Column("meter_id", Integer, primary_key=True, autoincrement=False),
        Column("at", BigInteger, nullable=False),
        **_MISSING,
    )


def _make_links(op: Operations) -> None:
    op.create_table(
        "owner_link",
        Column("cluster_id", Integer, primary_key=True),
        Column("namespace", String(253), primary_key=True),
        Column("kind", String(253), primary_key=True),
        Column("name", String(253), primary_key=True),
        Column("uid", String(63), primary_key=True),
        Column("owner_kind", String(253), nullable=False),
        Column("owner_name", String(253), nullable=False),
        Column("known", BigInteger, nullable=False),
        **_BY_KEY,
    )


def _make_outbox(op: Operations) -> None:
    op.create_table(
        "delivery",
        Column("cluster_id", Integer, primary_key=True),
        Column("receiver", String(63), primary_key=True),
        Column("transition", String(64), primary_key=True),
        Column("batch", Text, nullable=False),
        Column("message", Text, nullable=False),
        Column("state", String(9), nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("created", BigInteger, nullable=False),
        Column("due", BigInteger, nullable=False),
        Column("seen", BigInteger, nullable=False),
        Column("problem", Text, nullable=False),
        **_BY_KEY,
    )
    op.create_index("delivery_due", "delivery", ["cluster_id", "state", "receiver", "due"], **_MISSING)
