"""Helm, as the sandbox has it, over the chart of this repository."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from aibudget.sandbox.binaries import locate
from aibudget.sandbox.toolchain import Progress

Objects = list[dict[str, Any]]
Render = Callable[..., Objects]
Helm = Callable[..., subprocess.CompletedProcess[str]]

CHART = Path(__file__).parents[3] / "charts" / "aibudget"
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
        rendered = helm("template", "aibudget", str(CHART), "-n", "aibudget-system", *settings, *served)
        assert rendered.returncode == 0, rendered.stderr
        return [document for document in yaml.safe_load_all(rendered.stdout) if document]

    return objects
