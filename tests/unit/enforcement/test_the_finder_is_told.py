"""Whoever finds a stopped workload reads on it who did that, for which budget, and the way back."""

from aibudget.api.names import REASON_ANNOTATION
from aibudget.enforcement import hold as holds
from aibudget.enforcement.plan import plan
from unit.enforcement.conftest import NOW, make_claimant
from unit.enforcement.test_who_is_held import claim, facts, held, live

DESCRIBED = 138
"""What `kubectl describe` shows of a line of an annotation."""


def test_each_sentence_of_the_reason_fits_a_line_of_kubectl_describe() -> None:
    """Several budgets of long names included; amounts are where the budget is described."""
    many = tuple(claim(f"a-budget-with-quite-a-long-name-{n}") for n in range(3))
    hold = held(live("a-deployment-with-quite-a-long-name"), *many)
    _, annotations = holds.marks(hold)
    lines = annotations[REASON_ANNOTATION].splitlines()

    assert max(map(len, lines)) <= DESCRIBED
    assert lines[0].startswith("Scaled down by AIBudget for AIBudget a-budget-with-quite-a-long-name-0 (")
    assert "Where it stands: kubectl describe aibudget a-budget-with-quite-a-long-name-2 -n team" in lines
    assert lines[-1] == f"To have it left alone now: kubectl delete hold -n team {hold.name}"


def test_a_cluster_budget_does_not_pretend_that_a_tenant_can_lift_it() -> None:
    """Deleting the Hold of a ClusterAIBudget gains a grace period and no more."""
    hold = held(live(), claim("c-1", kind="ClusterAIBudget"))

    assert holds.way_back(hold)[-1] == "ClusterAIBudget c-1 would then hold it again after its grace period."


def test_a_notice_knows_when_it_ends() -> None:
    """By the first budget whose grace period is over."""
    (wish,) = plan([make_claimant("llm", gracePeriodSeconds=900)], facts(live()), NOW).wishes

    assert wish.due_at is not None
    assert (wish.due_at - NOW).total_seconds() == 900
