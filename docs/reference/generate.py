"""Writes the reference pages that can be read off the code, so that they cannot be wrong: `make generate`.

Usage: python docs/reference/generate.py DIRECTORY
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import wrap
from typing import Any

import click
from prometheus_client.core import Metric

from aibudget.api.conditions import ConditionType, EventReason, Reason
from aibudget.api.crds import definition
from aibudget.api.kinds import KINDS
from aibudget.api.meter import MeterSource
from aibudget.api.names import ALLOW_STOP, STOPPED
from aibudget.api.rate import TOLD_APART
from aibudget.cli.main import cli
from aibudget.controller.options import OPTIONS
from aibudget.enforcement.kinds import KINDS as KIND_ROWS
from aibudget.enforcement.kinds import Stop
from aibudget.enforcement.refusal import KUEUE_QUEUE
from aibudget.inventory.lineage import KIN
from aibudget.metering.catalogue import METERS
from aibudget.metering.definitions import built_in
from aibudget.metering.nodes import AKS_PRIORITY, CAPACITY, GKE_SPOT, SOURCES
from aibudget.metering.promql import Queries
from aibudget.metering.scene import MeterSettings
from aibudget.metering.slots import iso
from aibudget.pricing.included import BY_TOKENS, INCLUDED, SELF_HOSTED
from aibudget.pricing.public import public_rates
from aibudget.reporting.budgetmetrics import of_budgets
from aibudget.reporting.exporter import Exporter
from aibudget.reporting.exposition import Gauge
from aibudget.reporting.snapshot import CycleView, Snapshot
from aibudget.sandbox.binaries import pinned_version

DIMENSIONS = ("gpuProduct", "instanceType", "capacityType", "region", "resource")
TOLD = {
    "nodePool": "the node's pool, by the label of Karpenter, GKE, AKS or EKS",
    "migProfile": "the MIG profile in the resource's or the product's name",
    "hosting": "`external` for tokens of a provider; those of servers in the cluster (`self`) have no price",
    "provider, model, tokenType": "what the gateway or the server says of its tokens",
    "component": "of energy: `gpu`, `cpu`, `memory` or `other`",
    "dimensions": "those of an AIMeter, by their names",
}
UNLESS = {
    "CronJob": ("suspended by its owner: its running Jobs are, alone",),
    "Job": ("ended", f"in a Kueue queue (label `{KUEUE_QUEUE}`)", "suspended by its owner"),
    "StatefulSet": ("`persistentVolumeClaimRetentionPolicy.whenScaled` is `Delete`",),
    "DaemonSet": (f'without `{ALLOW_STOP}: "true"`',),
    "Pod": ("always: it could not be given back ([why](../adr/0017-a-bare-pod-is-never-stopped.md))",),
}
"""Beside what holds for every kind."""
NOTE = "<!-- Written by `make generate` from the code; edit that. -->\n"


def api() -> Iterator[str]:
    """Every field of every kind, and every word of conditions and events."""
    yield f"# API reference\n\n{NOTE}"
    yield (
        "Group `aibudget.io`, version `v1alpha1`. Examples of every kind: [docs/examples](../examples/). "
        "Fields marked * are required.\n"
    )
    for kind in KINDS:
        version = definition(kind)["spec"]["versions"][0]
        schema = version["schema"]["openAPIV3Schema"]
        short = f", short name `{kind.short_names[0]}`" if kind.short_names else ""
        yield f"## {kind.name}\n\n{schema['description']} {kind.scope}{short}.\n"
        for part in ("spec", "status"):
            yield "| field | type | meaning |\n|---|---|---|"
            yield from _fields(schema["properties"][part], part)
            yield ""
    yield "## Conditions\n\n| type | polarity | meaning |\n|---|---|---|"
    yield from (f"| {one.value} | {one.polarity} | {one.meaning} |" for one in ConditionType)
    yield "\nA condition that is abnormal-true is present only while it is true.\n"
    yield "| reason | meaning |\n|---|---|"
    yield from (f"| {one.value} | {one.meaning} |" for one in Reason)
    yield "\n## Events\n\n| reason | type | meaning |\n|---|---|---|"
    yield from (f"| {one.value} | {one.kind} | {one.meaning} |" for one in EventReason)


def _fields(schema: dict[str, Any], at: str) -> Iterator[str]:
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        path = f"{at}.{name}"
        star = "*" if name in required else ""
        text = field.get("description", "").replace("|", "\\|")
        default = f" Default: `{field['default']}`." if "default" in field else ""
        yield f"| `{path}`{star} | {_type(field)} | {text}{default} |"
        yield from _fields(field, path)
        yield from _fields(field.get("items", {}), f"{path}[]")


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "integer or decimal string"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if "additionalProperties" in field:
        return f"map of {_type(field['additionalProperties'])}"
    return "time" if field.get("format") == "date-time" else str(field.get("type", "object"))


def commands() -> Iterator[str]:
    """The help of every command."""
    yield f"# The `aibudget` command\n\n{NOTE}"
    yield (
        "The same program answers as `kubectl aibudget`: its second executable is `kubectl-aibudget`. "
        "Exit codes: 0 done, 1 the answer is no (invalid; over budget with `--exit-code`), "
        "2 it could not be done.\n"
    )
    yield from _help(
        cli, click.Context(cli, info_name="aibudget", terminal_width=100, **cli.context_settings)
    )


def _help(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _help(found, click.Context(found, parent=context, info_name=name))


def settings() -> Iterator[str]:
    """The operator's options."""
    yield f"# Settings of the operator\n\n{NOTE}"
    yield (
        "Flags of `aibudget run`, or environment variables; a flag wins. The Helm chart sets the variables "
        "from its [values](../../charts/aibudget/values.yaml).\n"
    )
    yield "| flag | variable | default | meaning |\n|---|---|---|---|"
    for option in OPTIONS:
        default = f"`{option.default}`" if option.default and option.default.strip() else ""
        needed = "required" if option.default is None and not option.optional else default
        variables = ", ".join(f"`{variable}`" for variable in option.variables)
        yield f"| `{option.flag}` | {variables} | {needed} | {option.help} Write {option.write}. |"


def metrics() -> Iterator[str]:
    """What `/metrics` shows of the product; process and platform metrics come beside it."""
    yield f"# Metrics of the operator\n\n{NOTE}"
    yield (
        "Served on `/metrics`. Only the leader shows more than `aibudget_leader`, and what is unknown has no "
        "series. The usual `process_*` and `python_*` metrics come beside these.\n"
    )
    yield "| metric | type | labels | meaning |\n|---|---|---|---|"
    exporter = Exporter()
    exporter.show(
        Snapshot(
            leader=True, cycle=CycleView(finished=0.0, seconds=0.0, cpu=0.0, data_age=0.0, clock_behind=0.0)
        )
    )
    families: list[Metric | Gauge] = [*exporter.families(), *of_budgets(())]
    for metric in families:
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        told = metric.labels if isinstance(metric, Gauge) else getattr(metric, "_labelnames", ())
        labels = ", ".join(told)
        yield f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |"


def price_list() -> Iterator[str]:
    """The built-in prices, and how one of several is chosen."""
    yield f"# Price lists\n\n{NOTE}"
    yield (
        "A rate prices a meter's usage from one instant to another; its `match` names dimensions of the "
        "usage, and a dimension that is not named may have any value. Of all rates that match, the winner is "
        "the one with the highest `priority` of its list; then the most specific match; then the latest "
        "`from`; then the first name. Usage that nothing matches has no price: it is counted, and told as "
        "`PriceMissing`, never charged as 0.\n"
    )
    yield "| dimension | told by |\n|---|---|"
    yield from (f"| `{name}` | {_sources(name)} |" for name in DIMENSIONS)
    yield from (f"| `{name.replace(', ', '`, `')}` | {told} |" for name, told in TOLD.items())
    yield "\n## What is in a price already\n"
    yield (
        "Nothing is charged twice. Its quantity stays on the bill, at 0 and with a reason:\n\n"
        f"- `{INCLUDED}`: CPU, memory or energy of a machine whose GPU rate `includes` it. The best GPU rate "
        "for the machine decides: it names its `gpuProduct`, `instanceType` or `nodePool`, or the machine is "
        "known to have devices. A rate for parts of devices (`resource`, `migProfile`) decides only where it "
        "names the machine, too.\n"
        f"- `{SELF_HOSTED}`: tokens of servers in the cluster, which are paid with their GPUs.\n"
        f"- `{BY_TOKENS}`: what a gateway spent on a model whose tokens have a rate."
    )
    yield (
        "\n## The built-in list\n\nPriority 0, so that any matching rate of an AIPriceList wins over it. "
        "Prices of devices are in USD for one hour of a whole one, the host's CPU, memory and energy "
        "included; sources and days of reading are at the top of "
        "[public.yaml](../../operator/aibudget/pricing/public.yaml).\n"
    )
    yield "| rate | match | price | from |\n|---|---|---|---|"
    for rate in public_rates():
        match = ", ".join(f"{name}: {value}" for name, value in rate.match.items())
        yield f"| {rate.name} | {match} | {rate.price} | {iso(rate.interval.start)[:10]} |"


def kinds() -> Iterator[str]:
    """Which kinds are stopped, how they come back, and where that is tried."""
    tried = f"Kubernetes {pinned_version('kubernetes', 'k8s.io/kubernetes')}, its own controllers"
    yield f"# Kinds\n\n{NOTE}"
    yield (
        "A workload is stopped by one field of the object at the top of its owners. The original "
        "goes back exactly as it was, and nobody new owns the field; what the API server filled in "
        "for a field that was left out goes back as that. Each row is held, interrupted at every "
        "write and given back in [test_kinds.py](../../tests/cluster/enforcement/test_kinds.py).\n"
    )
    yield "| kind | stop | restore | not stopped | verified on |\n|---|---|---|---|---|"
    for kind in sorted(KIND_ROWS.values(), key=lambda kind: kind.disruption):
        spares = "; ".join(UNLESS.get(kind.name, ()))
        yield f"| {kind.name} | {_stop(kind.stop)} | {_back(kind.stop)} | {spares} | {tried} |"
    yield (
        "\nThe order is that in which they are stopped when nothing else tells them apart. Whatever "
        "the kind: what a controller of another kind made is not stopped (`Controlled`), nor what "
        "its owner or another tool has stopped already; that is never started either.\n"
    )
    yield (
        "## CronJobs and Jobs\n\nA CronJob and each Job of it that runs have a Hold each, under the "
        "same claims; deleting the CronJob's gives back all, deleting a Job's that Job. Suspending a "
        "Job deletes its pods: what was computed since the last checkpoint is lost, and its deadline "
        "starts anew when it goes on. A CronJob that is resumed may start the newest run that it "
        "missed at once, unless `startingDeadlineSeconds` is over.\n"
    )
    yield (
        f'## DaemonSets\n\nThe annotation `{ALLOW_STOP}: "true"` on a DaemonSet lets it be stopped, '
        f"by whatever budget; taking it off gives it back. No node has the label `{STOPPED}`, so that "
        "its pods end everywhere at once.\n"
    )
    yield (
        "## Autoscalers\n\nA HorizontalPodAutoscaler rests at 0 replicas. Its bounds are asked again "
        "at the restore, and the original is fitted into them. One with `minReplicas: 0` (Kubernetes "
        "1.37 and newer) may wake its target: that counts as a revert, and after three the Hold is "
        "`Contested`.\n"
    )
    yield (
        "## What workloads are part of\n\nThe status tells it as `partOf`, `aibudget usage` sums by it, "
        "and it changes neither what is billed nor what is stopped "
        "([why](../adr/0038-a-bill-names-what-can-be-stopped.md)). Found by owner references; where these "
        "end, by the label.\n"
    )
    yield "| kind | served as | label of its pods |\n|---|---|---|"
    for kin in KIN:
        if kin.resource.group not in ("", "apps", "batch"):
            only = "".join(f", with `{key}: {value}`" for key, value in kin.only)
            label = f"`{kin.label}`{only}" if kin.label else ""
            yield f"| {kin.kind} | {', '.join(f'`{one.api_version}`' for one in kin.resources)} | {label} |"
    yield ""


def _stop(stop: Stop | None) -> str:
    return "annotated only" if stop is None else f"`{stop.path}` = `{stop.stopped_json}`"


def _back(stop: Stop | None) -> str:
    if stop is None:
        return "nothing to give back"
    if isinstance(stop.originals, range):
        return f"{stop.originals.start} to {stop.originals.stop - 1}, or absent"
    return "the key is taken out again" if stop.is_ours else "`false`, or absent"


def _sources(dimension: str) -> str:
    labels = {**SOURCES, "capacityType": (*CAPACITY, *GKE_SPOT, AKS_PRIORITY)}.get(dimension)
    if labels is None:
        return "the extended resource that the pod requests, as Kubernetes spells it: `nvidia.com/gpu`"
    return "the first of these labels of the node: " + ", ".join(f"`{label}`" for label in labels)


WINDOW = 31_500
"""The look-back of a Prometheus that scrapes each 30 s, in milliseconds."""
HELD: dict[str, tuple[str, Callable[[Queries], str] | None]] = {
    "gpu": ("what pods hold", lambda queries: queries.held(WINDOW, 30)),
    "gpu-idle": ("what nodes offer", lambda queries: queries.capacity(WINDOW)),
    "cpu": (
        "the effective requests of pods, as the scheduler counts",
        lambda queries: queries.reserved(WINDOW),
    ),
    "memory": ("with `cpu`, in the same query", None),
}
"""The meters that are held and not counted: what of, and how Prometheus is asked."""


def meters() -> Iterator[str]:
    """Every built-in meter, and the PromQL that it is read by."""
    yield f"# Built-in meters\n\n{NOTE}"
    yield (
        "What is *held* is read at each step and multiplied with it; what is *counted* are counters, "
        "subtracted outside of Prometheus. A meter whose source is absent is not read, and says so. "
        "Meters of your own: [Add a meter](../how-to/add-a-meter.md).\n"
    )
    yield "| meter | unit | smallest unit | told apart by |\n|---|---|---|---|"
    for meter in METERS.values():
        apart = ", ".join(f"`{dimension}`" for dimension in _apart(meter.name))
        yield f"| [`{meter.name}`](#{meter.name}) | {meter.unit} | 1/{meter.scale:,} | {apart} |"
    # Every accelerator's name, several times, would hide the query.
    queries = MeterSettings(accelerators="nvidia_com_gpu|…").queries
    for name, (what, ask) in HELD.items():
        yield f"\n## {name}\n\nHeld: {what}."
        if ask is not None:
            yield f"With the default matchers, and scrapes each 30 s:\n\n{_promql(ask(queries))}"
    for name, spec in built_in().items():
        yield f"\n## {name}\n\nCounted, where any of these tells of it; the cluster's matchers are added."
        for source in spec.sources:
            said = "; ".join(_said(source))
            yield f"\n**{source.name}**{said and f' ({said})'}\n\n{_promql(source.query)}"


def _said(source: MeterSource) -> Iterator[str]:
    yield from (f"{key}: {value}" for key, value in source.fixed.items())
    if source.attribution is not None:
        yield from (f"{key} by `{value}`" for key, value in source.attribution.model_dump().items() if value)
    if source.max_per_second is not None:
        yield f"at most {source.max_per_second} a second"
    if source.divisor != 1:
        yield f"{source.divisor} to the unit"
    if source.first_value == "Never":
        yield "first values never count"


def _apart(name: str) -> tuple[str, ...]:
    # Idle devices are priced by the rates of gpu, and no rate names their state.
    return (*TOLD_APART["gpu"], "state") if name == "gpu-idle" else TOLD_APART[name]


def _promql(text: str) -> str:
    return f"```promql\n{_folded(text)}\n```"


def _folded(promql: str) -> str:
    return "\n".join(wrap(promql, 110, break_long_words=False, break_on_hyphens=False))


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "api.md": api,
    "cli.md": commands,
    "kinds.md": kinds,
    "meters.md": meters,
    "metrics.md": metrics,
    "price-list.md": price_list,
    "settings.md": settings,
}


def main() -> None:
    """Write every page."""
    directory = Path(sys.argv[1])
    for name, page in PAGES.items():
        text = "\n".join(line.rstrip() for part in page() for line in part.split("\n"))
        (directory / name).write_text(text.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
