"""A status that fits: what is said least for is left out first, and how much that is stands in the status.

`kubectl get`, the watch of every controller and etcd carry a status whole, so it stays within 8 KiB however
many workloads, names and errors there are. What the next evaluation remembers (period, thresholds) and what
people decide by (spend, conditions) is never left out; words are cut before facts. Pure; used by `status`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aibudget.api.budgetstatus import BudgetStatus, Omitted

MOST_BYTES: Final = 8192
"""Of the JSON that is stored."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One thing to give up: all but `keep` of a list, what is beyond `words` bytes of its messages, or the
    field `bare` of each of its entries.

    Lists are in the order of what matters, but for measures: those stay of which most is used.
    """

    field: str
    keep: int | None = None
    words: int | None = None
    bare: str | None = None


CUTS: Final = (
    Cut("spared", words=120),
    Cut("history", keep=6),
    Cut("drivers", keep=1),
    Cut("spared", keep=5),
    Cut("conditions", words=300),
    Cut("top_workloads", keep=3),
    Cut("history", keep=2),
    Cut("anomalies", keep=1),
    Cut("clusters", keep=4),
    Cut("measures", keep=8),
    Cut("spared", keep=2),
    Cut("top_workloads", keep=1),
    Cut("conditions", words=120),
    Cut("measures", keep=3),
    Cut("drivers", words=120),
    Cut("measures", bare="forecast"),
    Cut("history", keep=0),
    Cut("spared", keep=0),
    Cut("top_workloads", keep=0),
    Cut("drivers", keep=0),
    Cut("clusters", keep=0),
    Cut("measures", keep=1),
    Cut("conditions", words=60),
    Cut("conditions", words=20),
    Cut("anomalies", keep=0),
    Cut("conditions", words=10),
)
"""In this order, until it fits."""


def fitted(status: BudgetStatus, left_out: Mapping[str, int]) -> BudgetStatus:
    """The status within its room. `left_out` has, by field, how many entries are not in it already."""
    omitted = {field: count for field, count in left_out.items() if count}
    fits = _with(status, omitted)
    for cut in CUTS:
        if size(fits) <= MOST_BYTES:
            break
        entries = getattr(fits, cut.field)
        if cut.words is not None:
            said = [one.model_copy(update={"message": clipped(one.message, cut.words)}) for one in entries]
            fits = fits.model_copy(update={cut.field: tuple(said)})
        elif cut.bare is not None:
            bare = tuple(one.model_copy(update={cut.bare: None}) for one in entries)
            fits = fits.model_copy(update={cut.field: bare})
        elif (dropped := len(entries[cut.keep :])) > 0:
            omitted[cut.field] = omitted.get(cut.field, 0) + dropped
            fits = _with(fits.model_copy(update={cut.field: _first(entries, cut)}), omitted)
    return fits


def _first(entries: tuple[Any, ...], cut: Cut) -> tuple[Any, ...]:
    if cut.field != "measures":
        return entries[: cut.keep]
    most = sorted(range(len(entries)), key=lambda n: -(entries[n].used_percent or 0))[: cut.keep]
    return tuple(entries[n] for n in sorted(most))


def size(status: BudgetStatus) -> int:
    """Its bytes as the API server stores it."""
    return _bytes(status.model_dump_json(by_alias=True, exclude_none=True))


def clipped(text: str, most: int) -> str:
    """The text within so many bytes of stored JSON, cut visibly where it must be."""
    if _bytes(text) <= most:
        return text
    room, kept = most - len("…".encode()), 0
    for letter in text:
        room -= _bytes(letter) + (letter in '"\\\n\t\r')
        if room < 0:
            break
        kept += 1
    return text[:kept] + "…"


def _bytes(text: str) -> int:
    # The API server writes these as six letters each.
    escaped = sum(text.count(letter) for letter in "<>&")
    return len(text.encode()) + 5 * escaped


def _with(status: BudgetStatus, omitted: Mapping[str, int]) -> BudgetStatus:
    return status.model_copy(update={"omitted": Omitted(**omitted) if omitted else None})
