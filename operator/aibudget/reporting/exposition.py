"""Gauges in Prometheus's text format, spelled line by line as they are told.

For what comes by the ten thousand: prometheus_client keeps a sample and its labels as objects, which takes
more memory than their text, and spells one line in the time that this takes for ten. A line is its label
text, spelled once for all lines of the same budget, and a number. Knows no budgets.
"""

from collections.abc import Iterable, Iterator
from typing import Final

PART: Final = 500
"""How many budgets' lines are spelled together."""


def told(**labels: str) -> str:
    """Labels as text, without braces; to be joined by commas with others of the same line."""
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in labels.items()])


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


class Gauge:
    """One metric with all its lines. `labels` are the names of those that a line may have."""

    type = "gauge"

    def __init__(self, name: str, documentation: str, labels: Iterable[str]) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = tuple(labels)
        self._head = f"{name}{{"
        self._lines: list[str] = []

    def add(self, of: str, value: float) -> None:
        """One line: its labels as text, and its number."""
        self._lines.append(f"{self._head}{of}}} {value!r}\n")

    def add_all(self, of: str, endings: Iterable[str]) -> None:
        """Lines that begin with the same labels; each ending, made by `ending`, adds what is else said."""
        start = f"{self._head}{of},"
        self._lines.append("".join([start + ending for ending in endings]))

    def spelled(self) -> Iterator[bytes]:
        """All of it, as it is scraped, in parts: as one text, conditions would be there three times."""
        about = self.documentation.replace("\\", r"\\").replace("\n", r"\n")
        yield f"# HELP {self.name} {about}\n# TYPE {self.name} gauge\n".encode()
        for start in range(0, len(self._lines), PART):
            yield "".join(self._lines[start : start + PART]).encode()


def ending(of: str, value: float) -> str:
    """The last labels of a line and its number, for `Gauge.add_all`."""
    return f"{of}}} {value!r}\n"
