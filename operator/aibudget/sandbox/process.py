"""Programs that run beside us: started with a log, waited for, and never left behind.

Each runs in a session of its own through `lifeline`, so that it ends when its owner ends, even by
SIGKILL. Stopping one takes the same way as losing its owner: close the pipe. Knows nothing of what the
programs are.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aibudget.sandbox.errors import SandboxError

LIFELINE = Path(__file__).with_name("lifeline.py")
GRACE = 5.0
POLL = 0.05


class Process:
    """A running program. Its log is `directory/<name>.log`, appended to over restarts."""

    def __init__(
        self, name: str, command: Sequence[str | Path], directory: Path, env: Mapping[str, str] | None = None
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log = directory / f"{name}.log"
        watched, self._lifeline = os.pipe()
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", LIFELINE, str(watched), str(GRACE), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if env is None else dict(env),
                pass_fds=[watched],
                start_new_session=True,
            )
        os.close(watched)

    @property
    def pid(self) -> int:
        """Id of the program itself, for signals in fault tests."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the program still runs."""
        return self._process.poll() is None

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """Return when `ready()`; SandboxError with the log's tail when the program dies or time is up."""

        def ready_or_dead() -> bool:
            if not self.alive:
                raise SandboxError(
                    f"{self.name} ended with status {self._process.returncode}.\n{self.log_tail()}"
                )
            return ready()

        try:
            wait_until(ready_or_dead, timeout, f"{self.name} to be ready")
        except TimeoutError as late:
            raise SandboxError(f"{late}\n{self.log_tail()}") from late

    def log_tail(self, lines: int = 15) -> str:
        """The log's last lines, after a line that names the file."""
        tail = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- {self.log}", *tail])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """TERM, then KILL after the grace; returns when the program is gone. Harmless when it is already."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        self._process.wait()

    def kill(self) -> None:
        """End the program at once, as a crash would."""
        self._process.kill()
        self.stop()


def wait_until(condition: Callable[[], bool], timeout: float, what: str, every: float = POLL) -> None:
    """Poll `condition` until it holds; TimeoutError names `what` was waited for. Times are in seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:.0f} s in vain for {what}")
        time.sleep(every)


def free_port() -> int:
    """A loopback TCP port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    """Whether a server could bind this loopback port; a second server beside an old one serves nobody."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
