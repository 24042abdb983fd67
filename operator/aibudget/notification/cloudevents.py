"""A message as a CloudEvent 1.0 in structured JSON, for the generic webhook. Pure.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

import json
from typing import Final
from urllib.parse import quote

from aibudget.notification.message import Message

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
_TYPE: Final = "io.aibudget"


def body(message: Message) -> bytes:
    """The event: its id is the transition's, `source` with `id` is unique for good."""
    data = message.to_dict()
    event = {
        "specversion": "1.0",
        "id": data.pop("id"),
        "source": source(message),
        "type": f"{_TYPE}.{message.reason}",
        "subject": str(message.budget),
        "time": data.pop("time"),
        "datacontenttype": "application/json",
        "data": data,
    }
    return json.dumps(event, ensure_ascii=False).encode()


def source(message: Message) -> str:
    """A URI reference that names the budget within all clusters."""
    budget = message.budget
    parts = ["clusters", message.cluster, *(["namespaces", budget.namespace] if budget.namespace else [])]
    return "/" + "/".join(quote(part, safe="") for part in (*parts, budget.kind.lower() + "s", budget.name))
