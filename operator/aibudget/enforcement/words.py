"""What people are told of an act: at its notice, when it is done, while it lasts. Pure."""

from collections.abc import Sequence
from datetime import datetime

from aibudget.api.fields import format_instant
from aibudget.api.hold import Claim, Hold
from aibudget.api.names import AUTOSCALER_ANNOTATION
from aibudget.enforcement.hold import approved, way_back, word_of
from aibudget.enforcement.live import Live


def notice(hold: Hold, claims: Sequence[Claim], due_at: datetime | None) -> str:
    """Before the act: for whom, when, why it in particular, and how not to have it."""
    when = "when the grace period ends" if due_at is None else f"at {format_instant(due_at)}"
    said = f"Over {budgets_of(claims)}: it is {word_of(hold)} {when}."
    places = [claim.reason for claim in claims if claim.reason]
    return " ".join([said, *places, *way_back(hold)[1:]])


def done(hold: Hold) -> str:
    """At the act: for whom, and the way back."""
    said = f"{word_of(hold).capitalize()} for {budgets_of(approved(hold))}."
    return " ".join([said, *way_back(hold)])


def held(hold: Hold) -> str:
    """While it lasts, with its autoscaler if it has one."""
    note = hold.metadata.annotations.get(AUTOSCALER_ANNOTATION)
    return "The workload is held." if note is None else f"The workload is held. {note}"


def budgets_of(claims: Sequence[Claim]) -> str:
    """The budgets and their thresholds."""
    return ", ".join(f"{claim.kind} {claim.name} (threshold {claim.threshold})" for claim in claims)


def managers(live: Live) -> str:
    """Who has asked for the field's present value."""
    if live.autoscaled:
        return "its HorizontalPodAutoscaler"
    return " and ".join(live.others) or "somebody"
