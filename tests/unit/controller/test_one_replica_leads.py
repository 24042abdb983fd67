"""Of several replicas one leads, by client-go's rules; one that cannot renew stops before another starts."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from aibudget.controller.lease import Lease, LeaseLost, Timing
from aibudget.errors import Conflict, Transient
from aibudget.inventory.kubernetes import AlreadyExists
from aibudget.inventory.resource import Resource


class Clock:
    """Monotonic time that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass at once."""
        self.now += seconds
        await asyncio.sleep(0)


class LeaseServer:
    """One Lease with a resourceVersion, as an API server keeps it; `down` makes every call fail."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.down = False
        self.after_get: Callable[[], None] = lambda: None

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The Lease, or None."""
        self._check()
        found = self.stored
        self.after_get()
        return found

    async def create(
        self, resource: Resource, body: Mapping[str, Any], namespace: str | None = None
    ) -> dict[str, Any]:
        """Create it once."""
        self._check()
        if self.stored is not None:
            raise AlreadyExists("AlreadyExists", "taken")
        return self._store(dict(body["spec"]))

    async def patch(
        self, resource: Resource, name: str, patch: Mapping[str, Any], namespace: str | None = None
    ) -> dict[str, Any]:
        """Merge, if the version in the patch is still that of the object."""
        self._check()
        if self.stored is None or patch["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict("Conflict", "somebody was faster")
        return self._store({**self.stored["spec"], **patch["spec"]})

    def _store(self, spec: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.stored = {"metadata": {"resourceVersion": str(self.version)}, "spec": spec}
        return self.stored

    def _check(self) -> None:
        if self.down:
            raise Transient("APIServerUnavailable", "away")

    @property
    def holder(self) -> str:
        """Who the Lease names."""
        return "" if self.stored is None else self.stored["spec"]["holderIdentity"]


WORST = 13.0
"""Seconds from a leader's death to its successor's Lease at the default timing. The rest of the
promised 20 are for lists, the ledger and the first cycle."""


def candidate(server: LeaseServer, name: str, clock: Clock) -> Lease:
    """A replica whose sleeping moves the clock."""
    return Lease(server, "system", name, Timing(), monotonic=clock, sleep=clock.sleep)


async def until(true: Callable[[], bool]) -> None:
    """Let the other tasks go on; the scenario is bounded."""
    while not true():  # noqa: ASYNC110 - the fake clock moves only when others run
        await asyncio.sleep(0)


def run(work: Any) -> None:
    """Run one scenario, bounded."""
    asyncio.run(asyncio.wait_for(work, 10))


def test_the_first_replica_makes_the_lease_and_leads() -> None:
    """With no Lease there, the first one to come creates it."""

    async def scenario() -> None:
        server, clock = LeaseServer(), Clock()
        lease = candidate(server, "a", clock)
        assert not lease.held()
        await lease.acquire()
        assert lease.held()
        assert server.holder == "a"
        assert lease.epoch == 0

    run(scenario())


def test_a_standby_takes_over_only_after_the_record_stood_still_for_the_whole_duration() -> None:
    """However old the written renewTime, a holder is given the duration from when we first saw its record."""

    async def scenario() -> None:
        server, clock = LeaseServer(), Clock()
        await candidate(server, "a", Clock()).acquire()
        began = clock.now
        standby = candidate(server, "b", clock)
        await standby.acquire()
        assert clock.now - began >= Timing().duration
        assert server.holder == "b"
        assert standby.epoch == 1

    run(scenario())


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.6, 1.0, 1.3])
def test_a_dead_leader_is_followed_in_time_whenever_it_died(phase: float) -> None:
    """However the standby's looks at the Lease fall between the last renewals of the leader."""

    async def scenario() -> None:
        server, clock = LeaseServer(), Clock()
        leader, standby = candidate(server, "a", Clock()), candidate(server, "b", clock)
        await leader.acquire()
        waiting = asyncio.create_task(standby.acquire())
        await until(lambda: clock.now >= 1005.0)
        await leader._try()
        died = clock.now - phase
        await waiting
        assert clock.now - died <= WORST

    run(scenario())


def test_who_led_before_another_is_no_leader_of_a_lease_that_is_free_again() -> None:
    """A paused leader wakes after its successor has come and gone: what it knows is older than the ledger."""

    async def scenario() -> None:
        server = LeaseServer()
        paused, other = candidate(server, "a", Clock()), candidate(server, "b", Clock())
        await paused.acquire()
        await other.acquire()
        await other.release()
        with pytest.raises(LeaseLost, match="led meanwhile"):
            await paused.renew()
        assert not paused.held()

    run(scenario())


def test_a_released_lease_is_taken_at_the_next_try() -> None:
    """A graceful stop lets the next replica in without waiting."""

    async def scenario() -> None:
        server, clock = LeaseServer(), Clock()
        first = candidate(server, "a", clock)
        await first.acquire()
        await first.release()
        assert not first.held()
        began = clock.now
        await candidate(server, "b", clock).acquire()
        assert clock.now == began
        assert server.holder == "b"

    run(scenario())


def test_a_lease_is_given_back_though_its_last_renewal_was_never_answered() -> None:
    """A stop cancels a renewal that the API server may have stored, so that our version of it is old."""

    async def scenario() -> None:
        server, clock = LeaseServer(), Clock()
        first = candidate(server, "a", clock)
        await first.acquire()
        renewals = 1

        def renewed_unseen() -> None:
            nonlocal renewals
            if renewals and server.stored is not None:
                renewals -= 1
                server._store(server.stored["spec"])

        renewed_unseen()
        renewals = 1
        server.after_get = renewed_unseen
        await first.release()
        assert server.holder == ""

    run(scenario())


def test_a_lease_of_somebody_else_is_not_given_back() -> None:
    """Whoever stops as a standby leaves the leader's record alone."""

    async def scenario() -> None:
        server = LeaseServer()
        await candidate(server, "a", Clock()).acquire()
        before = server.stored
        await candidate(server, "b", Clock()).release()
        assert server.stored == before

    run(scenario())


def test_a_leader_that_cannot_renew_stops_before_anybody_may_take_over() -> None:
    """The deadline to renew is shorter than the duration after which others act."""

    async def scenario() -> None:
        server, clock = LeaseServer(), Clock()
        lease = candidate(server, "a", clock)
        await lease.acquire()
        server.down = True
        began = clock.now
        with pytest.raises(LeaseLost, match="could not be renewed"):
            await lease.renew()
        assert clock.now - began < Timing().duration
        assert not lease.held()

    run(scenario())


def test_a_short_outage_of_the_api_server_costs_nothing() -> None:
    """Renewal goes on after a failure within the deadline."""

    async def scenario() -> None:
        server, clock = LeaseServer(), Clock()
        lease = candidate(server, "a", clock)
        await lease.acquire()
        server.down = True
        renewing = asyncio.create_task(lease.renew())
        await until(lambda: clock.now >= 1004.0)
        server.down = False
        version = server.version
        await until(lambda: server.version >= version + 3)
        assert lease.held()
        assert not renewing.done()
        renewing.cancel()

    run(scenario())


def test_a_leader_that_finds_another_holder_is_lost_at_once() -> None:
    """A leader that was paused for long must not write any more."""

    async def scenario() -> None:
        server, clock = LeaseServer(), Clock()
        paused = candidate(server, "a", clock)
        await paused.acquire()
        await candidate(server, "b", Clock()).acquire()
        with pytest.raises(LeaseLost, match="b leads now"):
            await paused.renew()
        assert not paused.held()

    run(scenario())


def test_a_lost_race_for_one_write_is_no_loss_of_the_lease() -> None:
    """Somebody may touch the Lease's metadata; the next try reads it again."""

    async def scenario() -> None:
        server, clock = LeaseServer(), Clock()
        lease = candidate(server, "a", clock)
        await lease.acquire()

        def touch() -> None:
            assert server.stored is not None
            server.after_get = lambda: None
            server._store(dict(server.stored["spec"]))

        server.after_get = touch
        renewing = asyncio.create_task(lease.renew())
        await until(lambda: server.version >= 4)
        assert not renewing.done()
        assert lease.held()
        renewing.cancel()

    run(scenario())


def test_two_that_start_at_once_end_with_one_leader() -> None:
    """Create is atomic, and the loser stands by."""

    async def scenario() -> None:
        server, clock = LeaseServer(), Clock()
        one, other = candidate(server, "a", clock), candidate(server, "b", clock)
        done, waiting = await asyncio.wait(
            [asyncio.create_task(one.acquire()), asyncio.create_task(other.acquire())],
            return_when=asyncio.FIRST_COMPLETED,
        )
        assert [one.held(), other.held()].count(True) == 1
        assert len(done) == 1
        for task in waiting:
            task.cancel()

    run(scenario())
