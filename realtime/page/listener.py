"""The listening socket of the server, and the limits of its connections."""

import asyncio
import contextlib
import errno
import socket
import sys
from typing import Any, Final

from ...contracts.errors import UserError

SEND_BUFFER: Final = 1 << 16  # bytes that the kernel holds for a slow client; it may hold megabytes otherwise
SILENCE: Final = 10.0  # s after which a connection without a complete request is closed
UNREAD: Final = 10.0  # s without any progress of data sent, after which Linux ends a connection

Client = tuple[str, int]  # host and port, as in an ASGI scope


class Listener(socket.socket):
    """A listening TCP socket that knows the connections accepted from it.

    uvicorn has options neither for closing silent connections nor for cutting off clients that stop reading.
    asyncio's selector event loop accepts connections by calling `accept` of this object, so it is done here.

    Args:
        host, port: where to listen; port 0 for any free port.
        limit: of open connections; more are closed at once.

    Raises:
        UserError: the address cannot be used.
    """

    def __init__(self, host: str, port: int, limit: int) -> None:
        where = f"{host}:{port}"
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except socket.gaierror:
            raise UserError(f"{where}: no such host; give ui or ui:PORT for this machine") from None
        # `localhost` may have two addresses; every program tries IPv4.
        family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        super().__init__(family, kind, protocol)
        self._limit = limit
        self._connections: dict[Client, socket.socket] = {}
        self._silent: set[Client] = set()
        try:
            if sys.platform != "win32":  # where it would let two servers share the port
                self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # connections inherit both
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                self.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNREAD * 1000))
            self.bind(address)
            self.listen(limit)
        except OSError as error:
            self.close()
            raise UserError(f"{where}: {_reason(error, port)}") from None

    def accept(self) -> tuple[socket.socket, Any]:
        while True:
            connection, peer = super().accept()
            if len(self.connections) < self._limit:
                break
            connection.close()
        client = peer[:2]
        self._connections[client] = connection
        self._silent.add(client)
        asyncio.get_running_loop().call_later(SILENCE, self._close_silent, client, connection)
        return connection, peer

    @property
    def connections(self) -> list[socket.socket]:
        """Open connections."""
        self._connections = {client: one for client, one in self._connections.items() if one.fileno() != -1}
        return list(self._connections.values())

    def requested(self, client: Client) -> None:
        """Note that a request of this client is complete."""
        self._silent.discard(client)

    def connection(self, client: Client) -> socket.socket | None:
        """The connection of this client; None if it has been closed."""
        return self._connections.get(client)

    def _close_silent(self, client: Client, connection: socket.socket) -> None:
        if client in self._silent and self._connections.get(client) is connection:
            self._silent.discard(client)
            cut(connection)


def cut(connection: socket.socket | None) -> None:
    """End a connection now, without sending what waits. The event loop then closes its socket."""
    if connection is not None:
        with contextlib.suppress(OSError):  # closed already
            connection.shutdown(socket.SHUT_RDWR)


def _reason(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else port - 1
        return f"port {port} is in use, perhaps by another enrapt; give another, such as ui:{other}"
    if error.errno == errno.EADDRNOTAVAIL:
        return "not an address of this machine; give ui or ui:PORT for this machine only"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} needs privileges; give one from 1024 to 65535"
    return f"cannot listen there ({error.strerror})"
