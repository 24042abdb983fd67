"""From the outbox to the receiver: once where all goes well, and never lost where it does not."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aibudget.ledger.outbox import Entry, Letter, Outbox
from aibudget.ledger.store import Ledger
from aibudget.notification.courier import Courier
from aibudget.notification.message import Message
from aibudget.notification.receivers import Receiver
from aibudget.notification.retry import GIVE_UP_SECONDS
from aibudget.notification.webhook import Sender
from unit.ledger.blank import blank
from unit.notification.inbox import Inbox

MakeMessage = Callable[..., Message]
MakeReceiver = Callable[..., Receiver]

NOON = 1795262400


@dataclass
class Office:
    """One ledger; couriers that come and go on it, by a clock that is moved by hand."""

    url: str
    thread: ThreadPoolExecutor
    now: float = NOON
    leads: bool = True
    buried: list[Any] = field(default_factory=list)
    results: dict[str, int] = field(default_factory=dict)

    def open(self) -> Outbox:
        """As a process does at its start."""
        return self.thread.submit(Outbox.open, self.url, "here").result()

    def put(self, *messages: Message, receiver: str = "here") -> int:
        """What a cycle does."""
        entries = [Entry(receiver, one.id, one.reason, one.to_json()) for one in messages]
        outbox = self.open()
        try:
            return outbox.put(entries, int(self.now))
        finally:
            outbox.close()

    def serve(
        self, until: Callable[["Office"], bool], *receivers: Receiver, outbox: Outbox | None = None
    ) -> None:
        """Run a courier until something is so; fails after ten seconds."""
        asyncio.run(self._serve(until, receivers, outbox or self.open()))

    async def _serve(
        self, until: Callable[["Office"], bool], receivers: tuple[Receiver, ...], outbox: Outbox
    ) -> None:
        courier = Courier(
            receivers, outbox, self.thread, Sender(), lambda: self.leads, lambda: self.now, jitter=lambda: 1.0
        )
        before = dict(self.results)
        running = asyncio.create_task(courier.run())
        try:
            async with asyncio.timeout(10):
                while True:
                    self.results = dict(before)
                    for (_, _, result), count in courier.tally.counts.items():
                        self.results[result] = self.results.get(result, 0) + count
                    if until(self):
                        break
                    courier.wake()
                    await asyncio.sleep(0.005)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            self.buried += courier.buried
            outbox.close()

    def waiting(self) -> int:
        """Of the receiver `here`."""
        outbox = self.open()
        try:
            queues = outbox.queues()
        finally:
            outbox.close()
        return queues["here"].waiting if "here" in queues else 0


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """On a new ledger."""
    url = blank(tmp_path / "ledger.db")
    Ledger.open(url, "here").close()
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield Office(url, thread)


def delivered(number: int) -> Callable[[Office], bool]:
    """So many have arrived and are marked."""
    return lambda office: office.results.get("delivered", 0) >= number


def retried(number: int) -> Callable[[Office], bool]:
    """So many attempts have failed."""
    return lambda office: office.results.get("retried", 0) >= number


def looked(times: int) -> Callable[[Office], bool]:
    """The courier was woken so often."""
    turns = iter(range(times))
    return lambda _: next(turns) == times - 1


def test_a_transition_is_delivered_once(
    office: Office, inbox: Inbox, receiver: MakeReceiver, make_message: MakeMessage
) -> None:
    """Offered again and again, by later cycles and later processes, it stays one."""
    assert office.put(make_message()) == 1
    office.serve(delivered(1), receiver())
    assert office.put(make_message()) == 0
    assert office.put(make_message(), make_message(id="4567")) == 1
    office.serve(delivered(2), receiver())

    assert [request.json()["id"] for request in inbox.requests] == ["0123", "4567"]
    assert inbox.requests[0].headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert office.waiting() == 0


def test_what_arrived_and_was_not_marked_keeps_its_id(
    office: Office, inbox: Inbox, receiver: MakeReceiver, make_message: MakeMessage
) -> None:
    """A crash between the answer and our commit sends again: the id lets the receiver tell."""

    class Killed(Outbox):
        def delivered(self, letter: Letter) -> None:
            raise KeyboardInterrupt

    office.put(make_message(), make_message(id="4567"))
    killed: Outbox = office.thread.submit(Killed.open, office.url, "here").result()
    with pytest.raises(KeyboardInterrupt):
        office.serve(lambda _: False, receiver(), outbox=killed)
    (first,) = inbox.requests
    assert office.waiting() == 2

    office.serve(delivered(1), receiver())
    assert inbox.requests[1].json()["id"] == first.json()["id"]
    assert len(inbox.requests) == 2


def test_a_failure_is_tried_again_later(
    office: Office, inbox: Inbox, receiver: MakeReceiver, make_message: MakeMessage
) -> None:
    """With pauses that double, not at once and not for ever."""
    inbox.answers = [(500, {}), (503, {})]
    office.put(make_message())
    office.serve(retried(1), receiver())
    assert len(inbox.requests) == 1

    office.now += 4
    office.serve(looked(20), receiver())
    assert len(inbox.requests) == 1

    office.now += 1
    office.serve(retried(2), receiver())
    office.now += 10
    office.serve(delivered(1), receiver())
    assert len({request.body for request in inbox.requests}) == 1
    assert office.buried == []


def test_a_receiver_is_given_the_time_it_asks_for(
    office: Office, inbox: Inbox, receiver: MakeReceiver, make_message: MakeMessage
) -> None:
    """Retry-After of a 429 holds for all that waits for it, not for the one message alone."""
    inbox.answers = [(429, {"Retry-After": "120"})]
    office.put(make_message(), make_message(id="4567", reason="PeriodStarted"))

    def first_refused_then_clock(moved: Office) -> bool:
        if moved.results.get("retried") and moved.now == NOON:
            assert len(inbox.requests) == 1
            moved.now += 119
        elif moved.now == NOON + 119:
            assert len(inbox.requests) == 1
            moved.now += 1
        return moved.results.get("delivered", 0) == 2

    office.serve(first_refused_then_clock, receiver())
    assert len(inbox.requests) == 3


def test_after_a_day_it_is_a_dead_letter(
    office: Office,
    inbox: Inbox,
    receiver: MakeReceiver,
    make_message: MakeMessage,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """News of yesterday is kept, counted and told of, and no longer sent."""
    caplog.set_level(logging.INFO)
    inbox.answers = [(500, {})] * 9
    office.put(make_message())
    office.serve(retried(1), receiver())
    office.now += GIVE_UP_SECONDS
    office.serve(lambda o: o.results.get("dead") == 1, receiver(type="Slack", url=f"{inbox.url}/T0PS3CRET"))

    (letter,) = office.buried
    assert (letter.receiver, letter.message.id) == ("here", "0123")
    assert letter.problem == "the receiver answered 500, an error"
    assert "T0PS3CRET" not in caplog.text
    assert "T0PS3CRET" not in repr(letter)
    assert office.waiting() == 0
    assert office.put(make_message()) == 0


@pytest.mark.parametrize(
    ("status", "result"), [(400, "dead"), (413, "dead"), (404, "retried"), (401, "retried")]
)
def test_a_refusal_that_time_cannot_mend_is_final(
    office: Office, inbox: Inbox, receiver: MakeReceiver, make_message: MakeMessage, status: int, result: str
) -> None:
    """A body that is not taken will never be; a wrong token or route may be mended meanwhile."""
    inbox.answers = [(status, {})]
    office.put(make_message())
    office.serve(lambda o: bool(o.results), receiver())

    assert office.results == {result: 1}


def test_a_receiver_that_fails_keeps_no_other_waiting(
    office: Office, make_inbox: Callable[[], Inbox], receiver: MakeReceiver, make_message: MakeMessage
) -> None:
    """Each has a queue and a task of its own."""
    bad, good = make_inbox(), make_inbox()
    bad.answers = [(500, {})] * 99
    for name in ("bad", "good"):
        office.put(make_message(), receiver=name)

    office.serve(
        delivered(1), receiver(name="bad", url=f"{bad.url}/"), receiver(name="good", url=f"{good.url}/")
    )

    assert len(good.requests) == 1


def test_only_the_leader_sends(
    office: Office, inbox: Inbox, receiver: MakeReceiver, make_message: MakeMessage
) -> None:
    """A replica that lost its Lease leaves what waits to the next one."""
    office.put(make_message())
    office.leads = False
    office.serve(looked(20), receiver())
    assert inbox.requests == []

    office.leads = True
    office.serve(delivered(1), receiver())


def test_a_stop_lets_the_attempt_end(
    office: Office, inbox: Inbox, receiver: MakeReceiver, make_message: MakeMessage
) -> None:
    """What is on its way when we are told to stop is marked, and not sent again by the next process."""
    office.put(make_message())
    office.serve(lambda _: bool(inbox.requests), receiver())

    assert office.waiting() == 0
    office.serve(looked(20), receiver())
    assert len(inbox.requests) == 1


def test_a_message_of_another_version_is_no_end(
    office: Office, inbox: Inbox, receiver: MakeReceiver, make_message: MakeMessage
) -> None:
    """It is dead, and what comes after it is delivered."""
    outbox = office.open()
    outbox.put([Entry("here", "odd", "odd", '{"what": "is this"}')], NOON - 1)
    outbox.close()
    office.put(make_message())
    office.serve(delivered(1), receiver())

    assert office.results == {"dead": 1, "delivered": 1}
