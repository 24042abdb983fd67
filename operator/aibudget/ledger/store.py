"""The ledger: posts slots once and for all, and states what was spent since an instant.

A posting deletes its slots, inserts them anew and moves the watermark in one transaction, provided that the
meter's revision and the writer's epoch are still what the writer knew. So repeating it, two writers at once
and a crash at any point leave either the old state or the new. For one thread.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection

from aibudget.inventory.owners import LINKS, OwnerLink
from aibudget.ledger import days, levels, links, meters, retention, rollup, slots
from aibudget.ledger.database import Database
from aibudget.ledger.hours import HOUR, HourBook, mark
from aibudget.ledger.lines import Lines, Rates, label_keys, last_labels
from aibudget.ledger.meterbook import MeterBook
from aibudget.ledger.posting import MeterState, Posting
from aibudget.ledger.rating import (
    EVER,
    Rating,
    adopt,
    corrected,
    is_rated,
    mix,
    remember_rated,
    remember_repriced,
    repriced,
)
from aibudget.ledger.spend import Correction, Statement
from aibudget.metering.catalogue import generation_of, meter_of
from aibudget.metering.memory import Memory
from aibudget.metering.slots import SLOT_SECONDS, Interval
from aibudget.metering.usage import Coverage
from aibudget.pricing.book import PriceBook
from aibudget.pricing.rate import Rate
from aibudget.pricing.tiers import month_after, month_of

log = logging.getLogger(__name__)


class Ledger:
    """One cluster's ledger. Everything raises `Transient` when the file cannot be used for the moment."""

    def __init__(self, database: Database, cluster: str, uid: str | None = None) -> None:
        self._database = database
        self._rates = Rates()
        with database.writing() as connection:
            self._cluster_id = meters.cluster_id(connection, cluster)
            if uid is not None:
                meters.claim(connection, self._cluster_id, uid)
            ids = meters.ids(connection, self._cluster_id)
        self._meters = {name: self._of(name, meter_id) for name, meter_id in ids.items()}
        self.hours: Final = HourBook(database, self._cluster_id)

    @classmethod
    def open(cls, url: str, cluster: str, uid: str | None = None) -> "Ledger":
        """`sqlite:////absolute`, made if absent, or `postgresql://…`. Raises `Stalled` or `Transient`.

        `uid` is that of the cluster's namespace kube-system, which keeps namesakes apart; None is unknown.
        """
        database = Database(url)
        try:
            return cls(database, cluster, uid)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        self._database.close()

    def take_over(self) -> int:
        """Become the one writer; returns the epoch for postings. Those of earlier writers are now refused.

        Days that are missing are added up first, which takes a while after an upgrade.
        """
        with self._database.writing() as connection:
            epoch = meters.next_epoch(connection, self._cluster_id)
        for name, meter in self._meters.items():
            with self._database.writing() as connection:
                meters.check_epoch(connection, self._cluster_id, epoch)
                if not days.are_kept(connection, meter.id):
                    log.info("what %s used is added up by day anew", name)
                    days.renew(connection, meter.id)
        return epoch

    def has(self, meter: str) -> bool:
        """Whether anything of the meter was ever posted."""
        return meter in self._meters and self.begins(meter) is not None

    def latest(self, meter: str, but: str = "") -> str | None:
        """The generation of the meter that was posted furthest, but this one; None where there is none."""
        kept = [
            name
            for name in self._meters
            if meter_of(name) == meter and generation_of(name) != but and self.has(name)
        ]
        newest = max(kept, key=lambda name: (self.watermark(name) or 0, name), default=None)
        return None if newest is None else generation_of(newest)

    def state(self, meter: str) -> MeterState:
        """How far a meter is posted; its revision goes into the next posting."""
        with self._database.reading() as connection:
            return meters.state(connection, self._meter(meter).id)

    def watermark(self, meter: str) -> int | None:
        """The end of what is posted; None where nothing is."""
        return self.state(meter).watermark

    def begins(self, meter: str) -> int | None:
        """The first slot that is posted; None where nothing is."""
        return self.state(meter).begins

    def memory(self, meter: str) -> Memory:
        """What the meter's counters stood at when it was posted last."""
        known = self._meter(meter)
        with self._database.reading() as connection:
            known.memory = levels.read(connection, known.id, known.memory)
        return known.memory

    def last_labels(self, namespaces: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """The labels that these namespaces had last, of those that anything was posted of."""
        with self._database.reading() as connection:
            return last_labels(connection, self._cluster_id, namespaces)

    def label_keys(self, since: int) -> frozenset[str]:
        """The labels of pods that usage of any meter was kept with since an instant."""
        with self._database.reading() as connection:
            return label_keys(connection, self._cluster_id, since)

    def post(self, posting: Posting) -> MeterState:
        """Replace these slots by what the posting says. Raises `Conflict` where another writer was faster.

        Every slot between the old watermark and the new one must be in it, else ValueError: time that nobody
        asked for must not look like time without usage.
        """
        meter = self._meter(posting.meter)
        with self._database.writing() as connection:
            meters.check_epoch(connection, self._cluster_id, posting.epoch)
            before = meters.state(connection, meter.id)
            meters.check_revision(before, posting)
            meters.check_no_hole(before, posting)
            keyed = list(meter.lines.keys(posting.charges, posting.namespace_labels))
            line_ids = meter.lines.ids(connection, (key for _, key in keyed), posting.at)
            rate_ids = self._rates.ids(connection, (c.rate for c, _ in keyed if c.rate), posting.at)
            rows = slots.merged(slots.row(charge, line_ids[key], rate_ids) for charge, key in keyed)
            held = slots.replace(connection, meter.id, rows, (posting.coverage, posting.at))
            mark(connection, self._cluster_id, posting.coverage)
            after = meters.advanced(before, posting)
            meters.write_state(connection, meter.id, before, after)
            if posting.memory is not None and posting.memory.at == after.watermark:
                levels.write(connection, meter.id, posting.memory)
            mix(connection, self._cluster_id, None if posting.book is None else posting.book.digest)
            is_redrawn = self._redraw(connection, posting, before)
            now = meters.state(connection, meter.id) if is_redrawn else after
        meter.lines.committed(line_ids)
        self._rates.committed(rate_ids)
        meter.posted(before, after, held, slots.posted(posting.coverage, rows))
        return now

    def expire(self, before: int, *, epoch: int) -> bool:
        """Delete a few of the slots from before an instant; whether there were any. `Conflict` as `post`."""
        with self._database.writing() as connection:
            meters.check_epoch(connection, self._cluster_id, epoch)
            expired = retention.expire(connection, self._cluster_id, before)
        for meter in self._meters.values() if expired else ():
            meter.expired(before)
        return expired

    def roll_up(self, before: int, *, epoch: int) -> int:
        """Pack the oldest day of one meter that is over before an instant; how many rows that were.

        Whatever is asked is answered as before. `Conflict` as `post`.
        """
        with self._database.reading() as connection:
            found = rollup.next_day(connection, self._cluster_id, before)
        if found is None:
            return 0
        day, meter_id = found
        with self._database.writing() as connection:
            meters.check_epoch(connection, self._cluster_id, epoch)
            return rollup.pack(connection, meter_id, day)

    def statement(self, meter: str, interval: Interval) -> Statement:
        """All that is posted of an interval, which must lie on slots."""
        if interval.start % SLOT_SECONDS or interval.end % SLOT_SECONDS:
            raise ValueError("the ledger answers for whole slots of 900 seconds")
        with self._database.reading() as connection:
            return self._meter(meter).statement(connection, interval)

    def recount(self, meter: str, interval: Interval) -> Statement:
        """As `statement`, added up from the slots anew."""
        with self._database.reading() as connection:
            return self._meter(meter).recount(connection, interval)

    def passing(self, meter: str, interval: Interval) -> Statement:
        """As `statement`, of an interval that is not asked for again."""
        with self._database.reading() as connection:
            return self._meter(meter).passing(connection, interval)

    def hourly(
        self, meter: str, interval: Interval, namespaces: Collection[str] | None = None
    ) -> Mapping[int, Statement]:
        """What is posted of each whole hour of an interval; of these namespaces alone, where some are given.

        An hour of which nothing was asked for is absent.
        """
        known = self._meter(meter)
        with self._database.reading() as connection:
            rows = slots.hourly(connection, known.id, interval, namespaces)
            asked = slots.hourly_coverage(connection, known.id, interval)
            return {
                hour: Statement(
                    lines=known.spend(connection, rows.get(hour, ())),
                    coverage=Coverage(covered.covered_seconds, covered.total_seconds),
                    as_of=hour + HOUR,
                    complete=covered.slots == HOUR // SLOT_SECONDS,
                )
                for hour, covered in asked.items()
            }

    def coverage(self, meter: str, interval: Interval) -> Mapping[int, Coverage]:
        """How much of each posted slot was covered; a slot that is absent was never asked for."""
        with self._database.reading() as connection:
            return slots.coverage(connection, self._meter(meter).id, interval)

    def gaps(self, meter: str, since: int) -> tuple[int, ...]:
        """Posted slots from `since` on that are not wholly covered: late data may still fill them."""
        watermark = self.watermark(meter)
        if watermark is None or watermark <= since:
            return ()
        covered = self.coverage(meter, Interval(since, watermark))
        return tuple(slot for slot, c in covered.items() if c.covered_seconds < c.total_seconds)

    def rerate(self, book: PriceBook, since: int, *, at: int, epoch: int) -> int:
        """Price everything posted from `since` on by this book; returns how many rows got another rate.

        Quantities stay. Meant for open periods, after a price list changed; what is before is closed and gets
        corrections. What is known to have these prices is not looked at, whichever process gave them.
        Raises `Conflict` as `post` does.
        """
        with self._database.reading() as connection:
            if is_rated(connection, self._cluster_id, since, book.digest):
                return 0
        with self._rating(book, at, epoch) as rating:
            alike = is_rated(rating.connection, self._cluster_id, since)
            differs, corrects = adopt(rating.connection, self._cluster_id, rating)
            # Where several books have priced there is no telling what this one changes.
            span = differs if alike else EVER
            changed = 0
            if span is not None:
                first = max(since, span.start)
                changed = sum(self._renew(rating, name, first, rating.renew) for name in self._meters)
            if differs is not None and corrects:
                # What a month has used at other prices moves the tiers of what comes after, to its end.
                end = month_after(differs.end) if book.has_tiers else differs.end
                closed = Interval(min(differs.start, since), min(end, since))
                for name, meter in self._meters.items():
                    rating.correct(name, meter.id, closed)
            if changed:
                remember_repriced(rating.connection, self._cluster_id, at)
            remember_rated(rating.connection, self._cluster_id, since, book.digest)
        return changed

    def keep_rates(self, rates: Iterable[Rate], at: int) -> None:
        """Write rates down before any usage has them."""
        with self._writing() as connection:
            self._rates.keep(connection, self._cluster_id, rates, at)

    def kept_rates(self) -> tuple[Rate, ...]:
        """Every rate that this cluster has ever kept so."""
        with self._database.reading() as connection:
            return self._rates.kept(connection, self._cluster_id)

    def repriced(self) -> int:
        """When posted usage last got another rate (Unix seconds); 0 before the first time."""
        with self._database.reading() as connection:
            return repriced(connection, self._cluster_id)

    def volume(self, meter: str, book: PriceBook, rate: Rate, slot: int) -> int:
        """How much of a meter counts towards the tiers of a rate of the book, by its name, in the calendar
        month before a slot: whatever was billed, for what is closed of the month may have had other prices.
        """
        return sum(
            line.quantity
            for part in book.parts(Interval(month_of(slot), slot))
            for line in self.statement(meter, part).lines
            if (own := book.rate(line.sku, part.start)) is not None
            and own.tiers
            and own.meter == line.sku.meter
            and own.label == rate.label
        )

    def corrections(self, meter: str, known: Interval) -> tuple[Correction, ...]:
        """What became known in an interval to cost something else than was billed, in closed time."""
        with self._database.reading() as connection:
            rows = corrected(connection, self._meter(meter).id, known)
            lines = self._meter(meter).lines.of(connection, [row.line_id for row in rows])
            rates = self._rates.of(connection, {i for row in rows for i in (row.was_id, row.rate_id)})
        return tuple(
            Correction(
                workload=lines[row.line_id].workload,
                sku=lines[row.line_id].sku,
                namespace_labels=lines[row.line_id].namespace_labels,
                interval=row.interval,
                quantity=row.quantity,
                was=rates.get(row.was_id),
                rate=rates[row.rate_id],
                known=row.known,
            )
            for row in rows
        )

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """For what is right whoever writes it; the rest is refused to all but the newest writer."""
        with self._database.writing() as connection:
            meters.lock(connection, self._cluster_id)
            yield connection

    @contextmanager
    def _rating(self, book: PriceBook, at: int, epoch: int) -> Iterator[Rating]:
        with self._database.writing() as connection:
            meters.check_epoch(connection, self._cluster_id, epoch)
            yield Rating(connection, self._rates, book, at)

    def _redraw(self, connection: Connection, posting: Posting, before: MeterState) -> bool:
        """What is posted of the past moves the tiers of what comes after it. Whether it did."""
        first, book = min(posting.coverage, default=posting.watermark), posting.book
        if book is None or not book.has_tiers or first >= (before.watermark or 0):
            return False
        rating = Rating(connection, self._rates, book, posting.at)
        return self._renew(rating, posting.meter, first, rating.redraw) > 0

    def _renew(
        self, rating: Rating, name: str, since: int, renew: Callable[[str, int, Interval], int]
    ) -> int:
        """Do it to what a meter has posted from `since` on; a change makes another revision of it."""
        meter_id = self._meters[name].id
        before = meters.state(rating.connection, meter_id)
        if before.watermark is None or before.watermark <= since:
            return 0
        first = max(since, before.begins or 0)
        rows = renew(name, meter_id, Interval(first, before.watermark))
        if rows:
            mark(rating.connection, self._cluster_id, range(first - first % HOUR, before.watermark, HOUR))
            after = MeterState(before.begins, before.watermark, before.revision + 1)
            meters.write_state(rating.connection, meter_id, before, after)
        return rows

    def owners(self) -> tuple[OwnerLink, ...]:
        """Every owner link that was ever remembered."""
        with self._database.reading() as connection:
            return links.read(connection, self._cluster_id)

    def remember_owners(self, found: Iterable[OwnerLink], at: int) -> None:
        """Keep owner links for good: their objects will be gone. An owner that is known stays."""
        if found := tuple(found):
            with self._writing() as connection:
                links.write(connection, self._cluster_id, found, at)
            if any(link.child.kind in LINKS for link in found):
                for meter in self._meters.values():
                    meter.forget_links()

    def forget_pods(self, before: int) -> None:
        """Let go of the owners of single pods that were learnt before an instant: they can be asked for."""
        with self._writing() as connection:
            links.forget_pods(connection, self._cluster_id, before)

    def _meter(self, name: str) -> MeterBook:
        """The meter's integer, given out when it is first asked for."""
        if name not in self._meters:
            with self._writing() as connection:
                meter_id = meters.meter_id(connection, self._cluster_id, name)
            self._meters[name] = self._of(name, meter_id)
        return self._meters[name]

    def _of(self, name: str, meter_id: int) -> MeterBook:
        return MeterBook(meter_id, Lines(self._cluster_id, meter_id, meter_of(name)), self._rates)
