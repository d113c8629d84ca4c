"""An output that serves the page in the browser, and estimates over HTTP and WebSocket.

The run's thread puts each tick into a bounded queue and continues; the server's thread takes it from there,
encodes it once and sends it to all clients. Nothing that a client does can delay the run.
"""

import asyncio
import contextlib
import logging
import secrets
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import uvicorn

from ...contracts.errors import one_line
from ..engine.estimate import Estimate
from ..streams.mailbox import Mailbox
from ..streams.samples import Observation
from .app import app_of
from .clients import BYTES, QUEUE, Clients, RateLimit
from .connections import Connections, cut
from .hosts import is_loopback, reachable
from .latest import Latest
from .listener import ACCEPTED, Listener
from .messages import Command, estimate_json, landmarks_of, page_estimate, typed
from .observed import Landmarks, Observed

CONNECTIONS: Final = 200  # half of them may be WebSockets
COMMANDS: Final = 100  # a second, of all clients together
WAITING: Final = 1500  # ticks and marks that wait for the server's thread; a minute of them
_HEADER: Final = 1 << 14  # bytes of a request's header
PING_INTERVAL: Final = 5.0  # s between pings of a WebSocket
PING_TIMEOUT: Final = 10.0  # s that a client has to reply
_PAUSE: Final = 0.001  # s
_THREAD: Final = "enrapt page"
_CLOSE_TIMEOUT: Final = 0.3  # s that clients have at the end of the run


def _of_others(record: logging.LogRecord) -> bool:
    """asyncio warns of writes to clients that have gone: as many lines as they like."""
    return record.threadName != _THREAD


class PageServer:
    """An `Output` that shows and controls a run. Used by one thread; its server has a thread of its own.

    Args:
        host: where to listen. Where clients of another machine can connect, they need a token.
        port: 0 for any free port.
        origins: of other sites whose pages may connect, as `options.origin_of` gives them.
        token: that clients need; without one, it is made up where it is needed.

    Attributes:
        address: of the page, for a browser on another machine, too, if that can connect. It contains the
            token if that was made up.
        invitation: the address, and what else a person needs to open it.
        counts: captured = used + dropped + waiting, of estimates and marks; `full`: the server was too slow,
            `failed`: it has ended.
        warn: called with a line, from the server's thread, when it has ended by an error.

    Raises:
        UserError: the port is in use, or there is no such host.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8765,
        *,
        origins: Sequence[str] = (),
        token: str | None = None,
    ) -> None:
        limit = _limit()
        self._connections = Connections(limit)
        listener = Listener(host, port, self._connections)
        port = int(listener.getsockname()[1])
        made_up = None if token is not None or is_loopback(host) else secrets.token_urlsafe(16)
        self.address = _address(reachable(host), port, made_up)
        self.invitation = self.address + (" (with ?token= and your token)" if token is not None else "")
        self._mailbox: Mailbox[Callable[[], None]] = Mailbox(WAITING)
        self.counts = self._mailbox.counts
        self._run: Observed | None = None
        self._tick: int | None = None  # of the last estimate
        self._person: int | None = None  # who is followed
        self._latest = Latest()
        self._clients = Clients(max(1, limit // 2), self._connections)
        self._commands = RateLimit(COMMANDS)
        config = uvicorn.Config(
            app_of(
                self._latest,
                self._clients,
                self._connections,
                self._handle,
                port,
                token if made_up is None else made_up,
                origins,
            ),
            http="h11",
            h11_max_incomplete_event_size=_HEADER,
            ws="websockets-sansio",
            ws_max_size=BYTES,
            ws_per_message_deflate=False,
            ws_ping_interval=PING_INTERVAL,
            ws_ping_timeout=PING_TIMEOUT,
            lifespan="off",
            log_config=None,
            log_level=logging.CRITICAL + 1,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=ACCEPTED,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._loop = asyncio.SelectorEventLoop()  # see `Listener`
        self._put = asyncio.Event()
        self._failed = False
        self.warn: Callable[[str], None] = print
        logging.getLogger("asyncio").addFilter(_of_others)
        self._thread = threading.Thread(target=self._serve, args=[listener], name=_THREAD, daemon=True)
        self._thread.start()

    def observe(self, run: Observed) -> None:
        """Show this run, and let clients control it. Call it before the run's first estimate."""
        self._run = run
        self._call(self._describe, msgspec.to_builtins(run.description()))

    def write(self, estimate: Estimate, observation: Observation) -> None:
        """Send an estimate and, of the observed run, its landmarks and once a second its status."""
        run, status, landmarks = self._run, None, None
        if run is not None and estimate.tick != self._tick:  # once a tick, however many people there are
            status = run.status() if estimate.tick % run.rate == 0 else None
            landmarks = run.landmarks()
        self._tick = estimate.tick
        if run is not None:
            self._person = run.person or self._person  # also at a tick without a picture
        self._post(partial(self._send, estimate, observation, self._person, status, landmarks))

    def mark(self, t: float, label: str) -> None:
        self._post(partial(self._send_page, "mark", {"t": t, "label": label}))

    def close(self, complete: bool) -> None:
        """Send what waits and stop serving. A second call does nothing."""
        self._mailbox.close()
        self._call(self._put.set)
        self._thread.join(2.0)

    def _post(self, send: Callable[[], None]) -> None:
        if self._failed:
            self._mailbox.refuse("failed")
            return
        self._mailbox.put(send)
        if not self._put.is_set():  # otherwise the server's thread is about to look
            self._call(self._put.set)

    def _call(self, function: Any, *args: Any) -> None:
        """Call a function in the server's thread."""
        with contextlib.suppress(RuntimeError):  # the server is closed
            self._loop.call_soon_threadsafe(function, *args)

    # The rest runs in the server's thread.

    def _serve(self, listener: Listener) -> None:
        async def serve() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._server.serve([listener]))
                tasks.create_task(self._deliver())

        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(serve())
        except Exception as error:
            self._failed = True
            listener.close()
            self._mailbox.clear("failed")
            cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            self.warn(f"the page has ended: {one_line(f'{type(cause).__name__}: {cause}')}")

    async def _deliver(self) -> None:
        """Send what the run's thread has put, until the mailbox is closed."""
        while len(self._mailbox) or not self._mailbox.closed:
            await self._put.wait()
            # Both threads share the interpreter's lock: let the run's thread return from `write` first.
            await asyncio.sleep(_PAUSE)
            self._put.clear()
            while (send := self._mailbox.get(timeout=0)) is not None:
                send()
                await asyncio.sleep(0)  # each client's task can empty its queue
        self._server.should_exit = True
        self._loop.call_later(_CLOSE_TIMEOUT, self._cut_off)

    def _cut_off(self) -> None:
        for connection in self._connections.sockets:
            cut(connection)

    def _describe(self, description: dict[str, Any]) -> None:
        self._latest.description = description
        replay = description["kind"] == "replay"  # may run faster than a client reads
        self._latest.whole = self._clients.drop_oldest = replay
        people = description.get("people", 1)
        self._latest.several, self._clients.queue = people > 1, QUEUE * people
        self._send_page("hello", description)

    def _send(
        self,
        estimate: Estimate,
        observation: Observation,
        person: int | None,
        status: dict[str, Any] | None,
        landmarks: Landmarks | None,
    ) -> None:
        text = estimate_json(estimate)
        if self._latest.add(estimate, text, person):
            self._send_page("people", self._latest.people)
        self._clients.send("/ws", lambda: text)
        schemas = (self._latest.description or {}).get("schemas", {})
        self._clients.send("/page", lambda: page_estimate(text, observation, schemas))
        if landmarks is not None:
            self._send_page("landmarks", landmarks_of(landmarks, person))
        if status is not None:
            self._latest.status = status
            self._send_page("status", status)

    def _send_page(self, kind: str, content: Mapping[str, Any]) -> None:
        self._clients.send("/page", lambda: typed(kind, content))

    def _handle(self, command: Command) -> None:
        """Call the run's method; a command that it cannot do, or one above the limit, is ignored."""
        run, can = self._run, (self._latest.description or {}).get("can", ())
        needed = "pause" if command.do == "resume" else command.do
        if run is None or needed not in can or self._commands.exceeded():
            return
        if command.do == "mark":
            run.mark(command.label)
        elif command.person is not None:
            run.follow(command.person)
        else:
            getattr(run, command.do)()


def _address(host: str, port: int, token: str | None) -> str:
    host = f"[{host.replace('%', '%25')}]" if ":" in host else host  # RFC 6874: `%` is before a zone
    return f"http://{host}:{port}/" + ("" if token is None else f"?token={token}")


def _limit() -> int:
    """How many connections there may be, so that the rest of the program can still open files."""
    if sys.platform == "win32":
        return CONNECTIONS
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return CONNECTIONS if files == resource.RLIM_INFINITY else max(2, min(CONNECTIONS, files // 2))
