"""The built-in meters that count, as the accounts read them: tokens, requests, spend and energy."""

import logging
from typing import Final

from aibudget.controller.sources import Upstream
from aibudget.errors import AIBudgetError
from aibudget.metering.catalogue import ENERGY
from aibudget.metering.counters import CountedMeter, read_counters, told_of
from aibudget.metering.definitions import built_in
from aibudget.metering.families import families
from aibudget.metering.slots import Interval
from aibudget.metering.source import QueryRefused
from aibudget.metering.usage import Reading
from aibudget.pricing.book import PriceBook

LEAST_LAG_SECONDS: Final = 120
"""A counter that is scraped each minute may show only now what it counted two minutes ago."""
LOOK_AGAIN_SECONDS: Final = 300
"""How often is asked for a source that is absent."""

log = logging.getLogger(__name__)


class Presence:
    """Whether anything tells of a meter: asked now and then, as long as nothing of it is counted.

    Those that are `together` are asked for at once.
    """

    def __init__(
        self, upstream: Upstream, meter: CountedMeter, together: "list[Presence] | None" = None
    ) -> None:
        self._upstream = upstream
        self.meter: Final = meter
        self.looked: int | None = None
        """When it was asked for last, in Unix seconds."""
        self._together = [] if together is None else together
        self._together.append(self)
        self.is_seen: bool | None = None
        """None before it could be asked."""

    def note(self, reading: Reading) -> None:
        """What was just read of the newest time."""
        if reading.usages:
            self.is_seen = True
        else:
            self.look()

    def look(self) -> None:
        """Ask, unless that was done of late. Raises the source's errors."""
        now = self._upstream.time()
        if not self.is_due(now):
            return
        due = [one for one in self._together if one is self or (not one.is_seen and one.is_due(now))]
        try:
            self._ask(due, now)
        except QueryRefused:
            if due == [self]:
                raise
            # What is refused of one of them, or of so many at once, is not to be held against the others.
            self._ask([self], now)

    def _ask(self, due: "list[Presence]", now: int) -> None:
        told = told_of(self._upstream.scenes, [one.meter for one in due], now)
        for one in due:
            one.is_seen, one.looked = one.meter.name in told, now

    def is_due(self, now: int) -> bool:
        """Whether it was not asked for of late."""
        return self.looked is None or not self.looked <= now < self.looked + LOOK_AGAIN_SECONDS


class CounterSource:
    """An `accounts.Source` of a built-in meter that counts; read as soon as anything tells of it."""

    def __init__(self, upstream: Upstream, name: str, together: list[Presence] | None = None) -> None:
        self._upstream = upstream
        self._meter = CountedMeter(
            name, families(name, built_in()[name], upstream.scenes.settings), is_on_nodes=name == ENERGY.name
        )
        self._presence = Presence(upstream, self._meter, together)
        self._until = 0
        self._was_seen = self._is_missed = False

    @property
    def is_present(self) -> bool | None:
        """Whether anything tells of it; None before it could be asked."""
        return self._presence.is_seen

    def time(self) -> int:
        return self._upstream.time()

    def lag(self) -> int:
        return max(LEAST_LAG_SECONDS, self._upstream.lag())

    def wanted(self, book: PriceBook) -> bool:
        """Whether anything ever told of it; where nothing does, this is asked again now and then."""
        if self._was_seen:
            return True
        try:
            self._presence.look()
        except AIBudgetError as error:
            log.warning("%s: not looked for: %s", self._meter.name, error.message)
        self._was_seen = bool(self.is_present)
        if self.is_present is False and not self._is_missed:
            self._is_missed = True
            log.info("%s: nothing tells of it, so it is not metered", self._meter.name)
        return self._was_seen

    def read(self, interval: Interval) -> Reading:
        """Everything counted in the interval, which must not end in the future."""
        upstream = self._upstream
        moment = interval, max(interval.end, upstream.time())
        reading = upstream.read(
            interval,
            lambda: read_counters(
                upstream.scenes, moment, self._meter, upstream.memory(self._meter.name), upstream.owners
            ),
        )
        if interval.end >= self._until:
            self._until = interval.end
            self._presence.note(reading)
        return reading
