"""What one cycle has to say of each budget: its status and its Events, made of all that it found.

A budget whose status would be thrown away rests, and only its conditions are known. Writes nothing: that is
the reporter's.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from aibudget.api.budget import AIBudget, ClusterAIBudget
from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import Condition
from aibudget.controller.judge import Judged
from aibudget.controller.measuring import Measured, progress
from aibudget.controller.reporter import Report, Reporter
from aibudget.enforcement.cluster import Report as Enforced
from aibudget.inventory.owners import OwnerBook
from aibudget.reporting import enforcing, events, partial, status
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


@dataclass(frozen=True, slots=True)
class Written:
    """What is to be said of budgets that something was done for, and of all others, made one by one as they
    are asked for: thousands of statuses together take more than all that is known of them. `standing` are the
    conditions of those that rest, or of some that stand alike.
    """

    acted: tuple[Report, ...]
    others: Iterator[Report]
    standing: dict[str, tuple[Condition, ...]]


def written(outcome: Outcome, reporter: Reporter, teller: Teller, acted: Collection[str]) -> Written:
    """What is to be said of all budgets; `acted` are the uids of those that something was done for."""
    known = _facts(outcome, teller)
    outlines = [status.outline(facts) for facts in known]
    # What has news is told now, and may rest from then on.
    usual = (None if status.has_news(one) else outline for one, outline in zip(known, outlines, strict=True))
    seen, spends = (one.seen for one in outcome.judged), map(_spend, outcome.judged)
    resting = reporter.resting(zip(seen, usual, spends, strict=True), outcome.now)
    told = zip(outcome.judged, known, outlines, strict=True)
    awake = [one for one in told if one[0].seen.uid not in resting]
    first = [one for one in awake if one[0].seen.uid in acted]
    others = [one for one in awake if one[0].seen.uid not in acted]
    return Written(
        tuple(_reports(outcome, reporter, first)), _reports(outcome, reporter, others), dict(resting)
    )


def _spend(one: Judged) -> int:
    """A digest: of thousands no amounts need be kept."""
    return 0 if one.evaluation is None else hash(one.evaluation.spend.amount)


def _reports(
    outcome: Outcome, reporter: Reporter, known: Collection[tuple[Judged, Facts, status.Outline | None]]
) -> Iterator[Report]:
    for one, facts, outline in known:
        before = reporter.before(one.seen)
        after = status.render(replace(facts, before=before))
        yield Report(one.seen, after, _events(outcome, one, before), outline)


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
        changes = partial.told(before, one.evaluation, reading=progress(one.owed) is not None)
        known = replace(one.evaluation, changes=changes)
        told = events.transitions(before, known, data, enforcing=acting, asking=asking)
        around = events.overcommitted(before, one.evaluation, one.place)
        return (*told, *around, *events.unit_costs(before, one.evaluation))
    if one.problem is not None and one.problem is one.seen.model:
        generation = one.seen.metadata.generation
        return events.invalid(events.budget(one.key), before.conditions, generation, one.problem.message)
    return ()
