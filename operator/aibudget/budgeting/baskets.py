"""What a budget's scope spent in an interval, by SKU and by workload: one side of a comparison.

A scope is asked in the way it is asked for a share, and what counts there counts here. Pure.
"""

from aibudget.api.budget import Budget
from aibudget.budgeting.drivers import Basket
from aibudget.budgeting.members import Members
from aibudget.budgeting.selection import Selection
from aibudget.budgeting.tally import Prices


def basket(budget: Budget, selection: Selection, members: Members, prices: Prices) -> Basket:
    """The budget's; money is in the currency of the prices."""
    taken = members.taken(budget, selection)
    found = Basket(unlabelled=taken.unlabelled)
    for member in taken.members:
        for line in member.lines:
            if not line.quantity or not selection.counts(line.sku.meter):
                continue
            if line.rate is None:
                found.unpriced.add(line.sku)
                continue
            # What is in the price of something else is in no sum.
            if line.rate.reason:
                continue
            price = prices.of(line.rate)
            if price is None:
                found.currencies.add(line.rate.currency)
                continue
            units, cost = line.quantity * price, found.skus[line.sku]
            cost.quantity += line.quantity
            cost.units += units
            found.workloads[line.workload] += units
    return found
