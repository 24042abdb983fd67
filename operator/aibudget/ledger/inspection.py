"""What is in a ledger, for whoever operates it: how far each meter of each cluster is posted.

Reads alone, also while an operator writes; knows nothing of what is wrong with a database, which is
`database.py`'s to say.
"""

from dataclasses import dataclass

from sqlalchemy import func, select

from aibudget.ledger import schema
from aibudget.ledger.database import Database
from aibudget.metering.usage import Coverage


@dataclass(frozen=True, slots=True)
class Holding:
    """What a ledger holds of one meter. `begins` and `watermark` are Unix seconds, None before a posting."""

    cluster: str
    meter: str
    begins: int | None
    watermark: int | None
    rows: int
    coverage: Coverage


def holdings(database: Database) -> tuple[Holding, ...]:
    """Every meter of every cluster, by their names."""
    cluster, meter, usage, coverage = schema.cluster, schema.meter, schema.usage, schema.coverage
    rows = select(usage.c.meter_id, func.count().label("rows")).group_by(usage.c.meter_id).subquery()
    covered = (
        select(
            coverage.c.meter_id,
            func.sum(coverage.c.covered_seconds).label("covered"),
            func.sum(coverage.c.total_seconds).label("total"),
        )
        .group_by(coverage.c.meter_id)
        .subquery()
    )
    query = (
        select(cluster.c.name.label("cluster"), meter, rows.c.rows, covered.c.covered, covered.c.total)
        .join_from(meter, cluster, meter.c.cluster_id == cluster.c.id)
        .outerjoin(rows, rows.c.meter_id == meter.c.id)
        .outerjoin(covered, covered.c.meter_id == meter.c.id)
        .order_by(cluster.c.name, meter.c.name)
    )
    with database.reading() as connection:
        return tuple(
            Holding(
                cluster=row.cluster,
                meter=row.name,
                begins=row.begins,
                watermark=row.watermark,
                rows=row.rows or 0,
                coverage=Coverage(int(row.covered or 0), int(row.total or 0)),
            )
            for row in connection.execute(query)
        )
