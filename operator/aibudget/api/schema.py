"""From a pydantic model to the dialect of JSON Schema that a CustomResourceDefinition takes.

The dialect is structural: no references, no null, no ``anyOf`` over types, and it is closed by leaving
``additionalProperties`` out. What pydantic writes and the API server would not read is translated here or
raises: a constraint must never get lost on the way. Knows nothing of the kinds.
"""

from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from aibudget.api.model import JsonObject, rule

_KEPT: Final = (
    *("type", "format", "description", "enum", "pattern", "required"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties"),
    *("x-kubernetes-int-or-string", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    *("x-kubernetes-map-type", "x-kubernetes-validations"),
)
_FIRST: Final = ("description", "type", "format")
_LAST: Final = ("items", "additionalProperties", "required", "properties")
_SCALARS: Final = (str, int)


def structural(model: type[BaseModel], *, defaults: bool = True) -> JsonObject:
    """The structural schema of a model, all parts in place; without ``defaults`` no field carries one.

    Raises ``TypeError`` for anything that a structural schema cannot say.
    """
    written = model.model_json_schema(by_alias=True, schema_generator=_Dialect)
    return _Inliner(written.get("$defs", {}), defaults=defaults).inline(written)


class _Dialect(GenerateJsonSchema):
    """Optional fields may be absent; they are never null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """The schema of what may be there."""
        return self.generate_inner(schema["schema"])

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """A map with the schemas of its keys and values, told apart even where the key has a pattern."""
        written: JsonObject = {
            "type": "object",
            "propertyNames": self.generate_inner(schema["keys_schema"]),
            "additionalProperties": self.generate_inner(schema["values_schema"]),
        }
        return written | ({"maxProperties": schema["max_length"]} if "max_length" in schema else {})


class _Inliner:
    def __init__(self, definitions: JsonObject, *, defaults: bool) -> None:
        self._definitions = definitions
        self._defaults = defaults

    def inline(self, node: JsonObject) -> JsonObject:
        if reference := node.get("$ref"):
            definition = self._definitions[reference.removeprefix("#/$defs/")]
            node = definition | {key: value for key, value in node.items() if key != "$ref"}
        schema: JsonObject = {}
        for key, value in node.items():
            schema |= self._translated(key, value)
        _check_keys(node, schema)
        # What a field is comes before what is in it, whatever order pydantic writes.
        return {key: schema[key] for key in sorted(schema, key=_rank)}

    def _translated(self, key: str, value: Any) -> JsonObject:
        match key:
            case "properties":
                return {key: {name: self.inline(field) for name, field in value.items()}}
            case "items":
                return {key: self.inline(value)}
            case "additionalProperties" if isinstance(value, dict):
                return {key: self.inline(value)}
            case "default" if self._defaults and isinstance(value, _SCALARS):
                return {key: value}
            case "description":
                return {key: " ".join(value.split())}
            case "const":
                return {"enum": [value]}
            case "$defs" | "title" | "default" | "additionalProperties" | "propertyNames":
                return {}
        if key not in _KEPT:
            raise TypeError(f"a structural schema cannot say {key}: {value!r}")
        return {key: value}


def _rank(key: str) -> int:
    return _FIRST.index(key) - len(_FIRST) if key in _FIRST else _LAST.index(key) + 1 if key in _LAST else 0


def _check_keys(node: JsonObject, schema: JsonObject) -> None:
    """Put the constraints on a map's keys into CEL: a structural schema has no word for them."""
    names = node.get("propertyNames")
    if not names:
        return
    longest, pattern = names["maxLength"], names["pattern"].replace("\\", "\\\\")
    schema["x-kubernetes-validations"] = [
        rule(
            f"self.all(key, size(key) <= {longest} && key.matches('{pattern}'))",
            "must have label names as keys",
        )
    ]
