"""The whole product as its users have it: chart installed, operator a process with the chart's rights."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from typing import Any

import pytest

from aibudget.sandbox.home import Sandbox
from aibudget.sandbox.operator import Operator
from aibudget.sandbox.process import wait_until
from e2e.team import Team, metric

SCRAPE_SECONDS = 2.0
INTERVAL_SECONDS = 1
CRASHED = "stopped by an error of our own"
"""What the operator logs, with a trace, when it ends by what nobody foresaw."""

MakeTeam = Callable[..., Team]
Instead = Callable[..., AbstractContextManager[Operator]]


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Tenants, a month of past and a running operator; each test uses namespaces of its own story."""
    directory = tmp_path_factory.mktemp("sandbox")
    with Sandbox(directory, scrape_interval=SCRAPE_SECONDS, interval=INTERVAL_SECONDS) as running:
        yield running


@pytest.fixture(scope="session", autouse=True)
def no_crashes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An operator that ends is started again, as by the kubelet; that it ended by an error of its own would
    be seen by no test.
    """
    yield
    logs = tmp_path_factory.getbasetemp().rglob("operator.log")
    crashed = [str(log) for log in logs if CRASHED in log.read_text(errors="replace")]
    assert not crashed, f"an operator {CRASHED}; its trace is in {', '.join(crashed)}"


@pytest.fixture
def team(sandbox: Sandbox) -> Iterator[MakeTeam]:
    """`team(name, …)` makes a `Team`, gone with the test."""
    with ExitStack() as made:

        def make(name: str, **how: Any) -> Team:
            one = Team(sandbox.control_plane.client, name, **how)
            made.callback(one.close)
            return one

        yield make


@pytest.fixture(scope="session")
def instead(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Instead:
    """`with instead(environment, api_url)`: an operator in the place of the shared one, on its ledger."""
    numbers = count(1)

    @contextmanager
    def run(environment: Mapping[str, str] | None = None, api_url: str | None = None) -> Iterator[Operator]:
        sandbox.operator.stop()
        operator = Operator(
            sandbox.control_plane,
            tmp_path_factory.mktemp("operator"),
            identity=f"instead-{next(numbers)}",
            environment=followed(sandbox.operator.ledger_url) | dict(environment or {}),
            api_url=api_url,
        )
        try:
            with operator:
                wait_until(lambda: metric(operator, "aibudget_leader") == 1, 60, "the operator to lead")
                yield operator
        finally:
            sandbox.operator.start()

    return run


def followed(ledger_url: str) -> dict[str, str]:
    """An operator on this ledger that is followed after eight seconds: busy machines stand still for two."""
    return {
        "AIBUDGET_LEDGER_URL": ledger_url,
        "AIBUDGET_LEASE_SECONDS": "8",
    }
