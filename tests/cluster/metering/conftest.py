"""One Prometheus that holds every small past, and a way to ask `aibudget usage` about it."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from aibudget.cli.main import cli
from aibudget.metering.slots import iso
from aibudget.sandbox.history import write_history
from aibudget.sandbox.prometheus import PrometheusServer
from aibudget.sandbox.toolchain import Progress
from cluster.metering.cases import BEGINS, CASES, Past


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call of `aibudget usage` came to; `document` is empty unless it printed JSON."""

    code: int
    output: str
    notes: str

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.output))


Ask = Callable[..., Asked]


def remembering(directory: Path, pasts: Iterable[Past | str], progress: Progress) -> PrometheusServer:
    """A Prometheus that scraped all of this; text is lines of OpenMetrics."""
    whole, part = directory / "history.txt", directory / "part.txt"
    with whole.open("w", encoding="utf-8") as file:
        for past in pasts:
            if isinstance(past, str):
                file.write(past)
                continue
            write_history(part, past.history, past.scrapes, past.families)
            file.write(part.read_text(encoding="utf-8").removesuffix("# EOF\n"))
        file.write("# EOF\n")
    server = PrometheusServer(directory, progress=progress)
    server.backfill(whole)
    return server


@pytest.fixture(scope="module")
def pasts(tmp_path_factory: pytest.TempPathFactory, progress: Progress) -> Iterator[PrometheusServer]:
    """A Prometheus with the past of every case."""
    told: list[Past | str] = []
    for case in CASES:
        told += [*case.past(BEGINS[case.name]), case.more(BEGINS[case.name])]
    with remembering(tmp_path_factory.mktemp("pasts"), told, progress) as server:
        yield server


@pytest.fixture
def ask() -> Ask:
    """`ask(url, start, end, *flags)`: the command itself, in this process, as JSON unless told otherwise."""

    def usage(url: str, start: int, end: int, *flags: str | Path) -> Asked:
        command = ["usage", "--prometheus", url, "--from", iso(start), "--to", iso(end), "-o", "json"]
        ran = CliRunner().invoke(cli, [*command, *map(str, flags)])
        return Asked(ran.exit_code, ran.stdout, ran.stderr)

    return usage
