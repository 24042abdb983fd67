"""What a price list states, to the last digit: by any dimension, per million, per instance, per machine."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.api.rate import UNITS as MANIFEST_UNITS
from aibudget.inventory.workload import Workload
from aibudget.metering.catalogue import CUSTOM_SCALE, METERS, scale_of
from aibudget.metering.usage import Usage, sku
from aibudget.pricing.charge import UNITS, Charge, amount_of, units_per_quantity
from aibudget.pricing.listing import rates_of
from unit.pricing.listed import book_of, price_list

AT = 1_795_000_500
LLM = Workload("team", "Deployment", "llm")
PARTS = ("gpu", "cpu", "memory")
GPT = {"hosting": "external", "provider": "openai", "model": "gpt-4o", "tokenType": "output"}


def test_manifests_know_the_unit_of_every_meter() -> None:
    """A unit that only one of both knew would be refused, or would price another quantity."""
    assert {
        **{name: meter.unit for name, meter in METERS.items() if name != "gpu-idle"},
        "node": None,
    } == {**MANIFEST_UNITS, "node": None}


def test_a_price_per_million_is_exact() -> None:
    """0.0375 per million tokens: one costs a whole number of units of money, and a million cost 0.0375."""
    book = book_of(price_list({"meter": "tokens", "match": GPT, "price": "0.0375", "perQuantity": 1_000_000}))
    rate = book.rate(sku("tokens", GPT), AT)
    assert rate is not None
    assert rate.unit == "Tokens"
    assert isinstance(units_per_quantity(rate), int)
    assert Charge(Usage(0, LLM, sku("tokens", GPT), 1_000_000), rate).cost == Decimal("0.0375")
    assert Charge(Usage(0, LLM, sku("tokens", GPT), 1), rate).cost == Decimal("0.0000000375")


@pytest.mark.parametrize("dimension", ["provider", "model", "tokenType"])
def test_every_dimension_of_a_match_counts(dimension: str) -> None:
    """One that differs, or that the usage lacks, is another price's."""
    book = book_of(price_list({"meter": "tokens", "match": GPT, "price": "1"}))
    lacking = {key: value for key, value in GPT.items() if key != dimension}
    assert book.rate(sku("tokens", GPT), AT) is not None
    assert book.rate(sku("tokens", GPT | {dimension: "other"}), AT) is None
    assert book.rate(sku("tokens", lacking), AT) is None


def test_a_meter_of_users_is_matched_by_its_own_dimensions() -> None:
    """Under `dimensions`, beside those that every meter may have; the more specific rate wins."""
    book = book_of(
        price_list(
            {"meter": "rendered-images", "unit": "Images", "price": "0.01"},
            {
                "meter": "rendered-images",
                "unit": "Images",
                "price": "0.04",
                "match": {"region": "eu", "dimensions": {"quality": "high"}},
            },
        )
    )
    high, other = ({"region": "eu", "quality": "high"}, {"region": "eu", "quality": "low"})
    prices = [book.rate(sku("rendered-images", dims), AT) for dims in (high, other)]
    assert [rate and rate.price for rate in prices] == [Decimal("0.04"), Decimal("0.01")]


@pytest.mark.parametrize(("share", "devices"), [("1/7", Fraction(1, 7)), ("1/4", Fraction(1, 4)), (None, 1)])
def test_an_instance_has_one_price_whatever_its_share(share: str | None, devices: Fraction) -> None:
    """An hour of one unit costs what was stated, though it is counted in parts of a device."""
    book = book_of(
        price_list(
            {
                "meter": "gpu",
                "match": {"resource": "nvidia.com/mig-1g.10gb"},
                "per": "Instance",
                "price": "0.62",
            }
        )
    )
    rate = book.rate(sku("gpu", {"resource": "nvidia.com/mig-1g.10gb", "share": share or ""}), AT)
    assert rate is not None
    assert rate.unit_price * devices == Fraction("0.62")


def test_an_unknown_share_has_a_price_per_instance_alone() -> None:
    """Its quantity is counted in instances; a price per device would be a guess."""
    unknown = sku("gpu", {"resource": "example.com/vgpu", "share": "unknown"})
    device, instance = {"meter": "gpu", "price": "2"}, {"meter": "gpu", "per": "Instance", "price": "1"}
    assert book_of(price_list(device)).rate(unknown, AT) is None
    rate = book_of(price_list(device, instance)).rate(unknown, AT)
    assert rate is not None
    assert rate.unit_price == 1


def test_idle_devices_have_the_price_of_devices() -> None:
    """Capacity that nobody held costs what it costs when it is held."""
    book = book_of(price_list({"meter": "gpu", "match": {"gpuProduct": "H100"}, "price": "4"}))
    rate = book.rate(sku("gpu-idle", {"gpuProduct": "H100", "state": "idle"}), AT)
    assert rate is not None
    assert rate.unit_price == 4
    assert "gpu-idle" in book.meters


weights = (
    st.tuples(st.integers(0, 10_000), st.integers(0, 10_000))
    .map(sorted)
    .map(lambda cuts: [Decimal(part) / 10_000 for part in (cuts[0], cuts[1] - cuts[0], 10_000 - cuts[1])])
)
prices = st.decimals(0, 10_000, places=9)


@given(prices, weights, st.integers(1, 100), st.integers(1, 1000), st.integers(1, 8192))
def test_the_parts_of_a_machine_cost_what_it_costs(
    price: Decimal, split: list[Decimal], devices: int, vcpus: int, memory: int
) -> None:
    """An hour of all its devices, processors and memory adds up to the machine's price, exactly."""
    machine = {
        "meter": "node",
        "price": format(price, "f"),
        "split": {part: format(weight, "f") for part, weight in zip(PARTS, split, strict=True)},
        "capacity": {"devices": devices, "vcpus": vcpus, "memoryGiB": memory},
    }
    counts = dict(zip(PARTS, (devices, vcpus, memory), strict=True))
    rates = rates_of(price_list(machine))
    assert {rate.meter for rate in rates} == set(counts)
    units = sum((units_per_quantity(rate) or 0) * scale_of(rate.meter) * counts[rate.meter] for rate in rates)
    assert units == price * UNITS
    assert sum(rate.unit_price * counts[rate.meter] for rate in rates) == Fraction(price)


def test_usual_machines_come_to_whole_units_of_money() -> None:
    """Eight devices, 192 processors, 2 TiB: sums over lines stay sums of integers."""
    machine = {
        "meter": "node",
        "price": "55.04",
        "split": {"gpu": "0.95", "cpu": "0.03", "memory": "0.02"},
        "capacity": {"devices": 8, "vcpus": 192, "memoryGiB": 2048},
        "match": {"instanceType": "p5.48xlarge"},
    }
    rates = rates_of(price_list(machine))
    assert all(isinstance(units_per_quantity(rate), int) for rate in rates)
    assert rates[0].match == {"instanceType": "p5.48xlarge"}
    assert amount_of(UNITS) == 1


@given(st.sampled_from([*METERS, "images"]), prices, st.sampled_from([1, 1000, 1_000_000]))
def test_any_stated_price_is_a_whole_number_of_units(meter: str, price: Decimal, per: int) -> None:
    """Of every meter, so that no sum depends on its order; exchanged once, too."""
    if meter == "gpu-idle":
        meter = "gpu"
    entry = {"from": "USD", "to": "EUR", "rate": "0.923456789", "validFrom": "2026-01-01T00:00:00Z"}
    listing = price_list(
        {"meter": meter, "price": format(price, "f"), "perQuantity": per}, exchangeRates=[entry]
    )
    rate = book_of(listing).rate(sku(meter, {}), AT)
    assert rate is not None
    assert isinstance(units_per_quantity(rate), int)
    assert isinstance(units_per_quantity(rate, "EUR"), int)
    assert scale_of("images") == CUSTOM_SCALE
