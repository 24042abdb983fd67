"""The rows that say how far a ledger is: clusters with their epoch, meters with watermark and revision.

Free functions inside a transaction that `store.py` opened; here is decided whether a posting may go in.
"""

from typing import Final

from sqlalchemy import Connection, bindparam, case, select

from aibudget.errors import Conflict, Stalled
from aibudget.ledger import schema
from aibudget.ledger.lines import add
from aibudget.ledger.posting import MeterState, Posting
from aibudget.metering.slots import SLOT_SECONDS, iso

# Asked for a dozen times in each cycle: to write a query anew takes longer than its answer.
_STATE: Final = select(schema.meter.c.begins, schema.meter.c.watermark, schema.meter.c.revision).where(
    schema.meter.c.id == bindparam("meter")
)


def check_revision(before: MeterState, posting: Posting) -> None:
    if posting.revision != before.revision:
        raise Conflict(
            "LedgerMoved",
            f"{posting.meter} is at revision {before.revision}, the posting is for {posting.revision}; "
            "read the state again and post anew.",
        )


def check_no_hole(before: MeterState, posting: Posting) -> None:
    first = min(posting.coverage, default=posting.watermark) if before.watermark is None else before.watermark
    for slot in range(first, posting.watermark, SLOT_SECONDS):
        if slot not in posting.coverage:
            raise ValueError(
                f"the slot of {iso(slot)} lies before the new watermark and is not in the posting"
            )


def advanced(before: MeterState, posting: Posting) -> MeterState:
    first = min(posting.coverage, default=posting.watermark)
    return MeterState(
        begins=first if before.begins is None else min(before.begins, first),
        watermark=max(before.watermark or 0, posting.watermark),
        revision=before.revision + 1,
    )


def cluster_id(connection: Connection, name: str) -> int:
    table = schema.cluster
    found = connection.execute(select(table.c.id).where(table.c.name == name)).scalar()
    if found is None:
        add(connection, table, [{"name": name, "epoch": 0}])
        return cluster_id(connection, name)
    return int(found)


def claim(connection: Connection, cluster: int, uid: str) -> None:
    """The cluster is the one of that uid. Raises `Stalled` where that is another, or goes by another name."""
    table = schema.cluster
    lock(connection, cluster)
    rows = connection.execute(select(table.c.id, table.c.name, table.c.uid)).all()
    (mine,) = (row for row in rows if row.id == cluster)
    if mine.uid == uid:
        return
    if mine.uid is not None:
        raise Stalled(
            "LedgerUnusable",
            f"the ledger has a cluster {mine.name} already, and it is another one than this (kube-system "
            f"has the uid {mine.uid} there). Give this one a name of its own (--cluster); if it was built "
            f"anew and goes on for that one: aibudget ledger hand-over {mine.name}",
        )
    for other in rows:
        if other.uid == uid:
            raise Stalled(
                "LedgerUnusable",
                f"this cluster is in the ledger as {other.name}, and what was posted stays under that name; "
                f"set --cluster back to {other.name}.",
            )
    connection.execute(table.update().where(table.c.id == cluster).values(uid=uid))


def hand_over(connection: Connection, name: str) -> None:
    """Whichever cluster comes next by this name has it. Raises `Stalled` where there is none."""
    table = schema.cluster
    if not connection.execute(table.update().where(table.c.name == name).values(uid=None)).rowcount:
        raise Stalled("LedgerUnusable", f"the ledger has no cluster {name}; see aibudget ledger check.")


def ids(connection: Connection, cluster: int) -> dict[str, int]:
    """The integers of the cluster's meters by name."""
    table = schema.meter
    rows = connection.execute(select(table.c.name, table.c.id).where(table.c.cluster_id == cluster))
    return {name: int(found) for name, found in rows}


def meter_id(connection: Connection, cluster: int, name: str) -> int:
    table = schema.meter
    here = select(table.c.id).where(table.c.cluster_id == cluster, table.c.name == name)
    found = connection.execute(here).scalar()
    if found is None:
        add(connection, table, [{"cluster_id": cluster, "name": name, "revision": 0, "summed": 0}])
        return meter_id(connection, cluster, name)
    return int(found)


def state(connection: Connection, meter: int) -> MeterState:
    return MeterState(*connection.execute(_STATE, {"meter": meter}).one())


def write_state(connection: Connection, meter: int, before: MeterState, after: MeterState) -> None:
    table = schema.meter
    unmoved = (table.c.id == meter, table.c.revision == before.revision)
    # Days that were kept until now are kept with this change: who changes slots changes them.
    summed = case((table.c.summed == before.revision, after.revision), else_=table.c.summed)
    values = {"begins": after.begins, "watermark": after.watermark, "revision": after.revision}
    if connection.execute(table.update().where(*unmoved).values(values | {"summed": summed})).rowcount != 1:
        raise Conflict("LedgerMoved", "another writer changed the meter meanwhile; read its state again.")


def epoch(connection: Connection, cluster: int) -> int:
    """The epoch of the writer that took the ledger over last."""
    table = schema.cluster
    return int(connection.execute(select(table.c.epoch).where(table.c.id == cluster)).scalar_one())


def lock(connection: Connection, cluster: int) -> int:
    """Let nobody else write to the cluster until the transaction ends; its epoch.

    SQLite has locked the whole ledger already, and ignores it.
    """
    table = schema.cluster
    query = select(table.c.epoch).where(table.c.id == cluster).with_for_update(key_share=True)
    return int(connection.execute(query).scalar_one())


def next_epoch(connection: Connection, cluster: int) -> int:
    """A new epoch, which shuts out the writers of earlier ones."""
    table = schema.cluster
    connection.execute(table.update().where(table.c.id == cluster).values(epoch=table.c.epoch + 1))
    return epoch(connection, cluster)


def check_epoch(connection: Connection, cluster: int, ours: int) -> None:
    """Lock the cluster for this writer. Raises `Conflict` where another one took the ledger over since."""
    if ours != (current := lock(connection, cluster)):
        raise Conflict(
            "LedgerTakenOver",
            f"another process took the ledger over (epoch {current}, ours is {ours}); stop writing to it.",
        )
