"""The files of notification: the configuration, read once, and secrets, read at each use because they rotate.

What is wrong with a secret is told by its path, never by its content.
"""

from pathlib import Path
from typing import Final

import yaml

from aibudget.errors import FieldProblem
from aibudget.notification.receivers import (
    InvalidReceivers,
    Receiver,
    check_header_value,
    check_url,
    parse,
)

_MOST_BYTES: Final = 1 << 20


def receivers(path: Path) -> tuple[Receiver, ...]:
    """The configured receivers, all files that they name found. Raises `InvalidReceivers`."""
    try:
        with path.open("rb") as file:
            document = yaml.safe_load(file.read(_MOST_BYTES))
    except OSError as error:
        raise InvalidReceivers(str(path), [FieldProblem("", f"cannot be read ({error.strerror})")]) from error
    except (yaml.YAMLError, RecursionError):
        # The parser's own words would repeat the line, which may be a secret in the wrong place.
        raise InvalidReceivers(str(path), [FieldProblem("", "is not YAML; write receivers: [...]")]) from None
    found = parse(str(path), {} if document is None else document)
    missing = [
        FieldProblem(f"receivers[{index}].{field}", f"{named} is not there; mount it, or correct the path")
        for index, receiver in enumerate(found)
        for field, named in receiver.files.items()
        if not named.is_file()
    ]
    if missing:
        raise InvalidReceivers(str(path), missing)
    return found


def address(receiver: Receiver) -> str:
    """Where to send to. Raises ValueError, whose words hold no secret."""
    if receiver.url is not None:
        return receiver.url
    assert receiver.url_file is not None, "a receiver has one of the two"
    try:
        url = check_url(_secret(receiver.url_file))
        receiver.check_scheme(url)
    except ValueError as error:
        raise ValueError(f"the address in {receiver.url_file} {error}") from None
    return url


def headers(receiver: Receiver) -> dict[str, str]:
    """The receiver's own headers. Raises ValueError, whose words hold no secret."""
    found: dict[str, str] = {}
    for header in receiver.headers:
        if header.value is not None:
            found[header.name] = header.value
            continue
        assert header.value_file is not None, "a header has one of the two"
        try:
            found[header.name] = check_header_value(_secret(header.value_file))
        except ValueError as error:
            raise ValueError(f"the header in {header.value_file} {error}") from None
    return found


def _secret(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError("is not text") from None
