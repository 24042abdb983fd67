"""What a budget's status is made of, as plain values that every part of a cycle can give. Pure."""

from dataclasses import dataclass, field

from aibudget.api.budgetstatus import BudgetStatus, PastPeriod
from aibudget.api.conditions import Reason
from aibudget.budgeting.evaluation import Evaluation
from aibudget.budgeting.hierarchy import NOWHERE, Place
from aibudget.enforcement.sparing import Spared
from aibudget.errors import AIBudgetError
from aibudget.inventory.owners import OwnerBook


@dataclass(frozen=True, slots=True)
class DataState:
    """Whether usage is known well enough to act on; the reason is one of those of ``DataFresh``."""

    fresh: bool
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Enforcing:
    """What enforcement does for one budget. `fences` are those of the active ones on namespaces.

    `waiting` is the part of `pending` that a person is asked about. `failures` are sentences; `next_act` is
    the end of the next notice. `queued` counts those whose notice is over and that the rails (`rails` in
    words) keep back; `returning` those that are given back, in waves.
    """

    active: int = 0
    fences: int = 0
    pending: int = 0
    waiting: int = 0
    paused: bool = False
    failures: tuple[str, ...] = ()
    next_act: int | None = None
    spared: tuple[Spared, ...] = ()
    queued: int = 0
    returning: int = 0
    rails: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a status is made of.

    `before` is the status as it stands; `evaluation` is None where there is none. `problem` kept the
    evaluation from happening. `backfill` says in a sentence what of the period's past is still to be read;
    None when nothing is. `history` None is that of before. `owners` knows what workloads are part of.
    `unknown_receivers` are named by the budget and not configured for it; None where it names none at
    all. `place` is the budget's among the others.
    """

    generation: int
    before: BudgetStatus
    now: int
    evaluation: Evaluation | None
    data: DataState
    enforcing: Enforcing = Enforcing()
    problem: AIBudgetError | None = None
    backfill: str | None = None
    history: tuple[PastPeriod, ...] | None = None
    owners: OwnerBook = field(default_factory=OwnerBook)
    unknown_receivers: tuple[str, ...] | None = None
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """All that the status of an AIMeter is made of.

    `problem` keeps this generation of it from being counted; `remarks` do not. `data` is None before the
    first reading. `lines` and `folded` are of the newest one, the most in a slot.
    """

    generation: int
    problem: AIBudgetError | None = None
    remarks: tuple[str, ...] = ()
    data: DataState | None = None
    lines: int | None = None
    folded: int | None = None
