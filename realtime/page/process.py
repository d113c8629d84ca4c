"""The page's process: serves what the run's process sends; see `server` for the other side.

The first line of standard input is the request, `{"listener": …, "port": …, "token": …, "origins": …,
"limit": …, "people": […]}`; then come the messages of `wire`. The process ends when standard input does: at
the end of the run, and when the run's process has died. On standard output it writes commands of clients, a
line of JSON each, and before it fails `{"error": …}`.
"""

import asyncio
import base64
import contextlib
import json
import logging
import os
import socket
import sys
import threading
from functools import partial
from typing import Any, Final, NoReturn

import msgspec
import uvicorn
from starlette.types import ASGIApp

from ...contracts.errors import one_line
from ..sources.child import open_pipes, say, send
from .app import guarded
from .clients import BYTES
from .connections import Connections
from .group_service import GroupService
from .listener import ACCEPTED, Listener
from .messages import Command, Passed
from .service import Service
from .wire import unpacked

PING_INTERVAL: Final = 5.0  # s between pings of a WebSocket
PING_TIMEOUT: Final = 10.0  # s that a client has to reply
_NICE: Final = 10
_HEADER: Final = 1 << 14  # bytes of a request's header
_READ: Final = 1 << 16  # bytes of messages at a time; what a pipe holds
_CLOSE_TIMEOUT: Final = 0.3  # s that clients have at the end of the run


def main() -> NoReturn:
    requests, out = open_pipes()
    _stand_back()
    request = json.loads(requests.readline())
    service = service_of(request, out)
    listener = Listener(_inherited(request["listener"]), service.connections)
    # uvicorn handles signals where it runs in the main thread; the parent decides here.
    thread = threading.Thread(target=serve, args=[service, request, listener, requests.fileno(), out])
    thread.start()
    thread.join()
    os._exit(0)


def service_of(request: dict[str, Any], out: int) -> Service | GroupService:
    """What is to be served; it writes commands to the pipe `out`."""

    def pass_on(name: str, command: Command) -> None:
        send(out, msgspec.json.encode(Passed(name, command)) + b"\n")

    connections = Connections(request["limit"])
    limit, needs_token = max(1, request["limit"] // 2), request["token"] is not None
    if names := request["people"]:
        return GroupService(names, connections, limit, pass_on, needs_token)
    return Service(connections, limit, partial(pass_on, ""), needs_token)


def serve(
    service: Service | GroupService, request: dict[str, Any], listener: Listener, pipe: int, out: int
) -> None:
    """Serve what comes from the pipe until it is closed at the other end."""
    app = guarded(service.app, service.connections, request["port"], request["token"], request["origins"])
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:  # see `Listener`
        try:
            runner.run(_serve(service, app, listener, pipe))
        except Exception as error:
            cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            say(out, {"error": one_line(f"{type(cause).__name__}: {cause}")})


def _stand_back() -> None:
    """Leave the processor to the run: on one core only, and only what nobody else wants of that.

    With a lower priority alone, clients that keep the process busy delay the run by some milliseconds each
    time its threads wake on the same core.
    """
    with contextlib.suppress(OSError):  # a sandbox may not allow it
        if sys.platform == "linux":
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        if sys.platform != "win32":
            os.nice(_NICE)


async def _serve(service: Service | GroupService, app: ASGIApp, listener: Listener, pipe: int) -> None:
    server = uvicorn.Server(
        uvicorn.Config(
            app,
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
    )

    async def show() -> None:
        waiting = bytearray()
        while chunk := await asyncio.to_thread(os.read, pipe, _READ):
            waiting += chunk
            for message in unpacked(waiting):
                service.show(message)
                await asyncio.sleep(0)  # each client's task can empty its queue
        server.should_exit = True
        asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT, service.connections.cut_off)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([listener]))
        tasks.create_task(show())


def _inherited(listener: int | str) -> int:
    """The descriptor of the listening socket: it came with the process or, on Windows, in the request."""
    if isinstance(listener, int):
        return listener
    return socket.fromshare(base64.b64decode(listener)).detach()  # type: ignore[attr-defined, no-any-return, unused-ignore]


if __name__ == "__main__":
    main()
