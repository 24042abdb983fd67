"""The other clusters of a ledger that several share, for reading: what each has posted, and how far.

Nothing of theirs is made or written: a cluster that the ledger does not have is None.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import select

from aibudget.ledger import periods, schema
from aibudget.ledger.database import Database
from aibudget.ledger.posting import MeterState
from aibudget.ledger.spend import Statement
from aibudget.ledger.store import Ledger
from aibudget.metering.catalogue import meter_of
from aibudget.metering.slots import SLOT_SECONDS, Interval


class Neighbour:
    """One of them. What it posts meanwhile is seen at the next `look`."""

    def __init__(self, ledger: Ledger, database: Database, cluster_id: int) -> None:
        self.hours: Final = ledger.hours
        self._ledger = ledger
        self._database = database
        self._cluster_id = cluster_id
        self._meters: dict[str, tuple[str, int]] = {}

    def look(self, kept: Mapping[str, MeterState]) -> None:
        """Take up its meters, by the names that they are kept by; of several generations the furthest."""
        posted = {name: state.watermark for name, state in kept.items() if state.watermark is not None}
        furthest = sorted(posted, key=lambda name: (posted[name], name))
        self._meters = {meter_of(name): (name, posted[name]) for name in furthest}

    def watermark(self, meter: str) -> int | None:
        """Up to when a meter is posted (Unix seconds); None where nothing of it is."""
        return self._meters[meter][1] if meter in self._meters else None

    def statements(self, interval: Interval) -> Mapping[str, Statement]:
        """What it has posted of an interval on slots, by meter."""
        return {meter: self._ledger.statement(name, interval) for meter, (name, _) in self._meters.items()}

    def recount(self, interval: Interval) -> Mapping[str, Statement]:
        """As `statements`, added up from the slots anew."""
        return {meter: self._ledger.recount(name, interval) for meter, (name, _) in self._meters.items()}

    def newest(self) -> Mapping[str, Statement]:
        """What it has posted of the newest slot of each meter."""
        return {
            meter: self._ledger.recount(name, Interval(end - SLOT_SECONDS, end))
            for meter, (name, end) in self._meters.items()
        }

    def namesake(self, kind: str, name: str, currency: str) -> str | None:
        """The uid of its own budget of this name, which belongs to the cluster; None where none runs."""
        with self._database.reading() as connection:
            return periods.running(connection, self._cluster_id, (kind, name), currency)

    def repriced(self) -> int:
        """When what it has posted last got another price (Unix seconds); 0 before the first time."""
        return self._ledger.repriced()


class Neighbours:
    """Of one ledger. For one thread. Raises `Transient` while it cannot be read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Neighbour] = {}

    @classmethod
    def open(cls, url: str) -> "Neighbours":
        """Of a ledger that is open already."""
        return cls(Database(url, checked=True))

    def close(self) -> None:
        self._database.close()

    def named(self, name: str) -> Neighbour | None:
        """A cluster as it is now; None where the ledger has none of that name."""
        cluster, meter = schema.cluster, schema.meter
        with self._database.reading() as connection:
            found = connection.execute(select(cluster.c.id).where(cluster.c.name == name)).scalar()
            if found is None:
                return None
            rows = connection.execute(select(meter).where(meter.c.cluster_id == found)).all()
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = Neighbour(Ledger(self._database, name), self._database, found)
        known.look({row.name: MeterState(row.begins, row.watermark, row.revision) for row in rows})
        return known
