"""A scope takes its part of a namespace, to the last digit, and what is not known is in nobody's part."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.api.budget import AIBudget, Budget
from aibudget.budgeting.selection import MOST_KEYS, labels_wanted
from aibudget.budgeting.share import Recent, Share, Shares
from aibudget.inventory.owners import Child, OwnerBook, OwnerLink
from aibudget.inventory.workload import Owner, Workload
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage, sku
from aibudget.pricing.charge import Units, amount_of
from aibudget.pricing.rate import FAR_FUTURE, Rate

Line = Callable[..., SpendLine]
State = Callable[..., Statement]
Make = Callable[..., Budget]

DETECTOR, CHAT, BARE = {"part": "detector"}, {"part": "chat"}, {"part": ""}


def split(*lines: SpendLine, owners: OwnerBook | None = None, state: State, recent: Any = ()) -> Shares:
    """Shares of the one meter that has prices here."""
    return Shares(
        {"gpu": state(*lines)}, {"gpu": Recent(tuple(recent), 900)}, frozenset({"gpu"}), "USD", owners
    )


def part_of(shares: Shares, budget: Budget) -> tuple[Any, ...]:
    """What the scope has spent, and by whom, the dearest first."""
    share = shares.of(budget)
    return amount_of(share.units), [spend.workload.name for spend in share.workloads]


def selecting(key: str, operator: str, *values: str) -> dict[str, Any]:
    """A scope by one condition on labels."""
    condition = {"key": key, "operator": operator} | ({"values": list(values)} if values else {})
    return {"workloadSelector": {"matchExpressions": [condition]}}


@pytest.mark.parametrize(
    ("scope", "wanted"),
    [
        ({"workloadSelector": {"matchLabels": DETECTOR}}, (5, ["moved", "a"])),
        (selecting("part", "In", "detector", "chat"), (15, ["moved", "b", "a"])),
        (selecting("part", "NotIn", "detector"), (26, ["c", "moved", "b"])),
        (selecting("part", "DoesNotExist"), (16, ["c"])),
        (selecting("part", "Exists"), (15, ["moved", "b", "a"])),
        ({"workloads": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "c"}]}, (16, ["c"])),
        ({"workloads": [{"apiVersion": "apps/v2", "kind": "Deployment", "name": "c"}]}, (16, ["c"])),
        ({"workloads": [{"apiVersion": "other/v1", "kind": "Deployment", "name": "c"}]}, (0, [])),
        ({"workloads": [{"apiVersion": "batch/v1", "kind": "Job", "name": "c"}]}, (0, [])),
        (
            {
                "workloadSelector": {"matchLabels": DETECTOR},
                "workloads": [
                    {"apiVersion": "apps/v1", "kind": "Deployment", "name": name} for name in ("a", "c")
                ],
            },
            (21, ["c", "moved", "a"]),
        ),
    ],
)
def test_a_scope_takes_the_union_of_labels_of_the_time_and_names(
    make_line: Line, make_statement: State, make_budget: Make, scope: dict[str, Any], wanted: Any
) -> None:
    """What was relabelled is split at its time; the group of a name counts, its version does not."""
    lines = [
        make_line(1, "a", labels=DETECTOR),
        make_line(2, "b", labels=CHAT),
        make_line(4, "moved", labels=DETECTOR),
        make_line(8, "moved", labels=CHAT),
        make_line(16, "c", labels=BARE),
        make_line(32, "a", namespace="other", labels=DETECTOR),
    ]
    assert part_of(split(*lines, state=make_statement), make_budget(scope=scope)) == wanted


def test_a_name_takes_what_is_part_of_it(make_line: Line, make_statement: State, make_budget: Make) -> None:
    """The Deployment of an InferenceService is billed as a Deployment, and named by what people know."""
    owners = OwnerBook.of([OwnerLink(Child("team", "Deployment", "llm"), Owner("InferenceService", "chat"))])
    named = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "chat"}
    shares = split(make_line(1), make_line(2, "other"), owners=owners, state=make_statement)
    assert part_of(shares, make_budget(scope={"workloads": [named]})) == (1, ["llm"])


def test_labels_that_nobody_asked_for_then_are_unknown(
    make_line: Line, make_statement: State, make_budget: Make
) -> None:
    """Neither a budget that wants a label nor one that does not want it gets what may be either's."""
    shares = split(
        make_line(1, "a", labels=DETECTOR),
        make_line(2, "early"),
        state=make_statement,
        recent=[make_line(1, "early")],
    )
    for operator in ("In", "NotIn"):
        share = shares.of(make_budget(scope=selecting("part", operator, "detector")))
        assert amount_of(share.units) == (1 if operator == "In" else 0)
        assert share.unlabelled == ("part",)
        assert (share.complete, share.hourly_units) == (False, None)
        assert Workload("team", "Deployment", "early") not in share.outside
    whole = shares.of(make_budget())
    assert (amount_of(whole.units), whole.unlabelled, whole.complete) == (Decimal(3), (), True)


def test_a_label_that_is_known_can_settle_it_alone(
    make_line: Line, make_statement: State, make_budget: Make
) -> None:
    """Whatever the other label was, this one says no."""
    both = {"workloadSelector": {"matchLabels": {"part": "detector", "stage": "train"}}}
    shares = split(make_line(1, "b", labels=CHAT), state=make_statement)
    share = shares.of(make_budget(scope=both))
    assert (share.unlabelled, share.complete) == ((), True)
    assert share.outside == {Workload("team", "Deployment", "b")}


def test_only_the_meters_of_a_scope_count(make_line: Line, make_statement: State, make_budget: Make) -> None:
    """Its coverage and freshness are theirs, too; one that is not read is told, and alone is unknown."""
    tokens = make_line(8, "a", sku=sku("tokens", {}))
    statements = {"gpu": make_statement(make_line(1, "a")), "tokens": make_statement(tokens, covered=50)}
    shares = Shares(statements, {}, frozenset({"gpu", "tokens"}))

    def counted(*meters: str) -> Share:
        return shares.of(make_budget(scope={"meters": list(meters)}))

    assert [amount_of(counted(*of).units) for of in (["gpu"], ["tokens"], ["gpu", "tokens"])] == [1, 8, 9]
    assert counted("tokens").meters == {"tokens"}
    assert [counted(one).coverage.percent for one in ("gpu", "tokens")] == [100, 50]
    assert counted("gpu", "energy").unmetered == ("energy",)
    assert (counted("gpu", "energy").complete, counted("energy").as_of) == (True, None)


def test_teams_take_their_namespaces_and_what_has_none(
    make_line: Line, make_statement: State, make_budget: Make
) -> None:
    """A gateway's tokens are charged to a team without a namespace."""
    nlp = {"aibudget.io/team": "nlp"}
    shares = split(
        make_line(1, namespace_labels=nlp),
        make_line(2, namespace="other", namespace_labels={"aibudget.io/team": "vision"}),
        SpendLine(Workload("", "Team", "nlp"), sku("gpu", {}), {}, make_line(1).rate, 4 * 3_600_000),
        SpendLine(Workload("", "Team", "vision"), sku("gpu", {}), {}, make_line(1).rate, 8 * 3_600_000),
        state=make_statement,
    )
    assert part_of(shares, make_budget(scope={"teams": ["nlp"]})) == (5, ["nlp", "llm"])
    assert part_of(shares, make_budget(scope={"namespaces": ["team", "other"]}))[0] == 3
    assert part_of(shares, make_budget(scope={"teams": ["nlp"], "namespaces": ["other"]}))[0] == 7


def test_many_namespaces_are_narrowed_by_labels_of_workloads(
    make_line: Line, make_statement: State, make_budget: Make
) -> None:
    """The same label in two namespaces, and one that is not in the scope."""
    lines = [
        make_line(2**n, namespace=namespace, labels=labels)
        for n, (namespace, labels) in enumerate(
            [("a", DETECTOR), ("b", DETECTOR), ("b", CHAT), ("c", DETECTOR)]
        )
    ]
    scope = {"namespaces": ["a", "b"], "workloadSelector": {"matchLabels": DETECTOR}}
    assert part_of(split(*lines, state=make_statement), make_budget(scope=scope))[0] == 3


PRICE = Rate(
    "l", "r", "gpu", {}, "USD", "GPU-Hours", Decimal("2.49"), Decimal("2.49"), 1, Interval(0, FAR_FUTURE)
)
PARTS = st.sampled_from(["", "detector", "chat"])


@given(
    lines=st.lists(
        st.tuples(st.integers(0, 10**9), st.sampled_from("abc"), PARTS, st.sampled_from(["gpu", "cpu"])),
        max_size=20,
    )
)
def test_parts_add_up_to_the_whole(lines: list[tuple[int, str, str, str]]) -> None:
    """Whatever is spent, by whom and under which labels: no digit is lost or counted twice."""
    of: dict[str, list[SpendLine]] = {"gpu": [], "cpu": []}
    for quantity, name, part, meter in lines:
        workload = Workload("team", "Deployment", name)
        of[meter].append(SpendLine(workload, sku(meter, {}), {}, PRICE, quantity, labels={"part": part}))
    known = {meter: Statement(tuple(some), Coverage(900, 900), 900, True) for meter, some in of.items()}
    shares = Shares(known, {}, frozenset(of))

    def units(scope: dict[str, Any] | None) -> Units:
        spec = {"limit": {"amount": 1, "currency": "USD"}} | ({"scope": scope} if scope else {})
        read = {"apiVersion": "aibudget.io/v1alpha1", "kind": "AIBudget", "spec": spec}
        return shares.of(AIBudget.read(read | {"metadata": {"name": "b", "namespace": "team"}})).units

    by_label = [
        {"workloadSelector": {"matchLabels": DETECTOR}},
        {"workloadSelector": {"matchLabels": CHAT}},
        selecting("part", "DoesNotExist"),
    ]
    by_name = [{"workloads": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": n}]} for n in "abc"]
    by_meter = [{"meters": [meter]} for meter in of]
    for scopes in (by_label, by_name, by_meter):
        assert sum(units(scope) for scope in scopes) == units(None)


def test_labels_are_asked_for_where_a_selector_speaks_of_them(make_budget: Make) -> None:
    """For its own namespace, or for all; and for no more of them than a limit, whoever comes first."""
    own = make_budget(scope=selecting("part", "Exists"))
    of_all = make_budget(scope={"teams": ["nlp"], "workloadSelector": {"matchLabels": {"tier": "x"}}})
    assert labels_wanted([own, make_budget(), of_all]) == {
        "team": frozenset({"part"}),
        "": frozenset({"tier"}),
    }
    many = [make_budget(scope=selecting(f"k{n:02}", "Exists")) for n in range(MOST_KEYS + 1)]
    found = labels_wanted([*many, of_all])
    assert sum(map(len, found.values())) == MOST_KEYS
    assert found[""] == {"tier"}
