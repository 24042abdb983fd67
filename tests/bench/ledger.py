"""`ledger`: a month of 1,000 budgets in the ledger, 23 million usage rows; processor time, memory, bytes.

Each part runs in a process of its own, since memory is measured as the most that a process ever held: `fill`
makes the ledger, `first` starts on it cold and goes on for an hour, `hours` counts the hours of all budgets
and foresees by them. Of PostgreSQL, at a smaller size, what counts is how many times as long it takes.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from aibudget.api.budget import AIBudget, Budget, ClusterAIBudget
from aibudget.api.budgetstatus import BudgetStatus
from aibudget.budgeting.foreseen import Foreseen
from aibudget.budgeting.hierarchy import Hierarchy
from aibudget.budgeting.memory import Memory
from aibudget.budgeting.period import Period
from aibudget.budgeting.share import Share
from aibudget.budgeting.vigil import Least
from aibudget.controller.cache import Seen, read
from aibudget.controller.calendar import Calendar
from aibudget.controller.foresight import AT_ONCE, Foresight, Seeing
from aibudget.controller.grounds import Grounds
from aibudget.controller.histories import Histories
from aibudget.controller.judge import Judge, Judged, placed
from aibudget.controller.lookout import Lookout
from aibudget.controller.measuring import Measuring
from aibudget.controller.spenders import Spenders
from aibudget.inventory.owners import OwnerBook
from aibudget.inventory.resource import AIBUDGETS
from aibudget.ledger.register import Register
from aibudget.metering.slots import SLOT_SECONDS, iso
from bench.month import CLUSTER, DAY, START, Size, fill, opened, price_book
from bench.scenery import name_of, say
from postgresql.server import Server

SMALLER: Final = 10
"""By how much the ledgers are smaller on which SQLite and PostgreSQL are compared."""
SLOTS_AN_HOUR: Final = 3600 // SLOT_SECONDS
FOREVER: Final = float("inf")
COMPARED: Final = ("firstEvaluationSeconds", "evaluationSeconds", "postingSeconds", "forecastSecondsAnHour")


def measure_ledger(directory: Path, budgets: int, days: int) -> dict[str, Any]:
    """Everything on SQLite, and how many times as long PostgreSQL takes at a tenth of the size."""
    directory.mkdir(parents=True)
    found = _parts(f"sqlite:///{directory / 'ledger.db'}", Size(budgets, days))
    found["fileMiB"] = round((directory / "ledger.db").stat().st_size / 2**20, 1)
    small = Size(max(1, budgets // SMALLER), days)
    sqlite = _parts(f"sqlite:///{directory / 'small.db'}", small)
    server = Server()
    try:
        postgresql = _parts(server.empty("ledger"), small)
    finally:
        server.remove()
    ratios = {name: round(postgresql[name] / max(sqlite[name], 0.001), 2) for name in COMPARED}
    compared = {"budgets": small.budgets, "rows": small.rows, "sqlite": sqlite, "postgresql": postgresql}
    return found | {"smaller": compared | {"timesAsLong": ratios, "allowedTimesAsLong": 3}}


def _parts(url: str, size: Size) -> dict[str, Any]:
    say(f"a ledger of {size.rows} rows on {url.partition(':')[0]}")
    found: dict[str, Any] = {"budgets": size.budgets, "days": size.days, "rows": size.rows}
    for part in ("fill", "first", "hours"):
        began = time.time()
        command = [sys.executable, "-m", "bench.ledger", part, url, str(size.budgets), str(size.days)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        told = json.loads(done.stdout)
        if (evaluated := told.pop("evaluated", None)) is not None:
            found["firstEvaluationSeconds"] = round(evaluated - began, 2)
        found |= told
    allowed = {
        "allowedEvaluationSeconds": 2,
        "allowedFirstEvaluationSeconds": 20,
        "allowedPostedMBAMinute": 10,
        "allowedPeakRssMiB": 300,
        "allowedForecastCpuSecondsAnHour": 20,
    }
    return found | allowed


class _Blank:
    """Nothing is remembered of any budget, as after its making."""

    def memory(self, _: Seen) -> Memory:
        return Memory()

    def before(self, _: Seen) -> BudgetStatus:
        return BudgetStatus()

    def unchanged(self, _: Seen, __: int) -> None:
        """Nothing to be remembered."""


class _Timed(Foresight):
    """Foresight that knows what its looks have cost: seconds of processor time and by the clock."""

    def __init__(self, histories: Histories) -> None:
        super().__init__(histories)
        self.cpu = self.seconds = 0.0

    def look(self, budget: Budget, period: Period, share: Share, memory: Memory, seeing: Seeing) -> Foreseen:
        cpu, began = time.process_time(), time.monotonic()
        found = super().look(budget, period, share, memory, seeing)
        self.cpu += time.process_time() - cpu
        self.seconds += time.monotonic() - began
        return found


class _Cycles:
    """The measuring and judging of the operator's cycles, on a ledger and without a cluster."""

    def __init__(self, url: str, size: Size) -> None:
        self._size = size
        self.opened = opened(url, size)
        self.books = self.opened.books
        self._measuring = Measuring(self.books)
        self._book = price_book()
        self._calendar = Calendar(Register.open(url, CLUSTER))
        self._hierarchy = Hierarchy()
        self.budgets = [_budget(number, size) for number in range(size.budgets)]
        self.past = _Blank()
        self.foresight: Foresight | None = None
        self.lookout: Lookout | None = None

    def measure(self, seconds: int = 0) -> None:
        """So much later."""
        self.opened.clock.now += seconds
        now = self.opened.clock.now
        self._measured = self._measuring.measure(self._book, self._size.labels, START, now)

    def judge(self) -> tuple[Judged, ...]:
        """All budgets. Raises where one of them could not be judged."""
        judge = Judge(self.books, self._measured, self.opened.clock.now, self._calendar, Grounds())
        judge.foresight, judge.lookout = self.foresight, self.lookout
        if self.foresight is not None:
            self.foresight.begin([seen.uid for seen in self.budgets], OwnerBook())
        judged = placed(judge.judge(self.budgets, self.past), self._hierarchy, self._size.labels)
        self._calendar.commit()
        for one in judged:
            if one.evaluation is None or not one.evaluation.spend.amount:
                raise RuntimeError(f"{one.key} has no spend: {one.problem}")
        return judged

    def post_an_hour(self) -> None:
        """Four slots of every meter."""
        for _ in range(SLOTS_AN_HOUR):
            self.measure(SLOT_SECONDS)


def _budget(number: int, size: Size) -> Seen:
    period = {
        "type": "Fixed",
        "startTime": iso(START),
        "endTime": iso(START + (size.days + 5) * DAY),
    }
    metadata = {"name": "b", "namespace": name_of(number), "uid": f"uid-{number}", "generation": 1}
    spec = {"limit": {"amount": 100_000, "currency": "USD"}, "period": period}
    seen = read(AIBUDGETS, {"metadata": metadata, "spec": spec})
    assert isinstance(seen, Seen)
    assert isinstance(seen.model, AIBudget | ClusterAIBudget), seen.model
    return seen


def _filled(url: str, size: Size) -> dict[str, Any]:
    began = time.monotonic()
    fill(url, size)
    return {"fillSeconds": round(time.monotonic() - began, 1)}


def _first(url: str, size: Size) -> dict[str, Any]:
    """A cold start, and an hour of postings."""
    cycles = _Cycles(url, size)
    cycles.measure()
    cycles.judge()
    found: dict[str, Any] = {"evaluated": time.time()}
    found["firstEvaluationCpuSeconds"] = round(time.process_time(), 2)
    cycles.measure(60)
    found |= _timed("evaluation", cycles.judge)
    written = _written()
    found |= _timed("posting", cycles.post_an_hour, SLOTS_AN_HOUR)
    if url.startswith("sqlite:"):
        # A server writes in processes of its own.
        found["postedMBAMinute"] = round((_written() - written) / 60 / 1e6, 3)
    found |= _timed("evaluationAfterPosting", cycles.judge)
    return found | {"peakRssMiB": _peak_rss_mib()}


def _hours(url: str, size: Size) -> dict[str, Any]:
    """All hours counted and all budgets foreseen and looked over; then what one more hour costs."""
    cycles = _Cycles(url, size)
    histories = Histories(cycles.books, cycles.opened.ledger.hours, cycles.opened.epoch)
    cycles.foresight = foresight = _Timed(histories)
    cycles.lookout = lookout = Lookout(histories, Spenders(cycles.books, OwnerBook), Least())
    cycles.measure()
    cycles.judge()
    say("counting the hours …")
    found = _timed("countingAll", lambda: foresight.count(FOREVER))
    rounds = -(-size.budgets // max(AT_ONCE, size.budgets // 30))
    for _ in range(rounds):
        judged = cycles.judge()
    _check(judged)
    found["forecastAllCpuSeconds"] = round(foresight.cpu, 2)
    found |= _timed("learning", lambda: lookout.work(FOREVER))
    cycles.post_an_hour()
    foresight.cpu = foresight.seconds = 0.0
    counting = _timed("countingAnHour", lambda: foresight.count(FOREVER))
    for _ in range(rounds):
        judged = cycles.judge()
    _check(judged)
    found |= counting | _timed("anomaliesAnHour", lambda: lookout.work(FOREVER))
    cpu, wall = counting["countingAnHourCpuSeconds"], counting["countingAnHourSeconds"]
    found["forecastCpuSecondsAnHour"] = round(foresight.cpu + cpu, 2)
    found["forecastSecondsAnHour"] = round(foresight.seconds + wall, 2)
    return found | {"hoursPeakRssMiB": _peak_rss_mib()}


def _check(judged: tuple[Judged, ...]) -> None:
    """Raises where a budget is not foreseen."""
    for one in judged:
        assert one.evaluation is not None
        if one.evaluation.foreseen.forecast is None:
            raise RuntimeError(f"{one.key} is not foreseen: {one.evaluation.foreseen.reason}")


def _timed(name: str, work: Callable[[], object], times: int = 1) -> dict[str, float]:
    """Seconds by the clock and of the processor, for each of so many times that `work` does it."""
    cpu, began = time.process_time(), time.monotonic()
    work()
    return {
        f"{name}Seconds": round((time.monotonic() - began) / times, 3),
        f"{name}CpuSeconds": round((time.process_time() - cpu) / times, 3),
    }


def _written() -> int:
    """Bytes that this process has handed to the system to be written."""
    lines = Path("/proc/self/io").read_text(encoding="utf-8").splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def _peak_rss_mib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


PARTS: Final[Mapping[str, Callable[[str, Size], dict[str, Any]]]] = {
    "fill": _filled,
    "first": _first,
    "hours": _hours,
}


if __name__ == "__main__":
    part, address, budgets, days = sys.argv[1:]
    sys.stdout.write(json.dumps(PARTS[part](address, Size(int(budgets), int(days)))))
