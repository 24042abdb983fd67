"""`aibudget run`: the operator. Its flags are made from `controller.options`; nothing is decided here."""

import os
import sys
from collections.abc import Callable
from typing import Any

import click

from aibudget.controller.options import OPTIONS, Option


def _flags(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(OPTIONS):
        command = click.option(option.flag, option.name, metavar="TEXT", help=_help(option))(command)
    return command


def _help(option: Option) -> str:
    default = f" Default: {option.default}." if option.default and option.default.strip() else ""
    return f"{option.help}{default} [{', '.join(option.variables)}]"


@click.command()
@click.option("--kubeconfig", type=click.Path(), metavar="FILE", help="Kubeconfig to use.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@_flags
def run(kubeconfig: str | None, context: str | None, **flags: str | None) -> None:
    """Run the operator until it is told to stop.

    Each option can be given by the variable in brackets, too. Exit codes: 0 it was told to stop, 1 it cannot
    go on and is to be started again, 2 it was set up wrongly.
    """
    from aibudget.controller.settings import settings

    chosen = settings(flags, os.environ)

    # Only now, since it costs half a second and a typing error should not.
    from aibudget.controller.app import main

    sys.exit(main(chosen, kubeconfig, context))
