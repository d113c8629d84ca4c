"""Numbers that another program serves by WebSocket, such as whether a robot speaks."""

import json
import threading
from typing import Final

from websockets.exceptions import InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.uri import parse_uri

from ...contracts.addresses import without_password
from ...contracts.errors import UserError, one_line
from ..streams.counts import Counts
from .process import BACK_OFF
from .pushed import Pushed

OPENING: Final = 4.0  # s to connect
MAX_MESSAGE: Final = 2**16  # bytes


class WebSocketStream(Pushed):
    """Samples that are messages of `ws://HOST:PORT/PATH`, or `wss://`, to which it connects, and again after
    a break.

    A message is JSON: a number, true or false, or an array of as many as the modality has; its time is that
    of its arrival. Beside the reasons of `Pushed`, other messages are dropped as `unreadable`.

    Args:
        address: of the program that serves them.
        modality: the bundle's name for it.

    Raises:
        UserError: at construction, an address of another form.
    """

    def __init__(self, address: str, modality: str) -> None:
        super().__init__(modality)
        try:
            parse_uri(address)
        except (InvalidURI, ValueError):
            raise UserError(f"{modality} {without_password(address)}: give ws://HOST:PORT/PATH") from None
        self._address, self.source = address, without_password(address)
        self._stopped = threading.Event()
        self._tried = threading.Event()  # it is connected, or could not be
        self._refused: str | None = None  # why
        self._connection: ClientConnection | None = None
        self._thread = threading.Thread(target=self._run, name=f"enrapt ws {modality}", daemon=True)

    def _open(self) -> None:
        super()._open()
        self._thread.start()
        self._tried.wait(2 * OPENING)
        if self._refused is not None:
            raise UserError(f"{self.source}: cannot be reached ({self._refused}); start what serves it first")

    def close(self) -> None:
        super().close()
        self._stopped.set()
        if (connection := self._connection) is not None:
            connection.close()
        if self._thread.ident is not None:
            self._thread.join(OPENING)

    def why_missing(self, kind: str, recent: Counts, span: int) -> str:
        if kind == "nothing":
            return f"{self.source} sends nothing; start it again"
        return super().why_missing(kind, recent, span)

    def _run(self) -> None:
        try:
            pause, longest = BACK_OFF
            while not self._stopped.is_set():
                if self._follow():
                    pause = BACK_OFF[0]
                self._stopped.wait(pause)
                pause, self.restarts = min(2 * pause, longest), self.restarts + 1
        except BaseException as error:  # the session continues without it
            self._inlet.fail(error)

    def _follow(self) -> bool:
        """Receive until the connection ends; whether there was one."""
        connected = False
        try:
            with connect(
                self._address, open_timeout=OPENING, close_timeout=1, max_size=MAX_MESSAGE
            ) as connection:
                self._connection, connected = connection, True
                self._tried.set()
                if not self._stopped.is_set():
                    for message in connection:
                        self._received(message)
        except (OSError, WebSocketException) as error:
            if not self._tried.is_set():
                self._refused = getattr(error, "strerror", None) or one_line(error)
                self._tried.set()
        self._connection = None
        return connected

    def _received(self, message: str | bytes) -> None:
        try:
            values = json.loads(message)
            self.push(values if isinstance(values, list) else [values])
        except (ValueError, RecursionError, OverflowError, UserError):
            self._inlet.drop("unreadable")
