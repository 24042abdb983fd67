"""Speaks as kube-state-metrics (`/metrics/ksm`) and dcgm-exporter (`/metrics/dcgm`) would of our cluster.

Lists the real objects at each scrape, so a series is as fresh as its scrape. While the API server is
away it repeats what it saw last, as an exporter with informers does.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import requests

from aibudget.sandbox.client import KubernetesClient
from aibudget.sandbox.devices import DeviceBook
from aibudget.sandbox.exposition import Series, dcgm, kube_state_metrics, text
from aibudget.sandbox.prometheus import ScrapeJob
from aibudget.sandbox.snapshot import Snapshot, namespace_from, node_from, owned_from, pod_from

KSM_JOB = "kube-state-metrics"
DCGM_JOB = "dcgm-exporter"


@dataclass(frozen=True, slots=True)
class Faults:
    """What an exporter can do wrong: leave out families or labels, or say NaN."""

    silent_families: frozenset[str] = frozenset()
    nan_families: frozenset[str] = frozenset()
    dropped_labels: frozenset[str] = frozenset()

    def apply(self, series: Iterable[Series]) -> Iterator[Series]:
        """The series as the faulty exporter would give them."""
        for name, labels, value in series:
            if name not in self.silent_families:
                kept = tuple(pair for pair in labels if pair[0] not in self.dropped_labels)
                yield Series(name, kept, float("nan") if name in self.nan_families else value)


class Exporter:
    """A context manager that serves both pages on a free loopback port; `faults` may be set while it runs."""

    def __init__(self, client: KubernetesClient) -> None:
        self.faults = Faults()
        self._client = client
        self._devices = DeviceBook()
        self._seen: Snapshot | None = None
        self._lock = threading.Lock()
        exporter = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter.serve(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                """A line for every scrape helps nobody."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        """host:port of the server."""
        return f"127.0.0.1:{self._server.server_port}"

    def jobs(self, ksm_instances: int = 1) -> list[ScrapeJob]:
        """How Prometheus should scrape us, with `honor_labels` as the two exporters' charts have it."""
        state = [
            ScrapeJob(KSM_JOB, self.address, "/metrics/ksm", honor_labels=True, labels=ksm_target(replica))
            for replica in range(ksm_instances)
        ]
        return [*state, ScrapeJob(DCGM_JOB, self.address, "/metrics/dcgm", labels=dcgm_target())]

    def serve(self, page: BaseHTTPRequestHandler) -> None:
        """Answer one scrape."""
        with self._lock:
            try:
                body = self._page(page.path).encode()
                status = HTTPStatus.OK
            except KeyError:
                body, status = b"there is /metrics/ksm and /metrics/dcgm\n", HTTPStatus.NOT_FOUND
            except (requests.RequestException, ValueError) as error:
                # ValueError: a utilisation annotation that is no number; the scrape says so and fails.
                body, status = f"{error}\n".encode(), HTTPStatus.SERVICE_UNAVAILABLE
        page.send_response(status)
        page.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        page.send_header("Content-Length", str(len(body)))
        page.end_headers()
        page.wfile.write(body)

    def _page(self, path: str) -> str:
        pages: dict[str, Callable[[Snapshot], Iterator[Series]]] = {
            "/metrics/ksm": kube_state_metrics,
            "/metrics/dcgm": lambda snapshot: dcgm(self._devices.devices(snapshot)),
        }
        return text(self.faults.apply(pages[path](self._look())))

    def _look(self) -> Snapshot:
        try:
            self._seen = observe(self._client)
        except requests.RequestException:
            if self._seen is None:
                raise
        return self._seen


def observe(client: KubernetesClient) -> Snapshot:
    """The cluster now, from the API server's watch cache."""
    cached = {"resourceVersion": "0"}
    replica_sets = client.items("/apis/apps/v1/replicasets", cached)
    jobs = client.items("/apis/batch/v1/jobs", cached)
    return Snapshot(
        pods=tuple(map(pod_from, client.items("/api/v1/pods", cached))),
        nodes=tuple(map(node_from, client.items("/api/v1/nodes", cached))),
        owned=(
            *(owned_from("ReplicaSet", item) for item in replica_sets),
            *(owned_from("Job", item) for item in jobs),
        ),
        namespaces=tuple(map(namespace_from, client.items("/api/v1/namespaces", cached))),
    )


def ksm_target(replica: int = 0) -> dict[str, str]:
    """Target labels of a kube-state-metrics pod as kube-prometheus-stack sets them."""
    return {
        "instance": f"10.0.0.{10 + replica}:8080",
        "namespace": "monitoring",
        "pod": f"kube-state-metrics-{replica}",
        "container": "kube-state-metrics",
    }


def dcgm_target() -> dict[str, str]:
    """Target labels of dcgm-exporter's pod; one stands for all nodes."""
    return {
        "instance": "10.0.0.20:9400",
        "namespace": "gpu-operator",
        "pod": "nvidia-dcgm-exporter-0",
        "container": "nvidia-dcgm-exporter",
    }
