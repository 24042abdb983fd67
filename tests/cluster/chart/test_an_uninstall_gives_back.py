"""Before the operator is deleted everything is given back: the hook's own command with its own rights."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aibudget.api.hold import Hold
from aibudget.api.names import API_VERSION, FIELD_MANAGER, HOLD_LABEL, KILL_SWITCH
from aibudget.cli.main import cli
from aibudget.enforcement import hold as holds
from aibudget.enforcement.live import read
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.operator import NAMESPACE, RELEASE, install
from aibudget.sandbox.process import wait_until

Helm = Callable[..., subprocess.CompletedProcess[str]]
Render = Callable[..., list[dict[str, Any]]]

pytestmark = pytest.mark.cluster

HOOK = "aibudget-release"
TEAM = "/apis/apps/v1/namespaces/default/deployments"


@pytest.fixture(scope="module")
def installed(control_plane: ControlPlane) -> ControlPlane:
    """The release, as Helm installs it."""
    install(control_plane, {"prometheus.url": "http://prometheus:9090"})
    wait_until(lambda: control_plane.client.exists(f"/apis/{API_VERSION}/holds"), 30, "Holds to be served")
    return control_plane


def hook(render: Render) -> list[dict[str, Any]]:
    """What Helm makes before it deletes anything."""
    return [item for item in render() if "helm.sh/hook" in item["metadata"].get("annotations", {})]


def held(plane: ControlPlane, name: str, *, with_hold: bool = True) -> None:
    """A Deployment of six, held at 0 as the operator would have left it."""
    labels = {"app": name}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 6, "selector": {"matchLabels": labels}, "template": pod}
    metadata = {"name": name, "namespace": "default"}
    (made,) = plane.client.apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    )
    body = holds.body(read(made), ())
    body["spec"]["original"] = holds.original_json("/spec/replicas", "6")
    if with_hold:
        body = plane.client.create(f"/apis/{API_VERSION}/namespaces/default/holds", body)
    else:
        body["metadata"] |= {"uid": "gone", "resourceVersion": "1"}
    marks, notes = holds.marks(Hold.read(body))
    answer = plane.client.request(
        "PATCH",
        f"{TEAM}/{name}",
        {"metadata": {"labels": marks, "annotations": notes}, "spec": {"replicas": 0}},
        content_type="application/merge-patch+json",
        params={"fieldManager": FIELD_MANAGER},
    )
    assert answer.ok, answer.text


def run(plane: ControlPlane, render: Render, directory: Path) -> Result:
    """The Job's arguments, with a token of its ServiceAccount and the roles that Helm makes for it."""
    objects = hook(render)
    for item in objects:
        if item["kind"] != "Job":
            plane.client.apply(item)
    (job,) = [item for item in objects if item["kind"] == "Job"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    kubeconfig = plane.kubeconfig_for_service_account(NAMESPACE, HOOK, directory / "hook.kubeconfig")
    return CliRunner().invoke(cli, ["--kubeconfig", str(kubeconfig), *container["args"]])


def check_back(plane: ControlPlane, name: str) -> None:
    back = plane.client.get(f"{TEAM}/{name}")
    assert back["spec"]["replicas"] == 6
    assert HOLD_LABEL not in back["metadata"].get("labels", {})


def test_a_hook_runs_before_anything_is_deleted_and_can_be_left_out(render: Render) -> None:
    """Its objects are its own, so that no right of it exists while nothing is uninstalled."""
    kinds = sorted(item["kind"] for item in hook(render))
    assert kinds == ["ClusterRole", "ClusterRoleBinding", "Job", "Role", "RoleBinding", "ServiceAccount"]
    for item in hook(render):
        assert item["metadata"]["name"] == HOOK
        assert item["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    without = render("enforcement.releaseOnUninstall=false")
    assert not [item for item in without if "helm.sh/hook" in item["metadata"].get("annotations", {})]


def test_an_uninstall_leaves_nothing_held(
    installed: ControlPlane, render: Render, helm: Helm, tmp_path: Path
) -> None:
    """With the least of rights; the kill switch goes with the operator, for the next one to start free."""
    client = installed.client
    held(installed, "llm")

    ran = run(installed, render, tmp_path)

    assert ran.exit_code == 0, ran.output
    check_back(installed, "llm")
    assert client.items(f"/apis/{API_VERSION}/namespaces/default/holds") == []
    switch = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{KILL_SWITCH}"
    assert client.exists(switch)
    gone = helm("uninstall", RELEASE, "-n", NAMESPACE, "--kubeconfig", str(installed.kubeconfig))
    assert gone.returncode == 0, gone.stderr
    assert not client.exists(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{HOOK}")
    assert not client.exists(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{HOOK}")
    wait_until(lambda: not client.exists(switch), 60, "the kill switch to go with the Deployment")


def test_it_needs_neither_operator_nor_crds(installed: ControlPlane, render: Render, tmp_path: Path) -> None:
    """Somebody has deleted the CRDs, and all Holds with them: the workload's marks are enough."""
    client = installed.client
    client.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/holds.aibudget.io")
    wait_until(lambda: not client.exists(f"/apis/{API_VERSION}/holds"), 30, "Holds to be served no more")
    held(installed, "orphan", with_hold=False)

    ran = run(installed, render, tmp_path)

    assert ran.exit_code == 0, ran.output
    check_back(installed, "orphan")
