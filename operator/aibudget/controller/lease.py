"""Who leads: a coordination.k8s.io Lease, kept by client-go's rules.

Acquired before any work, renewed beside it, given back on a graceful stop. A leader that cannot renew within
its deadline stops being one while the Lease still names it, so that two leaders never overlap by its doing.
Whether another holder is dead is judged by our own monotonic clock and by how long its record has not moved;
clocks of machines are never compared. It must not know what the leader does.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from aibudget.errors import AIBudgetError, Conflict, Transient
from aibudget.inventory.resource import LEASES, Resource

LEASE_NAME: Final = "aibudget"
RELEASE_SECONDS: Final = 3.0

log = logging.getLogger(__name__)

JsonObject = dict[str, Any]


class LeaseLost(Transient):
    """Somebody else may lead from now on: stop, write nothing more, and start again as a standby."""


class LeaseStore(Protocol):
    """What a Lease needs of the API server; `Cluster` has it."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> JsonObject | None:
        """The object, or None."""

    async def create(self, resource: Resource, body: JsonObject, namespace: str | None = None) -> JsonObject:
        """The object as stored."""

    async def patch(
        self, resource: Resource, name: str, patch: JsonObject, namespace: str | None = None
    ) -> JsonObject:
        """The object as stored; a `resourceVersion` in the patch is a precondition."""


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds. A leader gives up after `renew_deadline`, others take over after `duration`."""

    duration: float = 10.0

    @property
    def renew_deadline(self) -> float:
        return self.duration * 2 / 3

    @property
    def retry_period(self) -> float:
        return self.duration * 2 / 15


def passed() -> float:
    """Seconds by a clock that goes on while the machine sleeps, where there is one: a leader that was
    suspended with its machine must find that its time is over.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(slots=True)
class _Seen:
    """The record as it last moved, and when that was by our clock."""

    version: str
    at: float


class Lease:
    """One candidate.

    `epoch` counts the changes of leader; it fences the writes of a leader that was paused.
    """

    def __init__(
        self,
        store: LeaseStore,
        namespace: str,
        identity: str,
        timing: Timing,
        *,
        monotonic: Callable[[], float] = passed,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._namespace = namespace
        self._identity = identity
        self._timing = timing
        self._monotonic = monotonic
        self._sleep = sleep
        self._seen: _Seen | None = None
        self._version: str | None = None
        self._renewed: float | None = None
        self._answered: float | None = None
        self.epoch = 0

    def held(self) -> bool:
        """Whether we lead at this moment, judged without asking anybody."""
        return self.remaining() > 0

    def remaining(self) -> float:
        """For how many seconds we lead if no renewal succeeds any more; 0 where we do not lead."""
        if self._renewed is None:
            return 0.0
        return max(0.0, self._renewed + self._timing.renew_deadline - self._monotonic())

    def heard(self) -> float | None:
        """How many seconds ago the API server last answered about the Lease; None before it first did."""
        return None if self._answered is None else self._monotonic() - self._answered

    async def acquire(self) -> None:
        """Return as the leader; until then wait as a standby, through outages too."""
        said: str | None = None
        while True:
            try:
                holder = await self._try()
            except AIBudgetError as error:
                log.warning("cannot read or write the Lease: %s", error.message)
            else:
                if holder == self._identity:
                    log.info("leading as %s, epoch %d", self._identity, self.epoch)
                    return
                if holder != said:
                    log.info("standing by: %s leads", holder or "nobody yet")
                    said = holder
            await self._sleep(self._timing.retry_period)

    async def renew(self) -> None:
        """Renew until it fails for too long; never returns, raises `LeaseLost`."""
        led = self.epoch
        while True:
            await self._sleep(self._timing.retry_period)
            try:
                holder = await self._try()
            except AIBudgetError as error:
                log.warning("cannot renew the Lease: %s", error.message)
            else:
                # "" is a lost race for one write; the next attempt reads who won it.
                if holder not in ("", self._identity):
                    self._renewed = None
                    raise LeaseLost(
                        "LeaseLost", f"{holder} leads now; this process ends and stands by again."
                    )
                if self.epoch != led:
                    # Free again, and ours again: but what this process knows is from before the other.
                    self._renewed = None
                    raise LeaseLost(
                        "LeaseLost",
                        "another replica has led meanwhile; this process ends and stands by again.",
                    )
            if not self.held():
                raise LeaseLost(
                    "LeaseLost",
                    f"the Lease could not be renewed for {self._timing.renew_deadline:.0f} s; this process "
                    "ends and stands by again. See whether the API server can be reached.",
                )

    async def release(self) -> None:
        """Let the next one in at once. A failure is only logged: the Lease then ends by itself."""
        self._renewed = None
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                while not await self._given_back():
                    pass
        except (AIBudgetError, TimeoutError) as error:
            log.warning("the Lease was not given back and ends in %.0f s: %s", self._timing.duration, error)

    async def _given_back(self) -> bool:
        """One attempt, on the Lease as it is: a cancelled renewal may have been written all the same."""
        found = await self._store.get(LEASES, LEASE_NAME, self._namespace)
        if found is None or (found.get("spec") or {}).get("holderIdentity") != self._identity:
            return True
        self._version = found["metadata"]["resourceVersion"]
        try:
            await self._write({"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time()})
        except Conflict:
            return False
        return True

    async def _try(self) -> str:
        """One attempt to acquire or renew; the holder after it. Raises on an outage."""
        asked = self._monotonic()
        try:
            async with asyncio.timeout(self._timing.renew_deadline):
                return await self._attempt(asked)
        except TimeoutError:
            raise Transient("LeaseTimeout", "the API server took too long; it is tried again.") from None

    async def _attempt(self, asked: float) -> str:
        found = await self._store.get(LEASES, LEASE_NAME, self._namespace)
        self._answered = self._monotonic()
        try:
            if found is None:
                await self._create()
            else:
                spec, version = found.get("spec") or {}, found["metadata"]["resourceVersion"]
                holder = spec.get("holderIdentity") or ""
                if self._alive(holder, version, spec.get("leaseDurationSeconds")):
                    return str(holder)
                self._version = version
                await self._take(spec, holder)
        except Conflict:
            # Somebody else was faster; the next attempt reads who.
            return ""
        self._renewed = asked
        return self._identity

    def _alive(self, holder: str, version: str, duration: int | None) -> bool:
        if self._seen is None or self._seen.version != version:
            self._seen = _Seen(version, self._monotonic())
        if holder in ("", self._identity):
            return False
        return self._monotonic() < self._seen.at + (duration or self._timing.duration)

    async def _create(self) -> None:
        now = _micro_time()
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._timing.duration),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": 0,
        }
        body = {"metadata": {"name": LEASE_NAME, "namespace": self._namespace}, "spec": spec}
        body |= {"apiVersion": LEASES.api_version, "kind": LEASES.kind}
        self._note(await self._store.create(LEASES, body, self._namespace))

    async def _take(self, before: JsonObject, holder: str) -> None:
        now = _micro_time()
        spec: JsonObject = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._timing.duration),
            "renewTime": now,
        }
        if holder != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": (before.get("leaseTransitions") or 0) + 1}
        await self._write(spec)

    async def _write(self, spec: JsonObject) -> None:
        patch = {"metadata": {"resourceVersion": self._version}, "spec": spec}
        async with asyncio.timeout(self._timing.renew_deadline):
            self._note(await self._store.patch(LEASES, LEASE_NAME, patch, self._namespace))

    def _note(self, stored: JsonObject) -> None:
        self._version = stored["metadata"]["resourceVersion"]
        self._seen = _Seen(stored["metadata"]["resourceVersion"], self._monotonic())
        self.epoch = int(stored["spec"].get("leaseTransitions") or 0)


def _micro_time() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
