"""`Claimant`: a budget as enforcement sees it: what it may do now, for whom, after which notice. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from aibudget.api.budget import Action, Budget, ClusterAIBudget, Mode
from aibudget.api.hold import Claim
from aibudget.budgeting.evaluation import Evaluation, ThresholdState


@dataclass(frozen=True, slots=True)
class Claimant:
    """A budget and where it stands now."""

    budget: Budget
    evaluation: Evaluation

    def active(self, action: Action) -> ThresholdState | None:
        """The threshold for which it may ask for this action; None in mode Observe."""
        return self.evaluation.active(action) if self.mode != "Observe" else None

    def undecided(self, action: Action) -> bool:
        """Whether the data cannot tell yet if such a threshold is crossed: nothing is released for that."""
        return any(
            state.standing == "Unknown" and action in state.threshold.actions
            for state in self.evaluation.thresholds
        )

    def may_claim(self, action: Action) -> bool:
        """Whether it may ask for something new: by fresh data alone."""
        return self.mode != "Observe" and self.evaluation.may_act(action)

    @property
    def mode(self) -> Mode:
        """Whether its claims act, wait for a person, or are not made at all."""
        return self.budget.spec.enforcement.mode

    def stands_by(self, claim: Claim) -> bool:
        """Whether a claim of its is of the period that runs, and its mode makes claims at all."""
        period = self.evaluation.period
        # A Fixed period keeps its id when it is over.
        return period.id == claim.period_id and period.standing != "Over" and self.mode != "Observe"

    @property
    def hears_tenants(self) -> bool:
        """Whether what is written on a workload counts: what a tenant must not lift is a ClusterAIBudget."""
        return not isinstance(self.budget, ClusterAIBudget)

    @property
    def grace(self) -> timedelta:
        """The notice before an act."""
        return timedelta(seconds=self.budget.spec.enforcement.grace_period_seconds)

    def covers(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether the namespace is in its scope now."""
        if isinstance(self.budget, ClusterAIBudget):
            return self.budget.spec.scope.covers(namespace, dict(labels))
        return self.budget.namespace == namespace
