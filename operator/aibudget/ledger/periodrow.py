"""`PeriodRow`: one period of one budget as the ledger keeps it. Pure values; `periods.py` stores them.

A period is Open while it runs, Settling until all of it is known, and Closed for good. It belongs to the
budget's uid: a budget that is deleted and made anew begins anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from aibudget.metering.slots import Interval

PeriodState = Literal["Open", "Settling", "Closed"]
Stood = tuple[str, int | None]
"""How a threshold stood, and since when it is crossed (Unix seconds)."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose period it is; `namespace` is None for a ClusterAIBudget."""

    kind: str
    namespace: str | None
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PeriodRow:
    """One period of one budget; times are Unix seconds.

    `limit` is the one in force, `rolled_over` what was left of the period before once that is closed, `spent`
    what was counted at the close; each None where it is not known. `ended` and `closed` are when it began to
    settle and was closed. `generation` and `thresholds` are where the budget stood last, and `told` says that
    its status has spoken of this period. `scope` is a digest of whose usage counts.
    """

    owner: Owner
    id: str
    interval: Interval
    state: PeriodState
    currency: str
    opened: int
    limit: Decimal | None = None
    rolled_over: Decimal | None = None
    spent: Decimal | None = None
    coverage_percent: int | None = None
    ended: int | None = None
    closed: int | None = None
    generation: int = -1
    thresholds: Mapping[str, Stood] = field(default_factory=dict)
    told: bool = False
    scope: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The budget's uid, and the period's id."""
        return self.owner.uid, self.id


@dataclass(frozen=True, slots=True)
class PeriodCorrection:
    """What a closed period is known since `known` to have cost in all; the period itself stays as it is."""

    uid: str
    period_id: str
    known: int
    spent: Decimal
