"""The accounts of all meters, side by side.

Each meter has its own watermark, its own gaps and its own failures; here is only what concerns several: which
of them are open, what all of them state of an interval, and whose turn it is to read on in the past. The
first is the one that every budget counts on. For one worker thread.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from aibudget.budgeting.share import Recent
from aibudget.controller.accounts import Accounts
from aibudget.controller.head import Backfill
from aibudget.inventory.workload import Workload
from aibudget.ledger.spend import Statement
from aibudget.metering.slots import Interval
from aibudget.metering.usage import Balance
from aibudget.pricing.book import PriceBook


def _nothing() -> None:
    """For meters that share nothing."""


class Books:
    """`begin` is called before each round of reading, for what the meters' sources share; `balances` tell
    what became of each node pool's capacity, `sources` whether anything tells of meters that count.
    """

    def __init__(
        self,
        accounts: Sequence[Accounts],
        begin: Callable[[], None] = _nothing,
        balances: Callable[[], Mapping[str, Balance]] = dict,
        sources: Callable[[], Mapping[str, bool]] = dict,
    ) -> None:
        self.begin: Final = begin
        self.balances: Final = balances
        self.sources: Final = sources
        self._built_in = tuple(accounts)
        self._accounts = self._built_in
        self._coming: tuple[Accounts, ...] = ()
        self._capped: frozenset[str] = frozenset()
        self._turn = 0

    @property
    def first(self) -> Accounts:
        """The meter that every budget counts on."""
        return self._accounts[0]

    def beside(self, accounts: Iterable[Accounts], coming: Iterable[Accounts] = ()) -> None:
        """From now on these meters of users, and no others, stand beside the built-in ones.

        Those that are coming are read, and not stated yet.
        """
        self._accounts = (*self._built_in, *accounts)
        self._coming = tuple(coming)

    def cap(self, meters: frozenset[str]) -> None:
        """From now on read these whether they have a price or not, for caps count them."""
        self._capped = meters

    def open(self, book: PriceBook) -> tuple[Accounts, ...]:
        """The meters to read, those that are stated first."""
        found = (*self._accounts, *self._coming)
        return tuple(one for one in found if one.is_open(book) or one.meter in self._capped)

    def is_stated(self, accounts: Accounts) -> bool:
        """Whether budgets count on them."""
        return accounts not in self._coming

    def in_turn(self, book: PriceBook) -> tuple[Accounts, ...]:
        """The meters to read, another one first each time: none waits for the whole past of the others."""
        found = self.open(book)
        self._turn += 1
        place = self._turn % len(found)
        return found[place:] + found[:place]

    def rerate(self, book: PriceBook, since: int, now: int) -> int:
        """Price what is posted by this book if it is another one; how many rows that changed."""
        return self.first.rerate(book, since, now)

    def repriced(self) -> int:
        """When posted usage last got another price (Unix seconds); 0 before the first time."""
        return self.first.repriced()

    def statements(self, interval: Interval) -> Mapping[str, Statement]:
        """All that is known of an interval on slots, by meter; those without any data are left out."""
        return {
            accounts.meter: accounts.statement(interval)
            for accounts in self._accounts
            if accounts is self.first or accounts.is_kept or accounts.head is not None
        }

    def recount(self, interval: Interval) -> Mapping[str, Statement]:
        """As `statements` of an interval that is over, from the slots themselves and no running totals."""
        return {
            accounts.meter: accounts.recount(interval)
            for accounts in self._accounts
            if accounts is self.first or accounts.is_kept
        }

    def newest(self, now: int) -> Mapping[str, Recent]:
        """What each meter says of the newest time."""
        return {
            accounts.meter: accounts.newest(now)
            for accounts in self._accounts
            if accounts is self.first or accounts.head is not None
        }

    def kept(self) -> Mapping[str, Accounts]:
        """The meters of which anything is posted, and the first in any case."""
        return {one.meter: one for one in self._accounts if one is self.first or one.is_kept}

    def workloads(self) -> frozenset[Workload]:
        """Whatever the newest usage of any meter is of."""
        heads = (accounts.head for accounts in self._accounts)
        return frozenset(charge.usage.workload for head in heads if head for charge in head.charges)

    def past(self, wanted: int, book: PriceBook) -> Backfill | None:
        """How far the past is read by the meter that is the least far; None before any reading."""
        wanting = [accounts for accounts in self.open(book) if self._is_wanted(accounts, book)]
        known = [past for accounts in wanting if (past := accounts.past(wanted)) is not None]
        return max(known, key=lambda past: past.begins, default=None)

    def pasts(self, wanted: int, book: PriceBook) -> Mapping[str, Backfill]:
        """How far the past of each meter that is stated is read; without those that were not read yet."""
        wanting = [one for one in self._accounts if self._is_wanted(one, book)]
        return {one.meter: past for one in wanting if (past := one.past(wanted)) is not None}

    def _is_wanted(self, accounts: Accounts, book: PriceBook) -> bool:
        return accounts.is_wanted(book) or accounts.meter in self._capped

    def unpriced(self) -> Mapping[str, float]:
        """What of the newest usage has no price, by meter, in its pricing unit."""
        return {
            meter: quantity for accounts in self._accounts for meter, quantity in accounts.unpriced().items()
        }
