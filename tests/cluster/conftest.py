"""The real things that cluster tests share: a control plane with nodes, a bare API server, Prometheus.

Missing binaries are built on first use, with progress on the terminal.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from aibudget.sandbox.binaries import locate, say
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.nodes import add_nodes
from aibudget.sandbox.prometheus import PrometheusServer, ScrapeJob
from aibudget.sandbox.toolchain import Progress

PrometheusFactory = Callable[..., PrometheusServer]
NamespaceFactory = Callable[..., str]


@pytest.fixture(scope="session")
def progress(request: pytest.FixtureRequest) -> Progress:
    """Lines on the terminal even while pytest captures output: a first build takes minutes."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            say(line)

    return tell


@pytest.fixture(scope="session")
def binaries(progress: Progress) -> dict[str, Path]:
    """Every binary of the sandbox, built now if need be, for tests that start processes of their own."""
    return locate(progress=progress)


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory: pytest.TempPathFactory, progress: Progress) -> Iterator[ControlPlane]:
    """API server, controllers, scheduler and kwok with the small GPU cluster's nodes; a module's own."""
    with ControlPlane(tmp_path_factory.mktemp("control-plane"), progress=progress) as plane:
        add_nodes(plane.client)
        yield plane


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory, progress: Progress) -> Iterator[ControlPlane]:
    """etcd and the API server alone, for what needs no controllers: CRDs, apply. A module's own."""
    with ControlPlane(tmp_path_factory.mktemp("api-server"), components=(), progress=progress) as plane:
        yield plane


@pytest.fixture
def prometheus_factory(tmp_path: Path, progress: Progress) -> Iterator[PrometheusFactory]:
    """`make(jobs=(), scrape_interval=1.0, history=None, start=True)`: ends with the test."""
    numbers = count(1)
    with ExitStack() as started:

        def make(
            jobs: Sequence[ScrapeJob] = (),
            *,
            scrape_interval: float = 1.0,
            history: Path | None = None,
            start: bool = True,
        ) -> PrometheusServer:
            directory = tmp_path / f"prometheus-{next(numbers)}"
            server = PrometheusServer(directory, jobs, scrape_interval=scrape_interval, progress=progress)
            started.callback(server.stop)
            if history is not None:
                server.backfill(history)
            if start:
                server.start()
            return server

        yield make


@pytest.fixture
def namespace(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[NamespaceFactory]:
    """`make(labels=None)`: a new namespace's name; the test's namespaces are deleted after it."""
    made: list[str] = []

    def make(labels: dict[str, str] | None = None) -> str:
        metadata = {
            "generateName": "test-",
            "labels": labels or {},
            "annotations": {"test": request.node.name},
        }
        created = control_plane.client.create("/api/v1/namespaces", {"metadata": metadata})
        made.append(created["metadata"]["name"])
        return made[-1]

    yield make
    for name in made:
        control_plane.client.delete(f"/api/v1/namespaces/{name}")
