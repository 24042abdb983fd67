"""The API server refuses what the offline check refuses, and keeps what the examples show."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from aibudget.api.kinds import parse
from aibudget.api.manifests import validate
from cluster.api.server import Server, path_of
from unit.api.bad_manifests import BAD, Bad

pytestmark = pytest.mark.cluster

DOCUMENTS = [
    text
    for path in sorted((Path(__file__).parents[3] / "docs" / "examples").glob("*.yaml"))
    for text in path.read_text(encoding="utf-8").split("\n---\n")
]

SHORTEST = """apiVersion: aibudget.io/v1alpha1
kind: AIBudget
metadata: {name: shortest, namespace: default}
spec:
  limit: {amount: 1, currency: USD}
"""


def written_parts(written: Any, kept: Any) -> Any:
    """What was kept of what was written: `kept` without the fields that `written` does not have."""
    if isinstance(written, dict):
        return {key: written_parts(value, kept[key]) for key, value in written.items()}
    if isinstance(written, list):
        return [written_parts(one, other) for one, other in zip(written, kept, strict=True)]
    return kept


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.case)
def test_each_bad_manifest_is_refused_by_name_of_its_field(server: Server, bad: Bad) -> None:
    """Every entry of the table is refused here as well, with a message that names the same field."""
    response = server.would_create(bad.manifest)
    assert response.status_code in (400, 422), response.text
    assert bad.field in response.json()["message"]


@pytest.mark.parametrize("text", DOCUMENTS, ids=lambda text: yaml.safe_load(text)["metadata"]["name"])
def test_every_example_is_kept_as_written(server: Server, text: str) -> None:
    """It applies, comes back with nothing changed but scalar defaults, and reads as the same model."""
    response = server.apply(text)
    assert response.status_code in (200, 201), response.text
    written, kept = yaml.safe_load(text), server.get(path_of(yaml.safe_load(text)))
    assert written_parts(written["spec"], kept["spec"]) == written["spec"]
    assert kept["status"] == {"observedGeneration": -1}
    assert parse(kept).spec == parse(written).spec


def test_applying_an_example_again_changes_nothing(server: Server) -> None:
    """A GitOps tool that applies the same file sees no drift: not even the resourceVersion moves."""
    for text in DOCUMENTS:
        first, second = server.apply(text).json(), server.apply(text).json()
        assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


def test_an_empty_value_is_an_absent_one(server: Server) -> None:
    """A field whose parts are all commented out is no fault, here or offline."""
    text = SHORTEST + "  period:\n  thresholds:\n  enforcement: {mode: null, protect: null}\n"
    response = server.would_create(text)
    assert response.ok, response.text
    assert validate("f.yaml", text).problems == []
    assert parse(response.json()).spec == parse(yaml.safe_load(text)).spec
