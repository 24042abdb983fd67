"""Devices held by claims, from AIBudget's own metric: exact, filled over short gaps, told where unknown."""

import pytest

from aibudget.metering.claims import claimed, missing, told
from aibudget.metering.coverage import Grid, Sighting
from aibudget.metering.devices import Devices
from aibudget.metering.integration import integrate
from aibudget.metering.nodes import Nodes
from aibudget.metering.slots import Interval
from unit.metering.fake import series

GRID = Grid(Interval(0, 900), 30)
H100 = "NVIDIA-H100-80GB-HBM3"


def claims(times: list[int], profile: str = "", part: str = "1", product: str = H100):  # type: ignore[no-untyped-def]
    """Two devices that a pod holds."""
    who = {"exported_namespace": "team", "namespace": "aibudget", "pod": "operator", "exported_pod": "p"}
    what = {"driver": "gpu.nvidia.com", "product": product, "profile": profile, "part": part, "node": "n"}
    return claimed([series({**who, **what}, times, [2.0] * len(times))]).held


@pytest.mark.parametrize(
    ("profile", "part", "share", "quantity"),
    [
        ("", "1", None, 1_800_000),
        ("", "1/3", "1/3", 600_000),
        ("1g.10gb", "1", "1/7", 257_142),
        ("1g.10gb", "1/2", "1/14", 128_571),
        ("", "unknown", "unknown", 1_800_000),
        ("odd", "1", "unknown", 1_800_000),
    ],
)
def test_a_claim_counts_as_its_share(profile: str, part: str, share: str | None, quantity: int) -> None:
    """A part of a claim, of an instance, or both; the driver is the resource."""
    sure = told(GRID, {t: Sighting(claims=True) for t in GRID.instants}, ())
    held = claims(list(GRID.instants), profile, part)
    ((cell, amount),) = integrate(held, sure, Nodes([]), Devices((), ()))
    assert (cell.pod.namespace, cell.pod.name) == ("team", "p")
    assert cell.sku.dimension("resource") == "gpu.nvidia.com"
    assert cell.sku.dimension("gpuProduct") == H100
    assert (cell.sku.dimension("share"), amount.quantity) == (share, quantity)


def test_a_restart_is_filled_and_an_absence_told() -> None:
    """Three minutes that AIBudget was away are estimated; ten are not counted, and said."""
    for away, quantity, estimated, untold in ((180, 1_800_000, 300_000, 0), (600, 660_000, 0, 19)):
        there = [t for t in GRID.instants if not 120 < t < 120 + away]
        sure = told(GRID, {t: Sighting(claims=True) for t in there}, ())
        held = claims(there)
        ((_, amount),) = integrate(held, sure, Nodes([]), Devices((), ()))
        assert (amount.quantity, amount.estimated) == (quantity, estimated)
        assert len(missing(held, sure)) == untold
        assert set(missing(held, sure).values()) <= {1}
