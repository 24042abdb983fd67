"""What the ledger lets go of: slots from before an instant, some hours at a time, the oldest first.

A packed day goes as a whole. A meter begins later with each step, in the same transaction, so that what is
stated of the time before is known to be incomplete and nothing has a hole. Lines, rates, periods and
decisions stay. Works inside a transaction of `store.py`; whose time is over is decided by its caller.
"""

from typing import Final

from sqlalchemy import Connection, select

from aibudget.ledger import days, rollup, schema
from aibudget.ledger.quarters import DAY
from aibudget.metering.slots import SLOT_SECONDS, Interval

BATCH_SECONDS: Final = 8 * SLOT_SECONDS
"""What is deleted at once: others wait for it no longer than for a posting."""


def expire(connection: Connection, cluster_id: int, before: int) -> bool:
    """Delete the oldest slots of one meter, if they are from before an instant; whether there were any."""
    meter = schema.meter
    oldest = (
        select(meter.c.id, meter.c.begins, meter.c.watermark)
        .where(meter.c.cluster_id == cluster_id, meter.c.begins < before, meter.c.begins < meter.c.watermark)
        .order_by(meter.c.begins, meter.c.id)
        .limit(1)
    )
    found = connection.execute(oldest).one_or_none()
    if found is None:
        return False
    span = _step(connection, found.id, Interval(found.begins, min(before, found.watermark)))
    with days.following(connection, found.id, span):
        for table in (schema.usage_slot, schema.coverage):
            connection.execute(table.delete().where(schema.within(table, found.id, span)))
    correction = schema.correction
    over = (correction.c.meter_id == found.id, correction.c.end <= span.end)
    connection.execute(correction.delete().where(*over))
    connection.execute(meter.update().where(meter.c.id == found.id).values(begins=span.end))
    return True


def _step(connection: Connection, meter_id: int, over: Interval) -> Interval:
    """As much of what is over as goes at once; nothing of it is packed any more."""
    day = over.start - over.start % DAY
    end = min(day + DAY, over.end)
    if rollup.is_packed(connection, meter_id, day):
        if end == day + DAY:
            rollup.drop(connection, meter_id, day)
            days.recount(connection, meter_id, Interval(day, end))
            return Interval(over.start, end)
        rollup.unpack(connection, meter_id, [day])
    return Interval(over.start, min(end, over.start + BATCH_SECONDS))
