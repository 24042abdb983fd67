"""Receivers on real HTTP, the operator a process: each transition arrives once, whatever dies in between."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aibudget.api.fields import format_instant
from aibudget.sandbox.operator import Operator
from aibudget.sandbox.process import wait_until
from e2e.conftest import Instead, MakeTeam
from e2e.team import LITTLE, PATIENCE, PLENTY, await_cycles
from unit.notification.inbox import Inbox, listening

pytestmark = pytest.mark.e2e

TEAM = "told-team"


@pytest.fixture
def inboxes() -> Iterator[tuple[Inbox, Inbox]]:
    """A generic webhook's and an Alertmanager's."""
    with ExitStack() as stack:
        yield stack.enter_context(listening()), stack.enter_context(listening())


@pytest.fixture
def configuration(inboxes: tuple[Inbox, Inbox], tmp_path: Path) -> Path:
    """The operator's file of receivers."""
    here = {"allowHttp": True, "allowedNetworks": ["127.0.0.0/8"], "namespaces": [TEAM]}
    webhook, alerts = inboxes
    token = tmp_path / "token"
    token.write_text("Bearer T0PS3CRET\n")
    receivers = [
        {
            "name": "ops",
            "type": "Webhook",
            "url": f"{webhook.url}/hook",
            "headers": [{"name": "Authorization", "valueFile": str(token)}],
            **here,
        },
        {"name": "alerts", "type": "Alertmanager", "url": alerts.url, **here},
    ]
    path = tmp_path / "receivers.yaml"
    path.write_text(json.dumps({"receivers": receivers}))
    return path


def test_a_crossing_is_delivered_once_though_the_operator_is_killed(
    instead: Instead, team: MakeTeam, configuration: Path, inboxes: tuple[Inbox, Inbox]
) -> None:
    """Crossing, notice, act and release arrive once each; Alertmanager hears of the end; no secret leaks."""
    webhook, alerts = inboxes
    told = team(TEAM)
    told.await_running()

    def heard() -> list[str]:
        # What a kill overtook between its answer and its mark may come twice, under the same id.
        events = {request.json()["id"]: request.json() for request in webhook.requests}
        return [event["data"]["reason"] for event in events.values()]

    with instead({"AIBUDGET_RECEIVERS": str(configuration)}) as operator:
        told.budget(PLENTY, notify=["ops", "alerts", "nobody"])
        told.await_spending()
        resolved = told.condition("ReceiversResolved")
        assert (resolved["status"], resolved["reason"]) == ("False", "ReceiverUnknown")
        assert "nobody" in resolved["message"]
        assert "ops" not in resolved["message"]

        told.budget(LITTLE, notify=["ops", "alerts"])
        wait_until(lambda: "BudgetExceeded" in heard(), PATIENCE, "the crossing to be delivered")
        _await_marked(operator)
        operator.kill()
        operator.start()
        await_cycles(operator)
        told.await_held()
        wait_until(lambda: "WorkloadScaledDown" in heard(), PATIENCE, "the act to be delivered")
        wait_until(lambda: "AIBudgetThresholdCrossed" in _firing(alerts), PATIENCE, "the alert")
        _await_marked(operator)
        operator.kill()
        operator.start()
        await_cycles(operator)
        once = ["BudgetExceeded", "ScaleDownNotice", "WorkloadScaledDown"]
        assert sorted(heard()) == once
        assert sum(b"io.aibudget.BudgetExceeded" in request.body for request in webhook.requests) == 1

        told.budget(PLENTY, notify=["ops", "alerts"])
        told.await_free()
        wait_until(lambda: "WorkloadRestored" in heard(), PATIENCE, "the release to be delivered")
        wait_until(lambda: not _firing(alerts), PATIENCE, "the alert to be resolved")
        assert sorted(heard()) == sorted([*once, "BudgetRecovered", "WorkloadRestored"])
        assert 'result="delivered",type="Webhook"' in operator.metrics()
        assert operator.process is not None
        assert "T0PS3CRET" not in operator.process.log.read_text()
    assert {request.headers["Authorization"] for request in webhook.requests} == {"Bearer T0PS3CRET"}


def _await_marked(operator: Operator) -> None:
    """What has arrived is marked as such: before that a kill would have it sent again, under the same id."""
    waiting = 'aibudget_notification_waiting{receiver="ops"}'
    await_cycles(operator)
    wait_until(
        lambda: all(line.endswith(" 0.0") for line in operator.metrics().splitlines() if waiting in line),
        PATIENCE,
        "nothing to wait in the outbox",
    )


def _firing(alerts: Inbox) -> set[str]:
    """The alerts that would be shown as firing now, by the newest word on each."""
    newest = {tuple(sorted(one["labels"].items())): one for r in alerts.requests for one in r.json()}
    now = format_instant(datetime.now(UTC))
    return {one["labels"]["alertname"] for one in newest.values() if one["endsAt"] > now}
