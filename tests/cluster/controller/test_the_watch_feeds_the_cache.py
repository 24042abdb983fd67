"""On a real API server: the first list is whole before anything acts, events follow, kopf writes nothing."""

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from aibudget.controller.cache import Cache
from aibudget.controller.watch import Watch
from aibudget.inventory.kubernetes import Cluster
from aibudget.sandbox.controlplane import ControlPlane
from aibudget.sandbox.process import wait_until

# Stopped in the middle of an event kopf may leave a socket to the collector; it is collected here, and not in
# the middle of another test that would fail for it.
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CRDS = Path(__file__).parents[3] / "crds"
BUDGETS = "/apis/aibudget.io/v1alpha1/namespaces/default/aibudgets"


@pytest.fixture(scope="module", autouse=True)
def crds(api_server: ControlPlane) -> None:
    """The group is served."""
    for path in sorted(CRDS.glob("*.yaml")):
        api_server.client.apply(path.read_text())
    for crd in api_server.client.items("/apis/apiextensions.k8s.io/v1/customresourcedefinitions"):
        plural, group = crd["spec"]["names"]["plural"], crd["spec"]["group"]
        served = f"/apis/{group}/v1alpha1/{plural}"
        wait_until(partial(api_server.client.exists, served), 30, f"{plural} to be served")


def budget(name: str, amount: int = 100) -> dict[str, Any]:
    """The smallest budget."""
    return {
        "apiVersion": "aibudget.io/v1alpha1",
        "kind": "AIBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"limit": {"amount": amount, "currency": "USD"}},
    }


def watched(plane: ControlPlane, scenario: Callable[[Watch, Cache, asyncio.Event], Awaitable[None]]) -> None:
    """Run a scenario beside a running watch."""

    async def main() -> None:
        woken = asyncio.Event()
        async with await Cluster.connect(plane.kubeconfig) as cluster:
            cache = Cache()
            watch = Watch(cluster, cache, woken.set)
            running = asyncio.create_task(watch.run())
            try:
                async with asyncio.timeout(60):
                    synced = asyncio.create_task(watch.synced.wait())
                    await asyncio.wait([running, synced], return_when=asyncio.FIRST_COMPLETED)
                    if running.done():
                        running.result()
                    await scenario(watch, cache, woken)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
    # A process that ends does not wait for kopf; the next test must not run beside it.
    for thread in threading.enumerate():
        if thread.name == "kopf":
            thread.join(timeout=30)
    gc.collect()


async def until(true: Callable[[], bool]) -> None:
    """Let events come in; the scenario's time-out bounds it."""
    while not true():  # noqa: ASYNC110 - it is the API server's event that is waited for
        await asyncio.sleep(0.02)


def names(cache: Cache) -> set[str]:
    """The budgets in the cache."""
    return {seen.metadata.name for seen in cache.world().budgets}


def test_synced_means_that_everything_that_was_there_is_there(api_server: ControlPlane) -> None:
    """An empty cache must never be taken for an empty cluster."""
    for number in range(50):
        api_server.client.apply(budget(f"synced-{number}"))

    async def scenario(_watch: Watch, cache: Cache, _woken: asyncio.Event) -> None:
        assert {f"synced-{number}" for number in range(50)} <= names(cache)
        assert {"default", "kube-system"} <= set(cache.world().namespaces)

    watched(api_server, scenario)


def test_edits_and_deletions_come_in_and_call_for_a_cycle(api_server: ControlPlane) -> None:
    """The reaction time of an edit is not that of the interval."""

    async def scenario(_watch: Watch, cache: Cache, woken: asyncio.Event) -> None:
        woken.clear()
        api_server.client.apply(budget("edited"))
        await until(lambda: "edited" in names(cache))
        await woken.wait()
        woken.clear()
        api_server.client.apply(budget("edited", 200))
        await woken.wait()
        woken.clear()
        api_server.client.delete(f"{BUDGETS}/edited")
        await until(lambda: "edited" not in names(cache))
        await woken.wait()

    watched(api_server, scenario)


def test_kopf_leaves_nothing_on_the_objects(api_server: ControlPlane) -> None:
    """No finalizer that could hang, no annotation that GitOps would see."""
    api_server.client.apply(budget("untouched"))

    async def scenario(_watch: Watch, cache: Cache, _woken: asyncio.Event) -> None:
        api_server.client.apply(budget("untouched", 300))
        await until(
            lambda: any(
                s.metadata.generation == 2 for s in cache.world().budgets if s.metadata.name == "untouched"
            )
        )

    watched(api_server, scenario)
    stored = api_server.client.get(f"{BUDGETS}/untouched")
    assert "finalizers" not in stored["metadata"]
    assert "annotations" not in stored["metadata"]
    assert {entry["manager"] for entry in stored["metadata"]["managedFields"]} == {"sandbox"}


def test_the_watch_outlives_a_restart_of_the_api_server(api_server: ControlPlane) -> None:
    """Without an end of the process: kopf connects again, and events come in as before."""

    async def scenario(_watch: Watch, cache: Cache, _woken: asyncio.Event) -> None:
        await asyncio.to_thread(api_server.stop_api_server)
        await asyncio.to_thread(api_server.start_api_server)
        api_server.client.apply(budget("after-restart"))
        await until(lambda: "after-restart" in names(cache))

    watched(api_server, scenario)
