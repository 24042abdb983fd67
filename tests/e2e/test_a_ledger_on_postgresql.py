"""The operator with its ledger on a server that goes away and comes back."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aibudget.ledger.database import Database
from aibudget.ledger.proof import logged, proofs
from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval, slot_of
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.operator import Operator
from aibudget.sandbox.process import wait_until
from e2e.conftest import Instead, MakeTeam, followed
from e2e.team import LITTLE, PATIENCE, PLENTY, Team, await_cycles, metric
from postgresql.server import Server

pytestmark = pytest.mark.e2e


def test_a_restart_of_postgresql_loses_nothing(
    sandbox: Sandbox, team: MakeTeam, instead: Instead, postgresql: Server
) -> None:
    """Away at the start, and while the past is read: the same process goes on, says what it waits for, and
    holds in the end what is in a file.
    """
    now = slot_of(int(datetime.now(UTC).timestamp()))
    past = Interval(now - 24 * SLOT_SECONDS, now - SLOT_SECONDS)
    watched = team("on-postgresql")
    watched.budget(PLENTY, period=period_from(past.start))
    await_evaluated(watched)
    url = postgresql.empty("operators")
    mine = {"AIBUDGET_LEDGER_URL": url, "AIBUDGET_LEASE_SECONDS": "15"}
    postgresql.stop()
    with ThreadPoolExecutor(max_workers=1) as aside:
        back = aside.submit(start_once_missed, postgresql, watched)
        with instead(mine) as operator:
            back.result()
            await_cycles(operator, 1)
            assert metric(operator, "aibudget_cycles_left_out_total") > 0
            postgresql.stop()
            start_once_missed(postgresql, watched)
            assert metric(operator, "aibudget_leader") == 1
            await_cycles(operator)
            assert metric(operator, "aibudget_ledger_available") == 1
            await_evaluated(watched)
    expected = quantities(sandbox.operator.ledger_url, past)
    assert sum(expected.values()) > 0
    assert quantities(url, past) == expected


def test_a_standby_goes_on_where_a_killed_leader_left_the_ledger(
    sandbox: Sandbox, team: MakeTeam, tmp_path: Path, postgresql: Server
) -> None:
    """The first has stopped the team and may be reading its past when it is killed: the second leads,
    reads the rest, and gives back once what was stopped once.
    """
    now = slot_of(int(datetime.now(UTC).timestamp()))
    past = Interval(now - 24 * SLOT_SECONDS, now - SLOT_SECONDS)
    # A note on the Deployment would be a generation of it, too.
    how: dict[str, Any] = {"period": period_from(past.start), "actions": ("Notify", "ScaleDown")}
    watched = team("two-on-postgresql")
    watched.await_running()
    watched.budget(PLENTY, **how)
    await_evaluated(watched)
    before = watched.deployment()["metadata"]["generation"]
    url = postgresql.empty("replicas")
    sandbox.operator.stop()
    try:
        watched.budget(LITTLE, **how)
        with replicas(sandbox, tmp_path, url) as (first, second):
            watched.await_held()
            first.kill()
            wait_until(lambda: metric(second, "aibudget_leader") == 1, PATIENCE, "the standby to lead")
            watched.assert_held()
            watched.budget(PLENTY, **how)
            watched.await_free()
            await_evaluated(watched)
    finally:
        sandbox.operator.start()
    assert watched.deployment()["metadata"]["generation"] - before == 2, "one stop, one return"
    expected = quantities(sandbox.operator.ledger_url, past)
    assert sum(expected.values()) > 0
    assert quantities(url, past) == expected
    assert_decided_once(url, watched)


@contextmanager
def replicas(sandbox: Sandbox, tmp_path: Path, url: str) -> Iterator[tuple[Operator, Operator]]:
    """The first leads, the second stands by; both on this ledger."""
    plane, environment = sandbox.control_plane, followed(url)
    first = Operator(plane, tmp_path / "first", identity="first", environment=environment)
    second = Operator(plane, tmp_path / "second", identity="second", environment=environment)
    with first:
        wait_until(lambda: metric(first, "aibudget_leader") == 1, PATIENCE, "the first to lead")
        with second:
            yield first, second


def assert_decided_once(url: str, team: Team) -> None:
    """The log of both leaders is one chain, in which each decision stands once."""
    with closing(Database(url, checked=True, borrowed=True)) as database:
        ((_, head, broken),) = proofs(database)
        found = [one for one in logged(database) if one.get("budget", {}).get("namespace") == team.name]
    assert broken is None
    assert head.number >= len(found) > 0
    acts = Counter(one["event"] for one in found if one.get("action") == "ScaleDown")
    assert acts.keys() >= {"Planned", "Acting", "Released"}
    assert set(acts.values()) == {1}, acts


def period_from(start: int) -> dict[str, str]:
    """A budget's period from an instant on slots until after tomorrow."""
    begin = datetime.fromtimestamp(start, UTC)
    dates = {"startTime": begin, "endTime": begin + timedelta(days=2)}
    return {"type": "Fixed"} | {name: f"{date:%Y-%m-%dT%H:%M:%SZ}" for name, date in dates.items()}


def await_evaluated(team: Team) -> None:
    wait_until(team.is_evaluated, PATIENCE, f"the past of {team.name} to be read")


def start_once_missed(server: Server, team: Team) -> None:
    """The server comes back when whoever looks at the budget is told that it is away."""
    try:
        wait_until(
            lambda: team.condition("DataFresh").get("reason") == "LedgerUnavailable",
            PATIENCE,
            "the server to be missed",
        )
        assert team.condition("Ready")["status"] == "True"
    finally:
        server.start()


def quantities(url: str, interval: Interval) -> Counter[object]:
    """What each workload used of each device in an interval, added up from the slots; all of it is read."""
    with closing(Ledger.open(url, "default")) as ledger:
        statement = ledger.recount("gpu", interval)
    assert statement.complete
    found: Counter[object] = Counter()
    for line in statement.lines:
        found[line.workload, line.sku] += line.quantity
    return found
