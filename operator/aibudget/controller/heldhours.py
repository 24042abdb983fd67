"""In which hours something was held that a budget counts: then it spent less than it would have.

Told from the Holds of a cycle, from the moment of the act on, so that what was held while no operator ran is
told as well. Knows no ledger.
"""

from collections.abc import Iterable, Mapping, Sequence

from aibudget.api.hold import Hold
from aibudget.budgeting.evaluation import Evaluation
from aibudget.enforcement.hold import workload_of
from aibudget.inventory.resource import NAMESPACES
from aibudget.ledger.hours import HOUR
from aibudget.reporting.enforcing import state_of


class Holding:
    """One process's; tells each hour of a budget once."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self._holds: dict[str, set[str]] = {}

    def hours(
        self, evaluations: Iterable[Evaluation], holds: Sequence[Hold], now: int
    ) -> Mapping[str, tuple[int, ...]]:
        """The hours not told before, by the uid of the budget."""
        inforce = [hold for hold in holds if hold.status.enforced_time and state_of(hold) in _IN_FORCE]
        if not inforce:
            self._holds.clear()
            return {}
        found: dict[str, tuple[int, ...]] = {}
        for evaluation in evaluations:
            since = self._since(evaluation, inforce)
            uid = evaluation.budget.uid
            if since is None:
                continue
            first = max(since // HOUR * HOUR, self._told.get(uid, -HOUR) + HOUR)
            if hours := tuple(range(first, now, HOUR)):
                found[uid] = hours
                self._told[uid] = hours[-1]
        return found

    def _since(self, evaluation: Evaluation, holds: Sequence[Hold]) -> int | None:
        """When the first of these was acted on that concern the budget."""
        budget = evaluation.budget
        near = [hold for hold in holds if budget.namespace in (None, hold.metadata.namespace)]
        if not near:
            return None
        spending = {spend.workload for spend in evaluation.workloads}
        places = {spend.workload.namespace for spend in evaluation.workloads}
        known = self._holds.setdefault(budget.uid, set())
        # What was held since before the period has spent nothing in it, and is remembered.
        known |= {
            hold.uid
            for hold in near
            if any(claim.uid == budget.uid for claim in hold.spec.claims)
            or (
                hold.metadata.namespace in places
                if hold.spec.target_ref.kind == NAMESPACES.kind
                else workload_of(hold) in spending
            )
        }
        times = [hold.status.enforced_time for hold in near if hold.uid in known]
        return min((int(time.timestamp()) for time in times if time is not None), default=None)


_IN_FORCE = ("active", "releasing")
