"""The files of policies and of carbon: read once, when the operator starts or `aibudget usage` is run."""

from pathlib import Path
from typing import Final

import yaml

from aibudget.budgeting.sharing import InvalidSharing, Sharing, parse
from aibudget.errors import FieldProblem, Stalled
from aibudget.pricing.carbon import Carbon, grids, public_grids

_MOST_BYTES: Final = 1 << 20


def carbon(path: Path | None) -> Carbon:
    """What grids emit: the public averages, and after them the entries of a file. Raises `Stalled`."""
    if path is None:
        return Carbon(public_grids())
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Stalled("InvalidCarbon", f"{path} cannot be read: {error}") from error
    return Carbon((*public_grids(), *grids(text, str(path))))


def sharing(path: Path) -> Sharing:
    """The policies of a file. Raises `InvalidSharing`, which names the file and every field at fault."""
    try:
        with path.open("rb") as file:
            document = yaml.safe_load(file.read(_MOST_BYTES))
    except OSError as error:
        raise InvalidSharing(str(path), [FieldProblem("", f"cannot be read ({error.strerror})")]) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidSharing(
            str(path), [FieldProblem("", "is not YAML; write default: {policy: Even}")]
        ) from error
    return parse(str(path), document)
