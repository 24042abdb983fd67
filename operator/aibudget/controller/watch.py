"""The wiring of kopf: watches that feed the cache, and nothing else.

kopf runs in a thread and a loop of its own, since at its end it waits for and then cancels every task of the
loop it is in, and takes its signals. Only `on.event` handlers are registered: no finalizers, no annotations,
no patches. `synced` is set by lists of our own, which also find, every few minutes, what was deleted while
a watch had to start anew: kopf never tells that (tried with 410 Gone).
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from aibudget.api.names import GROUP
from aibudget.controller.cache import OPTIONAL, WATCHED, AnySeen, Cache, read, read_all
from aibudget.enforcement.pods import Lister
from aibudget.errors import Stalled, Transient
from aibudget.inventory.kubernetes import Cluster, Forbidden, NotServed, Objects
from aibudget.inventory.resource import DEVICE_TAINT_RULES, Resource

RELIST_SECONDS: Final = 300.0
RETRY_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


class WatchEnded(Transient):
    """kopf stopped without being asked to.

    The process ends, for a cache that no longer moves must not be used.
    """


async def taint_rules(cluster: Lister) -> Objects:
    """DeviceTaintRules by the newest version that the API server has; none where it has none, as most."""
    for resource in DEVICE_TAINT_RULES:
        try:
            return await cluster.list(resource)
        except NotServed:
            continue
    return []


class Watch:
    """Keeps `cache` up to date; `wake` is called in the loop of `run`, after a change worth a cycle."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        wake: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._wake = wake
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Watch until cancelled; raises what ended it."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        kopf_thread = _KopfThread(self._registry(loop), loop, ended)
        kopf_thread.start()
        try:
            while True:
                done, _ = await asyncio.wait([ended], timeout=await self._relist())
                if done:
                    ended.result()
                    raise WatchEnded("WatchEnded", "kopf ended by itself; see its log above.")
        finally:
            kopf_thread.stop()

    async def _relist(self) -> float:
        """List everything once; how many seconds until the next time."""
        try:
            for resource in WATCHED:
                known = self._cache.before_list(resource)
                try:
                    listed = await self._listed(resource)
                except NotServed:
                    if resource in OPTIONAL:
                        continue
                    raise
                if self._cache.replace(resource, listed, known):
                    self._wake()
            await self._relist_taint_rules()
        except NotServed as missing:
            raise Stalled(
                "CRDsMissing",
                f"{missing.message} Install the CRDs: aibudget crds | kubectl apply --server-side -f -",
            ) from missing
        except (Transient, Forbidden) as error:
            # An API server that has just started knows no roles yet, and forbids everything.
            log.warning("cannot list what is watched: %s", error.message)
            return RETRY_SECONDS
        self.synced.set()
        return RELIST_SECONDS

    async def _listed(self, resource: Resource) -> list[AnySeen]:
        # What thousands of budgets say as JSON takes more than all that is known of them, and little is new.
        known, pages = self._cache.known(resource), self._cluster.pages(resource)
        return [seen async for page in pages for seen in read_all(resource, page, known)]

    async def _relist_taint_rules(self) -> None:
        """They are few and stay for days; kopf would warn at each start of what it cannot watch."""
        resource = DEVICE_TAINT_RULES[0]
        known = self._cache.before_list(resource)
        self._cache.replace(resource, read_all(resource, await taint_rules(self._cluster)), known)

    def _registry(self, loop: asyncio.AbstractEventLoop) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        kopf.on.startup(registry=registry)(_tune)
        kopf.on.login(registry=registry)(self._login)
        for resource in WATCHED:
            self._register(registry, resource, loop)
        return registry

    def _register(
        self, registry: kopf.OperatorRegistry, resource: Resource, loop: asyncio.AbstractEventLoop
    ) -> None:
        group, _, version = resource.api_version.rpartition("/")

        @kopf.on.event(group, version, resource.plural, registry=registry, id=f"see-{resource.plural}")
        async def see(event: Any, **_: Any) -> None:
            # Parsed here, in kopf's thread; kept in the thread of the loop, which needs no locks then.
            seen = read(resource, event["object"])
            _let_go(event["object"])
            deleted = event["type"] == "DELETED"
            loop.call_soon_threadsafe(partial(self._note, resource, seen, deleted=deleted))

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        """The credentials that `Cluster` uses; asked again whenever the API server refuses the last token."""
        configuration = self._cluster.configuration
        header = await configuration.get_api_key_with_prefix("BearerToken")
        scheme, _space, token = (header or "").rpartition(" ")
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            proxy_url=configuration.proxy,
        )

    def _note(self, resource: Resource, seen: AnySeen, *, deleted: bool) -> None:
        if self._cache.apply(resource, seen, deleted=deleted) and self.synced.is_set():
            self._wake()


class _KopfThread:
    """One run of kopf; its end is told to a future of the loop that started it."""

    def __init__(
        self,
        registry: kopf.OperatorRegistry,
        loop: asyncio.AbstractEventLoop,
        ended: "asyncio.Future[None]",
    ) -> None:
        self._registry = registry
        self._outer = loop
        self._ended = ended
        self._inner: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        # A daemon: a watch that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._main, name="kopf", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._inner is not None and self._stop is not None and not self._inner.is_closed():
            self._inner.call_soon_threadsafe(self._stop.set)

    def _main(self) -> None:
        error: BaseException | None = None
        try:
            asyncio.run(self._operator())
        except BaseException as raised:  # noqa: BLE001 - whatever ended the thread is told to the loop
            error = raised
        if not self._outer.is_closed():
            self._outer.call_soon_threadsafe(self._tell, error)

    async def _operator(self) -> None:
        self._inner, self._stop = asyncio.get_running_loop(), asyncio.Event()
        await kopf.operator(
            registry=self._registry,
            clusterwide=True,
            standalone=True,
            stop_flag=self._stop,
            memories=_NoMemories(),
        )

    def _tell(self, error: BaseException | None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)


def _let_go(told: dict[str, Any]) -> None:
    """Of an object that was read, all that is large. kopf copies it once more, and what it keeps of an event
    is a ring, which is not found to be one before rings are looked for: thousands of them after a cycle that
    wrote as many statuses.
    """
    for part in told.keys() - {"apiVersion", "kind", "metadata"}:
        del told[part]
    told["metadata"].pop("managedFields", None)


class _NoDifferences(kopf.DiffBaseStorage):
    """kopf copies each object to tell handlers what of it has changed; there are none that ask."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        raise AssertionError("nothing is ever patched")


class _NoMemories(ResourceMemories):
    """kopf keeps a record of each object, a kilobyte, for daemons, timers and what failed; there are none."""

    async def recall(self, raw_body: Any, *, ephemeral: bool = False, **given: Any) -> ResourceMemory:
        """A record that nobody keeps."""
        return await super().recall(raw_body, ephemeral=True, **given)


def _tune(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.persistence.finalizer = f"{GROUP}/unused"
    settings.persistence.diffbase_storage = _NoDifferences()
    settings.posting.enabled = False
    settings.networking.request_timeout = 30.0
    settings.networking.connect_timeout = 5.0
    settings.watching.chunk_size = 500
    # A worker keeps the last event of its object, all of it, for as long as it waits for another.
    settings.queueing.idle_timeout = 0.1
    # Our CRDs are there before us, and a role for all CRDs is more than we need.
    settings.scanning.disabled = True
    settings.process.ultimate_exiting_timeout = None
