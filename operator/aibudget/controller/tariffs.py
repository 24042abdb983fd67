"""Live prices, asked for once an hour and remembered for good.

Each distinct price is a dated rate in the ledger, so that a restart, or a source that is gone, changes
nothing of the past. For the worker's thread.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from aibudget.errors import AIBudgetError
from aibudget.ledger.store import Ledger
from aibudget.metering.tariffs import Tariff
from aibudget.pricing.live import is_live, renewed, source_of
from aibudget.pricing.rate import Rate

EVERY_SECONDS: Final = 3600

log = logging.getLogger(__name__)


class LivePrices:
    """Of one source; the ledger keeps what it ever said."""

    def __init__(self, of: str, ask: Callable[[int], Sequence[Tariff]], ledger: Ledger) -> None:
        """`ask` gives the tariffs of an instant (Unix seconds), or raises."""
        self._source = source_of(of)
        self._ask = ask
        self._ledger = ledger
        self._asked: int | None = None
        self._rates: tuple[Rate, ...] | None = None

    def rates(self, now: int) -> tuple[Rate, ...]:
        """Every rate so far. A source that does not answer is asked again in an hour."""
        if self._rates is None:
            kept = self._ledger.kept_rates()
            self._rates = tuple(rate for rate in kept if is_live(rate, self._source))
        if self._asked is None or now - self._asked >= EVERY_SECONDS:
            self._asked = now
            try:
                tariffs = self._ask(now)
            except AIBudgetError as error:
                log.warning(
                    "live prices stay as they were: %s", error.message, extra={"reason": error.reason}
                )
                return self._rates
            if not tariffs:
                log.warning("%s says no prices of machines that are here", self._source)
            if new := renewed(tariffs, self._rates, self._source, now):
                self._ledger.keep_rates(new, now)
                self._rates = (*self._rates, *new)
        return self._rates
