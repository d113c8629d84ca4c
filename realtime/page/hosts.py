"""Names and addresses of hosts: this machine's, and those of clients."""

import contextlib
import ipaddress
import socket
from typing import Final

# Of documentation (RFC 5737, RFC 3849): a datagram's route there is looked up, and nothing is sent.
_ELSEWHERE: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to it."""
    return host == "localhost" or bool((address := _address(host)) and address.is_loopback)


def reachable(host: str) -> str:
    """What another machine can connect to where a server listens on `host`.

    For all addresses (`0.0.0.0`, `::`) it is this machine's on the route to other networks, or else its name.
    """
    families = {"0.0.0.0": (socket.AF_INET,), "::": (socket.AF_INET6, socket.AF_INET)}
    if host not in families:
        return host
    for family in families[host]:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as route:
            route.connect((_ELSEWHERE[family], 9))
            return str(route.getsockname()[0])
    return socket.gethostname()


def network(host: str) -> str:
    """Where a client is: its IPv4 address, or the 64 bits of an IPv6 address that one client can vary."""
    address = _address(host)
    if not isinstance(address, ipaddress.IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
