"""WebSocket clients. Each has a bounded queue; a client that is slow or sends too much is disconnected."""

import asyncio
import contextlib
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from .connections import Connections, cut
from .messages import Command, command

QUEUE: Final = 50  # messages that wait for a client, for each person with estimates
MESSAGES: Final = 20  # a second that a client may send
BYTES: Final = 4096  # of a message that a client sends
CLOSE_TIMEOUT: Final = 2.0  # s for a client to read the reason, and again to close; then it is cut off

Handler = Callable[[Command], None]
First = Callable[[], Iterable[str]]


class RateLimit:
    """Allows `n` events in any second."""

    def __init__(self, n: int) -> None:
        self._times: deque[float] = deque(maxlen=n)

    def exceeded(self) -> bool:
        """Count an event now, unless it is one too many."""
        now = time.monotonic()
        if len(self._times) == self._times.maxlen and now - self._times[0] < 1.0:
            return True
        self._times.append(now)
        return False


class Client:
    """An open WebSocket."""

    def __init__(self, websocket: WebSocket, clients: "Clients", connection: socket.socket | None) -> None:
        self._websocket, self._clients, self._connection = websocket, clients, connection
        self._queue: asyncio.Queue[str] = asyncio.Queue(clients.queue)
        self._end: asyncio.Future[tuple[int, str] | None] = asyncio.get_running_loop().create_future()
        self._received = RateLimit(MESSAGES)

    def put(self, text: str) -> None:
        """Send a message as soon as the client has taken those before it.

        Where its queue is full, the client is disconnected or, if `Clients.drop_oldest`, misses the oldest.
        """
        if self._end.done():
            return
        if self._queue.full():
            if not self._clients.drop_oldest:
                self._disconnect("slow", 1013, "too slow")
                return
            self._queue.get_nowait()
        self._queue.put_nowait(text)

    async def serve(self, handle: Handler | None) -> None:
        """Send and receive until the client has left or is disconnected."""
        tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._receive(handle))]
        try:
            end = await self._end
        finally:
            for task in tasks:
                task.cancel()
        if end is not None:
            with contextlib.suppress(Exception):  # it has left
                await asyncio.wait_for(self._websocket.close(*end), CLOSE_TIMEOUT)
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, cut, self._connection)

    async def _send(self) -> None:
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await self._websocket.send_text(await self._queue.get())

    async def _receive(self, handle: Handler | None) -> None:
        try:
            while not self._end.done():
                message = await self._websocket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                self._check(message.get("text"), handle)
        finally:
            if not self._end.done():
                self._end.set_result(None)

    def _check(self, text: str | None, handle: Handler | None) -> None:
        if self._received.exceeded():
            self._disconnect("rate", 1008, f"more than {MESSAGES} messages a second")
        elif text is None:
            self._disconnect("invalid", 1003, "only text messages are accepted")
        elif handle is None:
            self._disconnect("invalid", 1008, "no messages are accepted here")
        else:
            try:
                handle(command.decode(text))
            except msgspec.MsgspecError:
                self._disconnect("invalid", 1008, "not a command")

    def _disconnect(self, reason: str, code: int, text: str) -> None:
        if not self._end.done():
            self._clients.disconnected[reason] += 1
            self._end.set_result((code, text))


class Clients:
    """All WebSocket clients, by path.

    Args:
        limit: of clients; more are refused with 503.
        connections: theirs, among others.

    Attributes:
        disconnected: number by reason: `slow`, `rate`, `invalid`.
        queue: messages that wait for a client.
        drop_oldest: whether a slow client misses messages instead of being disconnected.
    """

    def __init__(self, limit: int, connections: Connections) -> None:
        self.limit, self._connections = limit, connections
        self.disconnected: Counter[str] = Counter()
        self.queue, self.drop_oldest = QUEUE, False
        self._by_path: dict[str, set[Client]] = {"/ws": set(), "/page": set()}

    @property
    def connected(self) -> dict[str, int]:
        return {path: len(clients) for path, clients in self._by_path.items()}

    async def serve(
        self, path: str, websocket: WebSocket, handle: Handler | None = None, first: First = tuple
    ) -> None:
        """Accept a client, and serve it until it has left.

        Args:
            handle: called with each command; None where a client may send nothing.
            first: the messages that it gets first.
        """
        if sum(self.connected.values()) >= self.limit:
            await websocket.send_denial_response(JSONResponse({"error": "too many clients"}, 503))
            return
        connection = self._connections.socket(websocket.scope["client"])
        await websocket.accept()
        client = Client(websocket, self, connection)
        for text in first():
            client.put(text)
        self._by_path[path].add(client)
        try:
            await client.serve(handle)
        finally:
            self._by_path[path].discard(client)

    def send(self, path: str, text: Callable[[], str]) -> None:
        """Send a message, made once, to all clients of that path."""
        if clients := self._by_path[path]:
            message = text()
            for client in clients:
                client.put(message)
