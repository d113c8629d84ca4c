"""The listening socket of the page: the run's process opens it, the page's process accepts connections."""

import errno
import socket
import sys
from typing import TYPE_CHECKING, Any, Final

from ...contracts.errors import UserError

if TYPE_CHECKING:
    from .connections import Connections  # which needs asyncio

SEND_BUFFER: Final = 1 << 16  # bytes that the kernel holds for a slow client; it may hold megabytes otherwise
UNREAD: Final = 10.0  # s without any progress of data sent, after which Linux ends a connection
ACCEPTED: Final = 8  # at a time, so that the requests of those before are read in between
_WAITING: Final = 4096  # connections that the kernel holds meanwhile; Linux allows that many


def listening(host: str, port: int) -> socket.socket:
    """A listening TCP socket.

    Args:
        host, port: where to listen; port 0 for any free port.

    Raises:
        UserError: the address cannot be used.
    """
    where = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, ValueError):  # a ValueError: no host has that name
        raise UserError(f"{where}: no such host; give ui or ui:PORT for this machine") from None
    # `localhost` may have two addresses; every program tries IPv4.
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # where it would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # connections inherit both
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNREAD * 1000))
        listener.bind(address)
        listener.listen(_WAITING)
    except OSError as error:
        listener.close()
        raise UserError(f"{where}: {_reason(error, port)}") from None
    return listener


class Listener(socket.socket):
    """A listening socket that hands each connection to `connections`.

    asyncio's selector event loop accepts connections by calling `accept` of this object, so it is done here.

    Args:
        descriptor: of the socket; see `listening`.
    """

    def __init__(self, descriptor: int, connections: "Connections") -> None:
        super().__init__(fileno=descriptor)
        self._connections = connections

    def listen(self, backlog: int = _WAITING, /) -> None:
        """Listen. asyncio's `backlog` is not used: it is also how many connections it accepts at a time."""
        super().listen(_WAITING)

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            connection, peer = super().accept()
        except OSError as error:
            # Without files that can be opened, asyncio would accept nobody for a second.
            if error.errno in (errno.EMFILE, errno.ENFILE) and self._connections.close_one():
                raise BlockingIOError from None
            raise
        self._connections.add(peer[:2], connection)
        return connection, peer


def _reason(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else port - 1
        return f"port {port} is in use, perhaps by another enrapt; give another, such as ui:{other}"
    if error.errno == errno.EADDRNOTAVAIL:
        return "not an address of this machine; give ui or ui:PORT for this machine only"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} needs privileges; give one from 1024 to 65535"
    return f"cannot listen there ({error.strerror})"
