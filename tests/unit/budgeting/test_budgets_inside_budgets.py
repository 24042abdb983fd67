"""The tightest of the budgets that count a workload binds; limits that do not fit into one are told."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from aibudget.api.budget import AIBudget, Budget, ClusterAIBudget
from aibudget.budgeting.evaluation import BudgetKey, Evaluation, Spend
from aibudget.budgeting.hierarchy import NOWHERE, Hierarchy, Place
from aibudget.budgeting.limits import Measure
from aibudget.budgeting.period import current

NOON = 1_795_262_400
NAMESPACES: dict[str, dict[str, str]] = {
    "a": {"department": "research"},
    "b": {"department": "research"},
    "c": {"department": "sales"},
}
DETECTOR = {"workloadSelector": {"matchLabels": {"part": "detector"}}}
CHAT = {"workloadSelector": {"matchLabels": {"part": "chat"}}}


def budget(name: str, amount: int = 100, namespace: str | None = None, **spec: Any) -> Budget:
    """In a namespace or, without one, over those of its scope; its name is its uid."""
    kind: type[Budget] = ClusterAIBudget if namespace is None else AIBudget
    metadata = {"name": name, "uid": name, "generation": 1} | ({"namespace": namespace} if namespace else {})
    limit = {"amount": amount, "currency": spec.pop("currency", "USD")}
    return kind.read(
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": kind.__name__,
            "metadata": metadata,
            "spec": {"limit": limit} | spec,
        }
    )


def over(*names: str, **scope: Any) -> dict[str, Any]:
    """The scope of a ClusterAIBudget."""
    return {"namespaces": list(names)} | scope


def judged(of: Budget, spent: int | None) -> Evaluation:
    """Where the budget stands; None is unknown."""
    assert of.spec.limit is not None
    limit, used = of.spec.limit.amount, None if spent is None else Fraction(spent)
    measure = Measure("limit", "USD", Fraction(limit), used, used, fresh=True, complete=True)
    spend = Spend(Decimal(spent or 0), 0, None if spent is None else NOON, 100, True, Decimal(0), ())
    return Evaluation(
        budget=BudgetKey(of.kind, of.namespace, of.name, of.uid),
        generation=1,
        period=current(of.spec.period, NOON),
        limit=limit,
        currency=of.spec.currency,
        spend=spend,
        rate_per_hour=None,
        thresholds=(),
        changes=(),
        workloads=(),
        fresh=True,
        began=False,
        evaluated=NOON,
        measures=(measure,),
    )


def places(
    *budgets: Budget, spent: Mapping[str, int | None] | None = None, hierarchy: Hierarchy | None = None
) -> Mapping[str, Place]:
    """Their places, given what each has spent; 0 if it is not said."""
    known = [(one, judged(one, (spent or {}).get(one.uid, 0))) for one in budgets]
    return (hierarchy or Hierarchy()).places(known, NAMESPACES)


def binding(found: Mapping[str, Place]) -> dict[str, str]:
    """Who binds whom, by name."""
    return {uid: place.binding.name for uid, place in found.items() if place.binding is not None}


def test_the_budget_that_is_nearest_to_its_limit_binds() -> None:
    """Itself where it is as near as any; what is unknown binds nobody, and who stands alone is not told."""
    own, wide, other = (
        budget("own", 100, "a"),
        budget("wide", 1000, scope=over("a", "b")),
        budget("o", 1, "c"),
    )
    cases: list[tuple[dict[str, int | None], str]] = [
        ({"own": 50, "wide": 499}, "own"),
        ({"own": 50, "wide": 500}, "own"),
        ({"own": 50, "wide": 501}, "wide"),
        ({"own": 50, "wide": None}, "own"),
        ({"own": None, "wide": 1}, "wide"),
    ]
    for spent, wanted in cases:
        assert binding(places(own, wide, other, spent=spent)) == {"own": wanted}
    assert binding(places(own, wide, spent={"own": None, "wide": None})) == {}


@pytest.mark.parametrize(
    ("inner", "outer", "above"),
    [
        (budget("i", namespace="a"), budget("o", namespace="a"), True),
        (budget("i", namespace="a", scope=DETECTOR), budget("o", namespace="a"), True),
        (budget("i", namespace="a"), budget("o", namespace="a", scope=DETECTOR), False),
        (budget("i", namespace="a", scope=CHAT), budget("o", namespace="a", scope=DETECTOR), False),
        (budget("i", namespace="a", scope={"meters": ["gpu"]}), budget("o", namespace="a"), True),
        (budget("i", namespace="a"), budget("o", namespace="a", scope={"meters": ["gpu"]}), False),
        (budget("i", namespace="c"), budget("o", scope=over("a", "b")), False),
        (budget("i", scope=over("a")), budget("o", scope=over("a", "b")), True),
        (budget("i", scope=over("a", "c")), budget("o", scope=over("a", "b")), False),
        (budget("i", scope=over("a")), budget("o", scope=over("a", "b", meters=["gpu"])), False),
        (budget("i", scope=over("a", teams=["t"])), budget("o", scope=over("a", "b")), False),
        (budget("i", scope={"teams": ["t"]}), budget("o", scope=over("a", teams=["t"])), True),
        (budget("i", namespace="a"), budget("o", scope=over("a", **DETECTOR)), False),
        (budget("i", namespace="a", currency="EUR"), budget("o", scope=over("a")), True),
        (budget("i", namespace="a", period={"type": "Daily"}), budget("o", scope=over("a")), True),
    ],
)
def test_only_a_budget_that_counts_all_of_it_is_above(inner: Budget, outer: Budget, above: bool) -> None:
    """Whatever their currencies and periods: a tighter one decides all the same."""
    found = binding(places(inner, outer, spent={"i": 1, "o": 2}))
    assert found.get("i") == ("o" if above else None)


@pytest.mark.parametrize(
    ("inside", "wanted"),
    [
        ([budget("x", 60, "a"), budget("y", 40, "b")], None),
        ([budget("x", 60, "a"), budget("y", 41, "b")], (101, 2)),
        # Of two over one namespace the tighter one binds anyway.
        ([budget("x", 60, "a"), budget("y", 999, "a"), budget("z", 40, "b")], None),
        # What is inside another is in it.
        ([budget("x", 60, "a"), budget("y", 90, "a", scope=DETECTOR)], None),
        ([budget("y", 60, "a", scope=DETECTOR), budget("z", 60, "a", scope=CHAT)], (120, 2)),
        # Whether these two are of the same usage is not known.
        ([budget("y", 60, "a", scope=DETECTOR), budget("z", 60, "a", scope={"meters": ["gpu"]})], None),
        # Nothing is known of how another period or currency compares.
        ([budget("x", 60, "a"), budget("y", 60, "b", period={"type": "Daily"})], None),
        ([budget("x", 60, "a"), budget("y", 60, "b", currency="EUR")], None),
        ([budget("x", 60, "a"), budget("y", 60, "c")], None),
        # A budget over one of its namespaces stands for those in it.
        ([budget("m", 30, scope=over("a")), budget("x", 99, "a"), budget("y", 60, "b")], None),
        ([budget("m", 30, scope=over("a")), budget("y", 71, "b")], (101, 2)),
    ],
)
def test_limits_that_do_not_fit_are_told_of_the_budget_around_them(
    inside: list[Budget], wanted: tuple[int, int] | None
) -> None:
    """With what they add up to, nothing counted twice; and of no other."""
    found = places(
        budget("around", 100, scope={"namespaceSelector": {"matchLabels": NAMESPACES["a"]}}), *inside
    )
    place = found.get("around", NOWHERE)
    assert (place.committed, place.children) == ((None, 0) if wanted is None else wanted)


def test_parts_of_a_namespace_are_weighed_against_its_budget() -> None:
    """As namespaces are against a budget over many."""
    own = budget("own", 100, "a")
    parts = [budget("y", 60, "a", scope=DETECTOR), budget("z", 60, "a", scope=CHAT)]
    place = places(own, *parts)["own"]
    assert (place.committed, place.children) == (Decimal(120), 2)
    assert places(own, *parts[:1])["own"].committed is None


def test_places_follow_edits_and_namespaces() -> None:
    """What is kept between cycles is found anew once a scope or a namespace's labels are others."""
    kept = Hierarchy()
    own = budget("own", 100, "c")
    wide = budget("wide", 100, scope={"namespaceSelector": {"matchLabels": {"department": "sales"}}})
    spent = {"own": 1, "wide": 2}
    assert binding(places(own, wide, spent=spent, hierarchy=kept)) == {"own": "wide"}
    known = [(one, judged(one, spent[one.uid])) for one in (own, wide)]
    assert kept.places(known, NAMESPACES | {"c": {"department": "research"}}) == {}
    assert binding(places(own, wide, spent=spent, hierarchy=kept)) == {"own": "wide"}
    moved = budget("wide", 100, scope=over("a"))
    moved = moved.model_copy(update={"metadata": moved.metadata.model_copy(update={"generation": 2})})
    assert binding(places(own, moved, spent=spent, hierarchy=kept)) == {}
