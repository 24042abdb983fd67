"""Price, volume, mix, and what is new and gone add up to the change exactly, and mean what they say."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aibudget.api.budget import Budget
from aibudget.budgeting.baskets import basket
from aibudget.budgeting.drivers import Basket, Cost, Drivers, Effects, Side, apportioned, drivers, unknown
from aibudget.budgeting.members import Members
from aibudget.budgeting.selection import selection_of
from aibudget.budgeting.share import Shares
from aibudget.budgeting.tally import Prices
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.usage import Sku, sku

H100, A100, L4 = (sku("gpu", {"gpuProduct": name}) for name in ("H100", "A100", "L4"))
INPUT = sku("tokens", {"tokenType": "input"})
LLM = Workload("team", "Deployment", "llm")
EVERYTHING = frozenset({"gpu"})

prices = st.fractions(min_value=0, max_value=1000, max_denominator=97)
quantities = st.integers(1, 10**12)
used = st.dictionaries(st.sampled_from([H100, A100, L4, INPUT]), quantities)


def spent(costs: Mapping[Sku, tuple[int, Fraction | int]]) -> Basket:
    """So much of each SKU at so much each, all of it by one workload."""
    found = Basket()
    for one, (quantity, price) in costs.items():
        found.skus[one] = Cost(quantity, quantity * price)
        found.workloads[LLM] += quantity * price
    return found


def compared(
    before: Mapping[Sku, tuple[int, Fraction | int]], after: Mapping[Sku, tuple[int, Fraction | int]]
) -> Drivers:
    """The drivers of two baskets by hand."""
    return drivers(spent(before), spent(after))


baskets = st.dictionaries(st.sampled_from([H100, A100, L4, INPUT]), st.tuples(quantities, prices))


@given(baskets, baskets)
def test_the_parts_add_up_exactly(
    before: dict[Sku, tuple[int, Fraction]], after: dict[Sku, tuple[int, Fraction]]
) -> None:
    """In all, by SKU and by workload: whatever was used at whatever price."""
    found = compared(before, after)
    change = found.after - found.before
    assert found.effects.change == change
    assert sum(effects.change for _, effects in found.skus) == change
    assert sum(units for _, units in found.workloads) == change
    for one, effects in found.skus:
        then, now = ((q * p for q, p in (side.get(one, (0, Fraction(0))),)) for side in (before, after))
        assert effects.change == next(now) - next(then)


@given(used, st.data())
def test_other_prices_alone_are_price_alone(quantity: dict[Sku, int], data: st.DataObject) -> None:
    """The same use at other prices."""
    before, after = ({one: (q, data.draw(prices)) for one, q in quantity.items()} for _ in range(2))
    effects = compared(before, after).effects
    assert effects == Effects(price=effects.change)


@given(baskets, st.integers(1, 50))
def test_more_of_the_same_is_volume_alone(before: dict[Sku, tuple[int, Fraction]], times: int) -> None:
    """All of it so many times; and the other way round less of it."""
    after = {one: (quantity * times, price) for one, (quantity, price) in before.items()}
    more, less = compared(before, after).effects, compared(after, before).effects
    assert more == Effects(volume=more.change)
    assert less == Effects(volume=-more.change)


@given(used, used, prices)
def test_at_one_price_for_all_there_is_neither_price_nor_mix(
    before: dict[Sku, int], after: dict[Sku, int], price: Fraction
) -> None:
    """A swap of SKUs that cost the same moves nothing but volume, and what is new for what is gone."""
    effects = compared(
        {one: (q, price) for one, q in before.items()}, {one: (q, price) for one, q in after.items()}
    ).effects
    assert effects.price == effects.mix == 0


def test_as_many_hours_of_a_dearer_device_are_mix() -> None:
    """Seven of ten hours move from the cheap device to the dear one: no price and no volume is another."""
    effects = compared({A100: (8, 2), H100: (2, 5)}, {A100: (1, 2), H100: (9, 5)}).effects
    assert effects == Effects(mix=Fraction(21))


def test_what_only_one_side_knows_is_new_or_gone() -> None:
    """It has no second price: it is neither volume nor mix, and does not disturb them."""
    effects = compared({A100: (4, 2), H100: (10, 5)}, {L4: (7, 1), H100: (10, 5)}).effects
    assert effects == Effects(new=Fraction(7), gone=Fraction(-8))


def test_tokens_and_hours_are_never_added() -> None:
    """Twice the tokens are volume of tokens, and no other mix of anything."""
    effects = compared({H100: (10, 5), INPUT: (1000, 1)}, {H100: (10, 5), INPUT: (2000, 1)}).effects
    assert effects == Effects(volume=Fraction(1000))


def test_the_largest_change_comes_first() -> None:
    """Of either sign."""
    found = compared({H100: (10, 5), A100: (10, 2)}, {H100: (1, 5), A100: (11, 2)})
    assert [one for one, _ in found.skus] == [H100, A100]
    assert found.skus[0][1].largest == "mix"


@given(st.lists(st.fractions(-100, 100), min_size=1, max_size=6), st.fractions(-1000, 1000))
def test_cents_add_up_and_nothing_stays_nothing(parts: list[Fraction], before: Fraction) -> None:
    """The change between two rounded amounts, told in whole cents, each less than one from what it is."""
    after = before + sum(parts)
    total = (after + Fraction(1, 2)).__floor__() - (before + Fraction(1, 2)).__floor__()
    shown = apportioned(parts, total)
    assert sum(shown) == total
    assert all(abs(one - part) <= 1 for one, part in zip(shown, parts, strict=True))
    assert all(one == 0 for one, part in zip(shown, parts, strict=True) if part == 0)


@pytest.mark.parametrize(
    ("covered", "said"),
    [
        ({"gpu": 990}, ""),
        ({"gpu": 989}, "only 98 % of gpu is known of 2026-10"),
        ({}, "only 0 % of gpu is known of 2026-10"),
    ],
)
def test_what_was_not_measured_is_no_fall(covered: dict[str, int], said: str) -> None:
    """A hundredth of either side may be unknown."""
    sides = [Side("2026-10", 1000, covered), Side("2026-11", 1000, {"gpu": 1000})]
    assert unknown(sides, spent({}), spent({H100: (1, 1)}), EVERYTHING) == said
    assert unknown(sides[::-1], spent({}), spent({}), EVERYTHING) == said


def test_a_meter_that_one_side_does_not_know_makes_it_unknown() -> None:
    """Tokens that nobody counted before are not new tokens."""
    sides = [Side("2026-10", 1000, {"gpu": 1000}), Side("2026-11", 1000, {"gpu": 1000, "tokens": 1000})]
    assert "tokens" in unknown(sides, spent({}), spent({INPUT: (1, 1)}), EVERYTHING)
    assert not unknown(sides, spent({}), spent({H100: (1, 1)}), EVERYTHING)


def test_what_has_no_exchange_rate_or_no_label_makes_it_unknown() -> None:
    """Neither is nothing."""
    sides = [Side("2026-10", 1, {"gpu": 1})]
    abroad, unlabelled = Basket(currencies={"EUR"}), Basket(unlabelled=frozenset({"team"}))
    assert "EUR" in unknown(sides, abroad, Basket(), EVERYTHING)
    assert "team" in unknown(sides, Basket(), unlabelled, EVERYTHING)


def test_a_price_that_one_side_lacks_makes_it_unknown() -> None:
    """What had no price was not free, and is not new; what never has one is on neither side."""
    sides = [Side("2026-10", 1, {"gpu": 1})]
    unpriced = Basket(unpriced={H100})
    said = unknown(sides, unpriced, spent({H100: (1, 1)}), EVERYTHING)
    assert said == "some of gpu (gpuProduct H100) has no price"
    assert not unknown(sides, unpriced, unpriced, EVERYTHING)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.parametrize(
    "scope",
    [
        None,
        {"meters": ["gpu"]},
        {"workloads": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm"}]},
        {"namespaceSelector": {"matchLabels": {"department": "ml"}}},
        {"namespaces": ["team", "other"]},
    ],
)
def test_what_is_compared_is_what_is_counted(
    make_budget: Callable[..., Budget],
    make_line: Callable[..., SpendLine],
    make_statement: Callable[..., Statement],
    scope: dict[str, object] | None,
    data: st.DataObject,
) -> None:
    """The money of a basket is that of the budget's share, whatever its scope."""
    names = st.sampled_from(["team", "other", "third", ""])
    departments = st.sampled_from(["ml", "web"])
    lines = data.draw(st.lists(st.tuples(st.integers(1, 9), names, departments), max_size=8))
    made = [
        make_line(hours, namespace=namespace, namespace_labels={"department": department})
        for hours, namespace, department in lines
    ]
    budget = make_budget(**({"scope": scope} if scope else {}))
    members = Members(OwnerBook())
    for line in made:
        members.of(line).lines.append(line)
    found = basket(budget, selection_of(budget), members, Prices("USD", "gpu"))
    share = Shares({"gpu": make_statement(*made)}, {}, frozenset({"gpu"})).of(budget)
    assert found.units == share.units
    assert sum(cost.units for cost in found.skus.values()) == share.units
    assert Decimal(len(found.workloads)) == len(share.workloads)
