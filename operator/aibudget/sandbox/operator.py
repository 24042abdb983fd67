"""The operator in the sandbox: installed by its own chart, run as a process with the chart's rights.

`helm install` makes the CRDs, the roles and the Deployment, whose pod is one that kwok pretends to run. The
process beside it takes the environment of that Deployment and a token of its ServiceAccount, so a variable or
a permission that the chart forgets is missing here too. When it ends by itself, as a leader does that loses
its Lease, it is started again, as the kubelet would.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

import requests

from aibudget.sandbox.binaries import locate, say
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.errors import SandboxError
from aibudget.sandbox.process import Process, free_port, wait_until
from aibudget.sandbox.toolchain import Progress

NAMESPACE = "aibudget-system"
RELEASE = "aibudget"
READY_TIMEOUT = 60.0
RESTART_SECONDS = 1.0
SCRAPE_TIMEOUT = 10.0  # Prometheus's own, unless it is told another.


def chart() -> Path:
    """The chart beside this code: in a checkout at its top, in an installed package within it."""
    package = Path(__file__).parents[1]
    for place in (package.parents[1] / "charts" / "aibudget", package / "chart"):
        if (place / "Chart.yaml").is_file():
            return place
    raise SandboxError("the Helm chart is not where it belongs; install aibudget again.")


def install(control_plane: ControlPlane, values: Mapping[str, object], progress: Progress = say) -> None:
    """`helm install` (or upgrade) of the chart with these `--set` values."""
    progress("installing the chart …")
    settings = [f"--set={name}={value}" for name, value in values.items()]
    ran = subprocess.run(
        [
            locate(["helm"], progress)["helm"],
            *("upgrade", "--install", RELEASE, chart()),
            *("--namespace", NAMESPACE, "--create-namespace"),
            *("--kubeconfig", control_plane.kubeconfig),
            *("--set", "persistence.enabled=false", *settings),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise SandboxError(f"helm does not install the chart: {(ran.stderr or ran.stdout)[-1500:].strip()}")


class Operator:
    """A context manager around `aibudget run`. `environment` goes over the chart's own.

    With `api_url` it reaches the API server through there, for tests that stand in between. `ready_within`
    is in seconds: a leader is ready when its first cycle has ended, which thousands of budgets make long.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        directory: Path,
        *,
        identity: str = "sandbox",
        environment: Mapping[str, str] | None = None,
        api_url: str | None = None,
        ready_within: float = READY_TIMEOUT,
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.kubeconfig = directory / "operator.kubeconfig"
        self._control_plane = control_plane
        self._identity = identity
        self._environment = dict(environment or {})
        self._api_url = api_url
        self._ready_within = ready_within
        self._unwanted = Event()
        self._keeper: Thread | None = None
        self.process: Process | None = None

    @property
    def url(self) -> str:
        """Where its probes and metrics answer."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ledger_url(self) -> str:
        """Its ledger, which others may read while it runs."""
        return f"sqlite:///{self.directory / 'ledger.db'}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, arguments: Sequence[str] = ()) -> None:
        """Start it and return when it is ready (a standby is ready, too).

        SandboxError when it ends before; once it was ready it is kept running until `stop` or `kill`.
        """
        self.stop()
        if not self.kubeconfig.exists():
            self._write_kubeconfig()
        launch = partial(
            Process,
            "operator",
            [sys.executable, "-m", "aibudget", "run", *arguments],
            self.directory,
            env=os.environ | self._chart_environment() | self._own_environment(),
        )
        self.process = launch()
        self.process.wait_until(self._is_ready, self._ready_within)
        self._unwanted.clear()
        self._keeper = Thread(target=self._keep_running, args=[launch], name="kubelet", daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        """End it as a rollout would; harmless when it is gone."""
        self._let_it_end()
        if self.process is not None:
            self.process.stop()

    def kill(self) -> None:
        """End it as a node's failure would: it does not come back before `start`."""
        self._let_it_end()
        if self.process is not None:
            self.process.kill()

    def await_ready(self) -> None:
        """Return when it is ready, whoever started it."""
        wait_until(self._is_ready, self._ready_within, "the operator to be ready")

    def metrics(self) -> str:
        """Its own metrics as Prometheus would scrape them."""
        return requests.get(f"{self.url}/metrics", timeout=SCRAPE_TIMEOUT).text

    def _keep_running(self, launch: Callable[[], Process]) -> None:
        while not self._unwanted.wait(RESTART_SECONDS):
            if self.process is not None and not self.process.alive:
                self.process.stop()
                self.process = launch()

    def _let_it_end(self) -> None:
        self._unwanted.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None

    def _write_kubeconfig(self) -> None:
        self._control_plane.kubeconfig_for_service_account(NAMESPACE, RELEASE, self.kubeconfig)
        if self._api_url is not None:
            config = json.loads(self.kubeconfig.read_text())
            config["clusters"][0]["cluster"] = {"server": self._api_url}
            self.kubeconfig.write_text(json.dumps(config))

    def _chart_environment(self) -> dict[str, str]:
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}"
        template = self._control_plane.client.get(path)["spec"]["template"]
        variables = template["spec"]["containers"][0]["env"]
        return {variable["name"]: variable["value"] for variable in variables if variable.get("value")}

    def _own_environment(self) -> dict[str, str]:
        return {
            "POD_NAMESPACE": NAMESPACE,
            "POD_NAME": self._identity,
            "KUBECONFIG": str(self.kubeconfig),
            "AIBUDGET_LEDGER_URL": self.ledger_url,
            "AIBUDGET_BIND": f"127.0.0.1:{self.port}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **self._environment,
        }

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=2).ok
        except requests.RequestException:
            return False
