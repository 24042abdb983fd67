"""One list of accelerators, and one spelling of them past the metrics."""

import re

import pytest

from aibudget.inventory.accelerators import METRICS_PATTERN, NAMES, from_metrics, in_metrics, is_accelerator


@pytest.mark.parametrize("name", [*NAMES, "nvidia.com/mig-1g.5gb", "nvidia.com/mig-1g.10gb.me"])
def test_what_is_metered_is_what_may_be_stopped(name: str) -> None:
    """A metered resource is selected by the pattern, comes back in its own spelling, and is recognised."""
    label = in_metrics(name)
    assert re.fullmatch(METRICS_PATTERN, label)
    assert from_metrics(label) == name
    assert is_accelerator(name)


@pytest.mark.parametrize("name", ["cpu", "memory", "nvidia.com/gpu-memory", "example.com/gpu", "amd.com/cpu"])
def test_nothing_else_is_an_accelerator(name: str) -> None:
    """Neither by its own name nor in metrics, where it keeps the name it has."""
    label = in_metrics(name)
    assert not is_accelerator(name)
    assert not re.fullmatch(METRICS_PATTERN, label)
    assert from_metrics(label) == label
