"""The errors of AIBudget, sorted by what follows from them rather than by where they arise::

    AIBudgetError
    ├── Stalled            waits for a human: retrying changes nothing
    │   └── InvalidManifest   the object itself is wrong; lists every field at fault
    ├── Transient          the world is in the way: retry at the next cycle
    └── Conflict           somebody else wrote first: read again, then decide again

Every error carries a CamelCase ``reason`` (the vocabulary of ``api.conditions``) and a message that ends in
what the user can do about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class AIBudgetError(Exception):
    """The root. ``reason`` goes into conditions, events and metrics; the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Stalled(AIBudgetError):  # noqa: N818 - named for its consequence, as the condition is
    """Nothing more happens to this object until somebody changes something."""


class Transient(AIBudgetError):  # noqa: N818
    """It may work at the next cycle; nothing is to be changed by hand yet."""


class Conflict(AIBudgetError):  # noqa: N818
    """A precondition failed because another writer was faster: read again before deciding."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One fault of a manifest: ``path`` as in ``spec.limit.amount`` or ``spec.thresholds[1].name``."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


class InvalidManifest(Stalled):
    """A manifest that no rule of the API accepts; ``problems`` holds every fault found in it."""

    def __init__(self, subject: str, problems: Sequence[FieldProblem]) -> None:
        self.problems = tuple(problems)
        faults = "; ".join(str(problem) for problem in self.problems)
        super().__init__("InvalidSpec", f"{subject} is not valid: {faults}. Correct it and apply it again.")
