"""The `aibudget` program: one group of commands, each in the module that carries its name.

A command's module is imported when the command is called, so that `validate` starts without waiting for the
operator's libraries. What a command raises becomes one sentence on stderr and an exit code here:
0 done, 1 the answer is "no" (the command says so itself), 2 it could not be done.
"""

import sys
from importlib import import_module
from pathlib import PurePath
from typing import Any, Final

import click

from aibudget.errors import AIBudgetError

SUMMARIES: Final[dict[str, str]] = {
    "approve": "Let workloads be held for which budgets in mode Approve ask a person.",
    "crds": "Print the CustomResourceDefinitions.",
    "explain": "Explain why a workload is held, or why it is not.",
    "holds": "Show which workloads and namespaces are held, by which budget, and how to get them back.",
    "ledger": "Look after the ledger: check it, copy it.",
    "release": "Give held workloads back, even with no operator running.",
    "run": "Run the operator.",
    "sandbox": "Run a real Kubernetes control plane and Prometheus on this machine.",
    "status": "Show where budgets stand.",
    "usage": "Meter and price a time range, with no cluster and no ledger.",
    "veto": "Have workloads left alone, or given back, until the period ends.",
    "validate": "Check manifests offline.",
}
"""Every command with its help line, so that `--help` imports none of them."""


class CannotBeDone(click.ClickException):
    """The end of a command that failed for a reason the user can act on."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """One sentence on stderr, without a traceback."""
        click.echo(f"error: {self.format_message()}", err=True)


class Commands(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, without importing anything."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command object of `aibudget.cli.<name>`, which has the command's own name."""
        if cmd_name not in SUMMARIES:
            return None
        command: click.Command = getattr(import_module(f"aibudget.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands in `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error of ours becomes its message and exit code 2."""
        try:
            return super().invoke(ctx)
        except AIBudgetError as error:
            raise CannotBeDone(error.message) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aibudget", message="%(prog)s %(version)s")
@click.option("--kubeconfig", type=click.Path(), metavar="FILE", help="Kubeconfig to use.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@click.option("-n", "--namespace", metavar="NAME", help="Namespace; the context's if absent.")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")
@click.pass_context
def cli(ctx: click.Context, /, **given: str | bool | None) -> None:
    """Budgets for AI workloads on Kubernetes: meter, price, warn and act.

    The options may also follow the command.
    """
    defaults = {name: value for name, value in given.items() if value}
    ctx.default_map = dict.fromkeys(SUMMARIES, defaults)


def program_name(executable: str) -> str:
    """What users typed: kubectl runs a plugin under its file's name, `kubectl-aibudget`."""
    return "kubectl aibudget" if PurePath(executable).name.startswith("kubectl-") else "aibudget"


def main() -> None:
    """Entry point of both executables."""
    cli.main(prog_name=program_name(sys.argv[0]))
