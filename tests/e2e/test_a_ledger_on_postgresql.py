"""The operator with its ledger on a server that goes away and comes back."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from aibudget.ledger.store import Ledger
from aibudget.metering.slots import SLOT_SECONDS, Interval, slot_of
from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.process import wait_until
from e2e.conftest import Instead, MakeTeam
from e2e.team import PATIENCE, PLENTY, Team, await_cycles, metric
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
    expected = quantities(f"sqlite:///{sandbox.operator.directory / 'ledger.db'}", past)
    assert sum(expected.values()) > 0
    assert quantities(url, past) == expected


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
