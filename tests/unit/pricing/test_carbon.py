"""Carbon is a dated factor on energy, with a source for each default, and unknown where nobody says."""

from decimal import Decimal

import pytest

from aibudget.errors import Stalled
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage, Reading, Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.carbon import Carbon, grids, public_grids
from aibudget.reporting.usage import UsageReport
from aibudget.reporting.usageformats import as_table

NOVEMBER = 1_793_491_200
KWH = 3_600_000_000
OWN = """
- source: our electricity contract
  year: 2026
  from: "2026-11-01T00:00:00Z"
  pue: "1.5"
  gramsPerKilowattHour: {us-east-1: "20", "": "300"}
"""


def energy(region: str, quantity: int = KWH, at: int = NOVEMBER) -> Usage:
    """Energy used by a pod's node in a region."""
    return Usage(at, Workload("team", "Deployment", "llm"), sku("energy", {"region": region}), quantity)


def test_grams_are_kilowatt_hours_times_grid_times_pue() -> None:
    """A kWh in a region of AWS: 379 g on its grid, and 15 % more for the building."""
    assert Carbon(public_grids()).grams(energy("us-east-1")) == Decimal(379) * Decimal("1.15")
    assert Carbon(public_grids()).grams(energy("us-east-1", KWH // 2)) == Decimal(379) * Decimal("0.575")


def test_an_unknown_region_emits_nobody_knows_what() -> None:
    """Never zero; and only energy emits."""
    carbon = Carbon(public_grids())
    assert carbon.grams(energy("atlantis")) is None
    assert carbon.grams(energy("")) is None
    assert (
        carbon.grams(Usage(NOVEMBER, Workload("a", "b", "c"), sku("gpu", {"region": "us-east-1"}), 1)) is None
    )


def test_entries_of_ones_own_come_after_and_are_dated() -> None:
    """A contract counts from its first instant on, and nodes without a region have one of their own."""
    carbon = Carbon((*public_grids(), *grids(OWN, "own.yaml")))
    begins = 1_793_491_200
    assert carbon.grams(energy("us-east-1", at=begins)) == 30
    assert carbon.grams(energy("us-east-1", at=begins - 900)) == Decimal("435.85")
    assert carbon.grams(energy("", at=begins)) == 450


def test_every_default_names_its_source_and_year() -> None:
    """So that people can judge them."""
    for grid in public_grids():
        assert grid.source
        assert grid.pue_source != "the same"
        assert grid.year >= 2023


@pytest.mark.parametrize(
    ("text", "says"), [("- source: x\n  year: 2026", "pue"), ("a: [", "is no YAML"), ("- 1", "own.yaml")]
)
def test_a_wrong_file_is_told(text: str, says: str) -> None:
    """By its fields."""
    with pytest.raises(Stalled, match=says):
        grids(text, "own.yaml")


def test_usage_tells_what_was_emitted_and_what_is_not_known() -> None:
    """In kilograms below the table, and of energy in an unknown region that it is not known."""
    report = UsageReport(Interval(NOVEMBER, NOVEMBER + 900), "namespace", PriceBook(()))
    usages = energy("us-east-1", 10 * KWH), energy("atlantis", 3 * KWH)
    report.add(
        "energy", Reading(report.interval, usages, {NOVEMBER: Coverage(900, 900)}, report.interval.end)
    )
    assert {row.grams for row in report.rows()} == {Decimal("4358.5"), None}
    assert "Its energy emitted 4.36 kg CO2e" in as_table(report)
    assert "Of 3.00 kWh nobody says what they emitted" in as_table(report)
