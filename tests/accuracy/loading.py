"""All the pasts in one Prometheus."""

from collections.abc import Iterable
from pathlib import Path

from accuracy.pasts import Case
from aibudget.sandbox.history import write_history
from aibudget.sandbox.prometheus import PrometheusServer


def load(server: PrometheusServer, directory: Path, cases: Iterable[Case]) -> None:
    """Before the server starts."""
    whole, part = directory / "history.txt", directory / "part.txt"
    with whole.open("w", encoding="utf-8") as file:
        for case in cases:
            for past in case.past(case.name):
                write_history(part, past.history, past.scrapes, past.families)
                file.write(part.read_text(encoding="utf-8").removesuffix("# EOF\n"))
            file.write(case.more(case.name))
        file.write("# EOF\n")
    server.backfill(whole)
    whole.unlink()
    part.unlink(missing_ok=True)
