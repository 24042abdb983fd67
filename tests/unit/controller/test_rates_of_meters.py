"""A rate that names a meter of a user: in the book, or a remark on why it prices nothing."""

from typing import Any

import pytest

from aibudget.api.meter import MeterSpec
from aibudget.controller.cache import Seen, read
from aibudget.controller.declared import price_reports
from aibudget.controller.reporter import Reporter
from aibudget.controller.shelf import Shelf
from aibudget.inventory.resource import PRICE_LISTS
from unit.enforcement.fake_api import FakeAPI


def meters(**spec: Any) -> dict[str, MeterSpec]:
    """An AIMeter `images`."""
    source = {"name": "app", "query": "images_total"}
    written = {"unit": "Images", "type": "Counter", "sources": [source], **spec}
    return {"images": MeterSpec.model_validate(written)}


def prices(**rate: Any) -> Seen:
    """A list with one rate."""
    written = {"name": "one", "meter": "images", "price": 1, "from": "2026-01-01T00:00:00Z", **rate}
    seen = read(
        PRICE_LISTS,
        {
            "metadata": {"name": "own", "uid": "u", "generation": 1},
            "spec": {"currency": "USD", "rates": [written]},
        },
    )
    assert isinstance(seen, Seen)
    return seen


@pytest.mark.parametrize("rate", [{}, {"unit": "Images"}, {"meter": "tokens"}])
def test_a_rate_of_a_meter_that_is_there_needs_no_remark(rate: dict[str, str]) -> None:
    """With or without its unit."""
    shelf = Shelf()
    book = shelf.arrange([prices(**rate)], meters())
    assert rate.get("meter", "images") in book.meters
    assert shelf.lists[0].remarks == ()


@pytest.mark.parametrize(
    ("rate", "spec", "words"),
    [
        ({"meter": "imags"}, {}, "there is no AIMeter imags"),
        ({"unit": "Pictures"}, {}, "is per Pictures, but images counts Images"),
        ({}, {"priced": False}, "images is not priced"),
    ],
)
def test_a_rate_that_prices_nothing_is_told(rate: dict[str, str], spec: dict[str, Any], words: str) -> None:
    """A typing error would otherwise be usage that is free."""
    shelf = Shelf()
    shelf.arrange([prices(**rate)], meters(**spec))
    assert any(words in remark for remark in shelf.lists[0].remarks)


def test_a_meter_without_a_price_is_in_no_book() -> None:
    """Also when that is decided after the rate was written, and when it is taken back."""
    shelf = Shelf()
    for priced in (True, False, True):
        book = shelf.arrange([prices()], meters(priced=priced))
        assert ("images" in book.meters) == priced


def test_a_list_says_which_of_its_meters_nothing_tells_of() -> None:
    """Whoever gave tokens a price expects a cost; without a source there is none, and none is known."""
    shelf, reporter = Shelf(), Reporter(FakeAPI(), "replica")
    shelf.arrange([prices(meter="tokens")])
    for absent, told in ((["energy", "tokens"], True), (["energy"], False)):
        (report,) = price_reports(reporter, shelf.lists, absent, 0)
        (ready,) = report.status.conditions
        assert ready.status == "True"
        assert ("Nothing tells of tokens: what it would cost is unknown" in ready.message) is told
