"""The catalogue of kinds, as data: what can be annotated, and which one field stops what can be stopped.

This is also the list of all that enforcement ever writes outside `metadata`: a path that is not here is never
written, whatever a Hold or an annotation says. A kind without `stop` is annotated only.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aibudget.inventory.resource import CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, JOBS, STATEFUL_SETS, Resource


@dataclass(frozen=True, slots=True)
class Stop:
    """One integer field: `stopped` is what stops, `most` the largest value that is ever put back."""

    path: str
    stopped: int
    most: int

    @property
    def stopped_json(self) -> str:
        """The enforced value as a Hold keeps values: JSON text."""
        return json.dumps(self.stopped)

    def accepts(self, value: str | None) -> bool:
        """Whether this JSON text (None: absent) may be an original: an integer above `stopped`."""
        if value is None:
            return True
        try:
            number = json.loads(value)
        except ValueError:
            return False
        return type(number) is int and self.stopped < number <= self.most


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of workload and how it is stopped, if it can be.

    `disruption`: how much a stop of it takes from people; what has less of it is stopped first.
    """

    resource: Resource
    disruption: int
    stop: Stop | None = None

    @property
    def name(self) -> str:
        """As Kubernetes spells it."""
        return self.resource.kind


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            # The API server fills an absent replicas with 1, so that removing it restores "absent".
            Kind(DEPLOYMENTS, 2, Stop("/spec/replicas", stopped=0, most=100_000)),
            Kind(STATEFUL_SETS, 3),
            Kind(DAEMON_SETS, 8),
            Kind(JOBS, 1),
            Kind(CRON_JOBS, 1),
        )
    }
)
