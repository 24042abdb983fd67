"""Shared cost is divided by policy, to the last unit, and stays apart from what was spent directly."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aibudget.api.budget import Budget
from aibudget.budgeting.sharing import (
    Allotments,
    InvalidSharing,
    Recipient,
    SharedLine,
    allocated,
    apportioned,
    parse,
)
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage, sku
from aibudget.pricing.charge import amount_of, units_per_quantity
from aibudget.pricing.rate import FAR_FUTURE, Rate

HOUR = 3_600_000


def rate(price: str = "1", currency: str = "USD") -> Rate:
    """A price for every GPU."""
    amount = Decimal(price)
    return Rate("list", "any", "gpu", {}, currency, "GPU-Hours", amount, amount, 10, Interval(0, FAR_FUTURE))


def direct(namespace: str, quantity: int, pool: str = "a", price: Rate | None = None) -> SpendLine:
    """What a namespace held."""
    what = sku("gpu", {"nodePool": pool})
    return SpendLine(Workload(namespace, "Deployment", "web"), what, {}, price or rate(), quantity)


def idle(
    quantity: int, pool: str = "a", state: str = "idle", price: Rate | None = None, *, priced: bool = True
) -> SpendLine:
    """What nobody held."""
    what = sku("gpu-idle", {"nodePool": pool, "state": state})
    return SpendLine(
        Workload("", "NodePool", pool), what, {}, (price or rate()) if priced else None, quantity
    )


def by_recipient(lines: tuple[SharedLine, ...]) -> dict[str, int]:
    """Milliseconds given to each, "" being nobody."""
    found: Counter[str] = Counter()
    for line in lines:
        found[line.recipient.name if line.recipient else ""] += line.quantity
    return dict(found)


weights = st.lists(
    st.one_of(st.integers(0, 10**18), st.fractions(0, 10**6, max_denominator=17)), min_size=1, max_size=8
).filter(any)


@given(st.integers(0, 10**30), weights)
def test_parts_add_up_to_the_whole_and_are_near_their_weight(total: int, by: list[Any]) -> None:
    """Largest remainder: no part is a whole unit off, and none is lost."""
    parts = apportioned(total, by)
    assert sum(parts) == total
    assert all(
        abs(part - Fraction(total) * weight / sum(by)) < 1 for part, weight in zip(parts, by, strict=True)
    )
    assert all(part == 0 for part, weight in zip(parts, by, strict=True) if not weight)


lines = st.lists(
    st.one_of(
        st.builds(
            direct,
            st.sampled_from(["one", "two", "three", "kube-system"]),
            st.integers(1, 10 * HOUR),
            st.sampled_from(["a", "b", ""]),
            st.sampled_from([rate("1"), rate("0.000000007"), rate("0")]),
        ),
        st.builds(
            idle,
            st.integers(1, 10 * HOUR),
            st.sampled_from(["a", "b", ""]),
            st.sampled_from(["idle", "unhealthy", "unknown"]),
            st.sampled_from([rate("2.5"), rate("0.333333333")]),
            priced=st.booleans(),
        ),
    ),
    max_size=12,
)
policies = st.sampled_from(
    [
        {"policy": "Unallocated"},
        {"policy": "Proportional"},
        {"policy": "Even"},
        {
            "policy": "Fixed",
            "shares": [{"namespace": "one", "weight": 2}, {"team": "search", "weight": 5}],
        },
    ]
)


@given(lines, policies, policies)
def test_what_is_shared_is_all_given_or_named(
    some: list[SpendLine], default: dict[str, Any], of_a: dict[str, Any]
) -> None:
    """Whatever was used and whatever the policies, quantities and money of each pool and source add up."""
    sharing = parse(
        "f",
        {"default": default, "nodePools": [{"name": "a", **of_a}], "systemNamespaces": ["kube-system"]},
    )
    shared = allocated(some, sharing, "USD")
    whole: Counter[tuple[str, str]] = Counter()
    money: Counter[tuple[str, str]] = Counter()
    for line in some:
        if line.sku.meter == "gpu-idle" or line.workload.namespace == "kube-system":
            key = line.sku.dimension("nodePool") or "", line.sku.dimension("state") or "kube-system"
            whole[key] += line.quantity
            price = units_per_quantity(line.rate) if line.rate else 0
            money[key] += line.quantity * (price or 0)  # type: ignore[assignment]
    given_out: Counter[tuple[str, str]] = Counter()
    paid: Counter[tuple[str, str]] = Counter()
    for part in shared:
        given_out[part.pool, part.source] += part.quantity
        paid[part.pool, part.source] += part.units or 0  # type: ignore[assignment]
        assert part.recipient is None or part.source != "unknown"
        assert part.recipient != Recipient("Namespace", "kube-system")
    assert given_out == whole
    assert +paid == +money


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, {"": 4 * HOUR}),
        ({"policy": "Proportional"}, {"one": 3 * HOUR, "two": HOUR}),
        ({"policy": "Even"}, {"one": 2 * HOUR, "two": 2 * HOUR}),
        (
            {
                "policy": "Fixed",
                "shares": [{"team": "search", "weight": 1}, {"namespace": "two", "weight": 3}],
            },
            {"search": HOUR, "two": 3 * HOUR},
        ),
    ],
)
def test_a_policy_divides_the_idle_capacity_of_its_pool(
    policy: dict[str, Any], expected: dict[str, int]
) -> None:
    """Four idle hours; one namespace used three hours there, another one; a third used another pool."""
    used = [direct("one", 3 * HOUR), direct("two", HOUR), direct("three", HOUR, pool="b"), idle(4 * HOUR)]
    shared = allocated(used, parse("f", {"default": policy}), "USD")
    assert by_recipient(shared) == expected
    assert sum(amount_of(line.units or 0) for line in shared) == 4


def test_each_pool_has_its_own_policy() -> None:
    """What is nobody's in one pool is shared in the other."""
    sharing = parse("f", {"nodePools": [{"name": "b", "policy": "Even"}]})
    used = [direct("one", HOUR), direct("two", HOUR, pool="b"), idle(HOUR), idle(HOUR, pool="b")]
    shared = allocated(used, sharing, "USD")
    assert {(line.pool, line.recipient and line.recipient.name) for line in shared} == {
        ("a", None),
        ("b", "two"),
    }


def test_what_has_no_price_is_divided_apart() -> None:
    """A part without a price is no part that costs nothing."""
    sharing = parse("f", {"default": {"policy": "Even"}})
    shared = allocated([direct("one", HOUR), idle(HOUR), idle(HOUR, priced=False)], sharing, "USD")
    assert sorted((line.quantity, line.units is None) for line in shared) == [(HOUR, False), (HOUR, True)]


def test_nobody_pays_for_what_nobody_saw() -> None:
    """Capacity of which it is unknown whether somebody held it stays without a recipient."""
    sharing = parse("f", {"default": {"policy": "Even"}})
    (line,) = allocated([direct("one", HOUR), idle(HOUR, state="unknown")], sharing, "USD")
    assert (line.recipient, line.source, line.quantity) == (None, "unknown", HOUR)


def test_a_pool_that_nobody_used_is_nobody_s() -> None:
    """There is nothing to go by; the cost stays named."""
    sharing = parse("f", {"default": {"policy": "Proportional"}})
    (line,) = allocated([direct("one", HOUR), idle(HOUR, pool="b")], sharing, "USD")
    assert (line.pool, line.recipient, amount_of(line.units or 0)) == ("b", None, Decimal(1))


def test_what_serves_everybody_is_shared_and_not_lost() -> None:
    """A system namespace is no recipient; what it used is divided like idle capacity, under its name."""
    sharing = parse("f", {"default": {"policy": "Proportional"}, "systemNamespaces": ["gpu-operator"]})
    used = [direct("one", HOUR), direct("two", HOUR), direct("gpu-operator", 2 * HOUR)]
    shared = allocated(used, sharing, "USD")
    assert {(line.source, line.recipient and line.recipient.name, line.quantity) for line in shared} == {
        ("gpu-operator", "one", HOUR),
        ("gpu-operator", "two", HOUR),
    }


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"default": {"policy": "Fair"}}, "default.policy"),
        ({"default": {"policy": "Fixed"}}, "shares are needed with policy Fixed"),
        ({"default": {"policy": "Even", "shares": [{"team": "a", "weight": 1}]}}, "must be absent otherwise"),
        (
            {"default": {"policy": "Fixed", "shares": [{"team": "a", "namespace": "a", "weight": 1}]}},
            "give namespace or team, and not both",
        ),
        (
            {"nodePools": [{"name": "a", "policy": "Even"}, {"name": "a", "policy": "Even"}]},
            "must not list",
        ),
        ({"pools": []}, "pools"),
        (["Even"], ""),
    ],
)
def test_a_mistake_in_the_policies_is_named(document: Any, said: str) -> None:
    """The file and the field, before anything is started."""
    with pytest.raises(InvalidSharing, match=r"policies\.yaml") as refused:
        parse("policies.yaml", document)
    assert said in refused.value.message


def test_a_budget_is_told_the_parts_of_its_scope(make_budget: Callable[..., Budget]) -> None:
    """A namespace's budget its own, a budget of many those of its namespaces, by labels of the time or by
    name; what a team is given is in none.
    """
    shares = [
        {"namespace": "team", "weight": 1},
        {"namespace": "new", "weight": 2},
        {"team": "team", "weight": 3},
    ]
    sharing = parse("f", {"default": {"policy": "Fixed", "shares": shares}})
    used = replace(direct("team", HOUR), namespace_labels={"department": "ml"})
    statement = Statement((used, idle(6 * HOUR)), Coverage(900, 900), 900, complete=True)
    found = Allotments([statement], sharing, "USD")

    def told(**spec: Any) -> Decimal:
        return amount_of(found.of(make_budget(**spec)))

    assert told() == 1
    assert told(scope={"namespaceSelector": {"matchLabels": {"department": "ml"}}}) == 1
    assert told(scope={"namespaces": ["new"]}) == 2
    assert told(scope={"namespaceSelector": {}}) == 3


def test_what_the_manual_says_can_be_written() -> None:
    """Its example is a file that the operator reads."""
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "share-idle-cost.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    sharing = parse("manual", yaml.safe_load(example)["sharedCost"])
    assert [sharing.of(pool).policy for pool in ("h100", "spare", "other")] == [
        "Fixed",
        "Unallocated",
        "Proportional",
    ]
