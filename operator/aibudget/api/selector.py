"""Kubernetes label selectors: their bounded schema and what they match. Pure."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from aibudget.api.model import LIST_ATOMIC, LIST_SET, Value, celed, once_each, rule

KEY_PATTERN: Final = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
    r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
VALUE_PATTERN: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"

LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=KEY_PATTERN)]
LabelValue = Annotated[str, Field(max_length=63, pattern=VALUE_PATTERN)]

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


class Requirement(Value):
    """One condition on a label."""

    model_config = celed(
        rule(
            "self.operator in ['In', 'NotIn'] == (has(self.values) && size(self.values) > 0)",
            "values are needed with In and NotIn, and must be absent with Exists and DoesNotExist",
            ".values",
        )
    )

    key: LabelKey
    """The label."""
    operator: Operator
    """In, NotIn, Exists or DoesNotExist."""
    values: Annotated[
        tuple[LabelValue, ...], Field(max_length=32, json_schema_extra=LIST_SET), AfterValidator(once_each)
    ] = ()
    """The values for In and NotIn."""

    @model_validator(mode="after")
    def _values_fit_operator(self) -> Self:
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            raise ValueError(
                "values are needed with In and NotIn, and must be absent with Exists and DoesNotExist"
            )
        return self

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels meet the condition; an absent label is NotIn every list of values."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels


class LabelSelector(Value):
    """A label selector as everywhere in Kubernetes: all conditions must hold; an empty one selects all."""

    model_config = celed(map_type="atomic")

    match_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(default_factory=dict)
    """Labels with the value that each must have."""
    match_expressions: Annotated[
        tuple[Requirement, ...], Field(max_length=16, json_schema_extra=LIST_ATOMIC)
    ] = ()
    """Conditions on labels."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(labels.get(key) == value for key, value in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )
