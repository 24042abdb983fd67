"""Which cluster and which namespace a command means, by the flags and files that kubectl reads.

The client library is imported when a command runs, not when its help is printed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from aibudget.inventory.kubernetes import Cluster

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Connection:
    """What `--kubeconfig --context -n -A` said; None is "as kubectl would"."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    all_namespaces: bool = False

    def scope(self) -> str | None:
        """The namespace to look in, None for all of them; reads the kubeconfig where no flag says it."""
        return None if self.all_namespaces else self.namespace or self._namespace_of_context()

    def run(self, work: "Callable[[Cluster], Awaitable[T]]") -> T:
        """Connect, do the work, disconnect."""
        from aibudget.inventory.kubernetes import Cluster

        async def connected() -> T:
            async with await Cluster.connect(self.kubeconfig, self.context) as cluster:
                return await work(cluster)

        return asyncio.run(connected())

    def _namespace_of_context(self) -> str:
        from kubernetes.aio.config import ConfigException, list_kube_config_contexts

        try:
            contexts, chosen = list_kube_config_contexts(self.kubeconfig)
        except ConfigException:
            return "default"  # no kubeconfig at all: connecting says so better than we could
        if self.context is not None:
            chosen = next((context for context in contexts if context["name"] == self.context), chosen)
        return str(chosen["context"].get("namespace") or "default")


Command = Callable[..., Any]


def connection_options(command: Command) -> Command:
    """Give a command kubectl's flags for a cluster; it takes a `Connection` as its first argument."""

    @click.option("--kubeconfig", type=click.Path(), metavar="FILE", help="Kubeconfig to use.")
    @click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
    @wraps(command)
    def connected(**given: Any) -> Any:
        flags = {field.name: given.pop(field.name) for field in fields(Connection) if field.name in given}
        return command(Connection(**flags), **given)

    return connected


def namespace_options(command: Command) -> Command:
    """The flags for a namespace on top of those for a cluster."""
    command = click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")(command)
    return click.option("-n", "--namespace", metavar="NAME", help="Namespace; the context's if absent.")(
        command
    )
