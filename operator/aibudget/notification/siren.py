"""Tells an Alertmanager which alerts last, again and again, and of each that has ended until it has heard.

The cycle says what lasts; nothing is kept that the next cycle would not say. If the operator falls silent its
alerts end by themselves after a while, as those of Prometheus do.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from aibudget.notification import alertmanager
from aibudget.notification.alerts import Alert, LabelSet
from aibudget.notification.receivers import Receiver
from aibudget.notification.retry import delay
from aibudget.notification.tally import Tally
from aibudget.notification.webhook import Sender

AGAIN_SECONDS: Final = 60.0
SILENCE_SECONDS: Final = 600
"""For how long an alert lasts that is not heard of again: a restart of the operator must not end it."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Siren:
    """For one receiver. `show` is called by the cycle, `run` sends beside it. `now` is Unix seconds."""

    receiver: Receiver
    sender: Sender
    held: Callable[[], bool]
    now: Callable[[], float]
    tally: Tally
    jitter: Callable[[], float] = random.random
    _active: dict[LabelSet, Alert] = field(default_factory=dict)
    _ended: dict[LabelSet, tuple[Alert, int]] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, alerts: Iterable[Alert]) -> None:
        """This is all that lasts now."""
        found = {alert.labels: alert for alert in alerts}
        for labels in self._active.keys() - found.keys():
            self._ended[labels] = (self._active[labels], int(self.now()))
        for labels in self._ended.keys() & found.keys():
            del self._ended[labels]
        if found.keys() != self._active.keys():
            self._news.set()
        self._active = found

    async def run(self) -> None:
        """Send until cancelled; an error of ours is told, and tried again."""
        failures = 0
        while True:
            try:
                failures = 0 if await self.send() else failures + 1
            except Exception:
                log.exception("alerts to %s wait", self.receiver.name)
                failures += 1
            pause = delay(failures, self.jitter()) if failures else AGAIN_SECONDS
            await self._nap(min(pause, AGAIN_SECONDS), woken=not failures)

    async def send(self) -> bool:
        """One request, if there is anything to tell; False if it was not heard."""
        self._news.clear()
        ended = dict(self._ended)
        if not (self._active or ended) or not self.held():
            return True
        until = int(self.now()) + SILENCE_SECONDS
        body = alertmanager.body(self._active.values(), ended, until, self.receiver.link)
        outcome = await self.sender.send(
            self.receiver, body, alertmanager.CONTENT_TYPE, path=alertmanager.PATH
        )
        self.tally.count(self.receiver, "delivered" if outcome.arrived else "retried")
        if not outcome.arrived:
            log.warning("alerts to %s are sent again: %s", self.receiver.name, outcome.problem)
            return False
        for labels, told in ended.items():
            if self._ended.get(labels) == told:
                del self._ended[labels]
        return True

    async def _nap(self, seconds: float, *, woken: bool) -> None:
        if not woken:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
