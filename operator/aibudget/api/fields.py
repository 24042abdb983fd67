"""The scalars of the API: each one a Python type, its check in pydantic and its exact schema in the CRD.

The schema is written out instead of derived wherever the two languages differ (Decimal, datetime), since
the API server takes a small dialect of JSON Schema only. Every string is bounded: CEL costs follow from it.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, Strict, WithJsonSchema

from aibudget.api.money import AMOUNT_MAX, AMOUNT_MAX_LENGTH, AMOUNT_PATTERN, parse_amount

Integer = Annotated[int, Strict()]

Generation = Annotated[int, Field(json_schema_extra={"format": "int64"})]
"""A generation of a spec; -1 before the operator has seen any."""

NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=NAME_PATTERN)]
"""A DNS label: names of thresholds, rates and namespaces."""

Text = Annotated[str, Field(min_length=1, max_length=253)]
"""A bounded string that must match something outside, letter by letter."""

ExtendedResource = Annotated[
    str,
    Field(
        min_length=3,
        max_length=317,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
    ),
]
"""A resource with its domain, as in a pod's requests: nvidia.com/gpu, and never nvidia_com_gpu."""

CURRENCY_PATTERN: Final = r"^[A-Z]{3}$"
Currency = Annotated[str, Field(min_length=3, max_length=3, pattern=CURRENCY_PATTERN)]


def _money_schema(rule: str, message: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": AMOUNT_MAX_LENGTH,
            "pattern": AMOUNT_PATTERN,
            "x-kubernetes-validations": [
                {
                    "rule": f"{rule} && quantity(string(self)).compareTo(quantity('{AMOUNT_MAX + 1}')) < 0",
                    "message": message,
                }
            ],
        }
    )


def _plain(amount: Decimal) -> str:
    return format(amount, "f")  # str() would write 0.000000001 as 1E-9


def _positive(amount: Decimal) -> Decimal:
    if amount == 0:
        raise ValueError("must be greater than 0")
    return amount


LimitAmount = Annotated[
    Decimal,
    BeforeValidator(parse_amount),
    AfterValidator(_positive),
    PlainSerializer(_plain, when_used="json"),
    _money_schema(
        "quantity(string(self)).isGreaterThan(quantity('0'))", "amount must be greater than 0 and below 10^12"
    ),
]
"""A limit: more than nothing."""

Price = Annotated[
    Decimal,
    BeforeValidator(parse_amount),
    PlainSerializer(_plain, when_used="json"),
    _money_schema(
        "quantity(string(self)).compareTo(quantity('0')) >= 0", "a price must be 0 or more and below 10^12"
    ),
]
"""A price per unit; 0 says that it is free, which is not the same as having no price."""

_POSITIVE: Final = r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?$"


def _parse_positive(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    whole = not isinstance(value, bool) and isinstance(value, int | str)
    if not whole or not re.fullmatch(_POSITIVE.strip("^$"), str(value), re.ASCII) or not Decimal(str(value)):
        raise ValueError(
            'must be an integer or a quoted decimal greater than 0 and below 10^15, such as "0.001"'
        )
    return Decimal(str(value))


PositiveDecimal = Annotated[
    Decimal,
    BeforeValidator(_parse_positive),
    PlainSerializer(_plain, when_used="json"),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 25,
            "pattern": _POSITIVE,
            "x-kubernetes-validations": [
                {
                    "rule": "quantity(string(self)).isGreaterThan(quantity('0'))"
                    " && quantity(string(self)).compareTo(quantity('1000000000000000')) < 0",
                    "message": "must be greater than 0 and below 10^15",
                }
            ],
        }
    ),
]
"""A number that is no money: how many of one unit make another, exactly."""

AmountText = Annotated[
    Decimal,
    PlainSerializer(_plain, when_used="json"),
    WithJsonSchema({"type": "string", "maxLength": 40, "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}),
]
"""Money in a status: a decimal string; the maker of the status has rounded it already."""

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})", re.ASCII)


def parse_instant(value: object) -> datetime:
    """An RFC 3339 time with its offset, as a UTC datetime; raises ``ValueError``."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError('must be a quoted RFC 3339 time with a zone, such as "2026-07-01T00:00:00Z"')
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except OverflowError as error:  # the first and the last hours that Python counts, in another zone
        raise ValueError(f"{value!r} is out of range; write a year from 2000 to 2999") from error


def format_instant(moment: datetime) -> str:
    """RFC 3339 in whole seconds of UTC, as Kubernetes writes it: ``2026-07-01T00:00:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Instant = Annotated[
    datetime,
    BeforeValidator(parse_instant),
    PlainSerializer(format_instant, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 35}),
]


_OFF_SLOT: Final = "must fall on a quarter of an hour (:00, :15, :30 or :45), the grain of the ledger"


_WHOLE_MINUTE: Final = r"^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:00(Z|[+-][0-9]{2}:[0-9]{2})$"


def parse_slot_instant(value: object) -> datetime:
    """An RFC 3339 time on a quarter of an hour of the years 2000 to 2999; raises ``ValueError``."""
    moment = parse_instant(value)
    if moment.minute % 15 or moment.second or moment.microsecond:
        raise ValueError(_OFF_SLOT)
    if isinstance(value, str) and not re.fullmatch(_WHOLE_MINUTE.strip("^$"), value):
        raise ValueError(f"{value!r} must be written without a fraction, in a year from 2000 to 2999")
    return moment


SlotInstant = Annotated[
    datetime,
    BeforeValidator(parse_slot_instant),
    PlainSerializer(format_instant, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "maxLength": 25,
            "pattern": _WHOLE_MINUTE,
            "x-kubernetes-validations": [
                {
                    "rule": "self.getMinutes() % 15 == 0",
                    "message": _OFF_SLOT,
                }
            ],
        }
    ),
]
"""An instant on the ledger's grid of 15 minutes."""


@cache
def _zones() -> frozenset[str]:
    return frozenset((files("tzdata") / "zones").read_text(encoding="utf-8").split())


def _known_zone(name: Any) -> Any:
    if isinstance(name, str) and name not in _zones():
        raise ValueError(
            f'{name!r} is not a zone of the IANA time zone database; write one such as "Europe/Berlin"'
        )
    return name


TimeZone = Annotated[
    str,
    BeforeValidator(_known_zone),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": 64,
            # Go takes "", "Local" and offsets for zones as well; a period would then end where the host says.
            "pattern": r"^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
            "x-kubernetes-validations": [
                {
                    "rule": "self != 'Local' && timestamp('2026-01-01T00:00:00Z').getFullYear(self) > 0",
                    "message": "must be a zone of the IANA time zone database, such as Europe/Berlin",
                }
            ],
        }
    ),
]
"""A zone of the IANA database by its name; never an offset, which has no summer time."""
