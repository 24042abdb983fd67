"""What one cycle has to say of each budget: its status and its Events, made of all that it found.

A budget whose status would be thrown away rests, and only its conditions are known. Writes nothing: that is
the reporter's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aibudget.api.budget import AIBudget, ClusterAIBudget
from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import Condition
from aibudget.controller.judge import Judged
from aibudget.controller.measuring import Measured, progress
from aibudget.controller.reporter import Report, Reporter
from aibudget.enforcement.cluster import Report as Enforced
from aibudget.inventory.owners import OwnerBook
from aibudget.reporting import enforcing, events, status
from aibudget.reporting.facts import Enforcing, Facts


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a cycle at `now` (Unix seconds) found and did; `enforced` is None where nothing could be done.

    `enforcement` says whether this operator acts at all.
    """

    judged: Sequence[Judged]
    measured: Measured
    enforced: Enforced | None
    enforcement: bool
    now: int


@dataclass(frozen=True, slots=True)
class Teller:
    """What is known beside the cycle: who owns what, and which receivers of an object nobody has set up."""

    owners: OwnerBook
    unknown: Callable[[object], tuple[str, ...] | None]


def written(
    outcome: Outcome, reporter: Reporter, teller: Teller
) -> tuple[list[Report], dict[str, tuple[Condition, ...]]]:
    """What is to be said, and of those that rest how their conditions stand."""
    known = _facts(outcome, teller)
    outlines = [status.outline(facts) for facts in known]
    resting = reporter.resting(zip((one.seen for one in outcome.judged), outlines, strict=True))
    reports = []
    for one, facts, outline in zip(outcome.judged, known, outlines, strict=True):
        if one.seen.uid in resting:
            continue
        # Read once more: the statuses of before take as much as those that are made here.
        before = reporter.before(one.seen)
        after = status.render(replace(facts, before=before))
        reports.append(Report(one.seen, after, _events(outcome, one, before), outline))
    return reports, dict(resting)


def _facts(outcome: Outcome, teller: Teller) -> list[Facts]:
    """What every status is made of, but for what stood before."""
    by_budget, nothing, before = enforcing.by_budget(outcome.enforced), Enforcing(), BudgetStatus()
    data = outcome.measured.of().data
    return [
        Facts(
            generation=one.seen.metadata.generation,
            before=before,
            now=outcome.now,
            evaluation=one.evaluation,
            data=one.data or data,
            enforcing=by_budget.get(one.seen.uid, nothing),
            problem=one.problem,
            backfill=progress(one.owed),
            history=one.history,
            owners=teller.owners,
            unknown_receivers=teller.unknown(one.seen.model),
            place=one.place,
        )
        for one in outcome.judged
    ]


def _events(outcome: Outcome, one: Judged, before: BudgetStatus) -> tuple[events.Event, ...]:
    enforced = outcome.enforced
    if one.evaluation is not None:
        acting = outcome.enforcement and enforced is not None and not enforced.paused
        data = one.data or outcome.measured.of().data
        model = one.seen.model
        asking = isinstance(model, AIBudget | ClusterAIBudget) and model.spec.enforcement.mode == "Approve"
        told = events.transitions(before, one.evaluation, data, enforcing=acting, asking=asking)
        around = events.overcommitted(before, one.evaluation, one.place)
        return (*told, *around, *events.unit_costs(before, one.evaluation))
    if one.problem is not None and one.problem is one.seen.model:
        generation = one.seen.metadata.generation
        return events.invalid(events.budget(one.key), before.conditions, generation, one.problem.message)
    return ()
