"""The cycle's side of notification: what is to be told is durable before anything forgets it."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.conditions import EventReason
from aibudget.controller.cache import Seen, read
from aibudget.controller.notifier import Link, Notifier
from aibudget.controller.reporter import Report
from aibudget.errors import Transient
from aibudget.inventory.resource import AIBUDGETS
from aibudget.inventory.workload import Workload
from aibudget.ledger.outbox import Outbox
from aibudget.ledger.store import Ledger
from aibudget.notification.courier import DeadLetter
from aibudget.notification.message import Message, joined
from aibudget.notification.message import read as read_message
from aibudget.notification.receivers import parse
from aibudget.reporting.events import Event, Subject
from unit.ledger.blank import blank

NOON = 1795262400

RECEIVERS = parse(
    "test",
    {
        "receivers": [
            {"name": "ours", "type": "Webhook", "url": "https://a.example", "namespaces": ["team"]},
            {"name": "theirs", "type": "Webhook", "url": "https://b.example", "namespaces": ["other"]},
            {"name": "alerts", "type": "Alertmanager", "url": "https://c.example", "namespaces": ["*"]},
        ]
    },
)


class Flaky(Outbox):
    """An outbox whose disk is full while `full`."""

    full = False

    def put(self, entries: Any, now: int) -> int:
        """As the real one, or not at all."""
        if self.full:
            raise Transient("LedgerUnavailable", "no space")
        return super().put(entries, now)


@pytest.fixture
def notifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notifier]:
    """On a new ledger, its courier not running."""
    url = blank(tmp_path / "ledger.db")
    Ledger.open(url, "eu-1").close()
    monkeypatch.setattr("aibudget.controller.notifier.Outbox", Flaky)
    made = Notifier.open(RECEIVERS, url, Link("eu-1", lambda: True, lambda: NOON))
    assert made.courier is not None
    yield made
    made.courier.outbox.close()
    made.courier.thread.shutdown()


def seen(name: str, *notify: str) -> Seen:
    """A budget as the watch has it."""
    spec: dict[str, Any] = {"limit": {"amount": 1, "currency": "USD"}}
    if notify:
        spec["notify"] = [{"name": one} for one in notify]
    metadata = {
        "name": name,
        "namespace": "team",
        "uid": f"uid-{name}",
        "generation": 1,
        "resourceVersion": "1",
    }
    head = {"apiVersion": "aibudget.io/v1alpha1", "kind": "AIBudget", "metadata": metadata}
    found = read(AIBUDGETS, head | {"spec": spec})
    assert isinstance(found, Seen)
    return found


def event(name: str, workload: str | None = None) -> Event:
    """A crossing, or a notice for a workload."""
    subject = Subject("aibudget.io/v1alpha1", "AIBudget", "team", name, f"uid-{name}")
    if workload is None:
        return Event(subject, EventReason.BUDGET_EXCEEDED, "Evaluate", "It is crossed.", "2026-11/full")
    related = Workload("team", "Deployment", workload)
    message = f"Deployment team/{workload}: notice."
    return Event(subject, EventReason.SCALE_DOWN_NOTICE, "Enforce", message, workload, related)


def crossed(name: str, *notify: str) -> Report:
    """A report with the crossing."""
    return Report(seen(name, *notify), BudgetStatus(), (event(name),))


def quiet(name: str, *notify: str) -> Report:
    """A report without news."""
    return Report(seen(name, *notify), BudgetStatus())


def take(notifier: Notifier, reports: Sequence[Report], acts: Sequence[Event] = ()) -> list[str]:
    """The names of the budgets whose reports may be written."""
    kept = asyncio.run(notifier.take(reports, acts, NOON))
    return [report.seen.metadata.name for report in kept]


def letters(notifier: Notifier, receiver: str) -> list[Message]:
    """What is told to a receiver, message by message."""
    assert notifier.courier is not None
    outbox, found = notifier.courier.outbox, []
    while (letter := outbox.next(receiver)) is not None:
        found.append(joined([read_message(text) for text in letter.messages]))
        outbox.delivered(letter)
    return found


def test_only_those_are_told_that_the_budget_may_name(notifier: Notifier) -> None:
    """Another tenant's receiver hears nothing; an Alertmanager is told what lasts, not what happened."""
    report = crossed("b", "ours", "theirs", "alerts", "typo")

    assert notifier.unknown(report.seen.model) == ("theirs", "typo")
    assert notifier.unknown(quiet("b").seen.model) is None
    assert take(notifier, [report, crossed("silent")]) == ["b", "silent"]
    assert [one.reason for one in letters(notifier, "ours")] == ["BudgetExceeded"]
    assert letters(notifier, "theirs") == letters(notifier, "alerts") == []


def test_workloads_of_one_moment_are_one_message(notifier: Notifier) -> None:
    """A notice for three workloads lists them; the budget that does not claim them is not told."""
    acts = [event("b", name) for name in ("w1", "w2", "w3")]

    take(notifier, [quiet("b", "ours"), quiet("c", "ours")], acts)

    (message,) = letters(notifier, "ours")
    assert message.budget.name == "b"
    assert [one.name for one in message.workloads] == ["w1", "w2", "w3"]


def test_what_the_outbox_does_not_take_is_not_forgotten(notifier: Notifier) -> None:
    """A status would remember the crossing as told, so it waits; an act happens once, so it is kept."""
    assert notifier.courier is not None
    outbox = notifier.courier.outbox
    assert isinstance(outbox, Flaky)
    outbox.full = True
    assert take(notifier, [crossed("b", "ours"), quiet("c", "ours")], [event("c", "w1")]) == []
    assert take(notifier, [quiet("d", "ours")]) == ["d"]

    outbox.full = False
    assert take(notifier, [crossed("b", "ours"), quiet("c", "ours")]) == ["b", "c"]
    assert sorted(one.reason for one in letters(notifier, "ours")) == ["BudgetExceeded", "ScaleDownNotice"]
    assert take(notifier, [crossed("b", "ours")]) == ["b"]
    assert letters(notifier, "ours") == []


def test_a_dead_letter_is_told_without_its_cause(notifier: Notifier) -> None:
    """The budget's readers learn that somebody was not told; why is for those who run the operator."""
    take(notifier, [crossed("b", "ours")])
    (message,) = letters(notifier, "ours")
    assert notifier.courier is not None
    notifier.courier.buried.append(DeadLetter("ours", message, "the header in /etc/secret cannot be read"))

    (told,) = notifier.failures()
    assert told.reason is EventReason.DELIVERY_FAILED
    assert str(told.regarding) == "AIBudget team/b"
    assert "ours could not be told of BudgetExceeded" in told.message
    assert "secret" not in told.message
    assert list(notifier.failures()) == []


def test_metrics_say_how_much_waits(notifier: Notifier) -> None:
    """By receiver: how many, and for how long."""
    take(notifier, [crossed("b", "ours")])

    view = notifier.view(NOON + 60)
    assert (view.waiting, view.dead, view.oldest) == ({"ours": 1}, {"ours": 0}, {"ours": 60.0})
