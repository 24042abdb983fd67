"""What a cycle knows by which budgets are judged: users' units, factors of carbon, the platform's sharing.

For the worker's thread. What caps count is stated only where some budget has such a cap.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aibudget.api.budget import AIBudget, Budget, ClusterAIBudget
from aibudget.budgeting import caps
from aibudget.budgeting.caps import Counting
from aibudget.budgeting.limits import check_meters
from aibudget.budgeting.sharing import Sharing
from aibudget.controller.books import Books
from aibudget.inventory.owners import OwnerBook
from aibudget.ledger.spend import Statement
from aibudget.metering.catalogue import CPU, ENERGY, MEMORY
from aibudget.metering.slots import Interval
from aibudget.pricing.carbon import Carbon


@dataclass(frozen=True, slots=True)
class Grounds:
    """`units` are those of users' meters, by name; `owners` know what workloads are part of.

    `restated` are meters that count otherwise than in the cycle before, `absent` those that nothing tells of
    now.
    """

    sharing: Sharing = field(default_factory=Sharing)
    owners: OwnerBook = field(default_factory=OwnerBook)
    units: Mapping[str, str] = field(default_factory=dict)
    restated: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    carbon: Carbon = field(default_factory=lambda: Carbon(()))

    def check(self, budget: Budget) -> None:
        """Raises `Stalled` where a cap of its is on no meter, or in another unit."""
        check_meters(budget.spec.caps or (), self.units)

    def told(self, statements: Mapping[str, Statement]) -> Mapping[str, Statement]:
        """Without those of meters that nothing tells of, unless something did in the interval: what they
        would have counted is unknown, and not nothing.
        """
        return {meter: one for meter, one in statements.items() if one.lines or meter not in self.absent}

    def countings(
        self,
        budgets: Iterable[Budget],
        books: Books,
        statements: Mapping[str, Statement],
        interval: Interval,
    ) -> Iterable[Counting]:
        """The lines of an interval that the caps of these budgets count."""
        return caps.countings(
            caps.wanted(budgets),
            statements,
            self.carbon,
            lambda part: books.statements(part).get(ENERGY.name),
            interval,
        )


def reserved(models: Iterable[object]) -> frozenset[str]:
    """The meters of what pods reserve that some cap counts: they are read for that, priced or not."""
    budgets = (one for one in models if isinstance(one, AIBudget | ClusterAIBudget))
    return frozenset(meter for meter, _ in caps.wanted(budgets)) & {CPU.name, MEMORY.name}
