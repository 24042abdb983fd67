"""The catalogue of kinds, as data: what can be annotated, and which one field stops what can be stopped.

This is also the list of all that enforcement ever writes outside `metadata`: a path that is not here is never
written, whatever a Hold or an annotation says. A kind without `stop` is annotated only.
"""

import json
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from aibudget.api.names import STOPPED
from aibudget.enforcement.pointer import escape
from aibudget.enforcement.refusal import Refusal, ended_or_queued, loses_volumes, never
from aibudget.inventory.resource import (
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
)


@dataclass(frozen=True, slots=True)
class Stop:
    """One field: the value `stopped` stops, and only `originals`, or absence, are ever put back.

    `word` says it to people. `owned` is the pointer whose owner `managedFields` tells, where that is not the
    field itself.
    """

    path: str
    stopped: int | str
    originals: Container[object]
    word: str
    owned: str = ""

    @property
    def stopped_json(self) -> str:
        """The enforced value as a Hold keeps values: JSON text."""
        return json.dumps(self.stopped)

    @property
    def owner_path(self) -> str:
        """The pointer that `managedFields` knows."""
        return self.owned or self.path

    @property
    def is_ours(self) -> bool:
        """Whether nobody but us has a reason to set the field: then its value alone says who did."""
        return self.originals == ()

    @property
    def is_count(self) -> bool:
        """Whether it is a number of replicas, which an autoscaler may write, too."""
        return isinstance(self.originals, range)

    def accepts(self, value: str | None) -> bool:
        """Whether this JSON text (None: absent) may be an original."""
        if value is None:
            return True
        try:
            found = json.loads(value)
        except ValueError:
            return False
        # In Python True is 1 and 6.0 is 6; in JSON they are not.
        return type(found) is type(self.stopped) and found in self.originals


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of workload, and how it is stopped, if it can be.

    `disruption`: how much a stop of it takes from people; what has less of it is stopped first.
    `parent`: the kind of controller together with which it is stopped; any other that controls it would undo
    the stop. `asks`: it is stopped only where its owner allows
    that on the object. `refuse` looks at one object.
    """

    resource: Resource
    disruption: int
    stop: Stop | None = None
    parent: str | None = None
    asks: bool = False
    refuse: Callable[[Mapping[str, Any]], Refusal | None] = never

    @property
    def name(self) -> str:
        """As Kubernetes spells it."""
        return self.resource.kind


# The API server fills an absent replicas with 1 and an absent suspend with false, so that removing them
# restores "absent". A template's node selector is owned as a whole.
_REPLICAS: Final = Stop("/spec/replicas", stopped=0, originals=range(1, 100_001), word="scaled down")
_SUSPEND: Final = Stop("/spec/suspend", stopped=True, originals=(False,), word="suspended")
_NODE_SELECTOR: Final = "/spec/template/spec/nodeSelector"
_NOWHERE: Final = Stop(
    f"{_NODE_SELECTOR}/{escape(STOPPED)}",
    stopped="true",
    originals=(),
    word="taken off all nodes",
    owned=_NODE_SELECTOR,
)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind(DEPLOYMENTS, 2, _REPLICAS),
            Kind(REPLICA_SETS, 2, _REPLICAS),
            Kind(STATEFUL_SETS, 3, _REPLICAS, refuse=loses_volumes),
            Kind(CRON_JOBS, 1, _SUSPEND),
            Kind(JOBS, 1, _SUSPEND, parent="CronJob", refuse=ended_or_queued),
            Kind(DAEMON_SETS, 8, _NOWHERE, asks=True),
            Kind(PODS, 9),
        )
    }
)

PARENTS: Final = frozenset(kind.parent for kind in KINDS.values() if kind.parent is not None)
"""Kinds whose stop starts nothing new, while what they have started is stopped by itself."""
