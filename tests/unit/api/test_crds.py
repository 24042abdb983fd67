"""The CRDs are what the models say, and nothing in them is open or unbounded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, Field

from aibudget.api.conditions import ConditionType
from aibudget.api.crds import crd_documents
from aibudget.api.schema import structural

ROOT = Path(__file__).parents[3]
DOCUMENTS = crd_documents()
CRDS = {name: yaml.load(text, yaml.CSafeLoader) for name, text in DOCUMENTS.items()}


def schema_of(crd: dict[str, Any]) -> dict[str, Any]:
    """The schema of a CRD's only version."""
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, with its path; metadata is the API server's."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        if (path, name) not in (("", "metadata"), ("", "apiVersion"), ("", "kind")):
            yield from nodes(field, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


HOLDS = {
    ConditionType.APPLIED,
    ConditionType.EFFECTIVE,
    ConditionType.CONTESTED,
    ConditionType.RELEASING,
    ConditionType.INEFFECTIVE,
}


def test_a_budget_names_all_its_conditions() -> None:
    """Whoever waits for one learns its name by `kubectl explain`."""
    status = schema_of(CRDS["aibudget.io_aibudgets.yaml"])["properties"]["status"]
    described = status["properties"]["conditions"]["description"]
    assert [kind for kind in ConditionType if kind not in HOLDS and kind not in described] == []


def test_the_files_in_the_repository_are_current() -> None:
    """`crds/` holds exactly what the models give; `aibudget crds --dir crds` renews it."""
    files = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "crds").glob("*.yaml")}
    assert files == DOCUMENTS


@pytest.mark.parametrize("name", CRDS)
def test_every_field_is_bounded_and_described(name: str) -> None:
    """Strings, lists and maps have limits, numbers are integers, and each field says what it is."""
    for path, node in nodes(schema_of(CRDS[name])):
        match node.get("type"):
            case "string":
                assert "enum" in node or "maxLength" in node, path
            case "array":
                assert "maxItems" in node, path
                assert "x-kubernetes-list-type" in node, path
            case "object":
                assert "properties" in node or "maxProperties" in node, path
            case "integer":
                assert node["format"] in ("int32", "int64"), path
            case "boolean":
                pass
            case other:
                assert other is None, path
                assert node["x-kubernetes-int-or-string"], path
        assert path.endswith("[]") or node.get("description"), path


@pytest.mark.parametrize("name", CRDS)
def test_only_scalars_of_the_spec_have_defaults(name: str) -> None:
    """A defaulted list entry would be owned by nobody; the status gets its observedGeneration alone."""
    for path, node in nodes(schema_of(CRDS[name])):
        if path == ".status":
            assert node["default"] == {"observedGeneration": -1}
        elif "default" in node:
            assert path.startswith(".spec")
            assert isinstance(node["default"], str | int), path


@pytest.mark.parametrize("name", CRDS)
def test_nothing_is_left_open(name: str) -> None:
    """No unknown field is preserved anywhere, and every rule has a message for people."""
    assert "preserve-unknown" not in (ROOT / "crds" / name).read_text(encoding="utf-8")
    for path, node in nodes(schema_of(CRDS[name])):
        for rule in node.get("x-kubernetes-validations", ()):
            assert rule["message"], path


def test_what_the_dialect_cannot_say_is_not_dropped() -> None:
    """A constraint without a translation raises instead of vanishing from the CRD."""

    class Odd(BaseModel):
        even: Annotated[int, Field(multiple_of=2)]

    with pytest.raises(TypeError, match="multipleOf"):
        structural(Odd)
