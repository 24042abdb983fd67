"""The world of a run: a cluster, its operators, and a model of what each owner last asked for.

Every write of an operator is judged as it lands; whoever else writes to the field that stops a workload is
its owner, and has asked for that value. A broken rule raises `Broken`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from aibudget.api.conditions import EventReason
from aibudget.api.names import BLOCK_POLICY, FENCES, FREEZE_QUOTA, KILL_SWITCH
from aibudget.enforcement.claimant import Claimant
from aibudget.enforcement.cluster import Enforcer, Limits, Report
from aibudget.enforcement.hold import hold_name
from aibudget.enforcement.kinds import KINDS, Kind
from aibudget.enforcement.live import Live, read
from aibudget.enforcement.notice import Act
from aibudget.enforcement.release import release_all
from aibudget.errors import AIBudgetError
from aibudget.inventory.kubernetes import Json
from aibudget.inventory.resource import (
    AIBUDGETS,
    BLOCK_BINDINGS,
    BLOCK_POLICIES,
    CLUSTER_AIBUDGETS,
    CONFIG_MAPS,
    HOLDS,
    NAMESPACES,
    RESOURCE_QUOTAS,
)
from aibudget.inventory.workload import Workload
from chaos.apiserver import APIServer
from chaos.budgets import BudgetState
from chaos.shapes import manifest, running, stoppable
from chaos.wire import Connection, Request

OPERATOR: Final = "aibudget-system"
NOW: Final = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
_SPINS = 12
"""Turns of the event loop after which every task waits at the wire again."""

PLACES: Final = (
    ("team-a", "llm"),
    ("team-a", "embed"),
    ("team-a", "cpu-only"),
    ("team-a", "train"),
    ("team-b", "chat"),
    ("team-b", "batch"),
    ("kube-system", "dns"),
    ("elsewhere", "free"),
)


class Broken(AssertionError):  # noqa: N818 - it says what a rule is
    """A rule that must always hold does not."""


@dataclass(eq=False, slots=True)
class Process:
    """One operator, or one call of `release --all`. `began` and `claimants` are those of its cycle."""

    name: str
    connection: Connection
    enforcer: Enforcer | None
    task: "asyncio.Task[Any] | None" = None
    began: int = 0
    now: datetime = NOW
    claimants: Sequence[Claimant] = ()
    frozen: bool = False

    @property
    def busy(self) -> bool:
        return self.task is not None and not self.task.done()


@dataclass(slots=True)
class World:
    """Everything that a story plays on. `kinds` rotates which kinds the workloads have."""

    kinds: int
    judge: Callable[["World", Process, Json | None, Json | None], None]
    """Looks at what a write of an operator did to a workload."""
    server: APIServer = field(default_factory=APIServer)
    budgets: list[BudgetState] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    asked: dict[str, str | None] = field(default_factory=dict)
    vetoes: dict[tuple[str, str, str], int] = field(default_factory=dict)
    deleted_holds: dict[str, int] = field(default_factory=dict)
    protected: dict[str, int] = field(default_factory=dict)
    revisions: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    switched: int | None = None
    fenced: set[tuple[str, str]] = field(default_factory=set)
    leader: int = 0
    split: bool = False
    now: datetime = NOW
    tick: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    """What happened, line by line: all that changes something."""

    def __post_init__(self) -> None:
        for namespace in sorted({OPERATOR, *(namespace for namespace, _ in PLACES)}):
            body: Json = {"metadata": {"name": namespace, "annotations": {}}}
            self.server.create(NAMESPACES, body, None, "admin")
        # What the chart brings.
        self.server.create(CONFIG_MAPS, {"metadata": {"name": FENCES}, "data": {}}, OPERATOR, "helm")
        for resource in (BLOCK_POLICIES, BLOCK_BINDINGS):
            self.server.create(resource, {"metadata": {"name": BLOCK_POLICY}}, None, "helm")
        self.server.without_devices.add("cpu-only")
        for number in range(len(PLACES)):
            self.deploy(number, 3)
        everywhere = ("team-a", "team-b", "kube-system")
        none, long = timedelta(0), timedelta(minutes=10)
        self.budgets = [
            BudgetState("AIBudget", "prompt", ("team-a",), none),
            BudgetState("AIBudget", "patient", ("team-a",), long, over=False),
            BudgetState("AIBudget", "training", ("team-b",), none),
            BudgetState("ClusterAIBudget", "wide", everywhere, long, over=False),
        ]
        for budget in self.budgets:
            self.make_budget(budget)
        self.processes = [self._operator(0), self._operator(1)]

    # Workloads

    def kind(self, number: int) -> Kind:
        kinds = stoppable()
        return kinds[(number + self.kinds) % len(kinds)]

    def workload(self, number: int) -> tuple[Kind, str, str]:
        """Its kind, namespace and name."""
        number %= len(PLACES)
        return self.kind(number), *PLACES[number]

    def live(self, number: int) -> Live | None:
        kind, namespace, name = self.workload(number)
        obj = self.server.get(kind.resource, name, namespace)
        return None if obj is None else read(obj)

    def lives(self) -> list[Live]:
        """Every workload there is, with the Jobs of CronJobs."""
        resources = [kind.resource for kind in stoppable()]
        plurals = {resource.plural for resource in resources}
        return [read(obj) for (plural, *_), obj in sorted(self.server.objects.items()) if plural in plurals]

    def deploy(self, number: int, value: int) -> None:
        """Its owner creates it; a CronJob has started a Job already."""
        kind, namespace, name = self.workload(number)
        values = running(kind)
        body = manifest(kind, namespace, name, values[value % len(values)])
        made = read(self.server.create(kind.resource, body, namespace, "kubectl-create"))
        self.asked[made.uid] = made.value
        for child in (child for child in KINDS.values() if child.parent == kind.name):
            body = manifest(child, namespace, f"{name}-1", running(child)[0])
            owner = {"apiVersion": kind.resource.api_version, "kind": kind.name, "name": name}
            body["metadata"]["ownerReferences"] = [{**owner, "uid": made.uid, "controller": True}]
            job = read(self.server.create(child.resource, body, namespace, "kube-controller-manager"))
            self.asked[job.uid] = job.value

    def someone(self, act: Callable[[], Any]) -> None:
        """Let somebody write; what he changed is what is asked for now. A refusal is his to bear."""
        before = self._values()
        try:
            act()
        except AIBudgetError:
            return
        finally:
            for uid, value in self._values().items():
                if uid in before and before[uid] != value:
                    self.asked[uid] = value

    def _values(self) -> dict[str, str | None]:
        return {live.uid: live.value for live in self.lives()}

    # Budgets

    def make_budget(self, budget: BudgetState) -> None:
        budget.number += 1
        budget.uid = f"{budget.name}-{budget.number}"
        resource = AIBUDGETS if budget.namespace else CLUSTER_AIBUDGETS
        self.server.create(resource, budget.manifest(), budget.namespace, "kubectl")

    def delete_budget(self, budget: BudgetState) -> None:
        resource = AIBUDGETS if budget.namespace else CLUSTER_AIBUDGETS
        self.server.delete(resource, budget.name, budget.namespace)
        budget.uid = ""

    def claimants(self) -> tuple[Claimant, ...]:
        """What a cycle that begins now is given; rates come from meters, and pods still end."""
        rates: dict[Workload, int] = {}
        for live in self.lives():
            spends = not live.stopped or live.uid in self.server.lingering
            # A bill names the CronJob, not its Jobs.
            payer = live.parent or live.workload
            rates[payer] = max(rates.get(payer, 0), 4 if spends else 0)
        return tuple(budget.claimant(rates) for budget in self.budgets if budget.uid)

    def switch_off(self) -> bool:
        """Take the kill switch away; whether it was there."""
        self.switched = None
        return self.server.delete(CONFIG_MAPS, KILL_SWITCH, OPERATOR)

    # Operators

    def _operator(self, number: int) -> Process:
        process = Process(f"operator-{number}", Connection(self.server, lambda _: None), None)
        process.connection.deliver = partial(self._deliver, process)
        process.enforcer = Enforcer(
            process.connection,
            Limits(OPERATOR),
            lambda: self.split or self.leader == number,
        )
        return process

    def begin(self, number: int) -> None:
        """Start a cycle, if this one leads and has none under way."""
        process = self.processes[number]
        if process.busy or not (self.split or self.leader == number):
            return
        assert process.enforcer is not None
        process.began, process.now, process.claimants = self.tick, self.now, self.claimants()
        self.counts["cycles"] += 1
        self.told.append(f"{process.name} begins a cycle at {process.now:%H:%M}")
        process.task = asyncio.get_running_loop().create_task(
            self._guarded(process.enforcer.run(process.claimants, process.now))
        )

    def release_all(self) -> None:
        """Somebody calls `aibudget release --all`, which takes its time like anybody."""
        process = Process("release --all", Connection(self.server, lambda _: None), None)
        process.connection.deliver = partial(self._deliver, process)
        process.began, process.now = self.tick, self.now
        self.counts["release --all"] += 1
        process.task = asyncio.get_running_loop().create_task(
            self._guarded(release_all(process.connection, OPERATOR, self.now))
        )
        self.processes.append(process)

    def kill(self, number: int, *, arrives: bool) -> None:
        """SIGKILL; an operator comes back with nothing in its memory."""
        process = self.processes[number % len(self.processes)]
        self.counts["kills"] += 1
        self.told.append(f"{process.name} is killed")
        process.connection.kill(arrives=arrives)
        if process.task is not None:
            process.task.cancel()
        if process.enforcer is None:
            self.processes.remove(process)
        else:
            self.processes[number % len(self.processes)] = self._operator(number % len(self.processes))

    async def _guarded(self, work: Coroutine[Any, Any, Report | list[Act]]) -> None:
        try:
            done = await work
        except AIBudgetError:
            return
        for act in done.acts if isinstance(done, Report) else done:
            if act.reason is EventReason.ENFORCEMENT_FAILED and "has its trace" in act.message:
                raise Broken(f"an error nobody expected: {act.message}")

    async def spin(self) -> None:
        """Let every task run until it waits at the wire; raises what a task has found broken."""
        for _ in range(_SPINS):
            await asyncio.sleep(0)
        for process in [*self.processes]:
            task = process.task
            if task is not None and task.done():
                process.task = None
                if not task.cancelled() and (error := task.exception()) is not None:
                    raise error
                if process.enforcer is None:
                    self.processes.remove(process)

    def _deliver(self, process: Process, request: Request) -> Any:
        if not request.write:
            return request.send()
        self.told.append(f"{process.name}: {request.what}")
        before = dict(self.server.objects)
        answer = request.send()
        for key in before.keys() | self.server.objects.keys():
            old, new = before.get(key), self.server.objects.get(key)
            if old is not new and (old or new or {})["kind"] in KINDS:
                self.judge(self, process, old, new)
        if self.server.objects.get((CONFIG_MAPS.plural, OPERATOR, KILL_SWITCH)) and self.switched is None:
            self.switched = self.tick
        fences = self.fences()
        self.counts["fences"] += len(fences - self.fenced)
        self.fenced = fences
        return answer

    def fences(self) -> set[tuple[str, str]]:
        """What stands around namespaces: action and namespace."""
        quotas = [quota["metadata"] for quota in self.server.list(RESOURCE_QUOTAS)]
        frozen = {("Freeze", one["namespace"]) for one in quotas if one["name"] == FREEZE_QUOTA}
        board = self.server.get(CONFIG_MAPS, FENCES, OPERATOR) or {}
        # A key with a dot in it is the memory of vetoes.
        return frozen | {("Block", key) for key in board.get("data") or {} if "." not in key}

    def hold(self, live: Live) -> Json | None:
        """The Hold of this workload, if there is one."""
        name = hold_name(live.kind, live.workload.name, live.uid)
        return self.server.get(HOLDS, name, live.workload.namespace)
