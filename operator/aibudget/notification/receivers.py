"""The receivers that platform engineers configure, and which budgets may name them. Pure.

A budget names a receiver and says nothing else of it, so that no tenant holds a secret, chooses an address or
writes to another tenant's channel. Addresses and header values that are secrets are files, read at each use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from aibudget.api.budget import AIBudget, Budget
from aibudget.api.fields import Name
from aibudget.api.model import Value, once_each, once_each_by, problems
from aibudget.errors import FieldProblem, Stalled

EVERY: Final = "*"
ReceiverType = Literal["Webhook", "Slack", "Alertmanager"]

_OUR_HEADERS: Final = {"host", "content-type", "content-length", "transfer-encoding", "connection"}


def check_url(text: str) -> str:
    """An address to send to; raises ValueError, which never repeats the address."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise ValueError("is no address; write https://host/path") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or any(c <= " " for c in text):
        raise ValueError("is no http or https address; write https://host/path")
    if parts.username is not None or parts.fragment:
        raise ValueError("must hold no user, password or fragment; put credentials into headers")
    return text


def check_header_value(text: str) -> str:
    """The value of a header; raises ValueError, which never repeats it."""
    if not text or not text.isascii() or not text.isprintable():
        raise ValueError("must be one line of printable ASCII")
    return text


def _header_name(text: str) -> str:
    if text.lower() in _OUR_HEADERS:
        raise ValueError("is set by AIBudget; remove it")
    return text


def _path(value: object) -> object:
    return Path(value) if isinstance(value, str) else value


_File = Annotated[Path, BeforeValidator(_path)]
_Network = IPv4Network | IPv6Network


class Header(Value):
    """A header of every request; a value that is a secret belongs into a file."""

    name: Annotated[
        str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9-]+$"), AfterValidator(_header_name)
    ]
    value: Annotated[str, Field(max_length=4096), AfterValidator(check_header_value)] | None = None
    value_file: _File | None = None

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if (self.value is None) == (self.value_file is None):
            raise ValueError("give value or valueFile, and not both")
        return self


class Receiver(Value):
    """One place to which notifications go."""

    name: Name
    type: ReceiverType
    url: Annotated[str, Field(max_length=2048), AfterValidator(check_url)] | None = None
    url_file: _File | None = None
    headers: Annotated[tuple[Header, ...], Field(max_length=16), AfterValidator(once_each_by("name"))] = ()
    ca_file: _File | None = None
    namespaces: Annotated[
        tuple[Name | Literal["*"], ...], Field(max_length=1024), AfterValidator(once_each)
    ] = ()
    allowed_networks: Annotated[tuple[_Network, ...], Field(max_length=64)] = ()
    allow_http: bool = False
    link: Annotated[str, Field(max_length=2048), AfterValidator(check_url)] | None = None

    @model_validator(mode="after")
    def _address(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("give url or urlFile, and not both")
        if self.type == "Slack" and self.url is not None:
            raise ValueError("the url of a Slack webhook is a secret: give urlFile")
        if self.url is not None:
            self.check_scheme(self.url)
        return self

    def check_scheme(self, url: str) -> None:
        """Raises ValueError where the receiver may not be reached without encryption."""
        if urlsplit(url).scheme == "http" and not self.allow_http:
            raise ValueError("is not encrypted; write https, or set allowHttp: true for this receiver")

    @property
    def files(self) -> Mapping[str, Path]:
        """All files that it names, by field."""
        found = {"urlFile": self.url_file, "caFile": self.ca_file}
        found |= {f"headers[{i}].valueFile": header.value_file for i, header in enumerate(self.headers)}
        return {field: path for field, path in found.items() if path is not None}

    def is_for(self, budget: Budget) -> bool:
        """Whether this budget may name it. Platform engineers write ClusterAIBudgets, which may name all."""
        if not isinstance(budget, AIBudget):
            return True
        return EVERY in self.namespaces or budget.namespace in self.namespaces


class Configuration(Value):
    """The whole file."""

    receivers: Annotated[
        tuple[Receiver, ...], Field(max_length=64), AfterValidator(once_each_by("name"))
    ] = ()


class InvalidReceivers(Stalled):
    """The configuration of receivers cannot be used; the message names the file and every field at fault."""

    def __init__(self, file: str, faults: Iterable[FieldProblem]) -> None:
        said = "; ".join(map(str, faults))
        super().__init__("InvalidReceivers", f"{file}: {said}. Correct it and start again.")


def parse(file: str, document: Any) -> tuple[Receiver, ...]:
    """The receivers of a document; `file` is its name in messages. Raises `InvalidReceivers`."""
    try:
        return Configuration.model_validate(document, by_alias=True, by_name=False).receivers
    except ValidationError as error:
        raise InvalidReceivers(file, problems(error)) from None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The receivers that a budget may use of those it names, and the names that it may not."""

    receivers: tuple[Receiver, ...]
    unknown: tuple[str, ...]


def chosen(budget: Budget, receivers: Mapping[str, Receiver]) -> Chosen:
    """Who is told of this budget. A receiver of others is as unknown as one that does not exist."""
    names = [one.name for one in budget.spec.notify or ()]
    found = {name: receivers[name] for name in names if name in receivers and receivers[name].is_for(budget)}
    return Chosen(tuple(found.values()), tuple(name for name in names if name not in found))
