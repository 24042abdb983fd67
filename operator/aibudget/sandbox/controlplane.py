"""A Kubernetes control plane on loopback: etcd, API server, controllers, scheduler, and kwok for kubelets.

RBAC is on: administrators come with a token of the tokens file, the operator with a token that the API
server issues for its ServiceAccount, so that a role too narrow fails a test. Everything lives in one
directory and on free ports, and ends with its owner.
"""

import json
import secrets
import shutil
import subprocess
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from aibudget.sandbox.binaries import locate, say, stages_directory
from aibudget.sandbox.client import JsonObject, KubernetesClient
from aibudget.sandbox.errors import SandboxError
from aibudget.sandbox.process import Process, free_port, port_is_free, wait_until
from aibudget.sandbox.toolchain import Progress

CONTROLLERS = frozenset({"kube-controller-manager", "kube-scheduler", "kwok"})
READY_TIMEOUT = 120.0
TOKEN_SECONDS = 24 * 3600


class ControlPlane:
    """A context manager. `components` are those beside etcd and the API server; CRD tests need none."""

    def __init__(
        self, directory: Path, *, components: Collection[str] = CONTROLLERS, progress: Progress = say
    ) -> None:
        self.directory = directory
        self.kubeconfig = directory / "admin.kubeconfig"
        self.ca = directory / "pki" / "apiserver.crt"
        self._components = frozenset(components)
        self._programs = locate(["etcd", "kube-apiserver", *sorted(components)], progress)
        self._token = secrets.token_urlsafe(24)
        self._etcd_port, self._peer_port, self._port = free_port(), free_port(), free_port()
        self._running = ExitStack()
        self.client = self.connect()
        self.api_server: Process | None = None

    @property
    def url(self) -> str:
        """Where the API server listens; the same after a restart."""
        return f"https://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and return when the API server and the controllers serve."""
        with ExitStack() as started:
            self._write_keys()
            started.callback(self.client.close)
            self._start_etcd(started)
            started.callback(self.stop_api_server)
            self.start_api_server()
            self._write_kubeconfig(self.kubeconfig, self._token)
            for component in sorted(self._components):
                process = Process(component, self._component_command(component), self.directory / "log")
                started.callback(process.stop)
            self._wait_for_controllers()
            self._running = started.pop_all()

    def stop(self) -> None:
        """Stop everything, last started first."""
        self._running.close()

    def start_api_server(self) -> None:
        """Start the API server (again) at the same address, on the same data."""
        wait_until(lambda: port_is_free(self._port), 30, f"port {self._port} to be free again")
        self.api_server = Process("kube-apiserver", self._api_server_command(), self.directory / "log")
        self.api_server.wait_until(self._api_is_ready, READY_TIMEOUT)

    def stop_api_server(self) -> None:
        """Crash the API server and leave the rest running, for tests of outages."""
        if self.api_server is not None:
            self.api_server.kill()

    def connect(self) -> KubernetesClient:
        """Another client with the administrator's rights, for another thread; the caller closes it."""
        return KubernetesClient(self.url, self.ca, self._token)

    def kubeconfig_for_service_account(self, namespace: str, name: str, path: Path) -> Path:
        """Write a kubeconfig with a token that the API server issues for this ServiceAccount (one day)."""
        request: JsonObject = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_SECONDS},
        }
        issued = self.client.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token", request)
        self._write_kubeconfig(path, issued["status"]["token"], namespace)
        return path

    def _start_etcd(self, started: ExitStack) -> None:
        here = f"http://127.0.0.1:{self._etcd_port}"
        peers = f"http://127.0.0.1:{self._peer_port}"
        etcd = Process(
            "etcd",
            [
                self._programs["etcd"],
                f"--data-dir={self.directory / 'etcd'}",
                f"--listen-client-urls={here}",
                f"--advertise-client-urls={here}",
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=default={peers}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
            self.directory / "log",
        )
        started.callback(etcd.stop)
        etcd.wait_until(lambda: _answers(f"{here}/health"), READY_TIMEOUT)

    def _api_server_command(self) -> list[str | Path]:
        pki = self.directory / "pki"
        return [
            self._programs["kube-apiserver"],
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--cert-dir={pki}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
            f"--service-account-key-file={pki / 'service-accounts.key'}",
            f"--token-auth-file={pki / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            # Its admission would refuse pods for the second that a new namespace has no default account.
            "--disable-admission-plugins=ServiceAccount",
            "--profiling=false",
        ]

    def _component_command(self, component: str) -> list[str | Path]:
        program, kubeconfig = self._programs[component], f"--kubeconfig={self.kubeconfig}"
        if component == "kwok":
            stages = [f"--config={stage}" for stage in sorted(stages_directory().glob("*.yaml"))]
            return [
                program,
                kubeconfig,
                "--manage-all-nodes=true",
                "--node-lease-duration-seconds=40",
                *stages,
            ]
        command: list[str | Path] = [program, kubeconfig, "--leader-elect=false", "--secure-port=0"]
        if component == "kube-controller-manager":
            key = self.directory / "pki" / "service-accounts.key"
            command += [f"--service-account-private-key-file={key}", f"--root-ca-file={self.ca}"]
        return command

    def _write_keys(self) -> None:
        pki = self.directory / "pki"
        pki.mkdir(parents=True, exist_ok=True)
        tokens = pki / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text(f'{self._token},admin,admin,"system:masters"\n')
        openssl = shutil.which("openssl")
        if openssl is None:
            raise SandboxError(
                "openssl is not on PATH; install it (it makes the key that signs service accounts)."
            )
        key = pki / "service-accounts.key"
        subprocess.run([openssl, "genrsa", "-out", key, "2048"], check=True, capture_output=True)

    def _write_kubeconfig(self, path: Path, token: str, namespace: str = "default") -> None:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "sandbox", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}}
            ],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [
                {"name": "sandbox", "context": {"cluster": "sandbox", "user": "user", "namespace": namespace}}
            ],
            "current-context": "sandbox",
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=2))

    def _api_is_ready(self) -> bool:
        if not self.ca.exists():
            return False
        try:
            # The default namespace comes a moment after /readyz does.
            return self.client.request("GET", "/readyz").ok and self.client.exists(
                "/api/v1/namespaces/default"
            )
        except requests.ConnectionError:
            return False

    def _wait_for_controllers(self) -> None:
        if "kube-controller-manager" in self._components:
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            wait_until(
                lambda: self.client.exists(account), READY_TIMEOUT, "the controllers to make an account"
            )


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.ConnectionError:
        return False
