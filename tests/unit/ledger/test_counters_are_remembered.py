"""The last levels of counters are kept with what was posted up to them, or not at all."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from aibudget.errors import Conflict
from aibudget.ledger.posting import Posting
from aibudget.ledger.store import Ledger
from aibudget.metering.memory import Counter, Level, Memory
from aibudget.metering.slots import SLOT_SECONDS
from aibudget.metering.usage import Coverage

A = Counter("vllm", (("model", "llama"), ("pod", "a")))
B = Counter("vllm", (("model", "llama"), ("pod", "b")))


def posting(slot: int, revision: int, levels: Mapping[Counter, Level]) -> Posting:
    """One slot of the tokens meter, with what counters stood at in the end."""
    end = (slot + 1) * SLOT_SECONDS
    return Posting(
        meter="tokens",
        coverage={slot * SLOT_SECONDS: Coverage(SLOT_SECONDS, SLOT_SECONDS)},
        charges=(),
        watermark=end,
        revision=revision,
        at=end,
        memory=Memory(end, levels),
    )


def test_what_was_posted_last_is_remembered(ledger: Ledger, url: str) -> None:
    """New counters come, others move on, and those that are gone are forgotten; another process sees it."""
    assert ledger.memory("tokens") == Memory()
    ledger.post(posting(0, 0, {A: Level(890, 10), B: Level(900, 20)}))
    ledger.post(posting(1, 1, {A: Level(1790, 10**15)}))
    assert ledger.memory("tokens") == Memory(1800, {A: Level(1790, 10**15)})
    other = Ledger.open(url, "here")
    assert other.memory("tokens") == ledger.memory("tokens")
    ledger.post(posting(2, 2, {B: Level(2700, 30)}))
    assert other.memory("tokens") == Memory(2700, {B: Level(2700, 30)})
    other.close()


def test_a_posting_that_is_refused_changes_no_memory(ledger: Ledger) -> None:
    """Both are in one transaction."""
    ledger.post(posting(0, 0, {A: Level(890, 10)}))
    with pytest.raises(Conflict):
        ledger.post(posting(1, 0, {A: Level(1790, 99)}))
    assert ledger.memory("tokens") == Memory(900, {A: Level(890, 10)})


def test_a_slot_that_is_read_again_moves_no_memory(ledger: Ledger) -> None:
    """Nor does a memory of another time than the watermark: a reading would begin in the wrong place."""
    ledger.post(posting(0, 0, {A: Level(890, 10)}))
    ledger.post(posting(1, 1, {A: Level(1790, 20)}))
    ledger.post(replace(posting(0, 2, {A: Level(890, 10)}), watermark=1800))
    assert ledger.memory("tokens") == Memory(1800, {A: Level(1790, 20)})


def test_meters_have_memories_of_their_own(ledger: Ledger) -> None:
    """A counter of one name may be told for two meters."""
    ledger.post(posting(0, 0, {A: Level(890, 10)}))
    assert ledger.memory("requests") == Memory()
