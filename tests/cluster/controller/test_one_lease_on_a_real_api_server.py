"""Two replicas and one Lease object: the API server's preconditions decide, not our clocks."""

import asyncio

import pytest

from aibudget.controller.lease import LEASE_NAME, Lease, LeaseLost, Timing
from aibudget.inventory.kubernetes import Cluster
from aibudget.sandbox.controlplane import ControlPlane

pytestmark = pytest.mark.cluster

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
TIMING = Timing(5.0)


@pytest.fixture(autouse=True)
def no_lease(api_server: ControlPlane) -> None:
    """Each test begins without one."""
    api_server.client.delete(f"{LEASES}/{LEASE_NAME}")


def test_of_two_that_start_together_one_leads_and_the_other_follows_its_release(
    api_server: ControlPlane,
) -> None:
    """The Lease is created once, handed over, and its transitions are counted."""

    async def scenario() -> None:
        async with await Cluster.connect(api_server.kubeconfig) as cluster, asyncio.timeout(30):
            leases = [Lease(cluster, "default", name, TIMING) for name in ("a", "b")]
            waiting = {asyncio.create_task(lease.acquire()): lease for lease in leases}
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert [lease.held() for lease in leases].count(True) == 1
            leader = waiting[done.pop()]
            await leader.release()
            await asyncio.wait(waiting)
            assert not leader.held()
            follower = next(lease for lease in leases if lease is not leader)
            assert follower.held()
            assert follower.epoch == 1

    asyncio.run(scenario())
    stored = api_server.client.get(f"{LEASES}/{LEASE_NAME}")
    assert stored["spec"]["leaseTransitions"] == 1
    assert [entry["manager"] for entry in stored["metadata"]["managedFields"]] == ["aibudget"]


def test_a_leader_that_fell_silent_is_followed_and_then_finds_itself_lost(api_server: ControlPlane) -> None:
    """As after a pause of the process: it may write once more only if nobody else did."""

    async def scenario() -> None:
        async with await Cluster.connect(api_server.kubeconfig) as cluster, asyncio.timeout(30):
            paused, other = (Lease(cluster, "default", name, TIMING) for name in ("paused", "other"))
            await paused.acquire()
            await other.acquire()
            assert other.epoch == 1
            assert not paused.held()
            with pytest.raises(LeaseLost, match="other leads now"):
                await paused.renew()
            assert other.held()

    asyncio.run(scenario())


def test_a_leader_renews_for_longer_than_its_lease_lasts(api_server: ControlPlane) -> None:
    """Renewal moves the record, and a standby sees that it does."""

    async def scenario() -> None:
        async with await Cluster.connect(api_server.kubeconfig) as cluster:
            leader, standby = (Lease(cluster, "default", name, TIMING) for name in ("leader", "standby"))
            await leader.acquire()
            renewing = asyncio.create_task(leader.renew())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(2 * TIMING.duration):
                    await standby.acquire()
            assert leader.held()
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    asyncio.run(scenario())
