"""Busy and observed device time: by device before pod, and nothing from what is no ratio."""

import pytest

from aibudget.metering.devices import Devices
from unit.metering.fake import series

HOLDERS = {("team", "a"), ("team", "b")}


def row(uuid: str, pod: str, *values: float, renamed: bool = True):  # type: ignore[no-untyped-def]
    """A device's utilisation as told for a pod, every 30 s from 30 on."""
    told = {
        "exported_namespace": "team",
        "exported_pod": pod,
        "namespace": "monitoring",
        "pod": "dcgm-exporter-x",
    }
    honored = {"namespace": "team", "pod": pod}
    times = [30.0 * n for n in range(1, len(values) + 1)]
    return series({"UUID": uuid, **(told if renamed else honored)}, times, values)


@pytest.mark.parametrize("renamed", [True, False])
def test_a_pod_has_the_sum_of_its_devices(renamed: bool) -> None:
    """Whichever way the scrape treats labels."""
    devices = Devices(
        [row("1", "a", 0.5, 0.25, renamed=renamed), row("2", "a", 1.0, renamed=renamed)], HOLDERS
    )
    assert devices.of("team", "a") == {30.0: (2.0, 1.5), 60.0: (1.0, 0.25)}


def test_copies_of_a_shared_device_are_parts() -> None:
    """Two pods that each got the whole device's value have half of it each, for as long as both are told."""
    devices = Devices([row("1", "a", 0.8, 0.8), row("1", "b", 0.8)], HOLDERS)
    assert devices.of("team", "a") == {30.0: (0.5, 0.4), 60.0: (1.0, 0.8)}
    assert devices.of("team", "b") == {30.0: (0.5, 0.4)}


def test_an_idle_device_is_nobodys() -> None:
    """Without pod labels the target's remain: the exporter's own pod holds nothing."""
    idle = series({"UUID": "1", "namespace": "monitoring", "pod": "dcgm-exporter-x"}, [30.0], [0.0])
    devices = Devices([idle, row("1", "a", 0.5)], HOLDERS)
    assert devices.of("team", "a") == {30.0: (1.0, 0.5)}
    assert devices.of("monitoring", "dcgm-exporter-x") == {}


def test_what_is_told_of_others_alone_tells_nothing() -> None:
    """Exporters of idle devices are there, and nobody knows how busy those are that are held."""
    idle = [
        series({"UUID": uuid, "namespace": "monitoring", "pod": "dcgm-exporter-x"}, [30.0], [0.0])
        for uuid in ("1", "2")
    ]
    assert not Devices(idle, HOLDERS).tells_of(HOLDERS)
    assert Devices([*idle, row("3", "a", 0.5)], HOLDERS).tells_of(HOLDERS)


@pytest.mark.parametrize("blank", [9.223372036854775e18, 1.4e14, -1.0, 1.5, float("nan"), float("inf")])
def test_blanks_are_not_observed(blank: float) -> None:
    """DCGM's values for "not supported" are neither busy nor idle."""
    devices = Devices([row("1", "a", blank, 0.5)], HOLDERS)
    assert devices.of("team", "a") == {60.0: (1.0, 0.5)}
