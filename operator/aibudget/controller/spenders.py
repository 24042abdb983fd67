"""What the workloads of a budget spent in some whole hours, by the ledger. For the worker's thread."""

from collections.abc import Callable, Mapping

from aibudget.api.budget import AIBudget, Budget
from aibudget.budgeting.share import Shares
from aibudget.controller.books import Books
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.workload import Workload
from aibudget.ledger.hours import HOUR
from aibudget.ledger.spend import Statement, summed
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Coverage


class Spenders:
    """Asked for the few budgets of which something is unusual."""

    def __init__(self, books: Books, owners: Callable[[], OwnerBook]) -> None:
        self._books = books
        self._owners = owners

    def amounts(self, budget: Budget, interval: Interval) -> Mapping[Workload, float] | None:
        """In the budget's currency; None where the first meter has not counted all of it."""
        namespaces = frozenset({budget.namespace or ""}) if isinstance(budget, AIBudget) else None
        statements: dict[str, Statement] = {}
        for meter, accounts in self._books.kept().items():
            hours = accounts.hourly(interval, namespaces).values()
            lines = summed(line for hour in hours for line in hour.lines)
            whole = len(hours) * HOUR == interval.seconds and all(hour.complete for hour in hours)
            statements[meter] = Statement(lines, Coverage(0, 0), interval.end, whole)
        if not statements[self._books.first.meter].complete:
            return None
        share = Shares(statements, {}, frozenset(), budget.spec.currency, self._owners()).of(budget)
        return {spent.workload: float(spent.amount) for spent in share.workloads}
