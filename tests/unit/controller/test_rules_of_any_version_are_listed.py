"""DeviceTaintRules are read in whatever version the API server has; most have none."""

import asyncio

import pytest

from aibudget.controller.watch import taint_rules
from aibudget.errors import Transient
from aibudget.inventory.kubernetes import NotServed, Objects, Slim
from aibudget.inventory.resource import Resource


class Server:
    """A `Lister` that has one rule, in these versions; `fault` is what else it answers."""

    def __init__(self, *versions: str, fault: Transient | None = None) -> None:
        self._versions, self._fault = versions, fault
        self.asked: list[str] = []

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str = "",
        metadata_only: bool = False,
        slim: Slim | None = None,
    ) -> Objects:
        version = resource.api_version.rpartition("/")[2]
        self.asked.append(version)
        if self._fault is not None:
            raise self._fault
        if version not in self._versions:
            raise NotServed("NotServed", "no such kind")
        return [{"metadata": {"name": version}}]


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        (("v1", "v1beta2"), ["v1"]),
        (("v1beta2", "v1alpha3"), ["v1beta2"]),
        (("v1alpha3",), ["v1alpha3"]),
        ((), []),
    ],
)
def test_the_newest_version_is_read(versions: tuple[str, ...], found: list[str]) -> None:
    """Each rule once, and none is no error."""
    rules = asyncio.run(taint_rules(Server(*versions)))
    assert [rule["metadata"]["name"] for rule in rules] == found


def test_an_api_server_that_is_away_is_not_one_without_rules() -> None:
    """Else devices that nobody can have would be idle for as long."""
    server = Server(fault=Transient("Unreachable", "away"))
    with pytest.raises(Transient, match="away"):
        asyncio.run(taint_rules(server))
    assert len(server.asked) == 1
