"""How commands print objects of the cluster: kubectl's `-o` and kubectl's shapes."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import click
import yaml

from aibudget.api.model import JsonObject

output_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How to print.",
)


def objects(items: Sequence[JsonObject], output: str) -> str:
    """Objects as `kubectl get -o json|yaml` prints a list of them, without managedFields."""
    listed = {"apiVersion": "v1", "kind": "List", "items": [_without_managed_fields(item) for item in items]}
    if output == "json":
        return json.dumps(listed, indent=2, ensure_ascii=False)
    return yaml.safe_dump(listed, sort_keys=False, allow_unicode=True).rstrip()


def _without_managed_fields(item: JsonObject) -> JsonObject:
    metadata = {key: value for key, value in item.get("metadata", {}).items() if key != "managedFields"}
    return {**item, "metadata": metadata}
