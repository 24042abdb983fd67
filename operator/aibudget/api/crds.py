"""The CustomResourceDefinitions, written from the models; ``crds/`` holds what this module makes.

Deterministic: the same models give the same bytes. A defaulted ``observedGeneration: -1`` makes kstatus wait
for an operator that has not seen the object yet. All other defaults are scalars of the spec: a defaulted list
entry would outlive its owner under server-side apply.
"""

from typing import Any, Final

import yaml
from pydantic import BaseModel

from aibudget.api.kinds import KINDS, Column, Kind
from aibudget.api.model import JsonObject
from aibudget.api.names import GROUP, VERSION
from aibudget.api.schema import structural

_HEADER: Final = "# Made by `aibudget crds` from the models in aibudget.api; edit those.\n"
_CATEGORIES: Final = ("all", "finops")


def crd_documents() -> dict[str, str]:
    """The YAML of every CRD by its file name, ``aibudget.io_aibudgets.yaml`` and so on."""
    return {
        f"{GROUP}_{kind.plural}.yaml": _HEADER
        + yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)
        for kind in KINDS
    }


def definition(kind: Kind) -> JsonObject:
    """The CustomResourceDefinition of one kind, as JSON."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{GROUP}",
            # Flux's variable substitution would eat a ${...} in a pattern or description.
            "labels": {"kustomize.toolkit.fluxcd.io/substitute": "disabled"},
        },
        "spec": {
            "group": GROUP,
            "scope": kind.scope,
            "names": _names(kind),
            "versions": [_version(kind)],
        },
    }


def _names(kind: Kind) -> JsonObject:
    names: JsonObject = {
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "plural": kind.plural,
        "singular": kind.name.lower(),
        "categories": list(_CATEGORIES),
    }
    return names | ({"shortNames": list(kind.short_names)} if kind.short_names else {})


def _version(kind: Kind) -> JsonObject:
    version: JsonObject = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": _schema(kind)},
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    return version


def _column(column: Column) -> JsonObject:
    printed: JsonObject = {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.json_path,
        "description": column.description,
    }
    return printed | ({"priority": 1} if column.wide else {})


def _schema(kind: Kind) -> JsonObject:
    spec, status = (_part(kind, field) for field in ("spec", "status"))
    rules: JsonObject = {"x-kubernetes-validations": list(kind.rules)} if kind.rules else {}
    return {
        "type": "object",
        "description": " ".join((kind.model.__doc__ or "").split()),
        **rules,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural(spec),
            "status": structural(status, defaults=False) | {"default": {"observedGeneration": -1}},
        },
    }


def _part(kind: Kind, field: str) -> type[BaseModel]:
    part: Any = kind.model.model_fields[field].annotation
    if not (isinstance(part, type) and issubclass(part, BaseModel)):
        raise TypeError(f"{field} of {kind.name} must be a model")
    return part


class _Dumper(yaml.SafeDumper):
    """Writes every value out: an anchor saves bytes and costs every reader."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
