"""Which rate prices a SKU: by priority, specificity, latest start and name; or none at all."""

from datetime import UTC, datetime
from decimal import Decimal
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.api.pricelist import AIPriceList
from aibudget.inventory.workload import Workload
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Usage, sku
from aibudget.pricing.book import PriceBook
from aibudget.pricing.listing import rates_of
from aibudget.pricing.match import ambiguities
from aibudget.pricing.rate import FAR_FUTURE, Rate

AT = 1_795_000_500
H100 = sku("gpu", {"gpuProduct": "H100", "instanceType": "p5", "capacityType": "reserved"})


def rate(name: str, match: dict[str, str], price: str = "1", **other: Any) -> Rate:
    given: dict[str, Any] = {
        "source": "list",
        "currency": "USD",
        "unit": "GPU-Hours",
        "priority": 10,
        "interval": Interval(0, FAR_FUTURE),
    } | other
    return Rate(name=name, meter="gpu", match=match, price=Decimal(price), list_price=Decimal(price), **given)


BETTER_FIRST = [
    (rate("a", {}, priority=20), rate("b", {"gpuProduct": "H100", "instanceType": "p5"})),
    (rate("a", {"gpuProduct": "H100", "capacityType": "reserved"}), rate("b", {"gpuProduct": "H100"})),
    (rate("b", {"instanceType": "p5"}), rate("a", {"gpuProduct": "H100"})),
    (rate("a", {}, interval=Interval(900, FAR_FUTURE)), rate("b", {})),
    (rate("a", {}), rate("b", {})),
    (rate("b", {}, source="a-list"), rate("a", {}, source="b-list")),
]


@pytest.mark.parametrize(("better", "worse"), BETTER_FIRST)
def test_the_better_rate_wins_in_any_order(better: Rate, worse: Rate) -> None:
    """Priority, specificity, the instance type, the later start and the name decide, in this order."""
    for rates in permutations([better, worse]):
        assert PriceBook(rates).rate(H100, AT) == better


def test_a_sku_lacking_a_matched_dimension_has_no_price() -> None:
    """Unknown is not a wildcard: a rate for one region says nothing of a node whose region is not known."""
    book = PriceBook([rate("eu", {"region": "eu-west-1"})])
    assert book.rate(H100, AT) is None


def test_an_unknown_share_matches_nothing() -> None:
    """Part of a device must not be charged as a whole one, even by a rate that matches everything."""
    unknown = sku("gpu", {"gpuProduct": "H100", "share": "unknown"})
    book = PriceBook([rate("all", {})])
    assert book.rate(unknown, AT) is None
    assert "share" not in book.explain(sku("gpu", {}), AT).reason
    assert "unknown" in book.explain(unknown, AT).reason


def test_rates_apply_within_their_dates() -> None:
    """The end is exclusive, and a gap between two rates is a time without a price."""
    old, new = (
        rate("old", {}, interval=Interval(0, 900)),
        rate("new", {}, interval=Interval(1800, FAR_FUTURE)),
    )
    book = PriceBook([old, new])
    assert [book.rate(H100, at) for at in (0, 899, 900, 1799, 1800)] == [old, old, None, None, new]


def test_a_charge_has_the_rate_of_its_slot() -> None:
    """Usage before and after a change of price in one reading is charged at each one's price."""
    book = PriceBook([rate("old", {}, "2"), rate("new", {}, "3", interval=Interval(900, FAR_FUTURE))])
    workload = Workload("ns", "Deployment", "llm")
    charges = book.charges([Usage(0, workload, H100, 3_600_000), Usage(900, workload, H100, 3_600_000)])
    assert [charge.cost for charge in charges] == [Decimal(2), Decimal(3)]


def test_spot_at_a_price_for_any_capacity_is_told() -> None:
    """An on-demand price stands in for spot until a list names spot; who asks is told that it was assumed."""
    spot = sku("gpu", {"gpuProduct": "H100", "capacityType": "spot"})
    general, special = (
        rate("any", {"gpuProduct": "H100"}),
        rate("spot", {"capacityType": "spot"}, priority=20),
    )
    assumed = PriceBook([general]).explain(spot, AT)
    assert assumed.rate == general
    assert "spot" in (assumed.assumed or "")
    assert PriceBook([general, special]).explain(spot, AT).assumed is None


def test_an_explanation_names_the_winner_and_the_passed_over() -> None:
    """One sentence says which rate, from which list, by which match, and what it was preferred to."""
    book = PriceBook([rate("own", {"gpuProduct": "H100"}), rate("public", {}, priority=0, source="built-in")])
    reason = book.explain(H100, AT).reason
    assert "list/own" in reason
    assert "gpuProduct H100" in reason
    assert "preferred to built-in/public" in reason


def test_missing_prices_say_what_to_do() -> None:
    """No rate is no cost, and the sentence names the SKU and the remedy."""
    explanation = PriceBook([]).explain(H100, AT)
    assert explanation.rate is None
    assert "AIPriceList" in explanation.reason
    assert "instanceType p5" in explanation.reason


def test_equally_good_rates_of_one_list_are_a_problem() -> None:
    """Two matches of the same rank that one SKU can meet are reported; a successor in time is not."""
    twins = [rate("a", {"gpuProduct": "H100"}), rate("b", {"gpuProduct": "H100"})]
    crossing = [rate("a", {"gpuProduct": "H100"}), rate("b", {"region": "eu"})]
    successor = [rate("a", {}), rate("b", {}, interval=Interval(900, FAR_FUTURE))]
    apart = [rate("a", {}, interval=Interval(0, 900)), rate("b", {}, interval=Interval(900, FAR_FUTURE))]
    different = [rate("a", {"gpuProduct": "H100"}), rate("b", {"gpuProduct": "L4"})]
    assert [len(ambiguities(r)) for r in (twins, crossing, successor, apart, different)] == [1, 1, 0, 0, 0]
    assert "list/a and list/b" in ambiguities(twins)[0]


def test_segments_tile_the_interval_at_price_changes() -> None:
    """Cut only where the price may change, so that a re-rating touches whole stretches of slots."""
    book = PriceBook([rate("a", {}, interval=Interval(900, 2700)), rate("b", {}, priority=1)])
    parts = [(i.start, i.end, r and r.name) for i, r in book.segments(H100, Interval(0, 3600))]
    assert parts == [(0, 900, "b"), (900, 2700, "a"), (2700, 3600, "b")]


matches = st.dictionaries(
    st.sampled_from(["gpuProduct", "instanceType", "capacityType", "region"]), st.sampled_from(["x", "y"])
)
rates = st.builds(
    lambda name, match, priority, start: rate(
        name, match, priority=priority, interval=Interval(start * 900, FAR_FUTURE)
    ),
    st.sampled_from(["a", "b", "c"]),
    matches,
    st.integers(0, 2),
    st.integers(0, 3),
)


@given(st.lists(rates, max_size=6), matches, st.integers(0, 3), st.randoms())
def test_the_choice_ignores_the_order_of_lists(
    listed: list[Rate], dims: dict[str, str], slot: int, random: Random
) -> None:
    """Whatever the rates, shuffling them changes nothing, and the winner really matches at that time."""
    wanted, at = sku("gpu", dims), slot * 900
    best = PriceBook(listed).rate(wanted, at)
    random.shuffle(listed)
    assert PriceBook(listed).rate(wanted, at) == best
    if best is None:
        assert not any(r.matches(wanted) and at in r.interval for r in listed)
    else:
        assert best.matches(wanted)
        assert at in best.interval


@given(rates)
def test_a_rate_survives_being_written_down(one: Rate) -> None:
    """The ledger keeps rates as text; what it reads back is the same rate with the same id."""
    again = Rate.from_json(one.to_json())
    assert (again, again.id) == (one, one.id)


def test_the_id_of_a_rate_is_its_content() -> None:
    """The spelling of a number does not make another rate; its value, dates and list do."""
    base = rate("a", {"gpuProduct": "H100"}, "3.50")
    assert rate("a", {"gpuProduct": "H100"}, "3.5").id == base.id
    others = [
        rate("a", {"gpuProduct": "H100"}, "3.51"),
        rate("a", {}, "3.50"),
        rate("a", {"gpuProduct": "H100"}, "3.50", interval=Interval(900, FAR_FUTURE)),
        rate("a", {"gpuProduct": "H100"}, "3.50", source="other"),
    ]
    assert base.id not in {other.id for other in others}


def test_a_price_list_becomes_rates() -> None:
    """Dates become instants, an absent list price is the price, and absent dimensions are not matched."""
    listing = AIPriceList.read(
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": "AIPriceList",
            "metadata": {"name": "company"},
            "spec": {
                "currency": "EUR",
                "priority": 20,
                "rates": [
                    {
                        "name": "h100",
                        "meter": "gpu",
                        "match": {"gpuProduct": "NVIDIA-H100-80GB-HBM3"},
                        "unit": "GPU-Hours",
                        "price": "3.95",
                        "includes": ["memory", "cpu"],
                        "from": "2026-07-01T00:00:00Z",
                    }
                ],
            },
        }
    )
    [one] = rates_of(listing)
    start = int(datetime(2026, 7, 1, tzinfo=UTC).timestamp())
    assert one.label == "company/h100"
    assert one.match == {"gpuProduct": "NVIDIA-H100-80GB-HBM3"}
    assert (one.price, one.list_price, one.currency) == (Decimal("3.95"), Decimal("3.95"), "EUR")
    assert (one.priority, one.interval, one.includes) == (20, Interval(start, FAR_FUTURE), ("cpu", "memory"))
