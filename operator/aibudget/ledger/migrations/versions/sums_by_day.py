"""What slots add up to by day, and by which prices all of it is charged.

Both begin unknown: the next writer adds the days up, meter by meter, and prices open time once more.
"""

from typing import Final

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, Integer, String

revision: Final = "sums_by_day"
down_revision: Final = "several_clusters"


def upgrade(op: Operations) -> None:
    """Make the table, and the columns that say how far it and the prices are to be believed."""
    op.create_table(
        "usage_day",
        Column("meter_id", Integer, primary_key=True),
        Column("day", BigInteger, primary_key=True),
        Column("line_id", Integer, primary_key=True),
        Column("rate_id", Integer, primary_key=True),
        Column("quantity", BigInteger, nullable=False),
        Column("estimated", BigInteger, nullable=False),
        Column("busy", BigInteger, nullable=False),
        Column("observed", BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.add_column("meter", Column("summed", BigInteger))
    op.add_column("price_book", Column("rated", String(64)))
    op.add_column("price_book", Column("rated_since", BigInteger))
