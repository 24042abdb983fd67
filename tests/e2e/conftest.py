"""The whole product as its users have it: chart installed, operator a process with the chart's rights."""

from collections.abc import Iterator

import pytest

from aibudget.sandbox.home import Sandbox

SCRAPE_SECONDS = 2.0
INTERVAL_SECONDS = 3


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Tenants, a month of past and a running operator; each test uses namespaces of its own story."""
    directory = tmp_path_factory.mktemp("sandbox")
    with Sandbox(directory, scrape_interval=SCRAPE_SECONDS, interval=INTERVAL_SECONDS) as running:
        yield running
