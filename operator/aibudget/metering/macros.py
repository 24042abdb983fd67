"""From a meter's query to the PromQL that is asked: matchers in every selector, macros replaced.

`api.query` has read the text; what is made here is joined from what it understood and from our own text, each
macro in brackets of its own. Pure.

`$delta` is the increment of each series over the step that ends at the instant. It survives resets and a gap
of up to an hour, which it books at the gap's end; a series that is new counts from zero if its process or pod
began within two steps, and not at all otherwise. Levels that are asked for without it are subtracted outside
of Prometheus, which knows more: prefer them where no arithmetic needs increments.
"""

from dataclasses import dataclass
from typing import Final

from aibudget.api.query import Macro, Part, Query, Selector
from aibudget.metering.promql import Matcher, Matchers, Queries, selector

STEP: Final = 60
"""Seconds of `$step`."""
WINDOW: Final = 65_000
"""The look-back for requests in milliseconds: scrapes up to a minute apart leave no instant empty."""
REMEMBERED: Final = "1h"
"""How far back `$delta` looks for the level before."""
CONTROLLER: Final = Matcher("owner_is_controller", "=~", "true|")
OWNED: Final = Matcher("owner_kind", "!~", "|<none>")
POD: Final = "namespace, pod"
WORKLOAD: Final = "workload_kind, workload"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a query is asked: `cluster` goes into every selector, `exporter` into those of the user's text.

    `first` False leaves the first values of new series out of `$delta`.
    """

    queries: Queries
    cluster: Matchers = ()
    exporter: Matchers = ()
    step: int = STEP
    window: int = WINDOW
    first: bool = True


def expanded(query: Query, scope: Scope) -> str:
    """The query as Prometheus is asked it."""
    return "".join(_text(part, scope) for part in query.parts)


def _text(part: Part, scope: Scope) -> str:
    match part:
        case str():
            return part
        case Selector():
            return _narrowed(part, scope.exporter, scope)
        case Macro("step"):
            return str(scope.step)
        case Macro("duration"):
            return part.frame.format(f"{scope.step}s")
        case Macro("pod_workload"):
            return f"({_pod_workload(scope.queries)})"
        case Macro("delta", Selector() as of):
            return f"({_delta(_narrowed(of, scope.exporter, scope), scope)})"
        case Macro("held", Selector() as of):
            bound = Matcher("node", "!=", "")
            requests = _narrowed(of, (*scope.queries.kube_state_metrics, bound), scope)
            return f"({scope.queries.held_of(requests, scope.window)})"
    raise AssertionError(f"{part} has no text")


def _narrowed(of: Selector, more: Matchers, scope: Scope) -> str:
    return of.narrowed(*map(str, dict.fromkeys((*more, *scope.cluster))))


def _delta(vector: str, scope: Scope) -> str:
    level = f"last_over_time({vector}[{scope.step}s])"
    before = f"last_over_time({vector}[{REMEMBERED}] offset {scope.step}s)"
    grown = f"(({level} - {before}) >= 0) or ({level} and ({level} - {before}) < 0)"
    if not scope.first:
        return grown
    new, since = f"({level} unless {before})", f"> time() - {2 * scope.step}"
    process = selector("process_start_time_seconds", scope.cluster)
    pod = _named(selector("kube_pod_start_time", scope.queries.kube_state_metrics))
    return (
        f"{grown} or ({new} and on (job, instance) ({process} {since}))"
        f" or ({new} and on ({POD}) (max by ({POD}) ({pod}) {since}))"
    )


def _pod_workload(queries: Queries) -> str:
    """1 for each pod, labelled with its workload; the owner's owner of what a ReplicaSet or Job owns."""
    owned = selector("kube_pod_owner", (*queries.kube_state_metrics, CONTROLLER, OWNED))
    pods = selector("kube_pod_owner", queries.kube_state_metrics)
    bare = _label(f"group by ({POD}) ({_named(pods)})", "workload_kind", "Pod")
    whole = " or on (namespace, pod) ".join(
        (
            _through(queries, "ReplicaSet", "kube_replicaset_owner", "replicaset"),
            _through(queries, "Job", "kube_job_owner", "job_name"),
            _called(owned, "pod"),
            _label(bare, "workload", "$1", "pod"),
        )
    )
    return f"topk by ({POD}) (1, {whole})"


def _through(queries: Queries, kind: str, family: str, label: str) -> str:
    """Pods of a ReplicaSet or Job that has an owner itself, labelled with that."""
    pods = selector(
        "kube_pod_owner", (*queries.kube_state_metrics, CONTROLLER, Matcher("owner_kind", "=", kind))
    )
    above = selector(family, (*queries.kube_state_metrics, CONTROLLER, OWNED))
    child = f"group by ({POD}, {label}) ({_label(_named(pods), label, '$1', 'owner_name')})"
    parent = f"topk by (namespace, {label}) (1, {_called(above, label)})"
    return (
        f"group by ({POD}, {WORKLOAD}) ({child} * on (namespace, {label}) group_left ({WORKLOAD}) {parent})"
    )


def _called(vector: str, label: str) -> str:
    """What has an owner, by namespace and `label`, with the owner as its workload."""
    owned = _label(
        _label(_named(vector), "workload_kind", "$1", "owner_kind"), "workload", "$1", "owner_name"
    )
    return f"group by (namespace, {label}, {WORKLOAD}) ({owned})"


def _named(vector: str) -> str:
    """With `exported_*` twins in the place of the scrape's own labels."""
    return _label(_label(vector, "namespace", "$1", "exported_namespace"), "pod", "$1", "exported_pod")


def _label(vector: str, label: str, value: str, source: str = "") -> str:
    pattern = "(.+)" if source else ""
    return f'label_replace({vector}, "{label}", "{value}", "{source}", "{pattern}")'
