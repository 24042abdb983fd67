"""The sandbox's binaries: found on this machine, else built once from pinned Go modules.

The order of finding, and why:

1. `KUBEBUILDER_ASSETS` (etcd, kube-apiserver, kubectl): the user said so.
2. Our cache, `$XDG_CACHE_HOME/aibudget/sandbox`: the very version the sandbox was tried with. It goes
   before PATH, where ancient or wrapped binaries live (an etcd 3.5.1 stalls informers for ten seconds
   at a time).
3. `PATH`, when `--version` says it is new enough. kwok never: its stages come from its module.
4. `go build` of `tools/<module>` into the cache, whose key changes with go.mod, go.sum and the flags.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aibudget.sandbox.errors import SandboxError
from aibudget.sandbox.toolchain import Progress, find_go, go_build, module_source

TOOLS = Path(__file__).parent / "tools"
ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"

STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    # The general stage and not the fast one: a Job's pods run for `pod-complete.stage.kwok.x-k8s.io/delay`.
    "pod/general/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
)


@dataclass(frozen=True, slots=True)
class Binary:
    """A program of the sandbox: its Go source, and the oldest (major, minor) taken from PATH (None: none)."""

    name: str
    module: str
    source: str
    package: str
    minutes: int
    oldest: tuple[int, int] | None
    version_flags: tuple[str, ...] = ("--version",)
    in_assets: bool = False


BINARIES: dict[str, Binary] = {
    binary.name: binary
    for binary in (
        Binary("etcd", "kubernetes", "go.etcd.io/etcd/server/v3", "", 1, (3, 6), in_assets=True),
        Binary(
            "kube-apiserver",
            "kubernetes",
            "k8s.io/kubernetes",
            "/cmd/kube-apiserver",
            4,
            (1, 34),
            in_assets=True,
        ),
        Binary(
            "kube-controller-manager",
            "kubernetes",
            "k8s.io/kubernetes",
            "/cmd/kube-controller-manager",
            2,
            (1, 34),
        ),
        Binary("kube-scheduler", "kubernetes", "k8s.io/kubernetes", "/cmd/kube-scheduler", 1, (1, 34)),
        Binary(
            "kubectl",
            "kubernetes",
            "k8s.io/kubernetes",
            "/cmd/kubectl",
            1,
            (1, 33),
            version_flags=("version", "--client"),
            in_assets=True,
        ),
        Binary("kwok", "kwok", "sigs.k8s.io/kwok", "/cmd/kwok", 3, None),
        Binary("prometheus", "prometheus", "github.com/prometheus/prometheus", "/cmd/prometheus", 4, (3, 0)),
        Binary("promtool", "prometheus", "github.com/prometheus/prometheus", "/cmd/promtool", 2, (3, 0)),
        Binary(
            "helm", "helm", "helm.sh/helm/v4", "/cmd/helm", 3, (3, 14), version_flags=("version", "--short")
        ),
    )
}


def say(line: str) -> None:
    """The default progress: a line on stderr."""
    sys.stderr.write(f"sandbox: {line}\n")
    sys.stderr.flush()


def cache_directory() -> Path:
    """Where built binaries are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "aibudget" / "sandbox"


def locate(names: Iterable[str] = tuple(BINARIES), progress: Progress = say) -> dict[str, Path]:
    """Paths of the named binaries, building what is nowhere. Raises SandboxError when that fails."""
    wanted = [BINARIES[name] for name in names]
    found = {binary.name: path for binary in wanted if (path := find(binary)) is not None}
    missing = [binary for binary in wanted if binary.name not in found]
    if missing:
        with _only_builder(progress):
            for number, binary in enumerate(missing, 1):
                # Another process may have built it while we waited for the lock.
                found[binary.name] = find(binary) or build(binary, f"({number}/{len(missing)})", progress)
    return found


def find(binary: Binary) -> Path | None:
    """The binary in the documented order, or None when it has to be built."""
    assets = os.environ.get(ASSETS_VARIABLE)
    if binary.in_assets and assets and os.access(Path(assets) / binary.name, os.X_OK):
        return Path(assets) / binary.name
    if os.access(cached(binary), os.X_OK) and (binary.name != "kwok" or stages_directory().is_dir()):
        return cached(binary)
    on_path = shutil.which(binary.name)
    if on_path and binary.oldest and (version_of(Path(on_path), binary) or (0, 0)) >= binary.oldest:
        return Path(on_path)
    return None


def version_of(path: Path, binary: Binary) -> tuple[int, int] | None:
    """The (major, minor) that a program says it is; None when it does not run or says nothing of the kind."""
    try:
        asked = subprocess.run(
            [path, *binary.version_flags], capture_output=True, text=True, check=False, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = (
        re.search(r"\bv?(\d+)\.(\d+)\.\d+", asked.stdout or asked.stderr) if asked.returncode == 0 else None
    )
    return (int(said[1]), int(said[2])) if said else None


def pinned_version(module: str, source: str) -> str:
    """The version of a Go module (`v1.36.3`) that a go.mod of ours requires."""
    required = re.search(
        rf"^\s*(?:require )?{re.escape(source)} (v\S+)", _read(module, "go.mod"), re.MULTILINE
    )
    if not required:
        raise SandboxError(f"{TOOLS / module / 'go.mod'} does not require {source}; run `go mod tidy` there.")
    return required[1]


def build_flags(module: str) -> list[str]:
    """Flags of `go build` for a module: small, reproducible, and an API server that knows its own version."""
    linker = "-s -w"
    tags: list[str] = []
    if module == "kubernetes":
        version = pinned_version(module, "k8s.io/kubernetes")
        major, minor, _ = version.removeprefix("v").split(".")
        stamp = "k8s.io/component-base/version"
        linker += f" -X {stamp}.gitVersion={version} -X {stamp}.gitMajor={major} -X {stamp}.gitMinor={minor}"
    if module == "prometheus":
        tags = ["-tags=remove_all_sd,netgo"]
    return ["-trimpath", *tags, f"-ldflags={linker}"]


def cached(binary: Binary) -> Path:
    """Where the cache holds (or would hold) this binary, for exactly these pins and flags."""
    return _module_cache(binary.module) / binary.name


def stages_directory() -> Path:
    """kwok's stage files, copied out of its module so that they outlive Go's module cache."""
    return _module_cache("kwok") / "stages"


def build(binary: Binary, which: str, progress: Progress) -> Path:
    """Build one binary into the cache and return its path. The caller holds the lock."""
    go = find_go(cache_directory(), progress)
    target = cached(binary)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished")
    progress(f"building {binary.name} {which}, about {binary.minutes} min the first time …")
    started = time.monotonic()
    arguments = [*build_flags(binary.module), "-o", str(unfinished), f"{binary.source}{binary.package}"]
    go_build(go, arguments, TOOLS / binary.module, lambda line: progress(f"building {binary.name}: {line}"))
    if binary.name == "kwok":
        _copy_stages(module_source(go, binary.source, TOOLS / binary.module))
    unfinished.rename(target)
    progress(f"built {binary.name} in {time.monotonic() - started:.0f} s")
    return target


def _copy_stages(kwok: Path) -> None:
    unfinished = stages_directory().with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for stage in STAGES:
        source = kwok / "kustomize" / "stage" / stage
        (unfinished / source.name).write_bytes(source.read_bytes())
    shutil.rmtree(stages_directory(), ignore_errors=True)
    unfinished.rename(stages_directory())


def _module_cache(module: str) -> Path:
    source = next(binary.source for binary in reversed(BINARIES.values()) if binary.module == module)
    pins = "\n".join([_read(module, "go.mod"), _read(module, "go.sum"), *build_flags(module), *STAGES])
    key = hashlib.sha256(pins.encode()).hexdigest()[:12]
    return cache_directory() / f"{module}-{pinned_version(module, source)}-{key}"


def _read(module: str, file: str) -> str:
    return (TOOLS / module / file).read_text()


@contextmanager
def _only_builder(progress: Progress) -> Iterator[None]:
    cache_directory().mkdir(parents=True, exist_ok=True)
    with (cache_directory() / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is building the sandbox's binaries; waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
