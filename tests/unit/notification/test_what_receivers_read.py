"""The exact shapes that the other side's documentation promises to take."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from aibudget.api.budgetstatus import BudgetStatus, LimitStatus, MeasureStatus, Spend
from aibudget.notification import alertmanager, cloudevents, slack
from aibudget.notification.alerts import Alert
from aibudget.notification.message import Message, WorkloadRef, joined, read

MakeMessage = Callable[..., Message]

STATUS = BudgetStatus(
    limit=LimitStatus(amount=Decimal("100.00"), currency="USD"),
    spend=Spend(amount=Decimal("101.00"), used_percent=101, coverage_percent=100),
)


def act(name: str) -> dict[str, Any]:
    """What tells one workload's transition from another's."""
    message = f"Deployment team/{name}: scaled down."
    return {
        "id": f"id-{name}",
        "reason": "WorkloadScaledDown",
        "message": message,
        "workloads": (WorkloadRef(namespace="team", kind="Deployment", name=name, message=message),),
        "workload_count": 1,
    }


def test_a_webhook_gets_a_cloud_event(make_message: MakeMessage) -> None:
    """CloudEvents 1.0 in structured mode: all of it is in the body, and `source` with `id` is unique."""
    assert json.loads(cloudevents.body(make_message().at(STATUS))) == {
        "specversion": "1.0",
        "id": "0123",
        "source": "/clusters/eu-1/namespaces/team/aibudgets/training",
        "type": "io.aibudget.BudgetExceeded",
        "subject": "AIBudget team/training",
        "time": "2026-11-21T10:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "cluster": "eu-1",
            "budget": {
                "apiVersion": "aibudget.io/v1alpha1",
                "kind": "AIBudget",
                "namespace": "team",
                "name": "training",
                "uid": "u-1",
            },
            "reason": "BudgetExceeded",
            "severity": "Warning",
            "message": "101.00 USD of 100.00 USD is spent.",
            "workloads": [],
            "workloadCount": 0,
            "limit": {"amount": "100.00", "currency": "USD"},
            "spend": {"amount": "101.00", "usedPercent": 101, "coveragePercent": 100},
        },
    }


def test_receivers_read_the_cap_that_is_in_the_lead(make_message: MakeMessage) -> None:
    """And machines all measures; what nothing is known of has no use."""
    hours = MeasureStatus(
        name="hours", unit="GPU-Hours", limit=Decimal(49), used=Decimal("49.50"), used_percent=101
    )
    spend = Spend(amount=Decimal("9.00"), used_percent=101, measure="hours")
    measures = hours, MeasureStatus(name="tokens", unit="Tokens", limit=Decimal(1000))
    message = make_message().at(STATUS.model_copy(update={"spend": spend, "measures": measures}))
    assert "49.50 of 49 GPU-Hours" in slack.body(message).decode()
    assert json.loads(cloudevents.body(message))["data"]["measures"] == [
        {"name": "hours", "unit": "GPU-Hours", "limit": "49", "used": "49.50", "usedPercent": 101},
        {"name": "tokens", "unit": "Tokens", "limit": "1000"},
    ]


def test_slack_gets_its_blocks(make_message: MakeMessage) -> None:
    """An incoming webhook takes `text`, which phones show, and blocks."""
    assert json.loads(slack.body(make_message().at(STATUS), "https://grafana.example/d/1")) == {
        "text": "BudgetExceeded: AIBudget team/training",
        "blocks": [
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": ":warning: *BudgetExceeded: AIBudget team/training*\n"
                    "101.00 USD of 100.00 USD is spent.",
                },
            },
            {
                "type": "context",
                "elements": [
                    {
                        "type": "mrkdwn",
                        "text": "cluster eu-1 · 2026-11-21T10:00:00Z · 101.00 of 100.00 USD"
                        " · <https://grafana.example/d/1|open>",
                    }
                ],
            },
        ],
    }


def test_alertmanager_gets_alerts_with_their_ends() -> None:
    """API v2: a list of alerts; one that lasts ends in the future, one that is over ended when it did."""
    starts = datetime(2026, 11, 21, 10, tzinfo=UTC)
    lasting = Alert((("alertname", "AIBudgetThresholdCrossed"), ("budget", "training")), starts, "crossed")
    over = Alert((("alertname", "AIBudgetDataStale"), ("budget", "training")), starts, "stale")

    body = alertmanager.body([lasting], {over.labels: (over, 1795256100)}, 1795257000, "https://g.example")

    assert json.loads(body) == [
        {
            "labels": {"alertname": "AIBudgetThresholdCrossed", "budget": "training"},
            "annotations": {"summary": "crossed"},
            "startsAt": "2026-11-21T10:00:00Z",
            "endsAt": "2026-11-21T10:30:00Z",
            "generatorURL": "https://g.example",
        },
        {
            "labels": {"alertname": "AIBudgetDataStale", "budget": "training"},
            "annotations": {"summary": "stale"},
            "startsAt": "2026-11-21T10:00:00Z",
            "endsAt": "2026-11-21T10:15:00Z",
            "generatorURL": "https://g.example",
        },
    ]


def test_no_alert_ends_before_it_starts() -> None:
    """Alertmanager refuses such an alert, and it would be sent for ever."""
    starts = datetime(2026, 11, 21, 10, tzinfo=UTC)
    over = Alert((("alertname", "AIBudgetDataStale"),), starts, "stale")

    (told,) = json.loads(alertmanager.body([], {over.labels: (over, 0)}, 0, None))

    assert told["endsAt"] == told["startsAt"] == "2026-11-21T10:00:00Z"
    assert "generatorURL" not in told


def test_nobody_calls_a_channel_through_a_message(make_message: MakeMessage) -> None:
    """`<!channel>` in a name or a message is text, not a call to everybody."""
    body = slack.body(make_message(message="<!channel> & <https://evil.example|click>"))

    assert b"<" not in body
    assert b"&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;" in body


@pytest.mark.parametrize("text", ["<" * 40_000, "<\n" * 40_000, "\n".join(f"line {n}" for n in range(9999))])
def test_slack_never_gets_more_than_it_takes(make_message: MakeMessage, text: str) -> None:
    """A section of more than 3000 characters is refused whole; and no escape is cut in two."""
    said = json.loads(slack.body(make_message(message=text)))["blocks"][0]["text"]["text"]

    assert len(said) <= 3000
    assert said.count("&") == said.count("&lt;")


def test_what_happened_together_is_told_together(make_message: MakeMessage) -> None:
    """Five hundred workloads on notice are one message with a list, whose id depends on them alone."""
    many = [make_message(**act(f"w{n:03}")) for n in range(500)]

    whole, again = joined(many), joined(list(reversed(many)))

    assert whole == again
    assert whole.workload_count == 500
    assert [one.name for one in whole.workloads] == [f"w{n:03}" for n in range(100)]
    assert whole.message.startswith("500 at once:\n- Deployment team/w000: scaled down.\n")
    assert whole.message.endswith("and 480 more")
    assert joined(many[:-1]).id != whole.id
    assert joined(many[:1]) == many[0]


def test_a_stored_message_is_read_back(make_message: MakeMessage) -> None:
    """What the outbox keeps over a restart is all of it, figures included, whoever wrote more into it."""
    message = make_message(**act("detector")).at(STATUS)

    assert read(message.to_json()) == message
    assert read(json.dumps(json.loads(message.to_json()) | {"later": 1})) == message
    with pytest.raises(ValueError, match="budget"):
        read("{}")
