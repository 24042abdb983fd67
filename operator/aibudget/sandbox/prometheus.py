"""A Prometheus of our own: scrapes what it is told, keeps old data, and can be given a past with promtool.

Samples go in at start-up (`backfill`) or by scraping; its port stays the same over restarts, so that a
client sees an outage and not another server.
"""

import json
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from aibudget.sandbox.binaries import locate, say
from aibudget.sandbox.errors import SandboxError
from aibudget.sandbox.process import Process, free_port, port_is_free, wait_until
from aibudget.sandbox.toolchain import Progress

READY_TIMEOUT = 60.0
# Few big blocks instead of one each two hours: promtool reads its input once for each block.
BACKFILL_BLOCK = "162h"


@dataclass(frozen=True, slots=True)
class ScrapeJob:
    """One entry of scrape_configs with one target: `address` is host:port; `labels` are target labels."""

    job: str
    address: str
    path: str = "/metrics"
    honor_labels: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """This job as Prometheus's configuration has it. An `instance` in the labels names the target."""
        return {
            "job_name": f"{self.job}/{self.labels.get('instance', self.address)}{self.path}",
            "metrics_path": self.path,
            "honor_labels": self.honor_labels,
            "static_configs": [{"targets": [self.address], "labels": {"job": self.job, **self.labels}}],
        }


class PrometheusServer:
    """A context manager around a Prometheus process; its data is in `directory/data`."""

    def __init__(
        self,
        directory: Path,
        jobs: Sequence[ScrapeJob] = (),
        *,
        scrape_interval: float = 5.0,
        query_log: Path | None = None,
        progress: Progress = say,
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.port = free_port()
        self.scrape_interval = scrape_interval
        self.query_log = query_log
        self._jobs = tuple(jobs)
        self._programs = locate(["prometheus", "promtool"], progress)
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """Base address, for queries and for the operator's `--prometheus-url`."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start (again) on the same port and data, and wait until queries are answered."""
        self._write_config()
        wait_until(lambda: port_is_free(self.port), 30, f"port {self.port} to be free again")
        self._process = Process(
            "prometheus",
            [
                self._programs["prometheus"],
                f"--config.file={self._config}",
                f"--storage.tsdb.path={self.data}",
                "--storage.tsdb.retention.time=400d",
                f"--web.listen-address=127.0.0.1:{self.port}",
                # By default five seconds pass between learning of a target and scraping it.
                "--scrape.discovery-reload-interval=100ms",
                "--log.level=warn",
            ],
            self.directory,
        )
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return when the server answers; SandboxError with its log's tail when it does not."""
        if self._process is None:
            raise SandboxError("this Prometheus was not started")
        self._process.wait_until(self._is_ready, READY_TIMEOUT)

    def stop(self) -> None:
        """Stop it, data kept; harmless when it is not running."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP for a server that hangs."""
        if self._process is not None:
            self._process.signal(number)

    def scrape(self, jobs: Sequence[ScrapeJob]) -> None:
        """Scrape these from now on, without a restart."""
        self._jobs = tuple(jobs)
        self._write_config()
        self.signal(signal.SIGHUP)
        wanted = {job.config()["job_name"] for job in jobs}
        wait_until(lambda: wanted == self._scraped(), 30, "Prometheus to take its new configuration")

    def backfill(self, history: Path) -> None:
        """Load an OpenMetrics file with timestamps as blocks; before `start`, and all of it in the past."""
        if self._process is not None:
            raise SandboxError("history goes in before Prometheus starts; stop it first.")
        self.data.mkdir(parents=True, exist_ok=True)
        command = [
            "tsdb",
            "create-blocks-from",
            f"--max-block-duration={BACKFILL_BLOCK}",
            "--quiet",
            "openmetrics",
        ]
        ran = subprocess.run(
            [self._programs["promtool"], *command, history, self.data],
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode != 0:
            raise SandboxError(
                f"promtool does not take {history}: {(ran.stderr or ran.stdout)[-1000:].strip()}"
            )

    def query(self, expression: str, at: float | None = None) -> list[tuple[dict[str, str], float]]:
        """An instant query's vector as (labels, value), for tests and the demo's own eyes."""
        params = {"query": expression} if at is None else {"query": expression, "time": repr(at)}
        answer = requests.get(f"{self.url}/api/v1/query", params=params, timeout=30)
        answer.raise_for_status()
        return [(series["metric"], float(series["value"][1])) for series in answer.json()["data"]["result"]]

    @property
    def _config(self) -> Path:
        return self.directory / "prometheus.yml"

    def _write_config(self) -> None:
        milliseconds = f"{round(self.scrape_interval * 1000)}ms"
        log = {"query_log_file": str(self.query_log)} if self.query_log else {}
        config = {
            "global": {"scrape_interval": milliseconds, "scrape_timeout": milliseconds, **log},
            "scrape_configs": [job.config() for job in self._jobs],
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        self._config.write_text(json.dumps(config, indent=2))  # JSON is YAML

    def _scraped(self) -> set[str]:
        targets = requests.get(f"{self.url}/api/v1/targets?state=active", timeout=5).json()
        return {target["scrapePool"] for target in targets["data"]["activeTargets"]}

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", timeout=2).ok
        except requests.RequestException:
            return False
