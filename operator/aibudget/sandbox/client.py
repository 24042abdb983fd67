"""The sandbox's own small way to the API server: JSON in, JSON out, server-side apply.

For laying out nodes, reading what the exporter tells of, and for tests that look at the cluster as an
outsider. It is not how the operator talks to Kubernetes; that is `inventory.kubernetes`.
"""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import requests
import yaml

JsonObject = dict[str, Any]

# The CRDs are 200 kB of YAML: the loader in C, where there is one, reads them ten times as fast.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

PLURALS = {
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "ConfigMap": "configmaps",
    "CustomResourceDefinition": "customresourcedefinitions",
    "Deployment": "deployments",
    "Job": "jobs",
    "Namespace": "namespaces",
    "Node": "nodes",
    "Pod": "pods",
    "ReplicaSet": "replicasets",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "ServiceAccount": "serviceaccounts",
    "StatefulSet": "statefulsets",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
}


class KubernetesClient:
    """One identity at one API server. Raises requests.HTTPError, whose response body tells why."""

    def __init__(self, url: str, ca: Path, token: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(ca)
        self._session.headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Any call; the response may be an error. `body` goes out as JSON, which apply takes for YAML."""
        return self._session.request(
            method,
            f"{self.url}{path}",
            json=body,
            params=params,
            headers={"Content-Type": content_type},
            timeout=30,
        )

    def get(self, path: str, params: Mapping[str, str] | None = None) -> JsonObject:
        """The object or list at an API path such as `/api/v1/nodes`."""
        return self._checked(self.request("GET", path, params=params))

    def items(self, path: str, params: Mapping[str, str] | None = None) -> list[JsonObject]:
        """The items of the list at an API path."""
        found: list[JsonObject] = self.get(path, params)["items"]
        return found

    def exists(self, path: str) -> bool:
        """Whether there is something at this path."""
        return self.request("GET", path).ok

    def create(self, path: str, body: JsonObject) -> JsonObject:
        """POST an object to a collection (or a subresource such as `…/token`)."""
        return self._checked(self.request("POST", path, body))

    def patch(self, path: str, body: JsonObject) -> JsonObject:
        """JSON merge patch."""
        return self._checked(self.request("PATCH", path, body, content_type="application/merge-patch+json"))

    def delete(self, path: str) -> None:
        """DELETE in the background way; an object that is gone already is fine."""
        response = self.request("DELETE", path, params={"propagationPolicy": "Background"})
        if response.status_code != requests.codes.not_found:
            self._checked(response)

    def apply(self, manifest: str | JsonObject, *, field_manager: str = "sandbox") -> list[JsonObject]:
        """Server-side apply of one object, or of every document of a YAML text, in its order."""
        documents = [manifest] if isinstance(manifest, dict) else list(yaml.load_all(manifest, _LOADER))
        params = {"fieldManager": field_manager, "force": "true"}
        return [
            self._checked(
                self.request(
                    "PATCH",
                    object_path(document),
                    document,
                    content_type="application/apply-patch+yaml",
                    params=params,
                )
            )
            for document in documents
            if document
        ]

    @staticmethod
    def _checked(response: requests.Response) -> JsonObject:
        if not response.ok:
            raise requests.HTTPError(f"{response.status_code}: {response.text}", response=response)
        body: JsonObject = response.json()
        return body


def object_path(manifest: JsonObject) -> str:
    """The API path of a manifest's object; a custom resource's plural is taken to be its kind and an `s`."""
    version, kind, metadata = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    scope = f"/namespaces/{metadata['namespace']}" if metadata.get("namespace") else ""
    return f"{root}{scope}/{PLURALS.get(kind, kind.lower() + 's')}/{metadata['name']}"
