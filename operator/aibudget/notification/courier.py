"""Carries what waits in the outbox to its receivers, beside the cycle and never in its way.

Each receiver is served by a task of its own, one message at a time: one that hangs delays no other.
The outbox is asked in a thread of its own. Whatever is interrupted waits in the outbox for the next attempt;
a message that arrived and was not marked is sent again under the same id.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from aibudget.errors import AIBudgetError, Conflict
from aibudget.ledger.outbox import Letter, Outbox
from aibudget.notification import cloudevents, slack
from aibudget.notification.message import Message, joined, read
from aibudget.notification.receivers import Receiver
from aibudget.notification.retry import Outcome, delay, verdict
from aibudget.notification.tally import Tally
from aibudget.notification.webhook import Sender

AT_ONCE: Final = 8
STOP_SECONDS: Final = 3.0
"""How long an attempt that is under way may take to end, once we are told to stop."""
LOOK_SECONDS: Final = 30.0
"""How long a receiver without work is left alone, unless it is woken."""
PRUNE_SECONDS: Final = 3600.0

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up. `problem` holds no secret."""

    receiver: str
    message: Message
    problem: str


@dataclass(slots=True)
class Courier:
    """`held` is asked right before each attempt: only a leader sends. `now` is Unix seconds."""

    receivers: Sequence[Receiver]
    outbox: Outbox
    thread: Executor
    sender: Sender
    held: Callable[[], bool]
    now: Callable[[], float]
    tally: Tally = field(default_factory=Tally)
    jitter: Callable[[], float] = random.random
    buried: list[DeadLetter] = field(default_factory=list)
    _news: dict[str, asyncio.Event] = field(default_factory=dict)

    def wake(self) -> None:
        """There is something new in the outbox."""
        for event in self._news.values():
            event.set()

    async def run(self) -> None:
        """Serve until cancelled; attempts under way then get a little time to end."""
        gate = asyncio.Semaphore(AT_ONCE)
        stopping = asyncio.Event()
        self._news = {receiver.name: asyncio.Event() for receiver in self.receivers}
        tasks = [asyncio.create_task(self._serve(receiver, gate, stopping)) for receiver in self.receivers]
        tasks.append(asyncio.create_task(self._tidy()))
        try:
            # Not gather: that would cancel the attempts together with us.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            stopping.set()
            self.wake()
            tasks[-1].cancel()
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, receiver: Receiver, gate: asyncio.Semaphore, stopping: asyncio.Event) -> None:
        rests_until = 0.0
        while not stopping.is_set():
            self._news[receiver.name].clear()
            try:
                pause, rests_until = await self._turn(receiver, gate, rests_until)
            except Conflict as error:
                log.warning("no more is delivered from here: %s", error.message)
                return
            except AIBudgetError as error:
                log.warning("deliveries to %s wait: %s", receiver.name, error.message)
                pause = LOOK_SECONDS
            except Exception:
                log.exception("deliveries to %s wait", receiver.name)
                pause = LOOK_SECONDS
            await self._nap(receiver, pause)

    async def _turn(
        self, receiver: Receiver, gate: asyncio.Semaphore, rests_until: float
    ) -> tuple[float, float]:
        """One attempt, if one is due: for how long there is nothing to do, and until when it is to rest."""
        now = self.now()
        if now < rests_until:
            return rests_until - now, rests_until
        letter = await self._ask(self.outbox.next, receiver.name)
        if letter is None or letter.due > now or not self.held():
            return LOOK_SECONDS if letter is None else max(letter.due - now, 1.0), 0.0
        async with gate:
            outcome, message = await self._attempt(receiver, letter)
        rest = await self._settle(receiver, letter, outcome, message)
        return 0.0, self.now() + rest

    async def _attempt(self, receiver: Receiver, letter: Letter) -> tuple[Outcome, Message | None]:
        try:
            message = joined([read(text) for text in letter.messages])
        except ValueError:
            return Outcome(400, "the stored message cannot be read; another version wrote it"), None
        if receiver.type == "Slack":
            body, content_type = slack.body(message, receiver.link), slack.CONTENT_TYPE
        else:
            body, content_type = cloudevents.body(message), cloudevents.CONTENT_TYPE
        return await self.sender.send(receiver, body, content_type), message

    async def _settle(
        self, receiver: Receiver, letter: Letter, outcome: Outcome, message: Message | None
    ) -> float:
        """Write down what became of it; for how long the receiver is to rest."""
        result = verdict(outcome, self.now() - letter.created)
        rest = 0.0
        match result:
            case "delivered":
                await self._ask(self.outbox.delivered, letter)
            case "dead":
                await self._ask(self.outbox.died, letter, outcome.problem)
                log.error("a notification to %s is given up: %s", receiver.name, outcome.problem)
                if message is not None:
                    self.buried.append(DeadLetter(receiver.name, message, outcome.problem))
            case "retried":
                rest = delay(letter.attempts + 1, self.jitter(), outcome.retry_after)
                await self._ask(self.outbox.postponed, letter, int(self.now() + rest), outcome.problem)
                log.warning("a notification to %s is tried again: %s", receiver.name, outcome.problem)
        self.tally.count(receiver, result)
        return rest

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            try:
                await self._ask(self.outbox.prune, int(self.now()), [one.name for one in self.receivers])
            except AIBudgetError as error:
                log.warning("the outbox is not tidied: %s", error.message)

    async def _nap(self, receiver: Receiver, seconds: float) -> None:
        try:
            async with asyncio.timeout(min(seconds, LOOK_SECONDS)):
                await self._news[receiver.name].wait()
        except TimeoutError:
            return

    async def _ask(self, work: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.thread, work, *given)
