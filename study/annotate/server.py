"""Serves the annotation page, from a thread, to this machine only."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final, Self

import uvicorn

from ...realtime.page.listener import listening
from .app import app_of
from .onward import Onward
from .task import Task

HOST: Final = "127.0.0.1"
_HEADER: Final = 1 << 14  # bytes of a request's header


class AnnotationServer:
    """A context manager.

    Args:
        onward: gives the sessions after this one.
        port: 0 for any free port.
        token: that clients need; None: any program on this machine may connect.
        warn: see `app_of`.

    Attributes:
        address: of the page, without the token.

    Raises:
        UserError: the port is in use.
    """

    def __init__(
        self,
        task: Task,
        port: int,
        *,
        token: str | None = None,
        warn: Callable[[str], None] = print,
        onward: Onward | None = None,
    ) -> None:
        self._listener = listening(HOST, port)
        port = int(self._listener.getsockname()[1])
        self.address = f"http://{HOST}:{port}/"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app_of(task, port, token, warn, onward),
                http="h11",
                h11_max_incomplete_event_size=_HEADER,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level=logging.CRITICAL + 1,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        # uvicorn handles signals only where it runs in the main thread.
        self._thread = threading.Thread(target=self._serve, name="enrapt annotate", daemon=True)

    def _serve(self) -> None:
        asyncio.run(self._server.serve([self._listener]))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
