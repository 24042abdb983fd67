"""What is in the price of something else costs nothing, says why, and stays on the bill."""

from decimal import Decimal

import pytest

from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.public import public_rates
from aibudget.pricing.rate import Rate
from unit.pricing.listed import book_of, price_list

AT = 1_795_000_500
API = Workload("team", "Deployment", "api")
H100 = {"gpuProduct": "H100", "instanceType": "p5", "region": "eu"}
HOST = {"meter": "cpu", "price": "0.03"}


def reason(rate: Rate | None) -> str | None:
    """None without a price, "" at its own price."""
    return None if rate is None else rate.reason


@pytest.mark.parametrize("meter", ["cpu", "memory", "energy"])
def test_the_host_of_a_public_price_costs_nothing_more(meter: str) -> None:
    """The quantity is charged at 0 by the device's own rate; it is neither unpriced nor charged again."""
    book = PriceBook(public_rates())
    used = Usage(AT, API, sku(meter, {"gpuProduct": "NVIDIA-H100-80GB-HBM3", "component": "cpu"}), 5)
    (charge,) = book.charges([used])
    assert (charge.cost, charge.reason) == (Decimal(0), "Included")
    assert charge.rate is not None
    assert charge.rate.label == "public-2026-08/h100"
    assert "price of the machine's devices" in book.explain(used.sku, AT).reason


def test_what_is_not_included_has_its_own_price() -> None:
    """A rate for devices alone leaves the host to be charged."""
    gpu = {"meter": "gpu", "match": {"gpuProduct": "H100"}, "price": "3", "includes": ["memory"]}
    book = book_of(price_list(gpu, HOST, {"meter": "memory", "price": "0.01"}))
    assert reason(book.rate(sku("cpu", H100), AT)) == ""
    assert reason(book.rate(sku("memory", H100), AT)) == "Included"


def test_the_rate_that_prices_the_devices_decides() -> None:
    """A company's rate without the host wins over a public one with it."""
    public = price_list(
        {"meter": "gpu", "match": {"gpuProduct": "H100"}, "price": "3", "includes": ["cpu"]}, priority=1
    )
    own = price_list({"meter": "gpu", "match": {"gpuProduct": "H100"}, "price": "2"}, HOST, name="own")
    assert reason(book_of(public, own).rate(sku("cpu", H100), AT)) == ""
    assert reason(book_of(public, price_list(HOST, name="own")).rate(sku("cpu", H100), AT)) == "Included"


def test_a_machine_without_devices_is_in_no_price_of_devices() -> None:
    """A rate for all devices of a region says nothing of the region's other machines."""
    gpu = {"meter": "gpu", "match": {"region": "eu"}, "price": "3", "includes": ["cpu"]}
    book = book_of(price_list(gpu, HOST))
    assert reason(book.rate(sku("cpu", {"region": "eu", "instanceType": "m5.large"}), AT)) == ""
    assert reason(book.rate(sku("cpu", H100), AT)) == "Included"


def test_a_rate_for_parts_of_devices_decides_nothing_for_machines() -> None:
    """MIG slices have a price of their own; the machine is that of the whole device's rate."""
    whole = {"meter": "gpu", "match": {"gpuProduct": "H100"}, "price": "3", "includes": ["cpu"]}
    slices = {
        "meter": "gpu",
        "match": {"resource": "nvidia.com/mig-1g.10gb"},
        "price": "1",
        "per": "Instance",
    }
    book = book_of(price_list(whole, priority=1), price_list(slices, HOST, name="own"))
    assert reason(book.rate(sku("cpu", H100), AT)) == "Included"


def test_a_split_machine_charges_its_parts_and_includes_the_rest() -> None:
    """Processors have a weight and a price; memory has none and comes with the devices."""
    machine = {
        "meter": "node",
        "match": {"instanceType": "p5"},
        "price": "10",
        "split": {"gpu": "0.9", "cpu": "0.1"},
        "capacity": {"devices": 8, "vcpus": 100},
        "includes": ["energy"],
    }
    book = book_of(price_list(machine))
    cpu = book.rate(sku("cpu", H100), AT)
    assert cpu is not None
    assert (cpu.reason, int(cpu.unit_price * 100)) == ("", 1)
    assert [reason(book.rate(sku(meter, H100), AT)) for meter in ("memory", "energy")] == ["Included"] * 2


def test_tokens_of_own_servers_are_never_charged() -> None:
    """Their devices are; a rate for all tokens does not make them cost twice."""
    book = book_of(price_list({"meter": "tokens", "price": "5"}))
    own = book.rate(sku("tokens", {"hosting": "self", "model": "llama"}), AT)
    assert own is not None
    assert (own.reason, int(own.unit_price), own.worth("EUR") is None) == ("SelfHosted", 0, False)


def test_a_model_is_charged_by_spend_or_by_tokens() -> None:
    """Whoever gives a model's tokens a price has chosen; the other models are charged by what was spent."""
    book = book_of(
        price_list(
            {"meter": "saas-spend", "price": 1},
            {"meter": "tokens", "match": {"provider": "openai", "model": "gpt-4o"}, "price": "5"},
        )
    )
    spent = [
        reason(book.rate(sku("saas-spend", {"provider": "openai", "model": model}), AT))
        for model in ("gpt-4o", "o3")
    ]
    assert spent == ["ChargedByTokens", ""]


def test_what_is_included_follows_the_dates_of_what_includes_it() -> None:
    """A re-rating cuts where the device's rate changes, though the host's own never does."""
    gpu = {"meter": "gpu", "match": {"gpuProduct": "H100"}, "price": "3"}
    book = book_of(
        price_list(
            gpu | {"includes": ["cpu"], "to": "2026-06-01T00:00:00Z"},
            gpu | {"from": "2026-06-01T00:00:00Z"},
            HOST,
        )
    )
    june = 1_780_272_000
    parts = list(book.segments(sku("cpu", H100), Interval(june - 900, june + 900)))
    assert [(part.start, reason(rate)) for part, rate in parts] == [(june - 900, "Included"), (june, "")]
