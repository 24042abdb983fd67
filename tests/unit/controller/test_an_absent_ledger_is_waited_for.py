"""While the ledger is away a leader waits, lets others try, and says so where people look."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from aibudget.controller import outage
from aibudget.controller.app import Replica
from aibudget.controller.cache import Seen, read
from aibudget.controller.lease import Lease
from aibudget.controller.outage import AWAY, AWAY_SECONDS, TURN_SECONDS, NotBegun, Outage, opened, tell
from aibudget.controller.reporter import Reporter
from aibudget.controller.settings import settings
from aibudget.errors import Stalled, Transient
from aibudget.inventory.kubernetes import Cluster, Json
from aibudget.inventory.resource import AIBUDGETS, LEASES, Resource
from unit.controller.test_settings_say_what_to_write import URL
from unit.controller.world import FakeCluster, World, one_gpu

GONE = Transient(AWAY, "the ledger db cannot be used: connection refused.")


class Database:
    """Away for so many tries, or until `error` is something else; a clock that only naps move."""

    def __init__(self, tries: float, error: Exception = GONE) -> None:
        self.tries, self.error = tries, error
        self.now, self.told = 0.0, 0

    async def attempt(self) -> str:
        """To open it."""
        if self.tries > 0:
            self.tries -= 1
            raise self.error
        return "opened"

    async def away(self, _: Transient) -> None:
        """What is told each time."""
        self.told += 1

    async def nap(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    def open(self) -> str:
        """Until it is there, or a turn is over."""
        return asyncio.run(opened(self.attempt, self.away, monotonic=lambda: self.now, sleep=self.nap))


def test_the_ledger_is_waited_for_with_longer_and_longer_pauses() -> None:
    """A process that ended would be started again and again, later each time."""
    database = Database(tries=4)
    assert database.open() == "opened"
    assert (database.told, database.now) == (4, 1 + 2 + 4 + 8)


def test_after_a_turn_another_replica_may_try() -> None:
    """The ledger may be away for this node alone."""
    database = Database(tries=float("inf"))
    with pytest.raises(NotBegun, match="connection refused"):
        database.open()
    assert TURN_SECONDS <= database.now < 2 * TURN_SECONDS


@pytest.mark.parametrize("error", [Stalled("LedgerUnusable", "no"), Transient("LeaseLost", "no")])
def test_what_time_does_not_mend_is_not_waited_for(error: Exception) -> None:
    """A wrong address needs a person, and a lost Lease another leader."""
    database = Database(tries=1, error=error)
    with pytest.raises(type(error), match="no"):
        database.open()
    assert (database.told, database.now) == (0, 0)


def test_a_leader_at_work_bears_ten_minutes_without_its_ledger_and_no_more() -> None:
    """Then it ends, for the ledger may be away for its node alone; each outage has its own ten minutes."""
    assert AWAY_SECONDS == 600
    outage = Outage(1000.0)
    outage.bear(GONE, 1600.0)
    with pytest.raises(Transient, match="connection refused"):
        outage.bear(GONE, 1600.1)
    outage.over(1700.0)
    outage.bear(GONE, 2300.0)
    with pytest.raises(Transient):
        outage.bear(GONE, 2300.1)


def test_a_leader_at_work_bears_nothing_else() -> None:
    """What no ledger that comes back will mend ends the process at once."""
    with pytest.raises(Transient, match="taken"):
        Outage(0.0).bear(Transient("LeaseLost", "taken"), 1.0)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One GPU at 3 USD an hour since ever."""
    with one_gpu(tmp_path, World) as made:
        yield made


def left_out(world: World) -> None:
    """A cycle that is left out."""
    assert world.cycle is not None
    reporter = world.cycle._parts.reporter
    asyncio.run(tell(world.cache.world().budgets, reporter, GONE, world.meter.now))


def test_each_budget_says_that_nothing_newer_is_known(world: World) -> None:
    """All else in its status stands: accepted as it was, and spent as last known; one Event tells of it."""
    world.budget("old", 1000)
    world.pass_time(cycles=2)
    before = dict(world.status("old"))
    for _ in range(2):
        left_out(world)
    assert world.conditions("old")["DataFresh"] == ("False", "LedgerUnavailable")
    assert world.conditions("old")["Ready"] == ("True", "Reconciled")
    assert world.status("old")["thresholds"] == before["thresholds"]
    assert world.status("old")["observedGeneration"] == before["observedGeneration"]
    assert world.events("old").count("DataStale") == 1
    world.pass_time()
    assert world.conditions("old")["DataFresh"] == ("True", "Fresh")
    assert world.events("old").count("DataRecovered") == 1


def test_a_budget_that_was_never_evaluated_is_not_said_to_be(world: World) -> None:
    """It was applied during the outage: tools wait for it until it is judged at its generation."""
    world.budget("new", 1000)
    seen = read(AIBUDGETS, world.cluster.objects[AIBUDGETS.plural, "team", "new"])
    assert isinstance(seen, Seen)
    asyncio.run(tell([seen], Reporter(world.cluster, "replica"), GONE, world.meter.now))
    status = world.status("new")
    assert [(one["type"], one["reason"]) for one in status["conditions"]] == [("DataFresh", AWAY)]
    assert status["observedGeneration"] == -1


class Leased(FakeCluster):
    """The API server, which remembers whose the Lease was."""

    skew_seconds = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.holders: list[str] = []
        self.given_back = asyncio.Event()

    def _store(
        self, resource: Resource, obj: Json, *, manager: str, forced: bool = False, status: bool = False
    ) -> Json:
        if resource is LEASES:
            self.holders.append(obj["spec"]["holderIdentity"])
            if not self.holders[-1]:
                self.given_back.set()
        return super()._store(resource, obj, manager=manager, forced=forced, status=status)


def test_a_replica_without_its_ledger_gives_the_lease_back_and_lives_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A standby on another node may have its turn; this process is not started anew for it."""
    monkeypatch.setattr(outage, "TURN_SECONDS", 0.0)
    nowhere = {"AIBUDGET_LEDGER_URL": "postgresql://nobody@127.0.0.1:1/none", "AIBUDGET_BIND": "127.0.0.1:0"}
    server = Leased()
    server.seed(AIBUDGETS, "b", "team", spec={"limit": {"amount": 10, "currency": "USD"}})
    replica = Replica(settings({}, {**URL, **nowhere}), cast("Cluster", server))

    async def scenario() -> int:
        stop = asyncio.Event()
        running = asyncio.create_task(replica.run(stop))
        async with asyncio.timeout(60):
            await server.given_back.wait()
        assert not running.done()
        stop.set()
        return await running

    assert asyncio.run(scenario()) == 0
    assert server.holders[0] != ""
    pulse, _ = replica.pulse()
    assert not pulse.leading
    assert "127.0.0.1/none cannot be used" in (pulse.away or "")
    (condition,) = server.objects[AIBUDGETS.plural, "team", "b"]["status"]["conditions"]
    assert (condition["type"], condition["reason"]) == ("DataFresh", AWAY)


class Held:
    """A Lease that is not lost."""

    def held(self) -> bool:
        """For good."""
        return True


def test_a_leader_whose_ledger_stays_away_ends_to_stand_by_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cycles end with the outage's own error, and so does the process: others may see the ledger."""
    monkeypatch.setattr(outage, "AWAY_SECONDS", 0.0)
    world.budget("b", 1000)
    world.pass_time(cycles=2)
    with closing(sqlite3.connect(world.directory / "l.db")) as connection:
        connection.execute("ALTER TABLE meter RENAME TO gone")
    replica = Replica(settings({}, URL), cast("Cluster", Leased()))
    assert world.cycle is not None
    cycles = replica._repeat(world.cycle, cast("Lease", Held()), world.cache)
    with pytest.raises(Transient, match="no such table") as caught:
        asyncio.run(asyncio.wait_for(cycles, 60))
    assert caught.value.reason == AWAY
