"""What clusters need that share a ledger: whose name it is, and which live prices are whose."""

from alembic.operations import Operations
from sqlalchemy import Column, ForeignKey, Integer, String

revision = "several_clusters"
down_revision = "budget_hours"


def upgrade(op: Operations) -> None:
    """Until now a ledger was one cluster's: all rates in it are."""
    op.add_column("cluster", Column("uid", String(64)))
    op.create_index("cluster_uid", "cluster", ["uid"], unique=True)
    op.create_table(
        "kept_rate",
        Column("cluster_id", Integer, ForeignKey("cluster.id"), primary_key=True),
        Column("rate_id", Integer, ForeignKey("rate.id"), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO kept_rate (cluster_id, rate_id) SELECT cluster.id, rate.id FROM cluster, rate")
