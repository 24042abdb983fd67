"""`aibudget sandbox`: a real control plane and Prometheus on this machine, for the demo, tests and play."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from aibudget.sandbox.errors import SandboxError

DEFAULT_HOME = (
    Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "aibudget" / "sandbox"
)

home_option = click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_HOME,
    metavar="DIR",
    help="Where the sandbox keeps what it holds; two directories are two sandboxes.",
)


@contextmanager
def in_time() -> Iterator[None]:
    """Say what to do when something real took longer than anyone waits."""
    try:
        yield
    except TimeoutError as late:
        raise SandboxError(
            f"{late}. A machine under load is slower than that: try it again when it is idle."
        ) from late


@click.group()
def sandbox() -> None:
    """Run a real Kubernetes control plane and Prometheus on this machine, with no Docker and no cluster.

    GPU nodes and their metrics are simulated; everything that AIBudget talks to is real.
    """


@sandbox.command(short_help="Start a sandbox and leave it running.")
@home_option
def up(home: Path) -> None:
    """Start a sandbox and leave it running; prints the shell lines to use it with.

    Run it as `eval "$(aibudget sandbox up)"`. Missing binaries are built the first time, which takes minutes.
    """
    from aibudget.sandbox.home import up as start

    with in_time():
        click.echo(start(home).usage())


@sandbox.command()
@home_option
def down(home: Path) -> None:
    """End the sandbox and delete everything in it."""
    from aibudget.sandbox.home import down as end

    with in_time():
        click.echo("The sandbox is gone." if end(home) else "No sandbox was running.", err=True)


@sandbox.command(short_help="Tell the whole story in a sandbox of its own.")
def demo() -> None:
    """Tell AIBudget's whole story in a sandbox of its own: budgets, a crossing, a hold and its release."""
    from aibudget.sandbox.demo import demo as play

    with in_time():
        play(click.echo)
