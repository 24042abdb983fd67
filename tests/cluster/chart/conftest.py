"""Helm, as the sandbox has it, over the chart of this repository."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from aibudget.api.names import API_VERSION
from aibudget.sandbox.binaries import locate
from aibudget.sandbox.client import object_path
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.process import wait_until
from aibudget.sandbox.toolchain import Progress

Objects = list[dict[str, Any]]
Render = Callable[..., Objects]
Helm = Callable[..., subprocess.CompletedProcess[str]]

CHART = Path(__file__).parents[3] / "charts" / "aibudget"
SYSTEM = "aibudget-system"
URL = "prometheus.url=http://prometheus:9090"


@pytest.fixture(scope="session")
def helm(progress: Progress) -> Helm:
    """`helm("lint", …)`: a call of Helm; it may have failed."""
    program = locate(["helm"], progress)["helm"]

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=120)

    return call


@pytest.fixture(scope="session")
def render(helm: Helm) -> Render:
    """`render("a.b=c", …)`: the objects of a release `aibudget` in namespace `aibudget-system`."""

    def objects(*values: str, api_versions: tuple[str, ...] = ()) -> Objects:
        settings = [part for value in (URL, *values) for part in ("--set", value)]
        served = [part for version in api_versions for part in ("--api-versions", version)]
        rendered = helm("template", "aibudget", str(CHART), "-n", SYSTEM, *settings, *served)
        assert rendered.returncode == 0, rendered.stderr
        return [document for document in yaml.safe_load_all(rendered.stdout) if document]

    return objects


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane, render: Render) -> Objects:
    """The release, applied for real: its CRDs first, into a namespace that admits only restricted pods."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM, "labels": labels}}
    objects = render()
    objects.sort(key=lambda item: item["kind"] != "CustomResourceDefinition")
    control_plane.client.apply(namespace)
    for item in objects:
        answer = control_plane.client.request(
            "PATCH",
            object_path(item),
            item,
            content_type="application/apply-patch+yaml",
            params={"fieldManager": "helm", "force": "true", "fieldValidation": "Strict"},
        )
        assert answer.ok, f"{item['kind']} {item['metadata']['name']}: {answer.text}"
    kinds = [f"/apis/{API_VERSION}/{plural}" for plural in ("aibudgets", "clusteraibudgets", "holds")]
    wait_until(lambda: all(map(control_plane.client.exists, kinds)), 30, "our kinds to be served")
    return objects
