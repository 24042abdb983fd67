"""`Wish`: what one workload's Hold should be after this cycle. Pure; made by `plan`, carried out by `act`."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from aibudget.api.hold import Claim, Hold
from aibudget.enforcement.claims import wants
from aibudget.enforcement.hold import hold_name
from aibudget.enforcement.live import Live
from aibudget.inventory.workload import Workload


@dataclass(frozen=True, slots=True)
class Wish:
    """The claims that one workload's Hold should have; `hold` is None where it is to be created first.

    `due_for`: the uids of the budgets whose notice is over, by fresh data; acting needs one. `due_at` is when
    the first notice of an approved claim ends, None where there is none. `vetoes` are
    those that a person wrote into claims; the workload remembers them. `rate_per_hour` is what holding it
    avoids, None where it is unknown. `withdrawn` are the claims of a notice that ends without an act.
    `waits` says why an act whose notice is over does not come yet. `proven`: what it has started is held
    already, so that accelerator pods of it were seen. `lingers`: once given back, the Hold is kept to see the
    pods become ready.
    """

    workload: Workload
    hold: Hold | None
    live: Live | None
    claims: tuple[Claim, ...]
    due_for: frozenset[str] = frozenset()
    due_at: datetime | None = None
    rate_per_hour: Decimal | None = None
    vetoes: tuple[Claim, ...] = ()
    withdrawn: tuple[Claim, ...] = ()
    waits: str | None = None
    proven: bool = False
    lingers: bool = False

    @property
    def key(self) -> str:
        """Namespace and name of its Hold, whether there is one yet or not."""
        if self.hold is not None:
            return f"{self.hold.namespace}/{self.hold.name}"
        assert self.live is not None, "a Hold is planned only for what was read"
        return key_of(self.live)

    @property
    def wanted(self) -> bool:
        """Whether its Hold should be there and, once it has acted, go on holding."""
        return wants(self.claims, acted=self.hold is not None and bool(self.hold.spec.original))

    @property
    def due(self) -> bool:
        """Whether acting is allowed now."""
        return bool(self.due_for)


def key_of(live: Live) -> str:
    """Namespace and name of the only Hold that this very object can have."""
    return f"{live.workload.namespace}/{hold_name(live.kind, live.workload.name, live.uid)}"
