"""The whole sandbox: control plane, GPU nodes, tenants, Prometheus and the operator; left running or not.

`Sandbox` is a context manager for the demo and the tests. `up` leaves one running under a supervisor of its
own (this module run as a program) and `down` ends it. Each begins empty; what it holds is gone with it.
A lock on `home/lock`, held by the supervisor, tells a running sandbox from what a crash left behind.
"""

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from aibudget.sandbox.binaries import locate, say
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.errors import SandboxError
from aibudget.sandbox.exporter import Exporter
from aibudget.sandbox.nodes import add_nodes
from aibudget.sandbox.operator import Operator, install
from aibudget.sandbox.process import wait_until
from aibudget.sandbox.prometheus import PrometheusServer
from aibudget.sandbox.tenants import add_tenants, write_past
from aibudget.sandbox.toolchain import Progress

UP_TIMEOUT = 300.0
DOWN_TIMEOUT = 30.0
LOCK_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class SandboxState:
    """How to reach a running sandbox. `kubeconfig` and `kubectl` are paths."""

    pid: int
    kubeconfig: str
    kubectl: str
    api_url: str
    prometheus_url: str
    exporter_url: str
    ledger_url: str = ""
    """Empty of a sandbox that an older AIBudget started."""

    def usage(self) -> str:
        """Shell lines that a user pastes; without a kubectl on PATH they put ours there."""
        exports = {
            "KUBECONFIG": self.kubeconfig,
            "AIBUDGET_PROMETHEUS_URL": self.prometheus_url,
            "AIBUDGET_LEDGER_URL": self.ledger_url,
        }
        lines = [f"export {name}={shlex.quote(value)}" for name, value in exports.items() if value]
        if shutil.which("kubectl") is None:
            lines.append(f'export PATH="$PATH":{shlex.quote(str(Path(self.kubectl).parent))}')
        return "\n".join(lines)


class Sandbox:
    """A context manager around everything, tenants and the operator included; intervals are in seconds."""

    def __init__(
        self, directory: Path, *, scrape_interval: float = 5.0, interval: int = 10, progress: Progress = say
    ) -> None:
        self._past = directory / "past.openmetrics"
        self._interval = interval
        self._progress = progress
        self._running = ExitStack()
        self.control_plane = ControlPlane(directory / "control-plane", progress=progress)
        self._client = self.control_plane.connect()
        self.exporter = Exporter(self._client)
        self.prometheus = PrometheusServer(
            directory / "prometheus",
            self.exporter.jobs(),
            scrape_interval=scrape_interval,
            progress=progress,
        )
        self.operator = Operator(self.control_plane, directory / "operator")

    def __enter__(self) -> Self:
        with ExitStack() as started:
            self._progress("starting the control plane …")
            started.enter_context(self.control_plane)
            add_nodes(self.control_plane.client)
            add_tenants(self.control_plane.client)
            started.enter_context(self._client)
            started.enter_context(self.exporter)
            settings = {"prometheus.url": self.prometheus.url, "intervalSeconds": self._interval}
            install(self.control_plane, settings, self._progress)
            self._remember_the_past()
            started.enter_context(self.prometheus)
            self._progress("starting the operator …")
            started.enter_context(self.operator)
            self._progress("ready")
            self._running = started.pop_all()
        return self

    def _remember_the_past(self) -> None:
        self._progress("giving Prometheus a month of past …")
        # Written last of all: the live scrapes should follow it closely.
        interval = self.prometheus.scrape_interval
        write_past(self.control_plane.client, self._past, now=time.time(), interval=interval)
        self.prometheus.backfill(self._past)
        self._past.unlink()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def state(self) -> SandboxState:
        """How to reach it."""
        return SandboxState(
            pid=os.getpid(),
            kubeconfig=str(self.control_plane.kubeconfig),
            kubectl=str(locate(["kubectl"], self._progress)["kubectl"]),
            api_url=self.control_plane.url,
            prometheus_url=self.prometheus.url,
            exporter_url=f"http://{self.exporter.address}",
            ledger_url=self.operator.ledger_url,
        )


def up(home: Path, progress: Progress = say) -> SandboxState:
    """Start a sandbox that outlives us, or return the one that runs here; SandboxError if it fails."""
    if running := state(home):
        return running
    locate(progress=progress)  # here and not in the supervisor, so that a long build shows its progress
    home.mkdir(parents=True, exist_ok=True)
    _state_file(home).unlink(missing_ok=True)
    progress("starting the sandbox, a minute or two …")
    log = home / "supervisor.log"
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "aibudget.sandbox.home", home],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def up_or_dead() -> bool:
        if state(home) is not None:
            return True
        if supervisor.poll() is not None:
            raise SandboxError(f"the sandbox did not start; {log} says:\n{log.read_text()[-2000:].strip()}")
        return False

    try:
        wait_until(up_or_dead, UP_TIMEOUT, "the sandbox to be up")
    except BaseException:
        supervisor.terminate()
        raise
    started = state(home)
    if started is None:
        raise SandboxError(f"the sandbox ended as soon as it was up; see {log}.")
    # It is meant to outlive us: without this, Popen would warn that we forgot it.
    supervisor.returncode = 0
    return started


def down(home: Path) -> bool:
    """End the sandbox of this home and delete what it held; False when none was running."""
    running = state(home)
    if running is not None:
        os.kill(running.pid, signal.SIGTERM)
        try:
            wait_until(lambda: not _is_locked(home), DOWN_TIMEOUT, "the sandbox to end")
        except TimeoutError:
            os.kill(running.pid, signal.SIGKILL)
            wait_until(lambda: not _is_locked(home), DOWN_TIMEOUT, "the sandbox to be killed")
    _state_file(home).unlink(missing_ok=True)
    shutil.rmtree(_run_directory(home), ignore_errors=True)
    return running is not None


def state(home: Path) -> SandboxState | None:
    """The sandbox that runs in this home, None when there is none (or its supervisor died)."""
    if not _state_file(home).exists() or not _is_locked(home):
        return None
    return SandboxState(**json.loads(_state_file(home).read_text()))


def supervise(home: Path) -> None:
    """Run a sandbox until SIGTERM; the body of the supervisor process."""
    home.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _leave)
    with (home / "lock").open("w") as lock:
        wait_until(lambda: _lock(lock, fcntl.LOCK_EX), LOCK_TIMEOUT, "another sandbox in this home to end")
        shutil.rmtree(_run_directory(home), ignore_errors=True)
        with Sandbox(_run_directory(home)) as sandbox:
            unfinished = _state_file(home).with_suffix(".unfinished")
            unfinished.write_text(json.dumps(asdict(sandbox.state()), indent=2))
            unfinished.rename(_state_file(home))
            signal.pause()


def _state_file(home: Path) -> Path:
    return home / "state.json"


def _run_directory(home: Path) -> Path:
    return home / "run"


def _is_locked(home: Path) -> bool:
    if not (home / "lock").exists():
        return False
    with (home / "lock").open() as lock:
        return not _lock(lock, fcntl.LOCK_SH)


def _lock(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit()


if __name__ == "__main__":
    supervise(Path(sys.argv[1]))
