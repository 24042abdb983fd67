"""The operator must not be a way to reach what its receivers' owners cannot reach themselves."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from aibudget.notification.addresses import refusal
from aibudget.notification.receivers import Receiver
from aibudget.notification.webhook import Sender
from unit.notification.inbox import Inbox

MakeReceiver = Callable[..., Receiver]

EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))


class Resolver(AbstractResolver):
    """Answers with the next of its addresses each time, and with the last for ever."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """One address."""
        self.asked += 1
        address = self._addresses.pop(0) if len(self._addresses) > 1 else self._addresses[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
        ]

    async def close(self) -> None:
        """Nothing to close."""


def send(receiver: Receiver, sender: Sender | None = None) -> Any:
    """One attempt."""
    return asyncio.run((sender or Sender()).send(receiver, b"{}", "application/json"))


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "0.0.0.0", "224.0.0.1"),
        *("255.255.255.255", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fd20:ce::254", "::", "ff02::1"),
        *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::169.254.169.254"),
    ],
)
def test_metadata_services_are_refused_whatever_is_allowed(address: str) -> None:
    """They give the node's credentials to whoever asks; also when IPv6 wraps them up."""
    assert "no configuration can allow" in (refusal(address, EVERYTHING) or "")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.5", "10.0.0.0/24"),
        ("192.168.1.1", "192.168.0.0/16"),
        ("100.64.0.1", "100.64.0.0/10"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("::1", "::1/128"),
        ("fd12::1", "fd12::/16"),
        ("::ffff:10.0.0.5", "10.0.0.0/24"),
    ],
)
def test_what_is_not_public_needs_to_be_named(address: str, network: str) -> None:
    """An Alertmanager in the cluster is private: whoever configures it says so, and no more than that."""
    assert "allowedNetworks" in (refusal(address, ()) or "")
    assert "allowedNetworks" in (refusal(address, [ip_network("172.16.0.0/12")]) or "")
    assert refusal(address, [ip_network(network)]) is None


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_addresses_are_open(address: str) -> None:
    """That is where Slack is."""
    assert refusal(address, ()) is None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"]
)
def test_every_spelling_of_loopback_is_refused(inbox: Inbox, receiver: MakeReceiver, host: str) -> None:
    """The system's resolver reads numbers in many ways; what it makes of them is what is judged."""
    outcome = send(receiver(url=f"http://{host}:{inbox.port}/", allowedNetworks=[]))

    assert not outcome.arrived
    assert outcome.status is None
    assert inbox.requests == []


def test_a_name_is_judged_by_what_it_is_connected_to(inbox: Inbox, receiver: MakeReceiver) -> None:
    """DNS rebinding: the first answer is public, the second is not; the answer that is used is judged."""
    resolver = Resolver("169.254.169.254")
    hidden = receiver(url=f"http://innocent.example:{inbox.port}/", allowedNetworks=["0.0.0.0/0"])

    outcome = send(hidden, Sender(resolver))
    assert "169.254.169.254 is link-local" in outcome.problem

    rebinding = Sender(Resolver("127.0.0.1", "169.254.169.254"))
    assert send(hidden, rebinding).arrived
    outcome = send(hidden, rebinding)
    assert not outcome.arrived
    assert "169.254.169.254" in outcome.problem
    assert len(inbox.requests) == 1


def test_redirects_are_not_followed(inbox: Inbox, receiver: MakeReceiver) -> None:
    """A public server could send us on to an address that we would never be configured with."""
    inbox.answers = [(307, {"Location": f"{inbox.url}/elsewhere"})]

    outcome = send(receiver())

    assert (outcome.status, outcome.arrived, outcome.hopeless) == (307, False, False)
    assert "redirect" in outcome.problem
    assert [request.path for request in inbox.requests] == ["/hook"]


def test_proxies_of_the_environment_are_not_used(
    inbox: Inbox, receiver: MakeReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would connect for us to addresses that nobody judged."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert send(receiver()).arrived


def test_a_receiver_that_never_answers_is_given_up(receiver: MakeReceiver) -> None:
    """Accepting and saying nothing costs a time-out, no more."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        assert send(receiver(url=url), Sender(timeout=0.05)).problem == "no answer in time"


@pytest.fixture
def flood() -> Iterator[int]:
    """A receiver's port whose answer never ends."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    while True:
                        connection.sendall(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def test_an_endless_answer_is_not_read(receiver: MakeReceiver, flood: int) -> None:
    """Only the head of an answer counts; the rest could fill the memory."""
    assert send(receiver(url=f"http://127.0.0.1:{flood}/")).arrived


SECRET = "T0PS3CRET"


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:9/services/{SECRET}",
        f"http://{SECRET}.invalid/",
        f"https://169.254.169.254/{SECRET}",
        f"ftp://host/{SECRET}",
        f"{SECRET}",
        f"https://user:{SECRET}@host/",
        f"https://host:99999/{SECRET}",
        f"http://127.0.0.1:9/ {SECRET}",
    ],
)
def test_no_failure_tells_the_secret(
    receiver: MakeReceiver, tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    """Whoever knows the address of a Slack webhook can write to its channel: errors name the file instead."""
    caplog.set_level(logging.DEBUG)
    token = tmp_path / "token"
    token.write_text(f"Bearer {SECRET}")
    headers = [{"name": "Authorization", "valueFile": str(token)}]

    outcome = send(receiver(type="Slack", url=url, headers=headers))

    assert outcome.problem
    assert SECRET.lower() not in outcome.problem.lower()
    assert SECRET.lower() not in caplog.text.lower()


def test_a_header_that_would_break_out_is_not_sent(
    inbox: Inbox, receiver: MakeReceiver, tmp_path: Path
) -> None:
    """Two lines in a Secret must not become two headers."""
    token = tmp_path / "token"
    token.write_text("one\r\nX-Evil: two")

    outcome = send(receiver(headers=[{"name": "Authorization", "valueFile": str(token)}]))

    assert outcome.problem == f"the header in {token} must be one line of printable ASCII"
    assert inbox.requests == []


def test_a_certificate_must_be_good(inbox: Inbox, receiver: MakeReceiver, tmp_path: Path) -> None:
    """Encryption without identity is none: neither plain HTTP behind https nor a CA file without a CA."""
    assert "no connection" in send(receiver(url=f"https://127.0.0.1:{inbox.port}/")).problem

    empty = tmp_path / "ca.crt"
    empty.write_text("no certificate")
    outcome = send(receiver(url=f"https://127.0.0.1:{inbox.port}/", caFile=str(empty)))
    assert outcome.problem == f"caFile {empty} holds no certificates"
    assert inbox.requests == []


def test_secrets_are_read_anew_each_time(inbox: Inbox, receiver: MakeReceiver, tmp_path: Path) -> None:
    """They rotate, and nobody restarts the operator for that."""
    token = tmp_path / "token"
    where = receiver(headers=[{"name": "Authorization", "valueFile": str(token)}])
    for value in ("Bearer one", "Bearer two\n"):
        token.write_text(value)
        assert send(where).arrived

    assert [request.headers["Authorization"] for request in inbox.requests] == ["Bearer one", "Bearer two"]
    token.unlink()
    assert "cannot be read" in send(where).problem
