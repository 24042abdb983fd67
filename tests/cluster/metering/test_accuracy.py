"""A part of `make accuracy`: the cases that OpenCost was measured with, devices that are shared or claimed,
counters.
"""

from collections.abc import Iterator

import pytest

from accuracy.cases import CLAIMED, OPENCOST, SHARED
from accuracy.counters import COUNTERS
from accuracy.loading import load
from accuracy.pasts import Case
from accuracy.run import measure
from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.sandbox.prometheus import PrometheusServer
from aibudget.sandbox.toolchain import Progress

pytestmark = pytest.mark.cluster

CASES = (*OPENCOST, *SHARED, *CLAIMED, *COUNTERS)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, progress: Progress) -> Iterator[Prometheus]:
    """One Prometheus with all their pasts."""
    directory = tmp_path_factory.mktemp("accuracy")
    server = PrometheusServer(directory, progress=progress)
    load(server, directory, CASES)
    with server, Prometheus(PrometheusSettings(server.url)) as source:
        yield source


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_goal_is_met(case: Case, loaded: Prometheus) -> None:
    """What the operator counts is within its goal of the exact bill."""
    row = measure(loaded, case)
    assert row.ours is not None, row.remark
    assert not row.missed, row.cells()
