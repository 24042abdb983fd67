"""Alertmanager is told what is so: again while it lasts, and once more when it is over."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from aibudget.api.budget import AIBudget
from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.hold import Hold
from aibudget.notification.alerts import Alert, alerts_of
from aibudget.notification.receivers import Receiver
from aibudget.notification.siren import SILENCE_SECONDS, Siren
from aibudget.notification.tally import Tally
from aibudget.notification.webhook import Sender
from unit.notification.inbox import Inbox

NOON = 1795262400
TEN = "2026-11-21T10:00:00Z"

BUDGET = AIBudget.read(
    {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIBudget",
        "metadata": {"name": "training", "namespace": "team", "uid": "u-1"},
        "spec": {
            "limit": {"amount": 100, "currency": "USD"},
            "thresholds": [
                {"name": "warn", "percent": 80, "actions": ["Notify"]},
                {"name": "quiet", "percent": 90, "actions": ["Annotate"]},
                {"name": "full", "percent": 100, "actions": ["Notify"]},
            ],
        },
    }
)


def status(*crossed: str, **conditions: tuple[str, str]) -> BudgetStatus:
    """These thresholds are crossed, and these conditions hold."""
    states = [
        {"name": one.name, "state": "Crossed" if one.name in crossed else "Below"}
        | ({"crossedTime": TEN} if one.name in crossed else {})
        for one in BUDGET.spec.effective_thresholds
    ]
    return BudgetStatus.model_validate(
        {
            "thresholds": states,
            "conditions": [condition(kind, *said) for kind, said in conditions.items()],
        },
        by_alias=True,
    )


def condition(kind: str, status: str, reason: str) -> dict[str, str]:
    """As a status has it."""
    return {"type": kind, "status": status, "reason": reason, "message": "why", "lastTransitionTime": TEN}


def hold(*conditions: dict[str, str]) -> Hold:
    """Of a Deployment."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llm", "uid": "d-1"}
    return Hold.read(
        {
            "apiVersion": "aibudget.io/v1alpha1",
            "kind": "Hold",
            "metadata": {"name": "h", "namespace": "team"},
            "spec": {"targetRef": target, "action": "ScaleDown", "claims": []},
            "status": {"conditions": list(conditions)},
        }
    )


def names(status: BudgetStatus, *holds: Hold) -> list[tuple[str, str]]:
    """Name and severity of each alert."""
    return [
        (dict(one.labels)["alertname"], dict(one.labels)["severity"])
        for one in alerts_of("eu-1", BUDGET, status, holds)
    ]


def test_an_alert_for_each_crossed_threshold_that_notifies() -> None:
    """From the limit on it is critical; its labels are the same as long as it lasts, and its start too."""
    assert names(status()) == []
    assert names(status("warn", "quiet", "full")) == [
        ("AIBudgetThresholdCrossed", "warning"),
        ("AIBudgetThresholdCrossed", "critical"),
    ]
    (alert,) = alerts_of("eu-1", BUDGET, status("warn"), ())
    assert dict(alert.labels) == {
        "alertname": "AIBudgetThresholdCrossed",
        "severity": "warning",
        "cluster": "eu-1",
        "kind": "AIBudget",
        "namespace": "team",
        "budget": "training",
        "threshold": "warn",
    }
    assert alert.starts == datetime(2026, 11, 21, 10, tzinfo=UTC)


def test_an_alert_for_what_needs_somebody() -> None:
    """Data that is not fresh, a budget that is stalled, an act that fails or is fought over."""
    found = status(
        Ready=("False", "InvalidSpec"),
        DataFresh=("False", "Stale"),
        Stalled=("True", "MixedCurrencies"),
        Enforced=("True", "EnforcementFailed"),
    )
    assert names(found) == [
        ("AIBudgetDataStale", "warning"),
        ("AIBudgetStalled", "warning"),
        ("AIBudgetEnforcementFailed", "warning"),
    ]
    assert names(status(DataFresh=("True", "Fresh"), Enforced=("True", "WorkloadsHeld"))) == []
    contested = hold(condition("Contested", "True", "RevertedByOther"), condition("Applied", "True", "Held"))
    assert names(status(), contested) == [("AIBudgetHoldContested", "warning")]


def alert(name: str) -> Alert:
    """One."""
    return Alert((("alertname", name),), datetime(2026, 11, 21, 10, tzinfo=UTC), name)


def ends(inbox: Inbox, number: int) -> dict[str, str]:
    """What that request says of each alert's end."""
    found: list[dict[str, Any]] = inbox.requests[number].json()
    return {one["labels"]["alertname"]: one["endsAt"] for one in found}


def test_it_is_told_again_while_it_lasts_and_until_its_end_is_heard(
    inbox: Inbox, receiver: Callable[..., Receiver]
) -> None:
    """Ends lie in the future until it is over; an end that was not heard is told again, and then no more."""
    inbox.answers = [(200, {}), (200, {}), (503, {})]
    later, soon = "2026-11-21T12:10:00Z", "2026-11-21T12:00:00Z"
    assert SILENCE_SECONDS == 600

    async def story() -> list[bool]:
        where = receiver(type="Alertmanager", url=f"{inbox.url}/base/")
        siren = Siren(where, Sender(), lambda: True, lambda: NOON, Tally())
        siren.show([alert("a"), alert("b")])
        heard = [await siren.send(), await siren.send()]
        siren.show([alert("b")])
        return [*heard, await siren.send(), await siren.send(), await siren.send()]

    assert asyncio.run(story()) == [True, True, False, True, True]
    assert {request.path for request in inbox.requests} == {"/base/api/v2/alerts"}
    lasting, over = {"a": later, "b": later}, {"a": soon, "b": later}
    assert [ends(inbox, n) for n in range(5)] == [lasting, lasting, over, over, {"b": later}]


def test_it_is_sent_beside_the_cycle_again_and_again(
    inbox: Inbox, receiver: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to ask for it, and a refusal is no end."""
    monkeypatch.setattr("aibudget.notification.siren.AGAIN_SECONDS", 0.001)
    inbox.answers = [(503, {})]

    async def story() -> None:
        siren = Siren(receiver(type="Alertmanager"), Sender(), lambda: True, lambda: NOON, Tally())
        siren.show([alert("a")])
        running = asyncio.create_task(siren.run())
        await inbox.until(3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())


def test_what_comes_back_is_no_end(inbox: Inbox, receiver: Callable[..., Receiver]) -> None:
    """An alert that ended and began again before its end was told has not ended."""

    async def story() -> None:
        siren = Siren(receiver(type="Alertmanager"), Sender(), lambda: True, lambda: NOON, Tally())
        siren.show([alert("a")])
        siren.show([])
        siren.show([alert("a")])
        running = asyncio.create_task(siren.run())
        await inbox.until(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())
    assert ends(inbox, 0) == {"a": "2026-11-21T12:10:00Z"}
