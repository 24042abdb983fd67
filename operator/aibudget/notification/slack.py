"""A message as the payload of a Slack incoming webhook. Pure.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
Names and messages come from users: what Slack would read as markup, such as a call to a whole channel, is
escaped.
"""

import json
from typing import Final

from aibudget.notification.message import Message

CONTENT_TYPE: Final = "application/json; charset=utf-8"
_MOST_TEXT: Final = 2900
"""Slack takes 3000 characters in a section."""
_MOST_LINE: Final = 500
_SIGNS: Final = {"Warning": ":warning:", "Normal": ":information_source:"}


def body(message: Message, link: str | None = None) -> bytes:
    """A heading, the message, and where the figures stand; `text` is what a notification shows."""
    heading = f"{message.reason}: {message.budget}"
    title = f"{_SIGNS[message.severity]} *{_escaped(heading)}*"
    lines = (_escaped(line[:_MOST_LINE]) for line in message.message.splitlines())
    said = _shortened("\n".join((title, *lines)))
    blocks = [
        {"type": "section", "text": {"type": "mrkdwn", "text": said}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": _footing(message, link)}]},
    ]
    return json.dumps({"text": _escaped(heading), "blocks": blocks}, ensure_ascii=False).encode()


def _footing(message: Message, link: str | None) -> str:
    said = [f"cluster {message.cluster}", message.time]
    said += _figures(message)
    if message.period is not None:
        said.append(message.period.id)
    text = _escaped(" · ".join(said))
    return f"{text} · <{link}|open>" if link else text


def _figures(message: Message) -> list[str]:
    """What is used of the measure of which most is."""
    limit, spend = message.limit, message.spend
    for one in message.measures or ():
        if spend is not None and one.name == spend.measure and one.used is not None:
            return [f"{one.used} of {one.limit} {one.unit}"]
    if limit is None or spend is None or spend.amount is None:
        return []
    return [f"{spend.amount} of {limit.amount} {limit.currency}"]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _shortened(text: str) -> str:
    if len(text) <= _MOST_TEXT:
        return text
    # Cut between lines, so that no escape is cut in two.
    return text[: text.rfind("\n", 0, _MOST_TEXT)] + "\n…"
