"""Who listens. One that reads slowly, or says too much, is let go; it costs the others nothing."""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from starlette.websockets import WebSocket
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

from .messages import Command, command

WAITING: Final = 50  # messages that a client may be behind
MESSAGES: Final = 20  # a second, that it may send
BYTES: Final = 4096  # of each of them
LEAVING: Final = 2.0  # s for it to hear that it is let go
SILENT: Final = 10.0  # s in which a connection must ask for something
_SPARE: Final = 64  # connections over the limit that are still told so
_UNREAD: Final = 1 << 20  # bytes of answers to pings; nobody honest comes near


class Client:
    """A WebSocket that is open. What it is sent are frames, made once for all: a server's are not masked, and
    nothing is compressed.

    It is let go when it is `WAITING` messages behind, or misses some where that is `Clients.thinned`.
    """

    def __init__(self, websocket: WebSocket, clients: "Clients") -> None:
        self._websocket = websocket
        self._transport: asyncio.Transport = websocket.scope["extensions"]["enrapt"]["transport"]
        self._clients = clients
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._leaving: asyncio.Task[None] | None = None
        self._said: deque[float] = deque()

    def put(self, frame: bytes) -> None:
        """Send a frame, now or as soon as the client has read those before."""
        if self._leaving is not None or self._transport.is_closing():
            return
        if not self._waiting and not self._transport.get_write_buffer_size():
            self._transport.write(frame)
            return
        if len(self._waiting) == WAITING:
            if not self._clients.thinned:
                self.leave("slow", 1013, "too slow")
                return
            self._waiting.popleft()
        if not self._waiting:
            self._loop.call_later(0.02, self._catch_up)
        self._waiting.append(frame)

    def _catch_up(self) -> None:
        if self._leaving is not None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size():
            self._loop.call_later(0.02, self._catch_up)
            return
        self._transport.write(b"".join(self._waiting))
        self._waiting.clear()

    def leave(self, reason: str, code: int, words: str) -> None:
        """Close it; cut it off where it does not even read that."""
        if self._leaving is None:
            self._clients.let_go[reason] += 1
            self._waiting.clear()
            self._leaving = self._loop.create_task(self._close(code, words))

    async def _close(self, code: int, words: str) -> None:
        with contextlib.suppress(Exception):  # it has gone
            await asyncio.wait_for(self._websocket.close(code, words), LEAVING)
        self._loop.call_later(LEAVING, self._transport.abort)

    async def listen(self, take: Callable[[Command], None] | None) -> None:
        """Take what it says until it has gone, or has said what it should not.

        Args:
            take: called with each command; None where nothing may be said.
        """
        while (message := await self._websocket.receive())["type"] == "websocket.receive":
            if self._leaving is not None:
                continue
            now = time.monotonic()
            self._said.append(now)
            if len(self._said) > MESSAGES and now - self._said.popleft() < 1.0:
                self.leave("flood", 1008, f"more than {MESSAGES} messages a second")
            elif (text := message.get("text")) is None:
                self.leave("rubbish", 1003, "only text is understood")
            elif take is None:
                self.leave("rubbish", 1008, "nothing is to be said here")
            else:
                try:
                    take(command.decode(text))
                except msgspec.MsgspecError:
                    self.leave("rubbish", 1008, "not a command")


class Clients:
    """All of them, by path.

    Args:
        limit: how many there may be.

    Attributes:
        let_go: how many, by reason: `slow`, `flood`, `rubbish`.
        thinned: whether a client may miss messages: in a replay they come as fast as it can go.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.let_go: Counter[str] = Counter()
        self.thinned = False
        self._by_path: dict[str, set[Client]] = {"/ws": set(), "/page": set()}

    @property
    def connected(self) -> dict[str, int]:
        return {path: len(clients) for path, clients in self._by_path.items()}

    @property
    def full(self) -> bool:
        return sum(self.connected.values()) >= self.limit

    def listening(self, path: str) -> bool:
        return bool(self._by_path[path])

    @contextlib.contextmanager
    def joined(self, path: str, websocket: WebSocket) -> Iterator[Client]:
        """A client from now until it has gone."""
        client = Client(websocket, self)
        self._by_path[path].add(client)
        try:
            yield client
        finally:
            self._by_path[path].discard(client)

    def tell(self, path: str, text: bytes) -> None:
        """Send a message to all of that path."""
        clients = self._by_path[path]
        if clients:
            frame = frame_of(text)
            for client in clients:
                client.put(frame)


def frame_of(text: bytes) -> bytes:
    return Frame(Opcode.TEXT, text).serialize(mask=False)


class Connection(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, whose transport the application may use."""

    async def run_asgi(self) -> None:
        self.scope["extensions"]["enrapt"] = {"transport": self.transport}
        await super().run_asgi()

    def data_received(self, data: bytes) -> None:
        if self.transport.get_write_buffer_size() > _UNREAD:
            self.transport.abort()
        else:
            super().data_received(data)


class Door(H11Protocol):
    """uvicorn's HTTP connection. One that asks for nothing does not stay, and far too many do not get in."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency + _SPARE:
            transport.abort()
        else:
            self.timeout_keep_alive_task = self.loop.call_later(SILENT, self.timeout_keep_alive_handler)
