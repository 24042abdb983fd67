"""The labels of namespaces for what was used in them, also of those that were deleted before it was posted.

Without labels a namespace's last minutes would be in no budget that selects by label: whoever deletes a
namespace would not pay for its end. What a process has not seen itself the ledger knows.
"""

from collections.abc import Collection, Iterable
from typing import Final

from aibudget.controller.head import Labels
from aibudget.ledger.store import Ledger
from aibudget.metering.usage import Usage

MOST: Final = 10_000
"""Vanished namespaces that are remembered; then they are asked for anew."""


class Vanished:
    """Remembers the labels given last. Not for several threads."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._given: Labels = {}
        self._gone: dict[str, dict[str, str]] = {}

    def with_labels(self, usages: Iterable[Usage], labels: Labels) -> Labels:
        """These labels, and the last known ones of namespaces that are not among them but were used."""
        gone = {usage.workload.namespace for usage in usages if usage.workload.namespace} - labels.keys()
        self._learn(gone)
        self._given = labels
        return {**labels, **{name: self._gone[name] for name in gone}} if gone else labels

    def _learn(self, gone: Collection[str]) -> None:
        if len(self._gone) > MOST:
            self._gone.clear()
        for name in self._given.keys() & gone:
            self._gone[name] = dict(self._given[name])
        if unknown := [name for name in gone if name not in self._gone]:
            known = self._ledger.last_labels(unknown)
            self._gone |= {name: dict(known.get(name, {})) for name in unknown}
