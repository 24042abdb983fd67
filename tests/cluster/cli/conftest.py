"""A namespace of its own for each test, objects with a status as an operator writes it, and the program."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from aibudget.api.crds import crd_documents
from aibudget.api.names import API_VERSION
from aibudget.cli.main import cli
from aibudget.sandbox.client import object_path
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.process import wait_until

NUMBERS = count(1)


def condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    """A condition as the operator writes it."""
    moment = "2026-11-21T10:00:00Z"
    return {"type": kind, "status": status, "reason": reason, "message": reason, "lastTransitionTime": moment}


@dataclass(frozen=True, slots=True)
class Desk:
    """One person's terminal: a kubeconfig whose context names a namespace of their own."""

    plane: ControlPlane
    namespace: str

    def aibudget(self, *arguments: str, answer: str | None = None) -> Result:
        """Run the program as the administrator; `answer` is what is typed."""
        kubeconfig = ["--kubeconfig", str(self.plane.kubeconfig)]
        return CliRunner().invoke(cli, [*kubeconfig, *arguments], input=answer)

    def put(
        self, kind: str, name: str, spec: str, status: dict[str, Any], *, everywhere: bool = False
    ) -> None:
        """Apply an object of our group, and write its status."""
        metadata = {"name": name} if everywhere else {"name": name, "namespace": self.namespace}
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": yaml.safe_load(spec)}
        self.plane.client.apply(body)
        self.plane.client.patch(f"{object_path(body)}/status", {"status": status})


@pytest.fixture(scope="module")
def served(api_server: ControlPlane) -> ControlPlane:
    """The API server, serving our kinds."""
    for text in crd_documents().values():
        api_server.client.apply(text)
    for plural in ("aibudgets", "clusteraibudgets", "holds"):
        wait_until(partial(api_server.client.exists, f"/apis/{API_VERSION}/{plural}"), 30, plural)
    return api_server


@pytest.fixture
def desk(served: ControlPlane) -> Iterator[Desk]:
    """An empty namespace, gone after the test."""
    name = f"desk-{next(NUMBERS)}"
    served.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield Desk(served, name)
    for plural in ("aibudgets", "holds"):
        for item in served.client.items(f"/apis/{API_VERSION}/namespaces/{name}/{plural}"):
            served.client.delete(f"/apis/{API_VERSION}/namespaces/{name}/{plural}/{item['metadata']['name']}")
