"""Receivers and what they are told."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from aibudget.notification.message import BudgetRef, Message
from aibudget.notification.receivers import Receiver, parse
from unit.notification.inbox import Inbox, listening


@pytest.fixture
def make_inbox() -> Iterator[Callable[[], Inbox]]:
    """Starts a server."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(listening())


@pytest.fixture
def inbox(make_inbox: Callable[[], Inbox]) -> Inbox:
    """One server."""
    return make_inbox()


@pytest.fixture
def receiver(inbox: Inbox, tmp_path: Path) -> Callable[..., Receiver]:
    """A receiver at the inbox; fields as the configuration has them win over it."""

    def make(**fields: Any) -> Receiver:
        given: dict[str, Any] = {
            "name": "here",
            "type": "Webhook",
            "url": f"{inbox.url}/hook",
            "allowHttp": True,
            "allowedNetworks": ["127.0.0.0/8"],
        } | fields
        if given["type"] == "Slack":
            secret = tmp_path / "url"
            secret.write_text(f"{given.pop('url')}\n")
            given["urlFile"] = str(secret)
        return parse("test", {"receivers": [given]})[0]

    return make


@pytest.fixture
def make_message() -> Callable[..., Message]:
    """A crossing of AIBudget team/training, unless said otherwise."""

    def make(**fields: Any) -> Message:
        budget = BudgetRef(
            api_version="aibudget.io/v1alpha1", kind="AIBudget", namespace="team", name="training", uid="u-1"
        )
        given: dict[str, Any] = {
            "id": "0123",
            "time": "2026-11-21T10:00:00Z",
            "cluster": "eu-1",
            "budget": budget,
            "reason": "BudgetExceeded",
            "severity": "Warning",
            "message": "101.00 USD of 100.00 USD is spent.",
        }
        return Message(**(given | fields))

    return make
