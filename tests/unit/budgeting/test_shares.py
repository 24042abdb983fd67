"""Each budget counts exactly the lines of its scope, by the labels of the time of use, to the last digit."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aibudget.api.budget import Budget, ClusterAIBudget
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.gate import Gate
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import current
from aibudget.budgeting.share import Recent, Shares
from aibudget.budgeting.verdict import Moment, evaluate
from aibudget.errors import Stalled
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import SpendLine, Statement
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage, sku
from aibudget.pricing.charge import Units, amount_of, cost
from aibudget.pricing.rate import FAR_FUTURE, Rate

NOON = 1_793_491_200 + 20 * 86_400 + 43_200
NONE = Recent((), 0)


def of_gpu(statement: Statement, recent: Recent) -> Shares:
    """Shares of the one meter that has prices here."""
    return Shares({"gpu": statement}, {"gpu": recent}, frozenset({"gpu"}))


OLD, NEW = {"department": "old"}, {"department": "new"}
Line = Callable[..., SpendLine]
State = Callable[..., Statement]


def dollars(shares: Shares, budget: Budget) -> Decimal:
    """What this budget's scope has spent."""
    return amount_of(shares.of(budget).units)


@pytest.fixture
def shares(make_line: Line, make_statement: State) -> Shares:
    """Two namespaces of one department and one that moved from one department to another."""
    return of_gpu(
        make_statement(
            make_line(1, namespace="team", namespace_labels=OLD),
            make_line(2, namespace="other", namespace_labels=OLD),
            make_line(4, namespace="moved", namespace_labels=OLD),
            make_line(8, namespace="moved", namespace_labels=NEW),
            make_line(16, namespace="bare"),
        ),
        NONE,
    )


def test_a_namespaced_budget_counts_its_namespace(shares: Shares, make_budget: Callable[..., Budget]) -> None:
    """And no other, whatever its labels."""
    assert dollars(shares, make_budget()) == 1


@pytest.mark.parametrize(
    ("scope", "wanted"),
    [
        ({"namespaces": ["team", "bare", "absent"]}, 17),
        ({"namespaceSelector": {"matchLabels": OLD}}, 7),
        ({"namespaceSelector": {"matchLabels": NEW}}, 8),
        ({"namespaceSelector": {"matchLabels": NEW}, "namespaces": ["moved", "team"]}, 13),
        ({"namespaceSelector": {}}, 31),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "department", "operator": "DoesNotExist"}]}},
            16,
        ),
    ],
)
def test_a_cluster_budget_counts_by_name_or_by_the_labels_of_the_time(
    shares: Shares, make_budget: Callable[..., Budget], scope: dict[str, object], wanted: int
) -> None:
    """A union: nothing twice, and history stays with the labels it was spent under."""
    assert dollars(shares, make_budget(scope=scope)) == wanted


def test_a_workload_under_two_labels_is_listed_once(
    shares: Shares, make_budget: Callable[..., Budget]
) -> None:
    """Its namespace changed its labels in the middle of the period."""
    share = shares.of(make_budget(scope={"namespaces": ["moved", "team"]}))
    assert [(spend.workload.namespace, spend.amount) for spend in share.workloads] == [
        ("moved", Decimal(12)),
        ("team", Decimal(1)),
    ]


def test_workloads_come_dearest_first_with_their_rate(
    make_line: Line, make_statement: State, make_budget: Callable[..., Budget]
) -> None:
    """The rate is that of the newest time: a workload that has stopped costs nothing now."""
    done, running = make_line(9, "done"), make_line(3, "running")
    recent = Recent((make_line("0.5", "running"),), 900)
    share = of_gpu(make_statement(done, running), recent).of(make_budget())
    assert [(s.workload.name, s.amount, s.rate_per_hour) for s in share.workloads] == [
        ("done", Decimal(9), Decimal(0)),
        ("running", Decimal(3), Decimal(2)),
    ]


def test_idle_is_told_only_where_most_was_observed(
    make_line: Line, make_statement: State, make_budget: Callable[..., Budget]
) -> None:
    """Under 80 % observed device time nobody knows."""
    hour = 3_600_000
    lines = [
        make_line(1, "half", busy=hour // 4, observed=hour // 2),
        make_line(1, "most", busy=hour // 5, observed=hour * 4 // 5),
        make_line(1, "unseen"),
    ]
    share = of_gpu(make_statement(*lines), NONE).of(make_budget())
    assert {s.workload.name: s.idle_percent for s in share.workloads} == {
        "half": None,
        "most": 75,
        "unseen": None,
    }


def verdict(budget: Budget, statement: Statement, recent: Recent = NONE) -> Evaluation:
    """The first evaluation of this budget."""
    share = of_gpu(statement, recent).of(budget)
    return evaluate(
        budget, current(budget.spec.period, NOON), share, Memory(), Moment(NOON, Gate(fresh=True))
    )


def test_usage_without_a_price_is_named(
    make_line: Line, make_statement: State, make_budget: Callable[..., Budget]
) -> None:
    """It adds nothing to the amount, and the status can say what has no price."""
    spend = verdict(make_budget(), make_statement(make_line(1), make_line(5, "odd", rate=None))).spend
    assert (spend.amount, spend.unpriced) == (Decimal(1), ("gpu (gpuProduct H100)",))


def test_a_price_that_stands_in_for_another_is_named(
    make_line: Line, make_statement: State, make_budget: Callable[..., Budget]
) -> None:
    """Spot at a price for any capacity counts, and says so."""
    spot = sku("gpu", {"gpuProduct": "H100", "capacityType": "spot"})
    [sentence] = verdict(make_budget(), make_statement(make_line(1, sku=spot))).spend.assumed
    assert "spot" in sentence


def test_another_currency_stalls(
    make_line: Line, make_statement: State, make_budget: Callable[..., Budget]
) -> None:
    """Dollars and euros are never added; a namesake elsewhere does not matter."""
    amount = Decimal(1)
    euros = Rate("eu", "any", "gpu", {}, "EUR", "GPU-Hours", amount, amount, 10, Interval(0, FAR_FUTURE))
    elsewhere = make_line(1, namespace="other", rate=euros)
    assert verdict(make_budget(), make_statement(make_line(1), elsewhere)).spend.amount == 1
    with pytest.raises(Stalled, match="EUR") as caught:
        verdict(make_budget(), make_statement(make_line(1), make_line(1, "b", rate=euros)))
    assert caught.value.reason == "CurrencyMismatch"


def test_another_currency_is_exchanged_at_its_own_time(
    make_line: Line, make_statement: State, make_budget: Callable[..., Budget]
) -> None:
    """Each line by what its rate says money was worth then; what is in the limit's own currency as it is."""
    dollar, euro = (
        Rate("l", "n", "gpu", {}, currency, "GPU-Hours", Decimal(1), Decimal(1), 10, Interval(0, FAR_FUTURE))
        for currency in ("USD", "EUR")
    )
    then, now = (replace(euro, exchange=(("USD", Fraction(worth)),)) for worth in ("1.25", "1.5"))
    lines = make_line(1, rate=dollar), make_line(2, rate=then), make_line(2, "b", rate=now)
    assert verdict(make_budget(), make_statement(*lines)).spend.amount == 1 + Decimal("2.5") + 3


def test_what_is_in_another_price_makes_nobody_a_spender(
    make_line: Line, make_statement: State, make_budget: Callable[..., Budget]
) -> None:
    """CPU beside priced GPUs, tokens of own servers: on the bill at nothing, in no budget and no plan."""
    free = Rate(
        "l",
        "n",
        "gpu",
        {},
        "EUR",
        "GPU-Hours",
        Decimal(0),
        Decimal(0),
        10,
        Interval(0, FAR_FUTURE),
        reason="Included",
    )
    judged = verdict(make_budget(), make_statement(make_line(1), make_line(5, "sidecar", rate=free)))
    assert [spend.workload.name for spend in judged.workloads] == ["llm"]
    assert (judged.spend.amount, judged.spend.unpriced) == (Decimal(1), ())


def test_the_rate_is_unknown_without_recent_data(
    make_line: Line, make_statement: State, make_budget: Callable[..., Budget]
) -> None:
    """Nothing read lately is not a rate of zero."""
    assert verdict(make_budget(), make_statement(make_line(1))).rate_per_hour is None
    assert verdict(make_budget(), make_statement(make_line(1)), Recent((), 900)).rate_per_hour == 0
    assert (
        verdict(make_budget(), make_statement(make_line(1)), Recent((make_line(1),), 900)).rate_per_hour == 4
    )


def test_nothing_known_is_said(make_budget: Callable[..., Budget]) -> None:
    """An empty ledger has no instant, no coverage and is not complete."""
    spend = verdict(make_budget(), Statement((), Coverage(0, 0), None, complete=False)).spend
    assert (spend.as_of, spend.coverage_percent, spend.complete) == (None, 0, False)


prices = st.decimals(min_value=0, max_value=999_999_999_999, places=9, allow_nan=False)


@given(st.lists(st.tuples(st.integers(0, 10**15), prices, st.sampled_from("abc")), max_size=20))
def test_parts_add_up_to_the_whole(entries: list[tuple[int, Decimal, str]]) -> None:
    """Summed by namespace or at once, in any order: the same number, which is that of the lines."""
    lines = [
        SpendLine(
            Workload(namespace, "Job", "j"),
            sku("gpu", {}),
            {},
            Rate("l", "n", "gpu", {}, "USD", "GPU-Hours", price, price, 1, Interval(0, FAR_FUTURE)),
            quantity,
        )
        for quantity, price, namespace in entries
    ]

    def of(namespaces: list[str]) -> Units:
        budget = {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": "ClusterAIBudget",
            "metadata": {"name": "all"},
            "spec": {"limit": {"amount": 1, "currency": "USD"}, "scope": {"namespaces": namespaces}},
        }
        return of_gpu(statement, NONE).of(ClusterAIBudget.read(budget)).units

    statement = Statement(tuple(lines), Coverage(900, 900), NOON, complete=True)
    whole = of(["a", "b", "c"])
    assert whole == of(["a"]) + of(["b"]) + of(["c"])
    rough = sum((cost(line.quantity, line.rate) for line in lines if line.rate), Decimal(0))
    assert amount_of(whole) == pytest.approx(rough)
