"""What `aibudget usage` prints of readings, and how it reads its flags."""

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from aibudget.cli.usage import _book, usage
from aibudget.errors import Stalled
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage, Reading, Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.rate import Rate
from aibudget.reporting.usage import By, UsageReport, as_csv, as_json, as_table

DAY = Interval(1_772_323_200, 1_772_409_600)
L4 = sku("gpu", {"gpuProduct": "NVIDIA-L4", "capacityType": "spot"})
OWN = sku("gpu", {"gpuProduct": "Own-Chip"})


def rate(product: str, price: str, start: int = 0, currency: str = "USD") -> Rate:
    """A rate of a product from a moment on."""
    return Rate(
        "list", f"{product}-{start}", "gpu", {"gpuProduct": product}, currency, "GPU-Hours",
        Decimal(price), Decimal(price), 1, Interval(start, 2**40),
    )  # fmt: skip


def report(
    *usages: Usage, by: By = "namespace", rates: Sequence[Rate] = (rate("NVIDIA-L4", "0.8"),)
) -> UsageReport:
    """A day of which half is known, in two readings."""
    made = UsageReport(DAY, by, PriceBook(rates))
    for part in (usages[::2], usages[1::2]):
        made.add(Reading(DAY, tuple(part), {DAY.start: Coverage(450, 900)}, DAY.end, ("something is odd",)))
    return made


def used(name: str, hours: float, what: object = L4, slot: int = DAY.start) -> Usage:
    """A Deployment's usage in one slot."""
    return Usage(slot, Workload("team", "Deployment", name), what, round(hours * 3_600_000))  # type: ignore[arg-type]


def test_sums_are_exact_and_in_the_promised_shape() -> None:
    """Slots and workloads of a namespace in one row for each SKU; money and quantities as strings."""
    document = json.loads(
        as_json(report(used("a", 1.5), used("b", 2), used("a", 0.25, slot=DAY.start + 900)))
    )
    assert document == {
        "start": "2026-03-01T00:00:00Z",
        "end": "2026-03-02T00:00:00Z",
        "currency": "USD",
        "coveragePercent": 50,
        "rows": [
            {
                "namespace": "team",
                "workloadKind": None,
                "workload": None,
                "meter": "gpu",
                "sku": {"capacityType": "spot", "gpuProduct": "NVIDIA-L4"},
                "quantity": "3.75",
                "unit": "GPU-Hours",
                "cost": "3.00",
            }
        ],
    }


def test_workloads_have_rows_of_their_own() -> None:
    """With their kind and name."""
    rows = json.loads(as_json(report(used("a", 1), used("b", 2), by="workload")))["rows"]
    assert [(row["workloadKind"], row["workload"], row["cost"]) for row in rows] == [
        ("Deployment", "a", "0.80"),
        ("Deployment", "b", "1.60"),
    ]


def test_no_price_is_no_zero() -> None:
    """Neither in JSON nor CSV nor the table, and the part of a row that has one stays apart."""
    later = rate("Own-Chip", "2", start=DAY.start + 900)
    made = report(used("a", 1, OWN), used("a", 3, OWN, slot=DAY.start + 900), rates=[later])
    rows = json.loads(as_json(made))["rows"]
    assert [(row["quantity"], row["cost"]) for row in rows] == [("3.00", "6.00"), ("1.00", None)]
    assert as_csv(made).splitlines()[2].endswith("1.00,GPU-Hours,,USD")
    assert "no price" in as_table(made)
    assert "1.00 GPU-Hours of it have no price" in as_table(made)


def test_the_table_says_what_is_missing() -> None:
    """A total of half a day is a lower bound."""
    lines = as_table(report(used("a", 1))).splitlines()
    assert lines[0].split() == ["NAMESPACE", "PRODUCT", "CAPACITY", "USED", "UNIT", "COST", "USD"]
    assert lines[1].split() == ["team", "NVIDIA-L4", "spot", "1.00", "GPU-Hours", "0.80"]
    assert lines[-1] == "Only 50 % of the time is known: the total is a lower bound."


def test_problems_are_told_once() -> None:
    """However many parts have them."""
    assert list(report(used("a", 1)).problems) == ["something is odd"]


def test_currencies_do_not_mix() -> None:
    """Rather than a sum of two moneys, a word on what to do."""
    both = report(
        used("a", 1), used("b", 1, OWN), rates=[rate("NVIDIA-L4", "1"), rate("Own-Chip", "1", currency="EUR")]
    )
    with pytest.raises(Stalled, match="EUR and USD"):
        as_json(both)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--from", "yesterday", "--to", "2026-03-02"], "is no time"),
        (["--from", "2026-03-01T00:00:00", "--to", "2026-03-02"], "has no zone"),
        (["--from", "2026-03-01", "--to", "2026-03-02", "--step", "70"], "is no step"),
        (["--from", "2026-03-01", "--to", "2026-03-02", "--step", "٣٠"], "is no step"),
        (["--from", "2026-03-01", "--to", "2026-03-02", "--prices", "/no/such/file"], "does not exist"),
        (["--from", "2026-03-01"], "--to"),
    ],
)
def test_bad_flags_say_what_to_write(flags: list[str], words: str) -> None:
    """Before anything is asked of anybody."""
    ran = CliRunner().invoke(usage, ["--prometheus", "http://127.0.0.1:1", *flags])
    assert ran.exit_code == 2
    assert words in ran.output


def test_prices_are_read_as_kubectl_reads_them(tmp_path: Path) -> None:
    """What `validate` and the API server take is taken here: a whole number as 4.0, and a list of objects."""
    file = tmp_path / "prices.yaml"
    file.write_text(
        """
apiVersion: v1
kind: List
items:
- apiVersion: aibudget.io/v1alpha1
  kind: AIPriceList
  metadata: {name: company}
  spec:
    currency: USD
    rates:
    - {name: h100, meter: gpu, unit: GPU-Hours, price: 4.0, from: "2026-07-01T00:00:00Z"}
"""
    )
    assert [rate.price for rate in _book((file,)).rates if rate.source == "company"] == [4]
