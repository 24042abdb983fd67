"""What `Annotate` writes: the binding budget and its state, on each workload that spends in it. Pure.

Only transitions are written; amounts belong in the budget's status. Stale data changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aibudget.api.conditions import Reason
from aibudget.api.names import BUDGET_ANNOTATION, STATE_ANNOTATION
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.facts import Untouchable
from aibudget.enforcement.kinds import KINDS
from aibudget.inventory.workload import Workload


@dataclass(frozen=True, slots=True)
class Note:
    """The two annotations: `AIBudget/training` and `LimitExceeded`."""

    budget: str
    state: str

    @property
    def annotations(self) -> dict[str, str]:
        """As they are written."""
        return {BUDGET_ANNOTATION: self.budget, STATE_ANNOTATION: self.state}


def note_of(annotations: Mapping[str, str]) -> Note | None:
    """What is written on a workload; None where nothing of it is."""
    if BUDGET_ANNOTATION not in annotations and STATE_ANNOTATION not in annotations:
        return None
    return Note(annotations.get(BUDGET_ANNOTATION, ""), annotations.get(STATE_ANNOTATION, ""))


def title(claimant: Claimant) -> str:
    """How the annotation names a budget; an AIBudget is in the workload's own namespace."""
    return f"{claimant.budget.kind}/{claimant.budget.name}"


def changes(
    claimants: Sequence[Claimant],
    known: Mapping[Workload, Note],
    gone: frozenset[tuple[str, str]],
    untouchable: Untouchable,
) -> dict[Workload, Note | None]:
    """What to write (None: take it off), by what is known to be written.

    `gone` are the (namespace, title) of noted budgets that the API server says are no more: a budget that was
    merely not evaluated keeps its notes.
    """
    wanted: dict[Workload, Note] = {}
    stale = {(c.budget.namespace, title(c)) for c in claimants if not c.evaluation.fresh}
    evaluated = {(c.budget.namespace, title(c)) for c in claimants}
    for workload, note in known.items():
        keys = {(workload.namespace, note.budget), (None, note.budget)}
        unknown = not keys & evaluated and (workload.namespace, note.budget) not in gone
        if keys & stale or unknown:
            wanted[workload] = note
    # The binding budget is the one with the highest percent: written last, it wins.
    for claimant in sorted(claimants, key=lambda c: (c.evaluation.spend.used_percent, title(c))):
        wanted |= _notes(claimant, known, untouchable)
    written = {w: note for w, note in wanted.items() if known.get(w) != note}
    return {**written, **dict.fromkeys(w for w in known if w not in wanted)}


def _notes(
    claimant: Claimant, known: Mapping[Workload, Note], untouchable: Untouchable
) -> dict[Workload, Note]:
    if not claimant.may_claim("Annotate"):
        return {}
    full = claimant.evaluation.spend.used_percent >= 100
    note = Note(title(claimant), Reason.LIMIT_EXCEEDED if full else Reason.THRESHOLD_REACHED)
    return {
        spend.workload: note
        for spend in claimant.evaluation.workloads
        if spend.workload.kind in KINDS
        and spend.workload.namespace not in untouchable
        # What has stopped keeps its note for the period, and what is long gone is not looked for.
        and (spend.rate_per_hour > 0 or spend.workload in known)
    }
