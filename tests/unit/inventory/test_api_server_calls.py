"""What is asked again, what is not, and which error each answer is; against a scripted server."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from aibudget.errors import Conflict, Stalled, Transient
from aibudget.inventory.kubernetes import AlreadyExists, Cluster, Forbidden, NotFound, NotServed, Unavailable
from aibudget.inventory.resource import DEPLOYMENTS, NODES, PODS, Refused

Answer = tuple[int, Any, dict[str, str]]
TEST = [{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]


class Server:
    """Gives the scripted answers in order, the last one for ever; keeps what was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[web.Request] = []
        self.bodies: list[str] = []
        self.pauses: list[float] = []

    def run(self, work: Callable[[Cluster], Awaitable[Any]]) -> Any:
        return asyncio.run(self._run(work))

    async def _run(self, work: Callable[[Cluster], Awaitable[Any]]) -> Any:
        async def pause(seconds: float) -> None:
            self.pauses.append(seconds)

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        configuration = Configuration()
        configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with Cluster(ApiClient(configuration), timeout_seconds=2, sleep=pause) as cluster:
                return await work(cluster)
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.bodies.append(await request.text())
        status, content, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        text = content if isinstance(content, str) else json.dumps(content)
        return web.Response(status=status, text=text, headers=headers)


def status(code: int, reason: str = "", **more: Any) -> Answer:
    return code, {"kind": "Status", "message": f"said {code}", "reason": reason, **more}, {}


OBJECT: Answer = (200, {"metadata": {"name": "x"}}, {})


def test_reads_are_asked_again() -> None:
    """429 waits as long as it says, 500 and 503 a little longer each time, and then the answer counts."""
    busy = (429, {"message": "busy"}, {"Retry-After": "3"})
    server = Server(busy, status(500), status(503), OBJECT)
    assert server.run(lambda c: c.get(PODS, "x", "team")) == OBJECT[1]
    assert server.pauses[0] == 3
    assert server.pauses[1] < server.pauses[2]


def test_asking_again_ends() -> None:
    """A server that stays busy is given up after a few times, none longer than ten seconds."""
    server = Server((429, {"message": "busy"}, {"Retry-After": "3600"}))
    with pytest.raises(Unavailable):
        server.run(lambda c: c.get(PODS, "x", "team"))
    assert len(server.asked) == 4
    assert server.pauses == [10.0] * 3


@pytest.mark.parametrize(("answer", "times"), [(status(500), 1), (status(429), 4)])
def test_writes_that_must_not_be_repeated(answer: Answer, times: int) -> None:
    """Creates and JSON patches are sent again only if they were not looked at."""
    calls: list[Callable[[Cluster], Awaitable[Any]]] = [
        lambda c: c.create(PODS, {"metadata": {"name": "x"}}, "team"),
        lambda c: c.patch(PODS, "x", TEST, "team"),
    ]
    for call in calls:
        server = Server(answer)
        with pytest.raises(Unavailable):
            server.run(call)
        assert len(server.asked) == times


@pytest.mark.parametrize(
    ("answer", "error", "consequence"),
    [
        (status(404, "NotFound", details={"name": "x"}), NotFound, Conflict),
        (status(404, "NotFound"), NotServed, Transient),
        ((404, "404 page not found", {}), NotServed, Transient),
        (status(409), Conflict, Conflict),
        (status(409, "AlreadyExists"), AlreadyExists, Conflict),
        (status(422, "Invalid", details={}), Conflict, Conflict),
        (status(422, "Invalid", details={"causes": []}), Refused, Stalled),
        (status(403), Forbidden, Stalled),
        (status(400), Refused, Stalled),
        (status(401), Unavailable, Transient),
        (status(500), Unavailable, Transient),
        ((200, "<html>proxy</html>", {}), Unavailable, Transient),
        ((502, "", {}), Unavailable, Transient),
        ((200, "[1]", {}), Unavailable, Transient),
    ],
)
def test_which_error_an_answer_is(answer: Answer, error: type[Exception], consequence: type) -> None:
    """Every answer has one consequence: decide again, wait for a human, or try at the next cycle."""
    with pytest.raises(error) as caught:
        Server(answer).run(lambda c: c.patch(DEPLOYMENTS, "x", TEST, "team"))
    assert isinstance(caught.value, consequence)
    assert str(caught.value).endswith(".")


def test_an_unknown_kind_is_no_missing_object() -> None:
    """A GET is None only if the server knows the kind and says that the name is not there."""
    missing = status(404, "NotFound", details={"name": "x"})
    assert Server(missing).run(lambda c: c.get(PODS, "x", "team")) is None
    with pytest.raises(NotServed):
        Server((404, "404 page not found", {})).run(lambda c: c.get(PODS, "x", "team"))


def test_nobody_answers() -> None:
    """A connection that is refused is Transient, after it was tried again."""

    async def work() -> None:
        configuration = Configuration()
        configuration.host = "http://127.0.0.1:1"

        async def no_pause(_: float) -> None: ...

        async with Cluster(ApiClient(configuration), sleep=no_pause) as cluster:
            await cluster.get(PODS, "x", "team")

    with pytest.raises(Unavailable, match="did not answer"):
        asyncio.run(work())


def test_lists_read_all_pages() -> None:
    """Pages follow by token; an expired one starts the list once more; each item says what it is."""
    first: Answer = (200, {"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "t"}}, {})
    second: Answer = (200, {"items": [{"metadata": {"name": "b"}}], "metadata": {}}, {})
    server = Server(first, status(410), first, second)
    found = server.run(lambda c: c.list(DEPLOYMENTS, labels="a=b"))
    assert [(o["metadata"]["name"], o["kind"], o["apiVersion"]) for o in found] == [
        ("a", "Deployment", "apps/v1"),
        ("b", "Deployment", "apps/v1"),
    ]
    assert server.asked[0].path == "/apis/apps/v1/deployments"
    assert server.asked[3].query["continue"] == "t"
    assert {request.query["labelSelector"] for request in server.asked} == {"a=b"}


def test_every_write_names_us() -> None:
    """The field manager is on creates, patches and applies, whatever their kind."""
    server = Server(OBJECT)

    async def write(cluster: Cluster) -> None:
        await cluster.create(PODS, {"metadata": {"name": "x"}}, "team")
        await cluster.patch(PODS, "x", TEST, "team")
        await cluster.patch(PODS, "x", {"status": {}}, "team", status=True)
        await cluster.apply(PODS, {"metadata": {"name": "x", "namespace": "team"}})
        await cluster.delete(PODS, "x", "team", uid="u")

    server.run(write)
    assert [request.query.get("fieldManager") for request in server.asked] == ["aibudget"] * 4 + [None]
    assert [request.content_type for request in server.asked[1:4]] == [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/apply-patch+yaml",
    ]
    assert server.asked[2].path.endswith("/pods/x/status")
    assert json.loads(server.bodies[4])["preconditions"] == {"uid": "u"}


@pytest.mark.parametrize("name", ["", ".", "..", "../../nodes/n", "a/b"])
def test_names_that_would_leave_their_place(name: str) -> None:
    """An empty name would be the whole collection, and dots another one: nothing is sent."""
    server = Server(OBJECT)
    for namespace in ("team", name):
        with pytest.raises(Refused):
            server.run(partial(Cluster.delete, resource=PODS, name=name, namespace=namespace))
    with pytest.raises(Refused):
        server.run(lambda c: c.delete(NODES, name))
    with pytest.raises(Refused):
        server.run(lambda c: c.delete(PODS, "x"))
    assert server.asked == []


def test_the_servers_clock_is_noted() -> None:
    """The difference to the server's clock is known after an answer; no date, no difference."""
    server = Server((200, {}, {"Date": "Sat, 01 Jan 2000 00:00:00 GMT"}), (200, {}, {"Date": "now"}))

    async def work(cluster: Cluster) -> list[float | None]:
        before = cluster.skew_seconds
        await cluster.get(PODS, "x", "team")
        then = cluster.skew_seconds
        await cluster.get(PODS, "x", "team")
        return [before, then, cluster.skew_seconds]

    before, then, after = server.run(work)
    assert before is None
    assert then < -800_000_000
    assert after is None
