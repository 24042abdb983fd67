"""How the text of a setting becomes its value: each raises `ValueError` with what is wrong with it.

The messages around it, with the name of the option and what to write instead, are made in `settings`. Pure
but for asking whether a named file is there, and for reading the files of receivers, of shared cost's
policies and of carbon.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aibudget.api.fields import NAME_PATTERN
from aibudget.api.selector import KEY_PATTERN
from aibudget.budgeting.sharing import Sharing
from aibudget.controller.policies import carbon, sharing
from aibudget.errors import Stalled
from aibudget.metering.promql import Matchers, matchers
from aibudget.metering.tariffs import TariffSource
from aibudget.notification.files import receivers
from aibudget.notification.receivers import Receiver
from aibudget.pricing.carbon import Carbon

MOST_LABELS: Final = 8
"""Each set of values is a line of its own in the ledger."""


def text(text: str) -> str:
    return text.strip()


def url(text: str) -> str:
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("no http or https address")
    if parts.username or parts.password:
        raise ValueError("credentials do not belong into an address")
    if parts.query or parts.fragment:
        raise ValueError("an address with a query")
    _ = parts.port
    return text.strip().rstrip("/")


def file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ValueError("no such file")
    return path


def seconds(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,6}", text.strip(), re.ASCII):
            raise ValueError("not a number of seconds")
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"not between {low} and {high}")
        return value

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,7}", text.strip(), re.ASCII):
            raise ValueError("not a whole number")
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"not between {low} and {high}")
        return value

    return read


def number(high: int) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,2})?", text.strip(), re.ASCII):
            raise ValueError("no number with at most two decimals")
        if float(text) > high:
            raise ValueError(f"more than {high}")
        return float(text)

    return read


def matchers_of(text: str) -> Matchers:
    try:
        return matchers(text)
    except Stalled as error:
        raise ValueError("no matchers") from error


def label(text: str) -> str:
    if text.strip() and not re.fullmatch(KEY_PATTERN.removesuffix("$"), text.strip()):
        raise ValueError("not the key of a label")
    return text.strip()


def keys(text: str) -> tuple[str, ...]:
    found = tuple(sorted({label(part) for part in text.split(",") if part.strip()}))
    if len(found) > MOST_LABELS:
        raise ValueError("too many")
    return found


def name(text: str) -> str:
    if len(text) > 63 or not re.fullmatch(NAME_PATTERN.removesuffix("$"), text):
        raise ValueError("not a name of Kubernetes")
    return text


def names(text: str) -> tuple[str, ...]:
    return tuple(sorted({name(part.strip()) for part in text.split(",") if part.strip()}))


def address(text: str) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or int(port) > 65535:
        raise ValueError("not host:port")
    return host.strip("[]"), int(port)


def switch(text: str) -> bool:
    match text.strip().lower():
        case "on" | "true" | "yes" | "1":
            return True
        case "off" | "false" | "no" | "0":
            return False
    raise ValueError("neither on nor off")


def live_prices(text: str) -> TariffSource | None:
    match text.strip().lower():
        case "off":
            return None
        case "karpenter" | "opencost" as source:
            return source
    raise ValueError("none of these")


def level(text: str) -> str:
    level = text.strip().upper()
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ValueError("no such level")
    return level


def ledger(text: str) -> str:
    server = r"postgres(ql)?://([^/?#]+/[^/?#@]+|/?)(\?.*)?"
    if not re.fullmatch(rf"sqlite:///[^:].*|{server}", text.strip()):
        raise ValueError("neither a file of SQLite nor a database of PostgreSQL")
    return text.strip()


def receivers_of(text: str) -> tuple[Receiver, ...]:
    return receivers(Path(text.strip())) if text.strip() else ()


def sharing_of(text: str) -> Sharing:
    return sharing(Path(text.strip())) if text.strip() else Sharing()


def carbon_of(text: str) -> Carbon:
    return carbon(Path(text.strip()) if text.strip() else None)
