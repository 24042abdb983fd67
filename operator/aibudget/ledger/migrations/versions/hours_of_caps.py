"""Hours of what caps count are kept beside a budget's money, under longer names."""

from typing import Final

from alembic.operations import Operations
from sqlalchemy import String

revision: Final = "hours_of_caps"
down_revision: Final = "sums_by_day"


def upgrade(op: Operations) -> None:
    """Make room for the name of a meter behind the uid of a budget."""
    for table in ("budget_hours", "budget_counted"):
        with op.batch_alter_table(table) as batch:
            batch.alter_column(
                "budget",
                new_column_name="series",
                existing_type=String(63),
                type_=String(160),
                existing_nullable=False,
            )
