"""The last levels of a meter's counters, replaced whenever the meter is posted on.

Free functions inside a transaction that `store.py` opened. Most counters are those of the posting before:
their rows are changed in place.
"""

import json
from typing import Any

from sqlalchemy import Connection, bindparam, select

from aibudget.ledger import schema
from aibudget.ledger.lines import CHUNK, digest, spell
from aibudget.metering.memory import Counter, Level, Memory

_LEVEL, _END = schema.level, schema.levels_end


def read(connection: Connection, meter_id: int, known: Memory) -> Memory:
    """What was written last; an empty memory where nothing was. `known` is given back if it is that still."""
    at = connection.execute(select(_END.c.at).where(_END.c.meter_id == meter_id)).scalar()
    if at == known.at:
        return known
    rows = connection.execute(select(_LEVEL).where(_LEVEL.c.meter_id == meter_id))
    return Memory(at, {_counter(row): Level(int(row.at), int(row.value)) for row in rows})


def write(connection: Connection, meter_id: int, memory: Memory) -> None:
    """Make this what is remembered."""
    known = {row.hash: row for row in connection.execute(select(_LEVEL).where(_LEVEL.c.meter_id == meter_id))}
    wanted = {_hash(meter_id, counter): (counter, level) for counter, level in memory.levels.items()}
    new = [_row(meter_id, key, *wanted[key]) for key in wanted.keys() - known.keys()]
    moved = [
        {"of": known[key].id, "at": level.at, "value": level.value}
        for key, (_, level) in wanted.items()
        if key in known and level != (known[key].at, known[key].value)
    ]
    gone = [known[key].id for key in known.keys() - wanted.keys()]
    if new:
        connection.execute(_LEVEL.insert(), new)
    if moved:
        update = _LEVEL.update().where(_LEVEL.c.id == bindparam("of"))
        connection.execute(update.values(at=bindparam("at"), value=bindparam("value")), moved)
    for start in range(0, len(gone), CHUNK):
        connection.execute(_LEVEL.delete().where(_LEVEL.c.id.in_(gone[start : start + CHUNK])))
    connection.execute(_END.delete().where(_END.c.meter_id == meter_id))
    connection.execute(_END.insert().values(meter_id=meter_id, at=memory.at))


def _row(meter_id: int, key: str, counter: Counter, level: Level) -> dict[str, Any]:
    labels = spell(dict(counter.labels))
    return {
        "hash": key,
        "meter_id": meter_id,
        "family": counter.family,
        "labels": labels,
        "at": level.at,
        "value": level.value,
    }


def _counter(row: Any) -> Counter:
    return Counter(row.family, tuple(sorted(json.loads(row.labels).items())))


def _hash(meter_id: int, counter: Counter) -> str:
    return digest(meter_id, counter.family, spell(dict(counter.labels)))
