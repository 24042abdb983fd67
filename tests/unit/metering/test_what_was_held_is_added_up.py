"""`Totals`: by whom and where, whichever objects say the same."""

from aibudget.inventory.owners import Resolution
from aibudget.inventory.workload import PodKey, Workload
from aibudget.metering.integration import Amount, Cell
from aibudget.metering.totals import Place, Totals
from aibudget.metering.usage import Sku, Usage, sku
from aibudget.metering.utilisation import Observed

PODS = tuple(PodKey("team", f"p{number}", "u") for number in range(3))


def gpu() -> Sku:
    """Another object each time."""
    return sku("gpu", {"resource": "nvidia.com/gpu"})


def llm() -> Workload:
    """Another object each time."""
    return Workload("team", "Deployment", "llm")


def test_what_is_equal_is_added_up_whichever_object_it_is() -> None:
    """A part of a range has SKUs of its own, and a book that has learnt more has workloads of its own."""
    owned = {pod: Resolution(llm(), complete=pod is not PODS[2]) for pod in PODS}
    totals = Totals(owned)
    totals.add((Cell(900, pod, "node-1", gpu()), Amount(10, 1, observed=8.0, busy=2.0)) for pod in PODS)
    totals.add([(Cell(0, PODS[0], "node-2", gpu()), Amount(5))])
    assert totals.usages() == (
        Usage(0, llm(), gpu(), 5),
        Usage(900, llm(), gpu(), 30, 3, busy=6, observed=24),
    )
    assert totals.places() == {Place(900, "node-1", gpu()): 30, Place(0, "node-2", gpu()): 5}
    assert totals.strangers == {PODS[2]}


def test_what_was_seen_before_is_told_with_what_is_seen_now() -> None:
    """Of what cannot be read to be held now, the same part is as busy as it was."""
    totals = Totals({PODS[0]: Resolution(llm(), complete=True)})
    amount = Amount(40, observed=20.0, busy=20.0, settled_observed=10.0, settled_busy=10.0)
    totals.add([(Cell(0, PODS[0], "node", gpu()), amount)])
    of = 0, llm(), gpu()
    assert totals.settled() == {of: (10.0, 10.0)}
    assert totals.usages({of: Observed(20.0, 0.0)}) == (Usage(0, llm(), gpu(), 40, busy=20, observed=40),)
    assert totals.usages({of: Observed(60.0, 0.0)}) == (Usage(0, llm(), gpu(), 40, busy=10, observed=40),)


def test_a_pod_that_comes_again_is_charged_to_its_own_workload() -> None:
    other = Workload("team", "Job", "train")
    totals = Totals({PODS[0]: Resolution(llm(), complete=True), PODS[1]: Resolution(other, complete=True)})
    what = gpu()
    for pod, quantity in ((PODS[0], 1), (PODS[1], 10), (PODS[0], 100)):
        totals.add([(Cell(0, pod, "node", what), Amount(quantity))])
    assert [(usage.workload.name, usage.quantity) for usage in totals.usages()] == [
        ("llm", 101),
        ("train", 10),
    ]


def test_where_nobody_asks_whose_it_was_it_is_added_up_by_place() -> None:
    totals = Totals()
    totals.add([(Cell(0, PODS[0], "node", gpu()), Amount(7))])
    assert (totals.usages(), totals.places()) == ((), {Place(0, "node", gpu()): 7})
