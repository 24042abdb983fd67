"""What `approve` and `veto` share: which claims are meant, who decides, and the one patch that says so.

A decision is a patch of `decision` and `decidedBy` in a Hold; the API server checks both against who asks and
what RBAC grants (the chart's policy). The operator finds it at its next cycle. Knows nothing of acts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from aibudget.api.fields import format_instant, parse_instant
from aibudget.api.hold import Claim, Hold
from aibudget.api.model import JsonObject
from aibudget.cli.connection import Connection
from aibudget.cli.output import objects
from aibudget.errors import AIBudgetError, Conflict, Stalled
from aibudget.reporting.table import table

if TYPE_CHECKING:
    from aibudget.inventory.kubernetes import Cluster

Verdict = Literal["Approved", "Vetoed"]

COLUMNS = ("namespace", "hold", "target", "budget", "decision", "result")
_OPEN: Final = {"Approved": ("Pending",), "Vetoed": ("Pending", "Approved")}
_ATTEMPTS: Final = 5
_PLURALS: Final = {"AIBudget": "aibudgets", "ClusterAIBudget": "clusteraibudgets"}


@dataclass(frozen=True, slots=True)
class Request:
    """What a person wants decided. `budget` is NAME or KIND/NAME; None means every budget that asks.

    `until` None is until the period ends.
    """

    targets: tuple[str, ...]
    verdict: Verdict
    budget: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one claim, or of a target that has none. `result` is a sentence; `ok` that it stands."""

    hold: Hold | None
    claim: Claim | None
    result: str
    ok: bool


def decide(connection: Connection, request: Request, output: str) -> bool:
    """Decide, print what became of it; whether everything that was asked for stands now."""
    namespace = connection.scope()
    answers, stored = connection.run(lambda cluster: _decide(cluster, namespace, request))
    if output in ("json", "yaml"):
        click.echo(objects(stored, output))
    else:
        click.echo(table(COLUMNS, [_row(answer) for answer in answers]))
    for answer in answers:
        if not answer.ok:
            click.echo(f"error: {answer.result}", err=True)
    return all(answer.ok for answer in answers)


def is_meant(hold: Hold, target: str) -> bool:
    """Whether HOLD or KIND/NAME, as kubectl takes them, means this Hold."""
    kind, slash, name = target.partition("/")
    if not slash:
        return hold.name == target
    if kind.lower() in ("hold", "holds", "holds.aibudget.io"):
        return hold.name == name
    held = hold.spec.target_ref
    return held.name == name and kind.lower() in (held.kind.lower(), f"{held.kind.lower()}s")


def asks(claim: Claim, budget: str | None) -> bool:
    """Whether the claim is of the budget that the person named."""
    return budget in (None, claim.name, f"{claim.kind}/{claim.name}")


def sorted_out(hold: Hold, request: Request) -> tuple[list[int], list[Answer]]:
    """The places of the claims to decide; and what is to be said of the others."""
    places: list[int] = []
    said: list[Answer] = []
    for place, claim in enumerate(hold.spec.claims):
        if not asks(claim, request.budget):
            continue
        if claim.decision in _OPEN[request.verdict]:
            places.append(place)
        elif claim.decision == request.verdict:
            by = f" by {claim.decided_by}" if claim.decided_by else ""
            said.append(Answer(hold, claim, f"{claim.decision} already{by}", ok=True))
        else:
            said.append(Answer(hold, claim, _too_late(hold, claim), ok=False))
    if not places and not said:
        named = f"{request.budget} has no claim" if request.budget else "nobody has a claim"
        said.append(Answer(hold, None, f"Hold {hold.name}: {named} on it; see `aibudget holds`.", ok=False))
    return places, said


def patch(hold: Hold, places: Sequence[int], request: Request, who: str) -> list[JsonObject]:
    """The JSON patch that decides these claims, on exactly the Hold that was looked at."""
    decision = {"decision": request.verdict, "decidedBy": who}
    if request.until is not None:
        decision["decidedUntil"] = format_instant(request.until)
    version = {"op": "test", "path": "/metadata/resourceVersion", "value": hold.metadata.resource_version}
    return [
        version,
        *(
            {"op": "add", "path": f"/spec/claims/{place}/{field}", "value": value}
            for place in places
            for field, value in decision.items()
        ),
        *(
            {"op": "remove", "path": f"/spec/claims/{place}/{field}"}
            for place in places
            for field in _of_an_earlier_decision(hold.spec.claims[place])
            if field not in decision
        ),
    ]


def _of_an_earlier_decision(claim: Claim) -> Iterator[str]:
    if claim.decided_time is not None:
        yield "decidedTime"
    if claim.decided_until is not None:
        yield "decidedUntil"


def instant(context: click.Context, option: click.Parameter, text: str | None) -> datetime | None:
    """What `--until` says; click asks."""
    try:
        return None if text is None else parse_instant(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _too_late(hold: Hold, claim: Claim) -> str:
    title = f"{claim.kind} {claim.name}"
    if claim.decision == "Expired":
        return f"{title} asks no more: its time is over. A higher threshold or the next period asks anew."
    by = f"{claim.decided_by} has" if claim.decided_by else "Somebody has"
    return (
        f"{by} vetoed it for {title}, until its period ends. "
        f"To have it asked again: kubectl delete hold -n {hold.namespace} {hold.name}"
    )


def _row(answer: Answer) -> tuple[str, ...]:
    hold, claim = answer.hold, answer.claim
    if hold is None:
        return ("", "", "", "", "", answer.result)
    target = f"{hold.spec.target_ref.kind}/{hold.spec.target_ref.name}"
    budget, decision = (f"{claim.kind}/{claim.name}", claim.decision) if claim else ("", "")
    return (hold.namespace or "", hold.name, target, budget, decision, answer.result)


async def _decide(
    cluster: "Cluster", namespace: str | None, request: Request
) -> tuple[list[Answer], list[JsonObject]]:
    from aibudget.inventory.resource import HOLDS

    who = await _me(cluster)
    listed = [Hold.read(obj) for obj in await cluster.list(HOLDS, namespace)]
    answers: list[Answer] = []
    stored: list[JsonObject] = []
    for target in request.targets:
        found = [hold for hold in listed if is_meant(hold, target)]
        if not found:
            where = f"in namespace {namespace}" if namespace else "in any namespace"
            answers.append(
                Answer(None, None, f"{target} has no Hold {where}; see `aibudget holds`.", ok=False)
            )
        for hold in found:
            said, after = await _decide_one(cluster, hold, request, who)
            answers += said
            stored += [after] if after is not None else []
    return answers, stored


async def _decide_one(
    cluster: "Cluster", hold: Hold, request: Request, who: str
) -> tuple[list[Answer], JsonObject | None]:
    """Read afresh and decide what is open; whoever wrote in between is followed a few times."""
    from aibudget.inventory.resource import HOLDS

    for last in (*[False] * (_ATTEMPTS - 1), True):
        obj = await cluster.get(HOLDS, hold.name, hold.namespace)
        if obj is None:
            return [Answer(hold, None, f"Hold {hold.name} is gone: nobody asks any more.", ok=False)], None
        hold = Hold.read(obj)
        places, said = sorted_out(hold, request)
        allowed, refused = await _allowed(cluster, hold, places)
        said += refused
        if not allowed:
            return said, obj
        try:
            obj = await cluster.patch(HOLDS, hold.name, patch(hold, allowed, request, who), hold.namespace)
        except Conflict:
            if last:
                raise
        except AIBudgetError as error:
            return [
                *said,
                *(Answer(hold, hold.spec.claims[p], error.message, ok=False) for p in allowed),
            ], None
        else:
            after = Hold.read(obj)
            result = f"{request.verdict.lower()} by {who}"
            return [*(Answer(after, after.spec.claims[p], result, ok=True) for p in allowed), *said], obj
    raise AssertionError("the last attempt returns or raises")


async def _allowed(cluster: "Cluster", hold: Hold, places: Sequence[int]) -> tuple[list[int], list[Answer]]:
    """Those of the claims that the person may decide, by the API server's own word."""
    allowed: list[int] = []
    refused: list[Answer] = []
    kinds = {hold.spec.claims[place].kind for place in places}
    may = {kind: await _may_decide(cluster, kind, hold.namespace) for kind in sorted(kinds)}
    for place in places:
        claim = hold.spec.claims[place]
        if may[claim.kind]:
            allowed.append(place)
        else:
            how = "RoleBinding here" if claim.kind == "AIBudget" else "ClusterRoleBinding"
            why = (
                f"You may not decide for {claim.kind} {claim.name}: that needs the verb decide on "
                f"{_PLURALS[claim.kind]}. A {how} to ClusterRole aibudget-approver grants it."
            )
            refused.append(Answer(hold, claim, why, ok=False))
    return allowed, refused


async def _me(cluster: "Cluster") -> str:
    """Who the API server says we are."""
    from aibudget.inventory.resource import SELF_SUBJECT_REVIEWS as REVIEWS

    answer = await cluster.create(REVIEWS, {"apiVersion": REVIEWS.api_version, "kind": REVIEWS.kind})
    name = ((answer.get("status") or {}).get("userInfo") or {}).get("username")
    if not name:
        raise Stalled(
            "Unauthorized", "The API server does not say who you are. Log in, or correct --context."
        )
    return str(name)


async def _may_decide(cluster: "Cluster", kind: str, namespace: str | None) -> bool:
    from aibudget.api.names import GROUP
    from aibudget.inventory.resource import SELF_SUBJECT_ACCESS_REVIEWS as REVIEWS

    asked: dict[str, Any] = {"group": GROUP, "resource": _PLURALS[kind], "verb": "decide"}
    if kind == "AIBudget":
        asked["namespace"] = namespace
    body = {"apiVersion": REVIEWS.api_version, "kind": REVIEWS.kind, "spec": {"resourceAttributes": asked}}
    answer = await cluster.create(REVIEWS, body)
    return bool((answer.get("status") or {}).get("allowed"))
