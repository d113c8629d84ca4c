"""The open connections of the server: which of them are closed because they are slow, or too many.

uvicorn's only deadline for requests starts again with each byte, so the deadlines are here. And nobody is
refused because others have taken all connections: a new one takes the place of one that has made no use of
its own.
"""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .hosts import network

REQUEST: Final = 10.0  # s for a complete request, from the connection or from the response before it
RESPONSE: Final = 60.0  # s for a client to take a response

# Host and port, as in an ASGI scope; None if it left before uvicorn could ask.
Client = tuple[str, int] | None


@dataclass(slots=True, eq=False)
class Connection:
    """An open connection."""

    socket: socket.socket
    network: str
    allowed: bool = False  # whether it has made a request that was
    websocket: bool = False
    deadline: asyncio.TimerHandle | None = None


class Connections:
    """Those of one server. Used by its thread only.

    Where there are more than `limit`, one is closed that is not a WebSocket: of those that have made no
    allowed request, but for the newest, which have a quarter of the limit; or else of those that have, for
    which they need the token where there is one. It is the oldest of the network that has most of them, so
    that no network takes all.

    Args:
        limit: of open connections.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # The first has made no allowed request for longest.
        self._open: dict[Client, Connection] = {}

    def add(self, client: tuple[str, int], connection: socket.socket) -> None:
        """Note a connection that has just been accepted."""
        if len(self._open) >= self._limit:
            self._forget_closed()
            if len(self._open) >= self._limit:
                self.close_one()
        self._open[client] = Connection(connection, network(client[0]))
        self._expect(client, REQUEST)

    @property
    def sockets(self) -> list[socket.socket]:
        self._forget_closed()
        return [one.socket for one in self._open.values()]

    def cut_off(self) -> None:
        """End all of them now."""
        for connection in self.sockets:
            cut(connection)

    def socket(self, client: Client) -> socket.socket | None:
        """The connection of this client; None if it has been closed."""
        one = self._open.get(client)
        return None if one is None else one.socket

    @contextlib.contextmanager
    def requested(self, client: Client, websocket: bool) -> Iterator[None]:
        """While a complete request is answered, which for a WebSocket may take any time."""
        self._expect(client, None if websocket else RESPONSE)
        try:
            yield
        finally:
            self._expect(client, REQUEST)

    @contextlib.contextmanager
    def allowed(self, client: Client, websocket: bool) -> Iterator[None]:
        """While a request that access control allows is answered."""
        if (one := self._open.pop(client, None)) is None:
            yield
            return
        self._open[client] = one
        one.allowed, one.websocket = True, websocket
        try:
            yield
        finally:
            one.websocket = False

    def close_one(self) -> bool:
        """Make room for another connection; False if all are in use."""
        new = [pair for pair in self._open.items() if not pair[1].allowed]
        candidates = new[: max(0, len(new) + 1 - self._limit // 4)]
        if not candidates:
            used = [pair for pair in self._open.items() if pair[1].allowed and not pair[1].websocket]
            candidates = used or new
        if not candidates:
            return False
        number = Counter([one.network for _, one in candidates])
        most = max(number.values())
        self._close(*next(pair for pair in candidates if number[pair[1].network] == most))
        return True

    def _expect(self, client: Client, seconds: float | None) -> None:
        """From now on the connection is closed after so many seconds, unless this is called again."""
        if (one := self._open.get(client)) is None:
            return
        if one.deadline is not None:
            one.deadline.cancel()
            one.deadline = None
        if seconds is not None:
            loop = asyncio.get_running_loop()
            one.deadline = loop.call_later(seconds, self._close, client, one)

    def _close(self, client: Client, one: Connection) -> None:
        if self._open.get(client) is one:
            del self._open[client]
        if one.deadline is not None:
            one.deadline.cancel()
        cut(one.socket)

    def _forget_closed(self) -> None:
        for client, one in list(self._open.items()):
            if one.socket.fileno() == -1:
                self._close(client, one)


def cut(connection: socket.socket | None) -> None:
    """End a connection now, without sending what waits. The event loop then closes its socket."""
    if connection is not None:
        with contextlib.suppress(OSError):  # closed already
            connection.shutdown(socket.SHUT_RDWR)
