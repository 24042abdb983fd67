"""`aibudget explain`: why a workload is held or why not, by which budgets, until when, and the way back.

Reads the workload, its Hold and the budgets' statuses; needs no operator that runs.
"""

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from aibudget.api.budget import AIBudget, ClusterAIBudget
from aibudget.api.fields import format_instant
from aibudget.api.hold import Hold
from aibudget.cli.connection import Connection, connection_options, namespace_options
from aibudget.cli.output import output_option
from aibudget.errors import InvalidManifest, Stalled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aibudget.enforcement.kinds import Kind
    from aibudget.inventory.kubernetes import Cluster
    from aibudget.reporting.explanation import Explanation, Fence, Subject, Word

_SHORT: Final = {"deploy": "Deployment", "sts": "StatefulSet", "ds": "DaemonSet", "rs": "ReplicaSet"} | {
    "cj": "CronJob",
    "po": "Pod",
}
_STATES: Final = {
    "Held": "is held",
    "OnNotice": "is on notice: it is going to be held",
    "WaitingForApproval": "is not held: a person is asked first",
    "Contested": "is left running: another manager keeps putting it back",
    "HoldGone": "carries the marks of a Hold that is gone: the operator, or `release --all`, gives it back",
    "Free": "is not held",
}


@click.command()
@click.argument("workload", metavar="KIND/NAME")
@namespace_options
@connection_options
@output_option
def explain(connection: Connection, workload: str, output: str) -> None:
    """Explain why a workload is held, or why it is not.

    Says by which budgets, since when and until when, what is put back, and how to get it back.
    """
    kind, name = _target(workload)
    namespace = connection.scope()
    if namespace is None:
        raise Stalled("InvalidUsage", "A workload is in one namespace: name it with -n instead of -A.")
    found = connection.run(lambda cluster: _explain(cluster, kind, name, namespace))
    if output == "json":
        click.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False))
    elif output == "yaml":
        click.echo(yaml.safe_dump(found.to_dict(), sort_keys=False, allow_unicode=True).rstrip())
    else:
        click.echo(told(found))


def told(found: "Explanation") -> str:
    """The answer for people."""
    state, colon, what = _STATES[found.state].partition(":")
    since = f" since {format_instant(found.since)}" if found.since else ""
    lines = [f"{found.kind} {found.name} in {found.namespace} {state}{since}{colon}{what}."]
    if found.puts_back:
        back = ", ".join(
            f"{path} = {'absent' if value is None else value}" for path, value in found.puts_back
        )
        lines.append(f"Its end puts back: {back}.")
    if found.avoided_cost_per_hour is not None and found.state == "Held":
        cost = " ".join(filter(None, (str(found.avoided_cost_per_hour), found.currency)))
        lines.append(f"It spent {cost} per hour before.")
    for word in found.budgets:
        lines += ["", f"{word.kind} {word.name}: {word.verdict}", *_details(word)]
    if not found.budgets:
        lines += ["", "No budget that you may see covers it."]
    for fence in found.fences:
        lines += ["", *_fenced(found.namespace, fence)]
    return "\n".join([*lines, *(["", *found.way_back] if found.way_back else [])])


def _fenced(namespace: str, fence: "Fence") -> tuple[str, str]:
    what = {
        "Freeze": "it may use no more accelerators than it does",
        "Block": "no new pod with accelerators starts",
    }
    soon = "" if fence.in_force else ", not in force"
    who = ", ".join(fence.budgets) or "no budget any more"
    return (
        f"Namespace {namespace}: {fence.action} for {who}{soon}: {what.get(fence.action, fence.action)}.",
        f"To have it lifted: kubectl delete hold -n {namespace} {fence.hold}",
    )


def _details(word: "Word") -> list[str]:
    period = f"  Period {word.period_id}" if word.period_id else ""
    if period and word.until:
        period += f", until {format_instant(word.until)}"
    noticed = f"  Noticed at {format_instant(word.notice_time)}." if word.notice_time else ""
    place = f"  {word.place}" if word.place else ""
    unusual = f"  {word.unusual}" if word.unusual else ""
    changed = f"  {word.changed}" if word.changed else ""
    told = (f"  {word.message}", period and f"{period}.", noticed, place, unusual, changed)
    return [line for line in told if line]


def _target(text: str) -> "tuple[Kind, str]":
    from aibudget.enforcement.kinds import KINDS

    kind, _, name = text.partition("/")
    known = {one: KINDS[long] for one, long in _SHORT.items() if long in KINDS}
    for one in KINDS.values():
        known |= {one.name.lower(): one, one.resource.plural: one}
        known[f"{one.resource.plural}.{one.resource.group}"] = one
    if not name or kind.lower() not in known:
        kinds = ", ".join(sorted(KINDS))
        raise Stalled(
            "InvalidUsage",
            f"{text!r} is no workload: write KIND/NAME, such as deployment/llm; kinds: {kinds}.",
        )
    return known[kind.lower()], name


async def _explain(cluster: "Cluster", kind: "Kind", name: str, namespace: str) -> "Explanation":
    from aibudget.reporting.explanation import explain as explained

    obj = await cluster.get(kind.resource, name, namespace)
    if obj is None:
        raise Stalled("NotFound", f"There is no {kind.name} {name} in namespace {namespace}.")
    subject = await _subject(cluster, obj)
    return explained(subject, await _budgets(cluster, namespace), datetime.now(UTC))


async def _subject(cluster: "Cluster", obj: dict[str, object]) -> "Subject":
    from aibudget.enforcement.facts import NamespaceFacts
    from aibudget.enforcement.hold import hold_name
    from aibudget.enforcement.live import read
    from aibudget.inventory.kubernetes import Forbidden
    from aibudget.inventory.resource import HOLDS, NAMESPACES
    from aibudget.reporting.explanation import Subject

    live = read(obj)
    namespace = live.workload.namespace
    name = hold_name(live.kind, live.workload.name, live.uid)
    holds = {obj["metadata"]["name"]: obj for obj in await cluster.list(HOLDS, namespace)}
    fences = (Hold.read(o) for o in holds.values() if o["spec"]["targetRef"]["kind"] == "Namespace")
    facts = None
    try:
        found = await cluster.get(NAMESPACES, namespace)
        if found is not None:
            metadata = found["metadata"]
            facts = NamespaceFacts(metadata.get("labels") or {}, metadata.get("annotations") or {})
    except Forbidden:
        click.echo(f"You may not read namespace {namespace}: what is written on it is left out.", err=True)
    hold = Hold.read(holds[name]) if name in holds else None
    return Subject(live, facts, hold, tuple(fences), _pod_labels(obj))


def _pod_labels(obj: "Mapping[str, Any]") -> "Mapping[str, str] | None":
    """Those of a Pod, or of the pods that are made of a workload; None where it does not say."""
    if obj.get("kind") == "Pod":
        return obj["metadata"].get("labels") or {}
    spec = obj.get("spec") or {}
    template = (spec.get("jobTemplate") or {}).get("spec", spec).get("template")
    return None if template is None else (template.get("metadata") or {}).get("labels") or {}


async def _budgets(cluster: "Cluster", namespace: str) -> list[AIBudget | ClusterAIBudget]:
    from aibudget.inventory.kubernetes import Forbidden
    from aibudget.inventory.resource import AIBUDGETS, CLUSTER_AIBUDGETS

    found = await cluster.list(AIBUDGETS, namespace)
    try:
        found += await cluster.list(CLUSTER_AIBUDGETS)
    except Forbidden:
        click.echo("ClusterAIBudgets are left out: you may not list them.", err=True)
    budgets: list[AIBudget | ClusterAIBudget] = []
    for obj in found:
        try:
            budgets.append((AIBudget if obj["kind"] == "AIBudget" else ClusterAIBudget).read(obj))
        except InvalidManifest as error:
            click.echo(f"Left out: {error.message}", err=True)
    return budgets
