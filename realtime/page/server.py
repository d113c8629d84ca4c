"""An output that serves: the page in the browser, estimates over HTTP and WebSocket.

Whoever writes hands over to the server's thread and goes on: nothing that a client does is waited for.
"""

import asyncio
import contextlib
import errno
import logging
import secrets
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ...contracts.errors import UserError
from ..engine.estimate import Estimate
from ..streams.counts import Counts
from ..streams.samples import Observation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .messages import Command

CONNECTIONS: Final = 1200
WAITING: Final = 1500  # things to tell that the thread has not come to yet; a minute
COMMANDS: Final = 100  # between two calls of `commands`
_FILES: Final = 256  # that the rest of the program may have open
_SEND_BUFFER: Final = (
    1 << 16
)  # bytes that the system keeps for a slow client; it may have megabytes otherwise
_ABORT: Final = 0.3  # s that clients have at the end
_NEEDS: Final = {"resume": "pause"}  # what can be paused can go on


class PageServer:
    """An `Output`, and what goes back: commands. Used by one thread; its server has one of its own.

    Args:
        host: where to listen. Anything but this machine's loopback needs a token, which is in `address`.
        port: 0 for any that is free.

    Attributes:
        address: for a browser.
        counts: captured = used + dropped + waiting, of estimates and marks; `full`: the thread was too slow.

    Raises:
        UserError: the port is taken, there is no such host, or a package is missing.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 8765) -> None:
        try:
            import uvicorn

            from . import messages
            from .app import app_of
            from .clients import BYTES, Clients, Connection, Door
            from .latest import Latest
            from .safety import is_loopback
        except ModuleNotFoundError as error:
            package = str(error.name).partition(".")[0]
            raise UserError(f"the page needs {package}: pip install {package}") from None

        self._socket = _listening(host, port)
        self._port: int = self._socket.getsockname()[1]
        self._host = host
        self._token = None if is_loopback(host) else secrets.token_urlsafe(16)
        self.counts = Counts()
        self._waiting: deque[Callable[[], None]] = deque()
        # Held unless there is something to tell. Letting go of a lock, unlike waking an event loop, asks the
        # system for nothing, and so never gives Python's own lock to a thread that is busy with clients.
        self._nothing = threading.Lock()
        self._nothing.acquire()
        self._ended = False
        self._commands: deque[dict[str, str]] = deque()
        self._messages = messages
        limit = _connections()
        self._latest = Latest()
        self._clients = Clients(limit)
        config = uvicorn.Config(
            app_of(self._latest, self._clients, self._take, host, self._port, self._token),
            http=Door,
            ws=Connection,
            ws_max_size=BYTES,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            log_level=logging.CRITICAL + 1,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=limit,
            backlog=2048,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._loop = asyncio.new_event_loop()
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (("enrapt page", self._run), ("enrapt page's bell", self._ring))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def address(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        token = "" if self._token is None else f"?token={self._token}"
        return f"http://{host}:{self._port}/{token}"

    def hello(self, session: dict[str, Any]) -> None:
        """Tell the page what the run is; see docs/page.md."""
        told = msgspec.to_builtins(session)
        self._hand_over(lambda: self._told_hello(told))

    def status(self, status: dict[str, Any]) -> None:
        """Tell how it goes, about once a second; see docs/page.md."""
        told = msgspec.to_builtins(status)
        self._hand_over(lambda: self._told_status(told))

    def preview(self, landmarks: "NDArray[np.float32] | None", aspect: float) -> None:
        """Show the page the face's landmarks.

        Args:
            landmarks: `[n, 2]`, shares of the picture's width and height; None without a face.
            aspect: the picture's width over its height.
        """
        points = None if landmarks is None else (landmarks.ravel() * 1000).round().astype(int).tolist()
        told = {"points": points, "aspect": round(aspect, 3)}
        self._hand_over(lambda: self._tell_page("landmarks", told))

    def write(self, estimate: Estimate, observation: Observation) -> None:
        """Tell everybody the estimate."""
        self._count(lambda: self._told_estimate(estimate, observation))

    def mark(self, t: float, label: str) -> None:
        """Tell the page what a person noted."""
        self._count(lambda: self._told_mark(t, label))

    def commands(self) -> Iterator[dict[str, str]]:
        """What clients asked for since the last call: `do`, and `label`, which may be empty."""
        while self._commands:
            yield self._commands.popleft()

    def close(self, whole: bool) -> None:
        """Stop serving; a second time does nothing."""
        self._ended = True
        self._wake()
        for thread in self._threads:
            thread.join(2.0)

    def _count(self, tell: Callable[[], None]) -> None:
        self.counts.captured += 1  # by this thread, and `used` by the other: no lock
        if not self._hand_over(tell):
            self.counts.dropped["full"] += 1

    def _hand_over(self, tell: Callable[[], None]) -> bool:
        if len(self._waiting) >= WAITING:
            return False
        self._waiting.append(tell)
        self._wake()
        return True

    def _wake(self) -> None:
        if self._nothing.locked():  # only this thread lets go of it
            self._nothing.release()

    def _ring(self) -> None:
        """In a thread: tell the server's that there is something to tell."""
        while not self._ended:
            self._nothing.acquire()
            with contextlib.suppress(RuntimeError):  # it has failed
                self._loop.call_soon_threadsafe(self._tell)

    # From here on, the server's thread.

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._server.serve([self._socket]))

    def _abort(self) -> None:
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()

    def _tell(self) -> None:
        for _ in range(len(self._waiting)):  # what comes meanwhile rings again: connections want their turn
            self._waiting.popleft()()
        if self._ended:
            self._server.should_exit = True
            self._loop.call_later(_ABORT, self._abort)

    def _told_hello(self, told: dict[str, Any]) -> None:
        self._latest.hello = told
        replay = told.get("kind") == "replay"
        self._latest.history.whole = self._clients.thinned = replay
        self._tell_page("hello", told)

    def _told_status(self, told: dict[str, Any]) -> None:
        self._latest.status = told
        self._tell_page("status", told)

    def _told_estimate(self, estimate: Estimate, observation: Observation) -> None:
        text = self._messages.estimate_json(estimate)
        self._latest.add(estimate, text)
        self._clients.tell("/ws", text)
        if self._clients.listening("/page"):
            self._clients.tell("/page", self._messages.page_estimate(text, observation))
        self.counts.used += 1

    def _told_mark(self, t: float, label: str) -> None:
        self._tell_page("mark", {"t": t, "label": label})
        self.counts.used += 1

    def _tell_page(self, kind: str, content: dict[str, Any]) -> None:
        if self._clients.listening("/page"):
            self._clients.tell("/page", self._messages.typed(kind, content))

    def _take(self, command: "Command") -> None:
        can = (self._latest.hello or {}).get("can", ())
        if _NEEDS.get(command.do, command.do) in can and len(self._commands) < COMMANDS:
            self._commands.append({"do": command.do, "label": command.label})


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there: who connects from now on waits for the thread."""
    where = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise UserError(f"{where}: no such host; give ui or ui:PORT for this machine") from None
    # Of `localhost`, the address that every program tries.
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    listening = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # where it would let two servers share the port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # connections inherit it
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise UserError(f"{where}: {_why_not(error, port)}") from None
    return listening


def _why_not(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        other = port + 1 if port < 65535 else port - 1
        return f"port {port} is taken, by another enrapt perhaps; give another, such as ui:{other}"
    if error.errno == errno.EADDRNOTAVAIL:
        return "not an address of this machine; give ui or ui:PORT for this machine only"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} is not for everybody; give one from 1024 to 65535"
    return f"cannot listen there ({error.strerror})"


def _connections() -> int:
    """How many there may be, so that the rest of the program can open files still."""
    if sys.platform == "win32":
        return CONNECTIONS
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return CONNECTIONS if files == resource.RLIM_INFINITY else max(1, min(CONNECTIONS, files - _FILES))
