"""Whether the tests on a real control plane run: always, unless a laptop's owner says no aloud.

On which database ledgers are, and how many examples a property is tried with.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from postgresql.server import Server

SKIP_VARIABLE = "AIBUDGET_SKIP_CLUSTER"

# No deadline: how long an example takes is a matter of the machine, and no test is about that.
# CI tries the same examples each time: what fails there comes of the change. All others try new ones.
settings.register_profile("house", deadline=None, max_examples=60, derandomize=os.environ.get("CI") == "true")
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the ledgers of tests are."""
    parser.addoption(
        "--ledger", choices=("sqlite", "postgresql"), default="sqlite", help="the ledgers' database"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse in CI to leave out the tests that count."""
    if os.environ.get(SKIP_VARIABLE) == "1" and os.environ.get("CI") == "true":
        raise pytest.UsageError(
            f"{SKIP_VARIABLE}=1 is not for CI: the tests on a real control plane must run there."
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL leave out what has no ledger and what is about files.

    Skip cluster and e2e tests, with a reason in the summary, when the variable asks for it.
    """
    if config.getoption("--ledger") == "postgresql":
        fits = {item: _is_for_postgresql(item) for item in items}
        config.hook.pytest_deselected(items=[item for item in items if not fits[item]])
        items[:] = [item for item in items if fits[item]]
    if os.environ.get(SKIP_VARIABLE) != "1":
        return
    for item in items:
        if item.get_closest_marker("cluster") or item.get_closest_marker("e2e"):
            item.add_marker(pytest.mark.skip(reason=f"{SKIP_VARIABLE}=1: NOT tested on a real control plane"))


def _is_for_postgresql(item: pytest.Item) -> bool:
    used = getattr(item, "fixturenames", ())
    return bool({"url", "database", "postgresql"} & set(used)) and not item.get_closest_marker("file")


@pytest.fixture(scope="session")
def postgresql() -> Iterator["Server"]:
    """A real PostgreSQL, started when a test first asks for it."""
    from postgresql.server import Server

    server = Server()
    yield server
    server.remove()
