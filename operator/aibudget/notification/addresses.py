"""Where the operator may connect to for a receiver. Pure.

A receiver's address may come from a Secret that somebody else writes, and its name may resolve to anything:
what counts is the address that is connected to. Metadata services of clouds give credentials to whoever asks
from the right machine: they are refused whatever the configuration says. Addresses of no public network are
refused unless the receiver's configuration names their network.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NEVER: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local, where AWS, Azure, GCP and OpenStack keep their metadata
        "168.63.129.16/32",  # Azure's wire server, a public address
        "100.100.100.200/32",  # Alibaba Cloud's metadata
        "192.0.0.192/32",  # Oracle Cloud's metadata, of old
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/128",
        "fe80::/10",
        "fec0::/10",
        "fd00:ec2::254/128",  # AWS's metadata over IPv6
        "fd20:ce::254/128",  # GCP's
        "ff00::/8",
    )
)
_EMBEDDING: Final = (
    # The network, and by how many bits the IPv4 address is shifted in it.
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("64:ff9b:1::/48"), 0),
    (IPv6Network("2002::/16"), 80),
)
_TEREDO: Final = IPv6Network("2001::/32")


def refusal(address: str, allowed: Sequence[Network]) -> str | None:
    """Why nothing is sent to this address, as part of a sentence; None where it may be. Raises ValueError."""
    found = ip_address(address.partition("%")[0])
    meant = _embedded(found) or (found,)
    if any(one in network for one in (found, *meant) for network in NEVER if one.version == network.version):
        return f"{found} is link-local, multicast or a metadata service, which no configuration can allow"
    if all(one.is_global or _within(one, allowed) for one in meant):
        return None
    kind = "loopback" if any(one.is_loopback for one in meant) else "not public"
    return f"{found} is {kind}; if it is the receiver, list its network in allowedNetworks"


def _embedded(address: Address) -> tuple[Address, ...]:
    """The IPv4 addresses to which a translator or a tunnel would send what is sent to an IPv6 one."""
    if isinstance(address, IPv4Address) or address in (IPv6Address("::1"), IPv6Address("::")):
        return ()
    if address in _TEREDO:
        return (IPv4Address((int(address) >> 64) & 0xFFFFFFFF), IPv4Address(~int(address) & 0xFFFFFFFF))
    return tuple(
        IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
        for network, shift in _EMBEDDING
        if address in network
    )


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
