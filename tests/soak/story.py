"""A year of an operator, and what must be true after each of its cycles.

Budgets come, change and go; prices change, some in hindsight; Prometheus is away, samples are late or never
come; processes are killed in the midst of a transaction, or nobody runs one for days; clocks are set back.
Whenever the operator has caught up, each budget says what the past really cost, to the cent.
"""

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from aibudget.inventory.kubernetes import Json
from aibudget.ledger.periodrow import PeriodRow
from aibudget.ledger.spend import Statement
from aibudget.metering.slots import Interval
from soak.past import DAY, SLOT, Consumer, Gap, Past, Price, levels
from soak.world import Clock, Killed, SoakedWorld, killing
from unit.controller.atonce import AtOnce

BEGIN: Final = 1_767_225_600
"""2026 in UTC; six hours later it is 2026 in every zone here."""
BEFORE: Final = 2 * DAY
ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "Africa/Cairo")
TYPES: Final = ("Daily", "Weekly", "Monthly", "Quarterly", "Yearly")
TEAMS: Final = ("vision", "speech", "search")
NAMESPACES: Final = 20
WORKLOADS: Final = 4
STEPS: Final = (60, 900, 3600, 4 * 3600, 12 * 3600, 2 * DAY, 4 * DAY)
WEIGHTS: Final = (2, 4, 6, 10, 16, 4, 2)
LATE_AT_MOST: Final = 8 * 3600
"""How late samples come that the operator still asks for, and how long ago their gap began at most."""
LAG: Final = 60
TOO_LATE: Final = DAY + 2 * SLOT
"""How long after a gap nobody asks for it any more."""
BILLION: Final = 10**9


class Drift(AssertionError):  # noqa: N818 - it says what was found
    """The operator says another thing than what happened."""


@dataclass(slots=True)
class Kept:
    """A budget as its owner has it. `seen` are its closed periods that were looked at."""

    name: str
    namespace: str
    spec: dict[str, Any]
    ours: tuple[Consumer, ...]
    seen: set[str] = field(default_factory=set)


class Story:
    """One year, or so many days of it."""

    def __init__(self, seed: int, budgets: int, days: int, directory: Path) -> None:
        self._rng = rng = random.Random(seed)
        self._end = BEGIN + days * DAY
        self._used = {
            (meter, f"team-{n}", f"w-{w}"): levels(rng, meter, BEGIN - BEFORE, self._end)
            for n in range(NAMESPACES)
            for w in range(WORKLOADS)
            for meter in ("gpu", "tokens")[: 1 + (w == 0)]
        }
        prices = {meter: [Price(BEGIN - 30 * DAY, rng.randint(100, 900))] for meter in ("gpu", "tokens")}
        self._past = Past(BEGIN - BEFORE, self._used, prices)
        self._clock = Clock(BEGIN + 6 * 3600)
        self._worker = AtOnce()
        self._world = SoakedWorld(directory, self._worker, past=self._past, clock=self._clock)
        self._late_until = 0
        self._asks = False
        self._told = self._clock.now
        self._made = 0
        self._budgets: list[Kept] = []
        self.counts: Counter[str] = Counter()
        for n in range(NAMESPACES):
            self._world.namespace(f"team-{n}", {"team": TEAMS[n % len(TEAMS)]})
        self._past.state_prices(BEGIN)
        self._world.price()
        for n in range(budgets):
            self._create(TYPES[n % len(TYPES)])

    def days(self) -> Iterator[int]:
        """Live through it, a day at a time."""
        day = 0
        while self._clock.now < self._end:
            self._step()
            self._check()
            if (passed := (self._clock.now - BEGIN) // DAY) > day:
                day = passed
                yield day
        self._world.stop()
        self._worker.shutdown()

    def _step(self) -> None:
        self._pass()
        self._people()
        self._trouble()
        died = False
        # How many transactions there are depends on how fast the machine is; the story must not.
        with killing(random.Random(self._rng.random()), 0.0001):
            while True:
                try:
                    self._live(died=died)
                    return
                except Killed:
                    died = True
                    self.counts["kills"] += 1
                    self._world.crash()

    def _pass(self) -> None:
        seconds = self._rng.choices(STEPS, WEIGHTS)[0]
        if self._late_until:
            seconds = 2 * SLOT if self._asks else min(seconds, LATE_AT_MOST // 2)
        self._clock.now += seconds + self._rng.randrange(60)

    def _live(self, *, died: bool) -> None:
        """As long a life as it takes to know everything that is to be known; `died`: after another's end."""
        if self._world.cycle is None or self._rng.random() < 0.05:
            self.counts["starts"] += 1
            self._world.start()
        if self._rng.random() < 0.03:
            self._set_back()
        # What is read on in between is told by the next cycle.
        self._world.run()
        self._world.catch_up()
        self._world.run()
        self.counts["cycles"] += 2
        self._world.forget_events()
        if not self._clock.down:
            self._told = self._clock.now
        # A gap is asked for again by a process that has posted the next slot after the last one.
        if self._late_until and self._clock.now > self._late_until and not died:
            self._late_until, self._asks = (0, False) if self._asks else (self._late_until, True)

    def _set_back(self) -> None:
        """A clock that is wrong for one cycle; what it makes of it must not be seen afterwards."""
        self.counts["clocks set back"] += 1
        self._world.run(self._clock.now - self._rng.choice((3600, DAY, 40 * DAY)))

    def _people(self) -> None:
        rng = self._rng
        if rng.random() < 0.02:
            self._change_prices()
        if rng.random() < 0.1:
            kept = rng.choice(self._budgets)
            self.counts["edits"] += 1
            kept.spec |= {"limit": {"amount": str(rng.randint(10, 90_000)), "currency": "USD"}}
            self._world.apply(kept.name, kept.namespace, kept.spec)
        if rng.random() < 0.03:
            gone = rng.choice(self._budgets)
            # Yearly ones stay: with them all the year is open, and its prices are those of today.
            if gone.spec["period"]["type"] != "Yearly":
                self.counts["budgets made anew"] += 1
                self._budgets.remove(gone)
                self._world.remove(gone.name, gone.namespace)
                self._create(gone.spec["period"]["type"])

    def _change_prices(self) -> None:
        rng, now = self._rng, self._clock.now
        prices = self._past.prices[rng.choice(("gpu", "tokens"))]
        if rng.random() < 0.5:
            self.counts["prices restated"] += 1
            prices[-1].cents = rng.randint(100, 900)
        elif prices[-1].start < now - now % SLOT:
            self.counts["new prices"] += 1
            prices.append(Price(now - now % SLOT + SLOT, rng.randint(100, 900)))
        self._past.state_prices(now)
        self._world.price()

    def _trouble(self) -> None:
        rng, now, gaps = self._rng, self._clock.now, self._past.gaps
        self._clock.down = not self._late_until and rng.random() < 0.08
        self.counts["outages of Prometheus"] += self._clock.down
        # Nothing that was told already is taken back.
        since = max(gaps[-1].end if gaps else self._past.begin, self._told) + 1
        if rng.random() < 0.1 and now - since > 60:
            fate = "gaps" if self._clock.down else rng.choice(("late samples", "samples too late", "gaps"))
            if fate == "late samples":
                since = max(since, now - LATE_AT_MOST)
            start = rng.randrange(since, now)
            gaps.append(self._gap(fate, start, min(now, start + rng.randrange(1, 4 * 3600))))
            self.counts[fate] += 1

    def _gap(self, fate: str, start: int, end: int) -> Gap:
        if fate == "late samples":
            self._late_until = self._clock.now + self._rng.randrange(1, LATE_AT_MOST)
            return Gap(start, end, known=self._late_until)
        # What is not posted yet is read once more, however late that is.
        posted = (self._clock.now - LAG) // SLOT * SLOT
        if fate == "samples too late" and start < posted:
            end = min(end, posted)
            return Gap(start, end, shown=self._clock.now + TOO_LATE + self._rng.randrange(DAY))
        return Gap(start, end)

    def _create(self, kind: str) -> None:
        rng, self._made = self._rng, self._made + 1
        spec: dict[str, Any] = {
            "limit": {"amount": str(rng.randint(10, 90_000)), "currency": "USD"},
            "period": {"type": kind, "timeZone": rng.choice(ZONES)},
        }
        namespace = "" if self._made % 5 == 0 else f"team-{rng.randrange(NAMESPACES)}"
        covered = {namespace}
        if not namespace:
            team = rng.choice(TEAMS)
            spec["scope"] = {"namespaceSelector": {"matchLabels": {"team": team}}}
            covered = {f"team-{n}" for n in range(NAMESPACES) if TEAMS[n % len(TEAMS)] == team}
        ours = tuple(one for one in self._used if one[1] in covered)
        kept = Kept(f"b-{self._made}", namespace, spec, ours)
        self._budgets.append(kept)
        self._world.apply(kept.name, kept.namespace, spec)

    def _check(self) -> None:
        if self._clock.down or self._late_until:
            return
        periods = self._world.in_worker(self._world.register.periods)
        rows = {(row.owner.uid, row.id): row for row in periods}
        for kept in self._budgets:
            self._check_status(kept, rows)
        if self._rng.random() < 0.05:
            self._check_totals()
            for kept in self._rng.sample(self._budgets, 3):
                self._check_hours(kept)

    def _check_status(self, kept: Kept, rows: Mapping[tuple[str, str], PeriodRow]) -> None:
        stored = self._world.stored(kept.name, kept.namespace)
        status, uid = stored.get("status", {}), stored["metadata"]["uid"]
        if "asOfTime" not in status.get("spend", {}):
            raise Drift(f"{kept.name} does not know what it has spent: {status}")
        start, end = _at(status["period"]["startTime"]), _at(status["spend"]["asOfTime"])
        if not start <= self._clock.now < _at(status["period"]["endTime"]):
            raise Drift(f"{kept.name} is in another period than its clock: {status['period']}")
        self._check_coverage(kept, Interval(start, end), status["spend"]["coveragePercent"])
        spent = status["spend"]["amount"]
        self._compare(kept, f"in {status['period']['id']}", Interval(start, end), spent, self._clock.now)
        closed = {past["id"]: past for past in status.get("history", ()) if past["state"] == "Closed"}
        for key in sorted(closed.keys() - kept.seen):
            kept.seen.add(key)
            self._check_past(kept, closed[key], rows[uid, key])

    def _check_coverage(self, kept: Kept, told_of: Interval, percent: int) -> None:
        """What was never scraped, or came too late, is not known; and it is said that it is not.

        Whether that is reckoned until the newest sample or until now, where there is none, is all the same.
        """
        start, now = told_of.start, self._clock.now
        known = sum(b - a for a, b in self._past.known(start, now, now))
        most, least = (known * 100 // (end - start) if end > start else 100 for end in (told_of.end, now))
        if not least <= percent <= most:
            raise Drift(f"{kept.name} says that {percent} % are known, it was {known} of {told_of} s")

    def _check_past(self, kept: Kept, past: Json, row: PeriodRow) -> None:
        assert row.closed is not None, "it is closed"
        self._compare(kept, f"at the close of {row.id}", row.interval, past["spent"], row.closed)

    def _compare(self, kept: Kept, when: str, between: Interval, told: str, known: int) -> None:
        truth = self._past.cost(kept.ours, between.start, between.end, known)
        self.counts["amounts compared"] += 1
        if round(truth * 100) != Decimal(told) * 100:
            raise Drift(f"{kept.name} says {told} {when}, it was {float(truth):.6f} (now {self._clock.now})")

    def _check_totals(self) -> None:
        """Running totals are what the rows add up to."""
        ledger, now = self._world.ledger, self._clock.now
        assert ledger is not None, "a process is running"
        for meter in self._world.accounts:
            for start in (BEGIN, now - now % DAY, now - now % DAY - 20 * DAY):
                period = Interval(max(start, BEGIN), now - now % SLOT + SLOT)
                running, anew = (
                    self._world.in_worker(
                        lambda count=count, period=period, meter=meter: count(meter, period)
                    )
                    for count in (ledger.statement, ledger.recount)
                )
                self.counts["recounts"] += 1
                if (_sums(running), running.coverage) != (_sums(anew), anew.coverage):
                    raise Drift(f"the running totals of {meter} in {period} are not what its rows add up to")

    def _check_hours(self, kept: Kept) -> None:
        """Each hour that is counted is what it cost."""
        ledger, now = self._world.ledger, self._clock.now
        assert ledger is not None, "a process is running"
        uid = self._world.stored(kept.name, kept.namespace)["metadata"]["uid"]
        hours = self._world.in_worker(lambda: ledger.hours.read(uid, BEGIN))
        for hour, told in self._rng.sample(sorted(hours.items()), min(50, len(hours))):
            truth = self._past.cost(kept.ours, hour, hour + 3600, now)
            self.counts["hours compared"] += told is not None
            if told is not None and told != round(truth * BILLION):
                raise Drift(f"{kept.name} says {told} billionths for {hour}, it was {truth * BILLION}")


def _sums(statement: Statement) -> set[tuple[object, ...]]:
    return {(one.workload, one.sku, one.rate and one.rate.id, one.quantity) for one in statement.lines}


def _at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
