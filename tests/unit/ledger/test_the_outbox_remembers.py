"""The outbox takes a transition in once, gives it out until it is done with, and never grows without end."""

from collections.abc import Iterator

import pytest

from aibudget.errors import Conflict
from aibudget.ledger import outbox as module
from aibudget.ledger.outbox import DEAD_SECONDS, MEMORY_SECONDS, Entry, Outbox, Queue
from aibudget.ledger.store import Ledger

NOON = 1795262400


@pytest.fixture
def outbox(url: str, ledger: Ledger) -> Iterator[Outbox]:
    """In a ledger that is in use."""
    ledger.take_over()
    opened = Outbox.open(url, "here")
    yield opened
    opened.close()


def entry(transition: str, *, receiver: str = "slack", batch: str = "b") -> Entry:
    """One."""
    return Entry(receiver, transition, batch, f"message of {transition}")


def test_each_receiver_is_told_once(outbox: Outbox) -> None:
    """The same transition is another delivery for another receiver, and none for the same."""
    assert outbox.put([entry("a"), entry("a"), entry("a", receiver="ops")], NOON) == 2
    assert outbox.put([entry("a"), entry("a", receiver="ops")], NOON + 60) == 0

    letter = outbox.next("slack")
    assert letter is not None
    outbox.delivered(letter)
    assert outbox.next("slack") is None
    assert outbox.put([entry("a")], NOON + 120) == 0
    assert outbox.queues() == {"ops": Queue(waiting=1, oldest=NOON)}


def test_what_came_together_leaves_together(outbox: Outbox) -> None:
    """A batch is what is new of it now; what joins it later is a letter of its own."""
    outbox.put([entry("a"), entry("b"), entry("c", batch="other")], NOON)
    outbox.put([entry("b"), entry("d")], NOON + 1)

    letters = []
    while (letter := outbox.next("slack")) is not None:
        letters.append(sorted(letter.messages))
        outbox.delivered(letter)

    assert sorted(letters) == [
        ["message of a", "message of b"],
        ["message of c"],
        ["message of d"],
    ]


def test_what_failed_comes_after_what_is_due(outbox: Outbox) -> None:
    """One message that is never taken does not keep the others back."""
    outbox.put([entry("a")], NOON)
    first = outbox.next("slack")
    assert first is not None
    outbox.postponed(first, NOON + 100, "answered 500")
    outbox.put([entry("b", batch="x")], NOON + 50)

    second = outbox.next("slack")
    assert second is not None
    assert second.messages == ("message of b",)
    outbox.died(second, "answered 400")
    again = outbox.next("slack")
    assert again is not None
    assert (again.messages, again.attempts, again.due) == (first.messages, 1, NOON + 100)
    assert outbox.queues()["slack"] == Queue(waiting=1, dead=1, oldest=NOON)


def test_a_writer_that_was_followed_is_refused(outbox: Outbox, ledger: Ledger) -> None:
    """A leader that was paused must not mark, postpone or bury what another one works on."""
    outbox.put([entry("a")], NOON)
    letter = outbox.next("slack")
    assert letter is not None
    ledger.take_over()

    with pytest.raises(Conflict, match="took the ledger over"):
        outbox.delivered(letter)
    with pytest.raises(Conflict, match="took the ledger over"):
        outbox.put([entry("b")], NOON)


def test_the_memory_lasts_as_long_as_it_is_offered(outbox: Outbox) -> None:
    """A status that cannot be written for days offers its transition each minute: still told once."""
    outbox.put([entry("a")], NOON)
    letter = outbox.next("slack")
    assert letter is not None
    outbox.delivered(letter)
    late = NOON + 3 * MEMORY_SECONDS
    for now in range(NOON, late + 1, MEMORY_SECONDS // 4):
        assert outbox.put([entry("a")], now) == 0
        outbox.prune(now, ["slack"])

    assert outbox.prune(late + MEMORY_SECONDS + 1, ["slack"]) == 1


def test_it_never_grows_without_end(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that is away for days fills no disk: what does not fit is dead, and counted."""
    monkeypatch.setattr(module, "MOST_WAITING", 5)
    monkeypatch.setattr(module, "MOST_DEAD", 2)
    outbox.put([entry(str(n), batch=str(n)) for n in range(9)], NOON)
    assert outbox.queues()["slack"] == Queue(waiting=5, dead=4, oldest=NOON)

    assert outbox.prune(NOON, ["slack"]) == 2
    assert outbox.queues()["slack"].dead == 2
    assert outbox.prune(NOON + DEAD_SECONDS + 1, ["slack"]) == 2
    assert outbox.queues()["slack"] == Queue(waiting=5, dead=0, oldest=NOON)


def test_what_waits_for_nobody_is_dead(outbox: Outbox) -> None:
    """A receiver that was taken out of the configuration will never take it."""
    outbox.put([entry("a"), entry("a", receiver="gone")], NOON)
    outbox.prune(NOON, ["slack"])

    assert outbox.queues() == {"slack": Queue(waiting=1, oldest=NOON), "gone": Queue(dead=1)}
