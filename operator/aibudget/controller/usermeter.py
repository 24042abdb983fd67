"""One AIMeter as the accounts read it."""

from aibudget.controller.counted import LEAST_LAG_SECONDS, Presence
from aibudget.controller.sources import Upstream
from aibudget.errors import AIBudgetError, Stalled
from aibudget.metering.catalogue import kept_as
from aibudget.metering.counters import read_counters
from aibudget.metering.definition import Definition
from aibudget.metering.slots import Interval
from aibudget.metering.source import QueryRefused, TooManySamples
from aibudget.metering.usage import Reading
from aibudget.pricing.book import PriceBook


class UserMeter:
    """A `meters.UserSource`. It is always read: somebody wrote it to see it."""

    def __init__(self, upstream: Upstream, definition: Definition) -> None:
        self.definition = definition
        self.lines: int | None = None
        self.folded: int | None = None
        self.problem: AIBudgetError | None = None
        self._until = 0
        self._upstream = upstream
        self._key = kept_as(definition.name, definition.generation)
        self._meter = definition.counted(upstream.scenes.settings)
        self._presence = Presence(upstream, self._meter)

    @property
    def is_present(self) -> bool | None:
        """Whether anything tells of it; None before it could be asked."""
        return self._presence.is_seen

    def tried(self) -> tuple[str, ...]:
        """The dry evaluation, at Prometheus's own time."""
        upstream = self._upstream
        upstream.begin()
        return self.definition.tried(upstream.scenes.source, upstream.scenes.settings, upstream.time())

    def time(self) -> int:
        return self._upstream.time()

    def lag(self) -> int:
        return max(LEAST_LAG_SECONDS, self._upstream.lag())

    def wanted(self, book: PriceBook) -> bool:
        return True

    def read(self, interval: Interval) -> Reading:
        """Everything used in the interval, which must not end in the future, in as many lines as may be."""
        try:
            reading = self._upstream.read(interval, lambda: self._read(interval))
        except AIBudgetError as error:
            lasts = isinstance(error, QueryRefused) and not isinstance(error, TooManySamples)
            self.problem = Stalled("QueryRefused", error.message) if lasts else error
            raise
        self.problem = None
        reading, whole = self.definition.folded(reading)
        if interval.end >= self._until:
            self.lines, self.folded, self._until = whole.lines, whole.folded, interval.end
            self._presence.note(reading)
        return reading

    def _read(self, interval: Interval) -> Reading:
        upstream = self._upstream
        moment = interval, max(interval.end, upstream.time())
        memory = upstream.memory(self._key)
        return read_counters(upstream.scenes, moment, self._meter, memory, upstream.owners)
