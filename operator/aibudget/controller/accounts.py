"""The first half of a cycle, for one worker thread.

Read a meter, price it, post what is settled, state spend. Two heads: what is older than the lag is posted,
once; what is newer is kept in memory and replaced by each reading. History before the ledger begins is read
backwards from there, a chunk at a time, so that the newest spend is known first and an interruption costs
one chunk. It must not know budgets, the cluster or asyncio.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from aibudget.budgeting.gate import WINDOW_SECONDS
from aibudget.budgeting.share import Recent
from aibudget.budgeting.turning import SETTLING_SECONDS
from aibudget.controller.head import Backfill, Head, Labels, Source, runs
from aibudget.controller.vanished import Vanished
from aibudget.ledger.posting import MeterState, Posting
from aibudget.ledger.spend import Statement, joined
from aibudget.ledger.store import Ledger
from aibudget.metering.catalogue import kept_as, scale_of
from aibudget.metering.slots import SLOT_SECONDS, Interval, slot_of
from aibudget.metering.usage import Coverage, Reading
from aibudget.pricing.book import PriceBook
from aibudget.pricing.tiers import month_of

CHUNK_SECONDS: Final = 24 * 3600
"""How much of the past is read and posted at once, at most."""
FIRST_CHUNK_SECONDS: Final = 3600
"""With how much of the past reading begins; each chunk is larger or smaller by how long the last one took."""
SLOW_SECONDS: Final = 8.0
"""A chunk that took longer keeps a cycle waiting."""
BRISK_SECONDS: Final = SLOW_SECONDS / 2
"""One that took less may be followed by one twice as large."""
CHUNK_USAGES: Final = 100_000
"""How many usages may be held at once while the past is read: some 60 MB."""
ASK_AGAIN_SECONDS: Final = 24 * 3600
"""For how long a gap may still be filled by samples that come late."""

LEAST_RECENT_SECONDS: Final = 60
"""How much must be covered to say what is spent per hour, where there is that much."""

_NEVER_ASKED: Final = -1
"""Seconds that are known of a slot that is in no posting yet: even a gap is news of it."""

log = logging.getLogger(__name__)


class Accounts:
    """One meter's, in one generation of its definition.

    Not for several threads; every method may take long. Errors of the source and ledger pass.
    """

    def __init__(
        self,
        meter: str,
        source: Source,
        ledger: Ledger,
        epoch: int,
        *,
        generation: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.meter = meter
        self.key: Final = kept_as(meter, generation)
        self._source = source
        self._ledger = ledger
        self._epoch = epoch
        self._monotonic = monotonic
        self._vanished = Vanished(ledger)
        self._head: Head | None = None
        self._stated: dict[tuple[int, int], Statement] = {}
        self._settled = 0
        self._gaps: list[Interval] = []
        self._stride = FIRST_CHUNK_SECONDS
        self._has_begun = False
        self._leader: Accounts | None = None
        self.followers: list[Accounts] = []
        self.problems: tuple[str, ...] = ()

    @property
    def head(self) -> Head | None:
        """The newest reading; None before the first."""
        return self._head

    def is_open(self, book: PriceBook) -> bool:
        """Whether the meter is to be read: its source is wanted now, or was once and has to be explained."""
        return self.is_kept or self.is_wanted(book)

    def is_wanted(self, book: PriceBook) -> bool:
        """Whether there is something to be read by these prices."""
        return self._source.wanted(book)

    @property
    def is_kept(self) -> bool:
        """Whether anything of the meter was ever posted."""
        self._has_begun = self._has_begun or self._ledger.has(self.key)
        return self._has_begun

    def follow(self, leader: "Accounts") -> None:
        """Take of the past what comes beside the leader's readings, as long as both are read equally far."""
        self._leader = leader
        leader.followers.append(self)

    def advance(self, book: PriceBook, labels: Labels) -> int:
        """Read up to now, post what is settled and keep the rest as the head; Prometheus's time of it."""
        now = self._source.time()
        self._settled = settled = slot_of(now - self._source.lag())
        state = self._ledger.state(self.key)
        # After a long outage the newest is read first, and the hole before it is closed by `fill`.
        least = settled - SLOT_SECONDS
        start = least if state.watermark is None else max(state.watermark, least - self._chunk())
        reading = self._source.read(Interval(start, max(now, start)))
        self.problems = reading.problems
        head = self._made(start, reading, book, labels)
        if settled > start and start <= (state.watermark or start):
            self._post(state, head, Interval(start, settled).slots(), settled)
            gaps = self._ledger.gaps(self.key, now - ASK_AGAIN_SECONDS)
            self._gaps = list(runs(gaps, self._chunk()))
        self._head = head
        self._stated.clear()
        return now

    def rerate(self, book: PriceBook, since: int, now: int) -> int:
        """Price what is posted by this book if it is another one; how many rows that changed.

        The calendar month is open like the periods since `since`: a budget for it may come at any time.
        """
        since = min(slot_of(since), month_of(now - SETTLING_SECONDS))
        return self._ledger.rerate(book, since, at=now, epoch=self._epoch)

    def repriced(self) -> int:
        """When posted usage of any meter last got another price (Unix seconds); 0 before the first time."""
        return self._ledger.repriced()

    def fill(self, wanted: int, book: PriceBook, labels: Labels, deadline: float) -> bool:
        """Read on what is missing until the deadline by the monotonic clock; at least one chunk of it.
        Whether the deadline came first.

        First what an outage left out, then history back to `wanted`, then gaps. Namespaces get the labels of
        today: those of the past are not known. A slot of which less is known now than before stays as it is.
        """
        if self.is_led():
            return False
        while (chunk := self._missing(slot_of(wanted))) is not None:
            began = self._monotonic()
            self._read_past(chunk, book, labels)
            ended = self._monotonic()
            self._pace(ended - began)
            if ended >= deadline:
                return True
        return False

    def _read_past(self, chunk: Interval, book: PriceBook, labels: Labels) -> None:
        reading = self._source.read(chunk)
        followers = [one for one in self.followers if one.is_led()]
        self.keep(reading, book, labels)
        for follower, beside in zip(followers, reading.beside, strict=False):
            follower.keep(beside, book, labels)

    def is_led(self) -> bool:
        """Whether all that is missing comes beside the leader's readings: of which this knows no less."""
        if self._leader is None:
            return False
        mine, its = self._ledger.state(self.key), self._ledger.state(self._leader.key)
        if mine.begins is None or mine.watermark is None or its.begins is None or its.watermark is None:
            return mine.begins == its.begins
        is_behind = mine.watermark < its.watermark and self._has_hole(mine.watermark)
        return mine.begins <= its.begins and not is_behind

    def keep(self, reading: Reading, book: PriceBook, labels: Labels) -> None:
        """Post of a reading of the past the slots of which it knows more than is known."""
        chunk = reading.interval
        head = self._made(chunk.start, reading, book, labels)
        known = self._ledger.coverage(self.key, chunk)
        gained = {slot: head.covered(slot) - _seconds(known.get(slot)) for slot in chunk.slots()}
        fuller = {slot for slot, more in gained.items() if more > 0}
        # What was counted across a hole may stand in the slots beside it, and moves into what fills it.
        beside = {slot + step for slot in fuller for step in (-SLOT_SECONDS, SLOT_SECONDS)}
        better = sorted(fuller | {slot for slot in beside if gained.get(slot) == 0})
        if better:
            self._post(self._ledger.state(self.key), head, better, chunk.end)

    def _made(self, start: int, reading: Reading, book: PriceBook, labels: Labels) -> Head:
        charges = book.charges(reading.usages, partial(self._ledger.volume, self.key, book))
        known = self._vanished.with_labels(reading.usages, labels)
        return Head(start, reading.head, charges, reading.coverage, known, reading.memories, book)

    def _pace(self, took: float) -> None:
        if took < BRISK_SECONDS:
            self._stride = min(2 * self._stride, CHUNK_SECONDS)
        elif took > SLOW_SECONDS:
            self._stride = max(slot_of(self._stride // 2), SLOT_SECONDS)

    def _missing(self, wanted: int) -> Interval | None:
        state, chunk = self._ledger.state(self.key), self._chunk()
        if state.begins is None or state.watermark is None:
            return None
        if self._has_hole(state.watermark):
            return Interval(state.watermark, min(state.watermark + chunk, self._settled))
        if state.begins > wanted:
            return Interval(max(wanted, state.begins - chunk, self._led_from(state.begins)), state.begins)
        if not self._gaps:
            return None
        gap = self._gaps.pop()
        around = Interval(gap.start - SLOT_SECONDS, gap.end + SLOT_SECONDS)
        return around.intersection(Interval(state.begins, state.watermark))

    def _has_hole(self, watermark: int) -> bool:
        """Whether an outage has left out something between what is posted and the head."""
        return self._head is not None and watermark < min(self._head.start, self._settled)

    def _led_from(self, begins: int) -> int:
        """Where the past begins that comes beside the leader's readings; 0 where that is none of it."""
        its = None if self._leader is None else self._ledger.begins(self._leader.key)
        return its if its is not None and its < begins else 0

    def _chunk(self) -> int:
        """Seconds of the past to read at once, in whole slots: fewer where there is more in each of them."""
        slots = 1 if self._head is None else max(1, len(self._head.coverage))
        usages = 0 if self._head is None else len(self._head.charges) // slots
        most = CHUNK_USAGES // max(1, usages) * SLOT_SECONDS
        return max(SLOT_SECONDS, min(most, self._stride))

    def past(self, wanted: int) -> Backfill | None:
        """How far the past is read that is needed from `wanted` on; None before the first reading."""
        begins = self._ledger.begins(self.key)
        return None if begins is None else Backfill(begins, slot_of(wanted))

    def recount(self, interval: Interval) -> Statement:
        """What is posted of an interval, added up anew; all that is known of it, where it is over."""
        return self._ledger.recount(self.key, interval)

    def passing(self, interval: Interval) -> Statement:
        """What is posted of an interval that is not asked for again."""
        return self._ledger.passing(self.key, interval)

    def statement(self, interval: Interval) -> Statement:
        """All that is known of an interval on slots: what is posted, and the head over it."""
        posted = self._ledger.statement(self.key, interval)
        # Of an interval that is not over, what is posted is known up to the watermark.
        head, watermark = self._head, posted.as_of or 0
        if head is None or interval.end <= watermark:
            return posted
        whole = joined(posted, self._newest(max(interval.start, head.start, watermark), interval.end))
        # What was not asked for yet, before the ledger begins or in a hole, is not covered either.
        missing = (whole.as_of or interval.start) - interval.start - whole.coverage.total_seconds
        if missing < SLOT_SECONDS:
            return whole
        return replace(whole, coverage=whole.coverage + Coverage(0, missing), complete=False)

    def posted(self) -> MeterState:
        """How far the meter is posted."""
        return self._ledger.state(self.key)

    def hourly(self, interval: Interval, namespaces: Collection[str] | None) -> Mapping[int, Statement]:
        """What is posted of each whole hour, of these namespaces or of all."""
        return self._ledger.hourly(self.key, interval, namespaces)

    def _newest(self, start: int, end: int) -> Statement:
        """The head's part of [start, end); a thousand budgets ask for few different ones."""
        head = self._head
        assert head is not None, "only a head that was read is stated"
        key = (start, min(end, max(head.coverage, default=start) + SLOT_SECONDS))
        if key not in self._stated:
            self._stated[key] = head.statement(start, end)
        return self._stated[key]

    def newest(self, now: int) -> Recent:
        """The lines of the newest slots, as many as it takes to say what is spent per hour.

        None if they are old.
        """
        head = self._head
        if head is None or head.as_of is None or now - head.as_of > WINDOW_SECONDS:
            return Recent((), 0)
        seconds, start, end = 0, 0, max(head.coverage, default=0) + SLOT_SECONDS
        # A slot that has just begun says little on its own, and the one before nothing of what is new.
        for start in sorted(head.coverage, reverse=True):
            seconds += head.coverage[start].covered_seconds
            if seconds >= LEAST_RECENT_SECONDS:
                break
        if not seconds:
            return Recent((), 0)
        # Whether anything is done takes longer to tell than what it costs: the last half hour, whole slots.
        watched = self.statement(Interval(slot_of(now - WINDOW_SECONDS), end))
        newest = head.statement(start, end)
        return Recent(newest.lines, seconds, watched.lines, watched.coverage.covered_seconds)

    def unpriced(self) -> Mapping[str, float]:
        """What of the head has no price, in the meter's pricing unit."""
        charges = () if self._head is None else self._head.charges
        quantity = sum(charge.usage.quantity for charge in charges if charge.rate is None)
        return {self.meter: quantity / scale_of(self.meter)}

    def covered(self, now: int) -> Coverage:
        """How much of the last half hour is covered."""
        since = now - WINDOW_SECONDS
        found = dict(self._ledger.coverage(self.key, Interval(slot_of(since), now)))
        if self._head is not None:
            found |= self._head.coverage
        return sum((c for slot, c in found.items() if slot >= slot_of(since)), Coverage(0, 0))

    def _post(self, state: MeterState, head: Head, slots: Iterable[int], end: int) -> None:
        # A slot that nothing is said of was not covered; it is written down as such, and asked for again.
        coverage = {slot: head.coverage.get(slot, Coverage(0, SLOT_SECONDS)) for slot in slots}
        self._stated.clear()
        self._ledger.post(
            Posting(
                meter=self.key,
                coverage=coverage,
                charges=tuple(charge for charge in head.charges if charge.usage.slot in coverage),
                watermark=max(end, state.watermark or 0),
                revision=state.revision,
                at=end,
                epoch=self._epoch,
                namespace_labels=head.labels,
                memory=head.memories.get(end) if end > (state.watermark or 0) else None,
                book=head.book,
            )
        )


def _seconds(known: Coverage | None) -> int:
    return _NEVER_ASKED if known is None else known.covered_seconds
