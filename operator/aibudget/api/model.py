"""The ground the resources stand on: frozen pydantic models with camelCase names, and Kubernetes metadata.

``Value`` is what users write: closed, exact, frozen. ``Observed`` is what the operator writes into status:
it forgives fields of another version, for a status must never make a valid object invalid.
A model that has rules of its own states each of them twice, side by side: ``celed`` for the API server and a
validator for everybody else; the table of bad manifests in the tests holds the two together.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from aibudget.api.fields import CURRENCY_PATTERN, NAME_PATTERN, Instant
from aibudget.errors import FieldProblem, InvalidManifest

JsonObject = dict[str, Any]

_WRITTEN: Final = {
    NAME_PATTERN: 'write lower-case letters, digits and "-", such as gpu-hours',
    CURRENCY_PATTERN: "write three capital letters, such as USD",
}
"""What a pattern asks for, for people; the others are told as they are."""

LIST_SET: Final[JsonObject] = {"x-kubernetes-list-type": "set"}
LIST_ATOMIC: Final[JsonObject] = {"x-kubernetes-list-type": "atomic"}


def list_by(key: str) -> JsonObject:
    """A list whose entries are told apart by one field; two appliers may each own entries of their own."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


LIST_BY_NAME: Final[JsonObject] = list_by("name")


def once_each(entries: Any) -> Any:
    """Validator for ``LIST_SET``: no entry twice; None passes."""
    for index, entry in enumerate(entries or ()):
        if entry in entries[:index]:
            raise ValueError(f"must not list {entry!r} twice")
    return entries


def once_each_by(field: str) -> Callable[[Any], Any]:
    """Validator for ``list_by(field)``: no two entries with the same value of it; None passes."""

    def check(entries: Any) -> Any:
        once_each([getattr(entry, field) for entry in entries or ()])
        return entries

    return check


class Kept(BaseModel):
    """What a process keeps thousands of: which fields were given is there once for all that were given the
    same.
    """

    def model_post_init(self, context: Any, /) -> None:
        given = _once(frozenset(self.model_fields_set))
        # As pydantic itself sets it; nobody adds to it, for what is frozen is only ever copied.
        object.__setattr__(self, "__pydantic_fields_set__", given)


@lru_cache(maxsize=1024)
def _once(names: frozenset[str]) -> set[str]:
    return set(names)


class Value(Kept):
    """A part of a spec."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, data: Any) -> Any:
        """The API server drops an empty value before it looks at an object."""
        return (
            {key: value for key, value in data.items() if value is not None}
            if isinstance(data, dict)
            else data
        )


class Observed(BaseModel):
    """A part of a status: absent means unknown, so nothing is ever written as null."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        use_attribute_docstrings=True,
    )

    def to_dict(self) -> JsonObject:
        """The JSON of this status, camelCase, without what is unknown."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def rule(
    expression: str, message: str, field_path: str | None = None, *, reason: str | None = None
) -> JsonObject:
    """One CEL validation as the API server reads it; ``field_path`` starts with a dot."""
    extra = {"fieldPath": field_path, "reason": reason}
    return {"rule": expression, "message": message} | {k: v for k, v in extra.items() if v}


def celed(*rules: JsonObject, **extensions: object) -> ConfigDict:
    """The model_config of a model whose schema carries these CEL rules and other ``x-kubernetes-`` keys."""
    schema: JsonObject = {f"x-kubernetes-{key.replace('_', '-')}": value for key, value in extensions.items()}
    if rules:
        schema["x-kubernetes-validations"] = list(rules)
    return ConfigDict(json_schema_extra=schema)


StringMap = Annotated[dict[str, str], BeforeValidator(lambda value: {} if value is None else value)]


class Metadata(Kept):
    """What AIBudget needs of an object's metadata; offline manifests have no uid, generation or time."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        coerce_numbers_to_str=False,
    )

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
    namespace: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = None
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: Instant | None = None
    deletion_timestamp: Instant | None = None
    labels: StringMap = Field(default_factory=dict)
    annotations: StringMap = Field(default_factory=dict)


class Resource(Kept):
    """An object of our group: its metadata; the subclasses add ``spec`` and ``status``."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True)

    api_version: str
    kind: str
    metadata: Metadata

    @property
    def name(self) -> str:
        """The object's name."""
        return self.metadata.name

    @property
    def namespace(self) -> str | None:
        """The object's namespace, None for cluster-scoped kinds."""
        return self.metadata.namespace

    @property
    def uid(self) -> str:
        """The identity that survives no re-creation."""
        return self.metadata.uid

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @classmethod
    def read(cls, obj: Mapping[str, Any]) -> Self:
        """The model of an object as the API server or a YAML file gives it; raises ``InvalidManifest``."""
        try:
            return cls.model_validate(obj, by_alias=True, by_name=False)
        except ValidationError as error:
            raise InvalidManifest(subject(obj), problems(error)) from error


def subject(obj: Mapping[str, Any]) -> str:
    """How to call an object that may be anything: ``AIBudget team/training``."""
    metadata = obj.get("metadata")
    named: Mapping[str, Any] = metadata if isinstance(metadata, Mapping) else {}
    name = "/".join(str(part) for part in (named.get("namespace"), named.get("name")) if part)
    return f"{obj.get('kind', 'object')} {name}".strip()


def problems(error: ValidationError) -> list[FieldProblem]:
    """The faults that pydantic found, in the API's words and paths."""
    faults = error.errors(include_url=False)
    at_fault = [fault["loc"] for fault in faults]
    return [
        FieldProblem(path(fault["loc"]), _reason(fault))
        for fault in faults
        # A list that lost its invalid entries is called too short as well; that would mislead.
        if not (fault["type"] == "too_short" and any(_inside(loc, fault["loc"]) for loc in at_fault))
    ]


def _inside(inner: tuple[str | int, ...], outer: tuple[str | int, ...]) -> bool:
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def path(location: tuple[str | int, ...]) -> str:
    """``("spec", "thresholds", 1, "name")`` as ``spec.thresholds[1].name``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            text += f".{part}" if text else part
    return text


def _reason(fault: Any) -> str:
    match fault["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "unknown field; check its spelling, or remove it"
        case "string_pattern_mismatch":
            pattern = fault["ctx"]["pattern"]
            return f"{fault['input']!r} does not fit: {_WRITTEN.get(pattern, f'it must match {pattern}')}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be an object with fields"
        case "tuple_type" | "list_type":
            return "must be a list"
        case "too_short":
            return f"must have {fault['ctx']['min_length']} entry or more, where it is given"
        case "too_long":
            return f"must have at most {fault['ctx']['max_length']} entries"
    message: str = fault["msg"]
    return message.removeprefix("Value error, ").replace("Input should", "must", 1)
