"""`aibudget validate`: the API's rules applied to files, with no cluster: for editors, hooks and CI."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import click

from aibudget.api.manifests import Report
from aibudget.api.manifests import validate as check
from aibudget.errors import Stalled

SUFFIXES = (".yaml", ".yml")


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)
def validate(files: tuple[str, ...], output: str) -> None:
    """Check manifests offline, by the rules that the API server applies.

    FILE is a file, a directory (searched for *.yaml and *.yml) or "-" for standard input. Objects of other
    API groups are left alone. Exits with 1 when something is invalid, with 2 when a FILE cannot be read: what
    can be is checked and printed all the same.
    """
    unreadable: list[Stalled] = []
    reports = [check(name, content) for name, content in _contents(files, unreadable)]
    problems = [problem for report in reports for problem in report.problems]
    if not reports and unreadable:
        raise unreadable[0]
    if output == "json":
        found = [asdict(problem) for problem in problems]
        click.echo(
            json.dumps({"valid": not found, "checked": _checked(reports), "problems": found}, indent=2)
        )
    else:
        for problem in problems:
            click.echo(str(problem))
        click.echo(f"objects checked: {_checked(reports)}, problems: {len(problems)}", err=True)
    if unreadable:
        raise Stalled("Unreadable", " ".join(error.message for error in unreadable))
    if problems:
        sys.exit(1)


def _checked(reports: Iterable[Report]) -> int:
    return sum(report.checked for report in reports)


def _contents(names: Iterable[str], unreadable: list[Stalled]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        if name == "-":
            yield "<stdin>", sys.stdin.buffer.read()
            continue
        try:
            paths = _manifests(Path(name))
        except Stalled as error:
            unreadable.append(error)
            continue
        for path in paths:
            try:
                content = path.read_bytes()
            except OSError as error:
                why = f"{path} cannot be read ({error.strerror}); correct the path."
                unreadable.append(Stalled("Unreadable", why))
            else:
                yield str(path), content


def _manifests(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
    if not found:
        raise Stalled("NothingToCheck", f"{path} holds no *.yaml or *.yml file; name one that does.")
    return found
