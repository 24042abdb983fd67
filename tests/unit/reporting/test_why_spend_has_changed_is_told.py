"""Why a period costs more in the status, in words and in metrics: parts that add up as they are shown."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from aibudget.api.budget import AIBudget
from aibudget.api.budgetstatus import BudgetStatus
from aibudget.budgeting.drivers import Basket, Compared, Cost, drivers
from aibudget.budgeting.evaluation import ClusterSpend, Evaluation
from aibudget.cli.status import Standing
from aibudget.inventory.workload import Workload
from aibudget.metering.usage import Sku, sku
from aibudget.pricing.charge import UNITS
from aibudget.reporting.explanation import changed_of
from aibudget.reporting.facts import Facts
from aibudget.reporting.status import outline, render
from unit.reporting.scraping import samples_of

EvaluationMaker = Callable[..., Evaluation]
FactsMaker = Callable[..., Facts]
NOON = 1_795_262_400
LLM = Workload("team", "Deployment", "llm")
H100, L4 = sku("gpu", {"gpuProduct": "H100"}), sku("gpu", {"gpuProduct": "L4"})


def spent(costs: dict[Sku, tuple[int, Fraction]]) -> Basket:
    """Quantities at prices in money, all by one workload."""
    found = Basket()
    for one, (quantity, price) in costs.items():
        found.skus[one] = Cost(quantity, quantity * price * UNITS)
        found.workloads[LLM] += quantity * price * UNITS
    return found


THIRD = Fraction(1, 3)
FOUND = drivers(
    spent({H100: (100, THIRD), L4: (100, THIRD / 2)}), spent({H100: (200, THIRD), L4: (101, THIRD)})
)
COMPARED = Compared("2026-11@UTC", "2026-10@UTC", NOON, FOUND)


@pytest.fixture
def dearer(evaluation: EvaluationMaker) -> Evaluation:
    """A budget that spends more than it did, in thirds of a cent."""
    return evaluation(drivers=(COMPARED,))


def test_it_is_said_with_parts_that_add_up(dearer: Evaluation, facts: FactsMaker) -> None:
    """To the cent, as they are shown: 100.33 is 50.00 and 50.33."""
    (told,) = render(facts(dearer)).to_dict()["drivers"]
    assert (told["before"], told["change"], told["changePercent"]) == ("50.00", "50.33", 100)
    parts = {name: told[name] for name in ("price", "volume", "mix", "new", "gone")}
    assert parts == {"price": "16.83", "volume": "25.25", "mix": "8.25", "new": "0.00", "gone": "0.00"}
    assert sum(map(Decimal, parts.values())) == Decimal(told["change"])
    assert told["skus"] == [
        {"sku": "gpu (gpuProduct H100)", "amount": "33.33", "driver": "Volume"},
        {"sku": "gpu (gpuProduct L4)", "amount": "17.00", "driver": "Price"},
    ]
    assert told["workloads"] == [{"kind": "Deployment", "name": "llm", "amount": "50.33"}]
    assert told["message"] == (
        "Up to 2026-11-21T12:00:00Z 2026-11@UTC cost 50.33 USD more (+100 %) than the same part of "
        "2026-10@UTC (50.00 USD): price +16.83, volume +25.25, mix +8.25. Most of it: gpu (gpuProduct H100) "
        "+33.33, Deployment llm +50.33."
    )


def test_less_and_as_much_are_said_too(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """A budget over many namespaces names them; what came to nothing is no change."""
    before, nothing = spent({H100: (10, Fraction(3))}), Basket()
    less = Compared("2026-11@UTC", "2026-10@UTC", NOON, drivers(before, nothing))
    (told,) = render(facts(evaluation(drivers=(less,), namespace=None))).drivers
    assert (
        "cost 30.00 USD less (-100 %) than the same part of 2026-10@UTC (30.00 USD): gone -30.00."
        in told.message
    )
    assert told.message.endswith("Deployment team/llm -30.00.")
    same = Compared("2026-11@UTC", "2026-10@UTC", NOON, drivers(nothing, nothing))
    (told,) = render(facts(evaluation(drivers=(same,)))).drivers
    assert told.message.endswith("cost as much as the same part of 2026-10@UTC (0.00 USD).")
    assert told.change_percent is None


def test_what_is_unknown_has_no_figures(evaluation: EvaluationMaker, facts: FactsMaker) -> None:
    """But a reason; of the last period as a whole nothing is said then."""
    unknown = Compared("2026-11@UTC", "2026-10@UTC", NOON, None, "only 71 % of gpu is known of 2026-10@UTC")
    whole = replace(unknown, period="2026-10@UTC", before="2026-09@UTC")
    (told,) = render(facts(evaluation(drivers=(unknown, whole)))).to_dict()["drivers"]
    assert "change" not in told
    assert told["message"] == (
        "2026-11@UTC is not compared with the same part of 2026-10@UTC: only 71 % of gpu is known of "
        "2026-10@UTC."
    )


def test_it_stands_until_it_is_made_anew(
    dearer: Evaluation, evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """A restart forgets it; another period drops it; and that it moves makes no status urgent."""
    stands = render(facts(dearer))
    assert render(facts(evaluation(), before=stands)).drivers == stands.drivers
    december = replace(evaluation().period, id="2026-12@UTC")
    assert render(facts(evaluation(period=december), before=stands)).drivers == ()
    assert outline(facts(dearer)) == outline(facts(evaluation()))


def test_what_stood_of_one_cluster_is_not_said_of_several(
    dearer: Evaluation, evaluation: EvaluationMaker, facts: FactsMaker
) -> None:
    """A budget over several is not compared: the figures of one would stand until its period ends."""
    several = evaluation(clusters=(ClusterSpend("eu-1", Decimal(5), NOON, "Here"),))
    assert render(facts(several, before=render(facts(dearer)))).drivers == ()


def test_metrics_tell_the_parts(dearer: Evaluation) -> None:
    """Their sum is the change; what is unknown has no series."""
    budget = {"kind": "AIBudget", "namespace": "team", "name": "b", "currency": "USD"}
    found = samples_of(dearer)
    price = frozenset({**budget, "driver": "price"}.items())
    assert found["aibudget_spend_change", price] == pytest.approx(16.83, abs=0.005)
    unknown = samples_of(replace(dearer, drivers=(replace(COMPARED, drivers=None),)))
    assert "aibudget_spend_change" not in {name for name, _ in unknown}


def test_commands_say_it(dearer: Evaluation, facts: FactsMaker) -> None:
    """`status` of the budget, `explain` of a workload that is behind it."""
    status = render(facts(dearer))
    obj = {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIBudget",
        "metadata": {"name": "b", "namespace": "team", "uid": "u", "generation": 1},
        "spec": {"limit": {"amount": 100, "currency": "USD"}},
        "status": status.to_dict(),
    }
    assert Standing.of(obj).changed.startswith(
        "AIBudget team/b: Up to 2026-11-21T12:00:00Z 2026-11@UTC cost 50.33"
    )
    assert Standing(obj, BudgetStatus()).changed == ""
    budget = AIBudget.read(obj).model_copy(update={"status": status})
    said = changed_of(budget, LLM)
    assert said is not None
    assert said.startswith("It cost 50.33 USD more than in the period before. Up to")
    assert changed_of(budget, Workload("team", "Deployment", "other")) is None
