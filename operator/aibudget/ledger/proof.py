"""The decision logs of a ledger, read and proven by whoever looks after it, while the operator writes to it.

Nothing is taken for true that the rows do not show: a cluster without a head has no decisions.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import select

from aibudget.ledger import decisions, schema
from aibudget.ledger.database import Database
from aibudget.ledger.decision import Broken, Head, origin, prove, read


class Proof(NamedTuple):
    """What a cluster's chain came to: its head as stored, and the first broken entry, None without any."""

    cluster: str
    head: Head
    broken: Broken | None


def proofs(database: Database) -> Iterator[Proof]:
    """Every cluster's, each read in one view."""
    for cluster_id, cluster in _clusters(database):
        with database.reading() as connection:
            head = decisions.head(connection, cluster_id)
            broken = prove(cluster, decisions.entries(connection, cluster_id), head)
        yield Proof(cluster, head or origin(cluster), broken)


def logged(database: Database) -> Iterator[dict[str, Any]]:
    """Every decision of every cluster, with the cluster's name, in its order."""
    for cluster_id, cluster in _clusters(database):
        with database.reading() as connection:
            for found in read(decisions.entries(connection, cluster_id)):
                yield {"cluster": cluster, **found}


def _clusters(database: Database) -> list[tuple[int, str]]:
    table = schema.cluster
    with database.reading() as connection:
        rows = connection.execute(select(table.c.id, table.c.name).order_by(table.c.name))
        return [(int(row.id), row.name) for row in rows]
