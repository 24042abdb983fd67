"""The API server spoken to in raw YAML: a text must arrive there as it was written."""

import json
from typing import Any

import requests
import yaml

from aibudget.api.kinds import kind_of
from aibudget.api.names import API_VERSION
from aibudget.sandbox.controlplane import ControlPlane


class Server:
    """Strict calls as kubectl makes them; responses come back whole, errors included."""

    def __init__(self, plane: ControlPlane) -> None:
        user = yaml.safe_load(plane.kubeconfig.read_text())["users"][0]["user"]
        self._url = plane.url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(plane.ca)
        self._session.headers["Authorization"] = f"Bearer {user['token']}"

    def would_create(self, text: str) -> requests.Response:
        """POST as a dry run: everything is checked, nothing is kept."""
        return self._send("POST", collection_of(yaml.safe_load(text)), text, "application/yaml", dryRun="All")

    def apply(self, text: str, manager: str = "gitops") -> requests.Response:
        """Server-side apply under this field manager, without force."""
        return self._send(
            "PATCH", path_of(yaml.safe_load(text)), text, "application/apply-patch+yaml", fieldManager=manager
        )

    def write_status(self, path: str, status: dict[str, Any]) -> requests.Response:
        """Merge patch of the status subresource, as the operator writes it."""
        body = json.dumps({"status": status})
        return self._send("PATCH", f"{path}/status", body, "application/merge-patch+json")

    def get(self, path: str, accept: str = "application/json") -> dict[str, Any]:
        """The object at this path, or its table as kubectl prints it."""
        response = self._session.get(self._url + path, headers={"Accept": accept}, timeout=30)
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body

    def serves(self, plural: str) -> bool:
        """Whether this kind is established."""
        return self._session.get(f"{self._url}/apis/{API_VERSION}/{plural}", timeout=30).ok

    def close(self) -> None:
        """End the connections."""
        self._session.close()

    def _send(self, method: str, path: str, text: str, content_type: str, **params: str) -> requests.Response:
        return self._session.request(
            method,
            self._url + path,
            data=text.encode(),
            headers={"Content-Type": content_type},
            params={"fieldValidation": "Strict", **params},
            timeout=30,
        )


def collection_of(document: dict[str, Any]) -> str:
    """Where the API server keeps objects of this kind."""
    namespace = document["metadata"].get("namespace")
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{API_VERSION}{scope}/{kind_of(document['kind']).plural}"


def path_of(document: dict[str, Any]) -> str:
    """Where the API server keeps this object."""
    return f"{collection_of(document)}/{document['metadata']['name']}"
