"""The PromQL of meters that count: all sources of one meter are one query, whatever their number. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from aibudget.metering.families import Family
from aibudget.metering.levels import CLUSTERS, FAMILY, UP
from aibudget.metering.promql import MOST_NAMES, Matchers, last, one_of, selector

STEP: Final = 60
"""Of the grid on which levels are asked for, in seconds."""
SCRAPED: Final = 65_000
"""How old a scrape may be, in milliseconds, for an instant to count as scraped: scrapes up to a minute apart
leave no instant out. One that is left out costs nothing but the time of what was counted."""


@dataclass(frozen=True, slots=True)
class Counting:
    """The queries over some families; `cluster` and `state` are the matchers of what is not theirs."""

    families: tuple[Family, ...]
    cluster: Matchers = ()
    state: Matchers = ()

    def levels(self) -> str:
        """What each counter stands at, whether anything was scraped, and of which clusters."""
        named = [(family.name, f"({family.query})") for family in self.families]
        nodes = selector("kube_node_info", (*self.state, *self.cluster))
        scraped = f"count({last(selector('up', self.cluster), SCRAPED)})"
        return _families([*named, (UP, scraped), (CLUSTERS, f"count by (cluster) ({nodes})")])

    def present(self) -> str:
        """Which families are told of at all."""
        return _families((family.name, f"count({family.query})") for family in self.families)

    def births(self, instances: Collection[str], pods: Collection[str]) -> str:
        """When processes (by instance) and pods began, in Unix seconds."""
        asked = []
        if instances:
            process = selector("process_start_time_seconds", (*_names("instance", instances), *self.cluster))
            asked.append(("process", f"max by (instance) ({process})"))
        for label in ("pod", "exported_pod") if pods else ():
            by = "max by (namespace, exported_namespace, pod, exported_pod)"
            start = selector("kube_pod_start_time", (*self.state, *self.cluster, *_names(label, pods)))
            asked.append((label, f"{by} ({start})"))
        return _families(asked)


def _names(label: str, names: Collection[str]) -> Matchers:
    """Of many names all are asked for: a long regex costs more."""
    return (one_of(label, names),) if len(names) <= MOST_NAMES else ()


def _families(named: Iterable[tuple[str, str]]) -> str:
    return " or ".join(f'label_replace({vector}, "{FAMILY}", "{name}", "", "")' for name, vector in named)
