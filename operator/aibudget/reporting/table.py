"""Rows as kubectl prints them: upper-case headers, columns padded with spaces, nothing drawn."""

from collections.abc import Sequence
from typing import Final

GAP: Final = 3
"""Spaces between two columns."""


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The lines of a table, without a line break at the end; an empty cell prints as "-"."""
    lines = [[header.upper() for header in headers], *([cell or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ((cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join((" " * GAP).join(line).rstrip() for line in padded)
