"""What is in a ledger, for whoever operates it: how far each meter is posted, and whether its days are right.

Reads alone, also while an operator writes, but for `forget_days`. What is wrong with the database itself is
`database.py`'s to say.
"""

from dataclasses import dataclass

from sqlalchemy import func, select

from aibudget.ledger import days, schema
from aibudget.ledger.database import Database
from aibudget.metering.slots import Interval, iso
from aibudget.metering.usage import Coverage


@dataclass(frozen=True, slots=True)
class Holding:
    """What a ledger holds of one meter. `begins` and `watermark` are Unix seconds, None before a posting.

    `rows` are those of slots that are not packed, and `packed` is how many days are.
    """

    cluster: str
    meter: str
    begins: int | None
    watermark: int | None
    rows: int
    packed: int
    coverage: Coverage


def holdings(database: Database) -> tuple[Holding, ...]:
    """Every meter of every cluster, by their names."""
    cluster, meter, usage, coverage = schema.cluster, schema.meter, schema.usage_slot, schema.coverage
    rows = select(usage.c.meter_id, func.count().label("rows")).group_by(usage.c.meter_id).subquery()
    of = schema.usage_packed.c
    days_packed = func.count(of.day.distinct()).label("days")
    packed = select(of.meter_id, days_packed).group_by(of.meter_id).subquery()
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
        .add_columns(packed.c.days)
        .join_from(meter, cluster, meter.c.cluster_id == cluster.c.id)
        .outerjoin(rows, rows.c.meter_id == meter.c.id)
        .outerjoin(packed, packed.c.meter_id == meter.c.id)
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
                packed=row.days or 0,
                coverage=Coverage(int(row.covered or 0), int(row.total or 0)),
            )
            for row in connection.execute(query)
        )


def differences(database: Database) -> tuple[str, ...]:
    """Which meters' days are not what their slots add up to, and what to do about it."""
    found = []
    for cluster, meter_id, meter in _meters(database):
        with database.reading() as connection:
            begins, watermark = connection.execute(
                select(schema.meter.c.begins, schema.meter.c.watermark).where(schema.meter.c.id == meter_id)
            ).one()
            if watermark is None or not days.are_kept(connection, meter_id):
                continue
            wrong = days.differing(connection, meter_id, Interval(begins, watermark))
        if wrong:
            found.append(
                f"{cluster}: what is kept of {meter} by day is not what its slots add up to, first on the "
                f"day of {iso(wrong[0])}. The slots are the truth: aibudget ledger recount, then restart the "
                "operator."
            )
    return tuple(found)


def forget_days(database: Database) -> None:
    """Have every operator add up by day anew when it starts next; until then it adds up slots."""
    with database.writing() as connection:
        connection.execute(schema.meter.update().values(summed=None))


def _meters(database: Database) -> list[tuple[str, int, str]]:
    cluster, meter = schema.cluster, schema.meter
    query = select(cluster.c.name.label("cluster"), meter.c.id, meter.c.name).join_from(meter, cluster)
    with database.reading() as connection:
        rows = connection.execute(query.order_by(cluster.c.name, meter.c.name))
        return [(row.cluster, int(row.id), row.name) for row in rows]
