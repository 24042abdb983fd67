"""Nothing of a sandbox is left behind, however its owner ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from aibudget.sandbox import home
from aibudget.sandbox.process import Process, wait_until

pytestmark = pytest.mark.cluster

SOURCE_ROOT = Path(home.__file__).parents[2]
OWNER = """
import sys, time
from pathlib import Path
from aibudget.sandbox.controlplane import ControlPlane
with ControlPlane(Path(sys.argv[1]), components=()) as plane:
    (Path(sys.argv[1]) / "ready").touch()
    time.sleep(600)
"""


def processes_about(directory: Path) -> set[int]:
    """Ids of processes whose command line names the directory."""
    listed = subprocess.run(["ps", "-axwwo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=1) for line in listed.splitlines()]
    return {int(pid) for pid, *args in lines if str(directory) in " ".join(args)}


@pytest.mark.usefixtures("binaries")
def test_killed_owner_leaves_no_process(tmp_path: Path) -> None:
    """etcd and the API server end when the process that started them is killed with SIGKILL."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, tmp_path], env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}
    )
    try:
        wait_until((tmp_path / "ready").exists, 120, "the control plane")
        assert len(processes_about(tmp_path)) >= 3
    finally:
        owner.kill()
        owner.wait()
    wait_until(lambda: not processes_about(tmp_path), 30, "all of it to end")


def test_stubborn_process_is_killed(tmp_path: Path) -> None:
    """A program that ignores TERM is gone all the same when stop returns."""
    stubborn = (
        "import signal,time,sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    )
    process = Process("stubborn", [sys.executable, "-c", f"{stubborn}; time.sleep(600)"], tmp_path)
    process.wait_until(lambda: "deaf" in process.log.read_text(), 30)
    process.signal(signal.SIGTERM)
    process.stop()
    assert not process.alive


@pytest.mark.usefixtures("binaries")
def test_sandbox_stays_up_until_it_is_taken_down(tmp_path: Path) -> None:
    """`up` leaves a working sandbox, a second `up` finds it, `down` ends all of it and says so once."""
    lines: list[str] = []
    try:
        state = home.up(tmp_path, lines.append)
        assert home.up(tmp_path, lines.append) == state
        assert f"export KUBECONFIG={state.kubeconfig}" in state.usage()
        nodes = subprocess.run(
            [state.kubectl, "get", "nodes", "--no-headers"],
            env={"KUBECONFIG": state.kubeconfig, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert nodes.count(" Ready ") == 4
        assert requests.get(f"{state.prometheus_url}/-/ready", timeout=5).ok
    finally:
        ended = home.down(tmp_path)
    assert ended
    assert not home.down(tmp_path)
    assert home.state(tmp_path) is None
    wait_until(lambda: not processes_about(tmp_path), 30, "all of it to end")


@pytest.mark.usefixtures("binaries")
def test_killed_supervisor_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    """After SIGKILL of the supervisor nothing runs, and a new sandbox can be brought up in the same home."""
    state = home.up(tmp_path, lambda _line: None)
    os.kill(state.pid, signal.SIGKILL)
    wait_until(lambda: home.state(tmp_path) is None, 30, "the lock to fall")
    wait_until(lambda: not processes_about(tmp_path), 30, "all of it to end")
    try:
        assert home.up(tmp_path, lambda _line: None).pid != state.pid
    finally:
        assert home.down(tmp_path)
