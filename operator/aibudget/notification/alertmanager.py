"""Alerts as Alertmanager's API v2 takes them. Pure.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
An alert without an end is over after Alertmanager's own resolve_timeout; ours carry their end, some minutes
ahead, and are sent again long before it.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from aibudget.api.fields import format_instant
from aibudget.metering.slots import iso
from aibudget.notification.alerts import Alert, LabelSet

PATH: Final = "/api/v2/alerts"
CONTENT_TYPE: Final = "application/json; charset=utf-8"


def body(
    active: Iterable[Alert], ended: Mapping[LabelSet, tuple[Alert, int]], until: int, link: str | None
) -> bytes:
    """Alerts that last, until then if nothing more is heard, and those that ended with when they did."""
    alerts = [_postable(alert, until, link) for alert in active]
    alerts += [_postable(alert, end, link) for alert, end in ended.values()]
    return json.dumps(alerts, ensure_ascii=False).encode()


def _postable(alert: Alert, ends: int, link: str | None) -> dict[str, object]:
    found: dict[str, object] = {
        "labels": dict(alert.labels),
        "annotations": {"summary": alert.summary},
        "startsAt": format_instant(alert.starts),
        # Clocks step back: an end before its start would be refused.
        "endsAt": iso(max(ends, int(alert.starts.timestamp()))),
    }
    return found | ({"generatorURL": link} if link else {})
