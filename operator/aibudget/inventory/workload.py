"""The names of things that spend: a pod, its owner, and the workload that a person knows.

A `Workload` is the unit that budgets list and enforcement acts on: the top of an owner chain as far as it
is known. It is a value without uid on purpose: a StatefulSet that was deleted and made again under its old
name is the same line in a bill; whoever acts on it reads the object and its uid afresh.
"""

from dataclasses import dataclass
from typing import NamedTuple


class PodKey(NamedTuple):
    """One pod's life. `uid` tells two pods of one name apart; it is "" where the source does not say."""

    namespace: str
    name: str
    uid: str


class Owner(NamedTuple):
    """A controlling owner reference within the pod's namespace. Kinds are as Kubernetes spells them."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, order=True)
class Workload:
    """What a person would name when asked who spends: `Deployment/llm` in `team-vision`, or a bare `Pod`."""

    namespace: str
    kind: str
    name: str
