"""The built-in public list: every product that is named there has its price, and every list beats it."""

from decimal import Decimal

import pytest

from aibudget.inventory.workload import Workload
from aibudget.metering.usage import Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.match import ambiguities
from aibudget.pricing.public import public_rates

NOVEMBER = 1_793_491_200


@pytest.fixture(scope="module")
def book() -> PriceBook:
    """The book of a cluster without a price list of its own."""
    return PriceBook(public_rates())


@pytest.mark.parametrize(
    ("dimensions", "price"),
    [
        ({"gpuProduct": "NVIDIA-H100-80GB-HBM3"}, "6.88"),
        ({"gpuProduct": "NVIDIA-H100-80GB-HBM3", "instanceType": "a3-highgpu-8g"}, "11.06125"),
        ({"instanceType": "Standard_ND96isr_H100_v5"}, "12.29"),
        ({"gpuProduct": "NVIDIA-A100-SXM4-80GB"}, "3.430875"),
        (
            {"gpuProduct": "NVIDIA-L4", "instanceType": "g2-standard-4", "resource": "nvidia.com/gpu"},
            "0.7068",
        ),
        ({"gpuProduct": "NVIDIA-L4", "instanceType": "my-own-box"}, "0.8048"),
        ({"gpuProduct": "Tesla-T4"}, "0.526"),
    ],
)
def test_known_products_have_their_list_price(
    book: PriceBook, dimensions: dict[str, str], price: str
) -> None:
    """By instance type where it is known, else by product."""
    found = book.rate(sku("gpu", dimensions), NOVEMBER)
    assert found is not None
    assert found.price == Decimal(price)


def test_an_unlisted_product_has_no_price(book: PriceBook) -> None:
    """Never a default price and never zero."""
    assert book.rate(sku("gpu", {"gpuProduct": "Tesla-P100-PCIE-16GB"}), NOVEMBER) is None


def test_the_host_is_in_every_public_price() -> None:
    """Clouds sell the machine, so its processors, memory and energy are not to be charged again."""
    devices = [rate for rate in public_rates() if rate.meter == "gpu"]
    assert {rate.includes for rate in devices} == {("cpu", "energy", "memory")}


def test_what_was_spent_is_worth_what_was_spent(book: PriceBook) -> None:
    """A dollar that a gateway reports is a dollar, without a list of anybody's."""
    spent = Usage(NOVEMBER, Workload("team", "Team", "a"), sku("saas-spend", {}), 1_500_000_000)
    assert [charge.cost for charge in book.charges([spent])] == [Decimal("1.5")]


def test_public_rates_are_unambiguous_and_give_way() -> None:
    """No two public rates tie, and their priority is below the lowest that a list may have."""
    assert ambiguities(public_rates()) == ()
    assert {rate.priority for rate in public_rates()} == {0}
