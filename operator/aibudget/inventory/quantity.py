"""A Kubernetes quantity (`500m`, `40Gi`, `1e3`) as the exact number that it is. Pure."""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

_SHAPE: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)")
_DECIMAL: Final = {name: 10**exponent for exponent, name in zip(range(3, 21, 3), "kMGTPE", strict=True)}
_BINARY: Final = {f"{name}i": 1024**power for power, name in enumerate("KMGTPE", 1)}
_SMALL: Final = {"m": Fraction(1, 10**3), "u": Fraction(1, 10**6), "n": Fraction(1, 10**9)}
_FACTORS: Final[Mapping[str, Fraction | int]] = {"": 1, **_DECIMAL, **_BINARY, **_SMALL}


def quantity(text: str) -> Fraction:
    """Raises ValueError on anything else."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no quantity. Quantities are written as 500m, 4 or 40Gi.")
    number, exponent, suffix = found.groups()
    return Fraction(f"{number}e{exponent or 0}") * _FACTORS[suffix or ""]
