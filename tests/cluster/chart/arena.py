"""A tenant's namespace beside an installed chart: people with the roles that they would have, by tokens.

The operator works here as its ServiceAccount, with the chart's rights and under the chart's policies.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from aibudget.api.names import API_VERSION
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.notice import Act
from aibudget.inventory.kubernetes import Cluster, Json
from aibudget.sandbox.client import KubernetesClient
from aibudget.sandbox.process import wait_until
from cluster.chart.conftest import SYSTEM
from cluster.enforcement.conftest import NOW, Story

RBAC = "rbac.authorization.k8s.io"
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Person:
    """A ServiceAccount in the tenant's namespace, which people and their programs look like to a server."""

    name: str
    kubeconfig: Path
    client: KubernetesClient

    def patch(self, path: str, body: object) -> requests.Response:
        """A merge patch, or a JSON patch if `body` is a list."""
        content_type = JSON_PATCH if isinstance(body, list) else MERGE
        return self.client.request("PATCH", path, body, content_type=content_type)


@dataclass
class Arena(Story):
    """One test's world; `directory` is where kubeconfigs go."""

    directory: Path = field(default_factory=Path)

    def operate(self, *claimants: Claimant, now: datetime = NOW) -> Report:
        """One cycle of the operator as the chart installs it."""
        kubeconfig = self.plane.kubeconfig_for_service_account(
            SYSTEM, "aibudget", self.directory / "operator.kubeconfig"
        )

        async def work() -> Report:
            async with await Cluster.connect(kubeconfig) as cluster:
                return await Enforcer(cluster, Limits(SYSTEM), lambda: True).run(claimants, now)

        return _run(work)

    def own(self, report: Report) -> list[Act]:
        """What was done here: an earlier test's namespace may still be ending."""
        return [act for act in report.acts if act.workload.namespace == self.namespace]

    def enter(self, name: str, *, role: str = "", cluster: bool = False) -> Person:
        """A new person of the namespace, bound to a ClusterRole here, or in the whole cluster."""
        self.plane.client.apply(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": name, "namespace": self.namespace},
            }
        )
        if role:
            self._bind(name, role, cluster=cluster)
        path = self.directory / f"{self.namespace}-{name}.kubeconfig"
        self.plane.kubeconfig_for_service_account(self.namespace, name, path)
        token = json.loads(path.read_text())["users"][0]["user"]["token"]
        who = f"system:serviceaccount:{self.namespace}:{name}"
        return Person(who, path, KubernetesClient(self.plane.url, self.plane.ca, token))

    def await_right(self, person: Person, verb: str, resource: str, *, cluster: bool = False) -> None:
        """Authorizers learn of a binding by a watch."""
        attributes = {"group": "aibudget.io", "verb": verb, "resource": resource}
        attributes |= {} if cluster else {"namespace": self.namespace}
        body = {"spec": {"resourceAttributes": attributes}}
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        wait_until(
            lambda: person.client.create(path, body)["status"]["allowed"], 15, f"{person.name} to be bound"
        )

    def hold_path(self, name: str = "", namespace: str | None = None) -> str:
        root = f"/apis/{API_VERSION}/namespaces/{namespace or self.namespace}/holds"
        return f"{root}/{name}" if name else root

    @property
    def hold(self) -> Json:
        """The only Hold."""
        (found,) = self.holds()
        return found

    def decisions(self) -> dict[str, str]:
        return {claim["kind"]: claim["decision"] for claim in self.hold["spec"]["claims"]}

    def _bind(self, name: str, role: str, *, cluster: bool) -> None:
        metadata = {"name": f"{self.namespace}-{name}", "namespace": self.namespace}
        self.plane.client.apply(
            {
                "apiVersion": f"{RBAC}/v1",
                "kind": "ClusterRoleBinding" if cluster else "RoleBinding",
                "metadata": {"name": metadata["name"]} if cluster else metadata,
                "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
            }
        )


def decision(place: int, verdict: str, who: str) -> list[Mapping[str, Any]]:
    """What a person writes by hand."""
    return [
        {"op": "replace", "path": f"/spec/claims/{place}/decision", "value": verdict},
        {"op": "add", "path": f"/spec/claims/{place}/decidedBy", "value": who},
    ]


def _run(work: Callable[[], Any]) -> Report:
    import asyncio

    report: Report = asyncio.run(work())
    return report
