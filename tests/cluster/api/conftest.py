"""The API server with our CRDs established."""

from collections.abc import Iterator

import pytest

from aibudget.api.crds import crd_documents
from aibudget.api.kinds import KINDS
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.process import wait_until
from cluster.api.server import Server


@pytest.fixture(scope="module")
def server(api_server: ControlPlane) -> Iterator[Server]:
    """The API server, serving our kinds."""
    for text in crd_documents().values():
        api_server.client.apply(text)
    for name in ("team-nlp", "team-vision", "team-web"):
        api_server.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    server = Server(api_server)
    wait_until(lambda: all(server.serves(kind.plural) for kind in KINDS), 30, "our kinds to be served")
    yield server
    server.close()
