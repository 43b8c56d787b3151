"""Where a call comes from, and whether its customer lets it come from there. Plain Python.

Of X-Forwarded-For one hop is believed, the entry that our own proxy put at the right end, and only where the peer is
that proxy. Everything else in it, and every other such header, was written by the caller.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

# How TRUSTED_PROXIES names a proxy that connects through a Unix socket.
UNIX: Final = "unix"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted_proxies: Iterable[str]) -> str | None:
    """The caller's address in its one spelling (IPv4 out of IPv6, no zone); None where there is none to know.

    `peer` is the other end of the connection: an address, or None or a path for a Unix socket. `forwarded_for` holds
    the value of each X-Forwarded-For header. Two headers, or a last entry that is no bare address: the peer's address.
    """
    address = _parse(peer, zone_allowed=True)
    if len(forwarded_for) != 1 or not _is_proxy(address, peer, tuple(trusted_proxies)):
        return str(address) if address else None
    forwarded = _parse(forwarded_for[0].rpartition(",")[2].strip(" \t"), zone_allowed=False)
    believed = forwarded or address
    return str(believed) if believed else None


def is_trusted(peer: str | None, trusted_proxies: Iterable[str]) -> bool:
    """True where the other end of the connection is our own proxy, so that what it says of the caller is believed."""
    return _is_proxy(_parse(peer, zone_allowed=True), peer, tuple(trusted_proxies))


def is_allowed(address: str | None, networks: Sequence[str]) -> bool:
    """True where `networks` (CIDR) is empty or one holds the address. An unknown address is in no network."""
    if not networks:
        return True
    parsed = _parse(address, zone_allowed=False)
    return parsed is not None and _is_in(parsed, _networks(tuple(networks)))


def malformed(entries: Iterable[str]) -> list[str]:
    """The entries of a TRUSTED_PROXIES list that name neither an address, a network nor a Unix socket."""
    return [entry for entry in entries if entry != UNIX and _network(entry) is None]


def _is_proxy(address: _Address | None, peer: str | None, trusted_proxies: tuple[str, ...]) -> bool:
    if address is not None:
        return _is_in(address, _networks(trusted_proxies))
    is_socket = not peer or peer.startswith(("/", "unix:"))
    return is_socket and UNIX in trusted_proxies


def _is_in(address: _Address, networks: tuple[_Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


@lru_cache(maxsize=1024)
def _networks(texts: tuple[str, ...]) -> tuple[_Network, ...]:
    """What is no network holds nobody, so a mistake locks out and never lets in."""
    return tuple(network for network in map(_network, texts) if network is not None)


def _network(text: str) -> _Network | None:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def _parse(text: str | None, *, zone_allowed: bool) -> _Address | None:
    """An address, IPv4 taken out of IPv6, or None. A zone (`fe80::1%eth0`) is the local end's own business."""
    if not text or (not zone_allowed and "%" in text):
        return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
