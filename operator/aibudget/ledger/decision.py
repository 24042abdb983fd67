"""`Decision`: something that was decided and what was known of it, and the chain that such entries form.

Each entry's hash covers the hash of the one before, so that nothing in the middle can be changed, left out or
moved without all that follows being wrong. What is cut off at the end shows by the head, which is kept apart
and shown to the outside. Pure.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aibudget.metering.slots import iso

Facts = Mapping[str, Any]
"""Of JSON's own types; amounts are text."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`subject` names what it is about; the last entry of a subject is how that stands.

    An entry whose `event` is its subject's last one already is not written again: that is what makes it safe
    to repeat. `unless` are the events that come after it: where one of them was last, it is old news.
    """

    subject: str
    event: str
    at: int
    facts: Facts = field(default_factory=dict)
    unless: frozenset[str] = frozenset()

    def content(self) -> str:
        """All of it as canonical JSON: what is hashed, and what is stored."""
        whole = {**self.facts, "subject": self.subject, "event": self.event, "time": iso(self.at)}
        return json.dumps(whole, sort_keys=True, separators=(",", ":"))

    def is_news(self, last: str | None) -> bool:
        """Whether it says something new where this was said last (None: nothing)."""
        return self.event != last and last not in self.unless


class Head(NamedTuple):
    """How many entries there are, and the last one's hash."""

    number: int
    hash: str


class Entry(NamedTuple):
    """An entry as it is stored."""

    number: int
    subject: str
    event: str
    content: str
    hash: str


class Broken(NamedTuple):
    """The first entry that is not as it was written, and what is wrong with it, in a sentence."""

    number: int
    message: str


def origin(cluster: str) -> Head:
    """Where a cluster's chain begins: entries of one cluster do not fit into another's."""
    return Head(0, _digest("aibudget decisions", cluster))


def linked(head: Head, decision: Decision) -> Entry:
    """The entry that follows this head."""
    content = decision.content()
    return Entry(head.number + 1, decision.subject, decision.event, content, _digest(head.hash, content))


def prove(cluster: str, entries: Iterable[Entry], head: Head | None) -> Broken | None:
    """Follow the chain from its origin to the head; None where all of it is as it was written.

    `entries` are in the order of their numbers. `head` None: no head is stored.
    """
    last = origin(cluster)
    for entry in entries:
        if (why := _wrong(last, entry)) is not None:
            return why
        last = Head(entry.number, entry.hash)
    if head is None:
        return None if last.number == 0 else Broken(last.number, "the head of the chain is missing")
    if last.number < head.number:
        gone = head.number - last.number
        return Broken(last.number + 1, f"the last {gone} of {head.number} entries are missing")
    if last != head:
        return Broken(last.number, f"the head of the chain says that entry {head.number} is the last")
    return None


def _wrong(last: Head, entry: Entry) -> Broken | None:
    if entry.number != last.number + 1:
        return Broken(last.number + 1, f"it is missing: entry {entry.number} follows {last.number}")
    if entry.hash != _digest(last.hash, entry.content):
        return Broken(entry.number, "its content, or what stands before it, is not what was written")
    try:
        whole = json.loads(entry.content)
    except ValueError:
        return Broken(entry.number, "its content is no JSON")
    if (whole.get("subject"), whole.get("event")) != (entry.subject, entry.event):
        return Broken(entry.number, "its columns say something else than its content")
    return None


def read(entries: Iterable[Entry]) -> Iterator[dict[str, Any]]:
    """What the entries say, each with its number and hash."""
    for entry in entries:
        yield {"number": entry.number, **json.loads(entry.content), "hash": entry.hash}


def _digest(before: str, content: str) -> str:
    return hashlib.sha256(f"{before}\n{content}".encode()).hexdigest()
