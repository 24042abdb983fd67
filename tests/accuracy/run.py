"""`make accuracy`: every case's exact bill beside what the operator's own code makes of it, as a table.

Each case is a past in one real Prometheus, metered and priced as the operator does it. Ends with 1 where a
goal is missed. What nothing counts yet says so.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from accuracy.cases import CASES
from accuracy.counters import COUNTERS, azure
from accuracy.loading import load
from accuracy.metered import metered
from accuracy.pasts import Case
from accuracy.table import Row, table, written
from accuracy.traces import day_rows, load_day
from aibudget.metering.prometheus import Prometheus, PrometheusSettings
from aibudget.metering.promql import Matcher
from aibudget.metering.scene import MeterSettings
from aibudget.sandbox.prometheus import PrometheusServer

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "accuracy.md"


def measure(source: Prometheus, case: Case) -> Row:
    """The case's row of the table."""
    truth = {key: Fraction(amount) for key, amount in case.truth.items()}
    row = Row(case.title, case.unit, truth, goal=case.goal, opencost=case.opencost)
    if case.absent:
        return replace(row, remark=case.absent)
    bills = [metered(source, meter, case.interval, settings(case)) for meter in case.meters]
    counted = [bill for bill in bills if bill is not None]
    if len(counted) < len(bills):
        return row
    if any(bill.shares_unknown for bill in counted):
        return replace(row, remark="flagged: share unknown")
    return replace(row, ours=case.measure(counted), unknown=counted[0].unknown * case.held)


def settings(case: Case) -> MeterSettings:
    """As the operator of that cluster would have them."""
    job = "raw" if case.name == "not-honored" else "kube-state-metrics"
    return MeterSettings(
        cluster=(Matcher("cluster", "=", case.name),), kube_state_metrics=(Matcher("job", "=", job),)
    )


def rows(directory: Path, cases: Sequence[Case], *, traces: bool = False) -> Iterator[Row]:
    """One Prometheus for all of them."""
    server = PrometheusServer(directory, progress=_say)
    _say("writing and loading the pasts …")
    load(server, directory, cases)
    if traces:
        load_day(server, directory)
    with server, Prometheus(PrometheusSettings(server.url)) as source:
        for case in cases:
            _say(case.title)
            yield measure(source, case)
        if traces:
            _say("the traces")
            yield from day_rows(source)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="WORD", default="", help="cases with this in their name, or traces")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    arguments = parser.parse_args()
    chosen = [case for case in (*CASES, *COUNTERS, *azure()) if arguments.only in case.name]
    with tempfile.TemporaryDirectory(prefix="aibudget-accuracy-") as directory:
        found = list(rows(Path(directory), chosen, traces=arguments.only in "traces"))
    sys.stdout.write(table(found))
    if arguments.write:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), table(found)), encoding="utf-8")
    missed = [row.case for row in found if row.missed]
    if missed:
        _say(f"{len(missed)} goals are missed: {'; '.join(missed)}")
    return 1 if missed else 0


def _say(line: str) -> None:
    sys.stderr.write(f"accuracy: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
