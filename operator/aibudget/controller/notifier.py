"""The cycle's side of notification: transitions into the outbox, alerts to the sirens, names resolved.

`take` is part of the cycle and ends with a commit; what talks to receivers runs beside it, in `run`. Without
configured receivers it does nothing but name those that budgets miss.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from aibudget.api.budget import AIBudget, ClusterAIBudget
from aibudget.api.budgetstatus import BudgetStatus
from aibudget.api.hold import Hold
from aibudget.api.names import API_VERSION
from aibudget.controller.reporter import Report
from aibudget.errors import Transient
from aibudget.ledger.outbox import MOST_WAITING, Entry, Outbox, Queue
from aibudget.metering.slots import iso
from aibudget.notification.alerts import Alert, alerts_of
from aibudget.notification.courier import Courier
from aibudget.notification.message import BudgetRef, Message, WorkloadRef, transition_id
from aibudget.notification.receivers import Receiver, chosen
from aibudget.notification.siren import Siren
from aibudget.notification.tally import Tally
from aibudget.notification.webhook import Sender
from aibudget.reporting import events
from aibudget.reporting.events import Event
from aibudget.reporting.snapshot import DeliveryView

_ALERTS: Final = "Alertmanager"

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Link:
    """What ties a notifier to its process. `held` tells whether we lead, `now` the time in Unix seconds."""

    cluster: str
    held: Callable[[], bool]
    now: Callable[[], float]


@dataclass(slots=True)
class Notifier:
    """One process's. Made by `open`; as it is by default, it has no receivers."""

    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    cluster: str = ""
    courier: Courier | None = None
    sirens: Mapping[str, Siren] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    _unsaved: list[Entry] = field(default_factory=list)
    _sounding: list[Report] = field(default_factory=list)
    _queues: Mapping[str, Queue] = field(default_factory=dict)

    @classmethod
    def open(cls, receivers: Sequence[Receiver], ledger_url: str, link: Link) -> "Notifier":
        """With its outbox in the ledger, which this process must have taken over before."""
        if not receivers:
            return cls(cluster=link.cluster)
        sender, tally = Sender(), Tally()
        told = [one for one in receivers if one.type != _ALERTS]
        sirens = {
            one.name: Siren(one, sender, link.held, link.now, tally)
            for one in receivers
            if one.type == _ALERTS
        }
        courier = Courier(
            told,
            Outbox.open(ledger_url, link.cluster),
            # A thread of its own: telling never waits for Prometheus, nor for a posting.
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox"),
            sender,
            link.held,
            link.now,
            tally,
        )
        return cls({one.name: one for one in receivers}, link.cluster, courier, sirens, tally)

    async def run(self) -> None:
        """Tell, until cancelled."""
        tasks = [siren.run() for siren in self.sirens.values()]
        if self.courier is not None:
            tasks.append(self.courier.run())
        await asyncio.gather(*tasks)

    def unknown(self, model: object) -> tuple[str, ...] | None:
        """The receivers that a budget names and may not use; None where it names none."""
        if not isinstance(model, AIBudget | ClusterAIBudget) or not model.spec.notify:
            return None
        return chosen(model, self.receivers).unknown

    async def take(self, reports: Sequence[Report], acts: Sequence[Event], now: int) -> list[Report]:
        """Put what is new into the outbox; those reports that may be written then.

        While the ledger cannot be used, a status that would forget its transition waits for the next cycle.
        What sirens are to sound is kept for `show`.
        """
        if self.sirens:
            self._sounding += [one for one in reports if self._sirens_of(one)]
        if self.courier is None:
            return list(reports)
        by_budget: dict[str, list[Event]] = {}
        for act in acts:
            by_budget.setdefault(act.regarding.uid, []).append(act)
        entries = {
            report.seen.uid: list(self._entries(report, by_budget.get(report.seen.uid, ()), now))
            for report in reports
        }
        new = [*self._unsaved, *(entry for some in entries.values() for entry in some)]
        try:
            if new:
                await self._ask(self.courier.thread, self.courier.outbox.put, new, now)
                self.courier.wake()
            self._queues = await self._ask(self.courier.thread, self.courier.outbox.queues)
        except Transient as error:
            log.warning("notifications wait: %s", error.message)
            self._unsaved = new[:MOST_WAITING]
            return [report for report in reports if not entries[report.seen.uid]]
        self._unsaved = []
        return list(reports)

    def failures(self) -> Iterator[Event]:
        """An Event for each message that was given up since the last call."""
        buried = [] if self.courier is None else self.courier.buried
        while buried:
            letter = buried.pop(0)
            ref = letter.message.budget
            subject = events.Subject(ref.api_version, ref.kind, ref.namespace, ref.name, ref.uid)
            yield events.undelivered(subject, letter.receiver, letter.message.reason, letter.message.id)

    def show(self, holds: Sequence[Hold]) -> None:
        """Let each siren know what lasts now, by all reports that were taken since the last call."""
        if not self.sirens:
            return
        reports, self._sounding = self._sounding, []
        claimed: dict[str, list[Hold]] = {}
        for hold in holds:
            for claim in hold.spec.claims:
                claimed.setdefault(claim.uid, []).append(hold)
        alerts: dict[str, list[Alert]] = {name: [] for name in self.sirens}
        for report in reports:
            model, status = report.seen.model, report.status
            if not isinstance(model, AIBudget | ClusterAIBudget):
                continue
            assert isinstance(status, BudgetStatus), "a budget has the status of one"
            found = alerts_of(self.cluster, model, status, claimed.get(report.seen.uid, ()))
            for name in self._sirens_of(report):
                alerts[name] += found
        for name, siren in self.sirens.items():
            siren.show(alerts[name])

    def view(self, now: float) -> DeliveryView:
        """For the metrics."""
        return DeliveryView(
            attempts=dict(self.tally.counts),
            waiting={name: queue.waiting for name, queue in self._queues.items()},
            dead={name: queue.dead for name, queue in self._queues.items()},
            oldest={
                name: max(0.0, now - queue.oldest)
                for name, queue in self._queues.items()
                if queue.oldest is not None
            },
        )

    def _sirens_of(self, report: Report) -> list[str]:
        return [one.name for one in self._receivers(report) if one.name in self.sirens]

    def _receivers(self, report: Report) -> tuple[Receiver, ...]:
        model = report.seen.model
        return (
            chosen(model, self.receivers).receivers if isinstance(model, AIBudget | ClusterAIBudget) else ()
        )

    def _entries(self, report: Report, acts: Sequence[Event], now: int) -> Iterator[Entry]:
        told = [one for one in self._receivers(report) if one.type != _ALERTS]
        if not told or not isinstance(report.status, BudgetStatus):
            return
        for event in (*report.events, *acts):
            message = self._message(event, now).at(report.status)
            batch = f"{event.regarding.uid}/{event.reason}"
            for receiver in told:
                yield Entry(receiver.name, message.id, batch, message.to_json())

    def _message(self, event: Event, now: int) -> Message:
        about, workload = event.regarding, event.related
        related = (
            ()
            if workload is None
            else (
                WorkloadRef(
                    namespace=workload.namespace,
                    kind=workload.kind,
                    name=workload.name,
                    message=event.message,
                ),
            )
        )
        return Message(
            id=transition_id(about.uid, event.reason.value, event.transition),
            time=iso(now),
            cluster=self.cluster,
            budget=BudgetRef(
                api_version=API_VERSION,
                kind=about.kind,
                namespace=about.namespace,
                name=about.name,
                uid=about.uid,
            ),
            reason=event.reason.value,
            severity=event.reason.kind,
            message=event.message,
            workloads=related,
            workload_count=len(related),
        )

    @staticmethod
    async def _ask(thread: Executor, work: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *given)
