"""A `PromSource` that does not ask a second time for what was too much at once.

Prometheus gives a query up after so many samples or so much time. The same expression over as long a range
would be given up again, half a minute later, in each cycle and for each part of the past: that is refused
here at once, and who asks goes on with less, as if Prometheus had said so. What is answered quickly makes
longer ranges worth a try again. It must not refuse what failed for another reason. Pure but for the source
and its clock.
"""

import time
from collections.abc import Callable
from typing import Final

from aibudget.metering.source import PromSource, Result, TooMuchAtOnce

QUICK_SECONDS: Final = 5.0
"""An answer within this time is worth twice as long a range the next time."""


class Portions:
    """For one thread. `clock` gives seconds that only go forward."""

    def __init__(self, source: PromSource, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._too_many: dict[tuple[str, int], int] = {}

    def time(self) -> float:
        """As the source."""
        return self._source.time()

    def query(self, promql: str, at: float) -> Result:
        """As the source: one instant is the least there is to ask for."""
        return self._source.query(promql, at)

    def query_range(self, promql: str, start: int, end: int, step: int) -> Result:
        """As the source, which is not asked for as many instants as were too many of this expression."""
        key, instants = (promql, step), (end - start) // step + 1
        too_many = self._too_many.get(key)
        if too_many is not None and instants >= too_many:
            raise TooMuchAtOnce(f"{too_many} instants were too many at once. Ask for a shorter range.")
        began = self._clock()
        try:
            result = self._source.query_range(promql, start, end, step)
        except TooMuchAtOnce:
            # One instant is asked for whatever became of it before: there is no less.
            if instants > 1:
                self._too_many[key] = instants
            raise
        if too_many is not None and 2 * instants >= too_many and self._clock() - began < QUICK_SECONDS:
            del self._too_many[key]
        return result
