"""The table of bad manifests, ready for any judge."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Final

import yaml

NAMESPACED: Final = ("AIBudget", "Hold")


@dataclass(frozen=True, slots=True)
class Bad:
    """A kind and a spec at fault; `field` must appear in every judge's message."""

    case: str
    kind: str
    field: str
    spec: str
    name: str = "bad"

    @property
    def manifest(self) -> str:
        """The whole document, as a user would have written it."""
        where = ", namespace: default" if self.kind in NAMESPACED else ""
        head = (
            f"apiVersion: aibudget.io/v1alpha1\nkind: {self.kind}\nmetadata: {{name: {self.name}{where}}}\n"
        )
        return f"{head}spec:\n{indent(self.spec, '  ')}"


BAD: Final = tuple(
    Bad(**entry)
    for entry in yaml.load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
)
