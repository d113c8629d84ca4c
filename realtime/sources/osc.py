"""Numbers that another program sends by Open Sound Control, over UDP, such as whether a robot speaks."""

import re
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

from ...contracts.addresses import without_password
from ...contracts.errors import UserError
from ..streams.counts import Counts
from .pushed import Pushed

try:
    from pythonosc.osc_packet import OscPacket
except ImportError:
    raise UserError("osc: needs python-osc: pip install 'enrapt[osc]'") from None

_ADDRESS: Final = re.compile(r"osc://(\[[0-9A-Fa-f:]+\]|[\w.-]*):(\d{1,5})(/[^#*,?\[\]{}\s]+)")
_DATAGRAM: Final = 65_536  # bytes
_LOOK: Final = 0.2  # s between two looks at whether it is closed


class OscStream(Pushed):
    """Samples that are messages to `osc://HOST:PORT/PATH`, of as many numbers as the modality has.

    True and false are 1 and 0. This computer receives at that port, from anyone who can reach HOST; without a
    host only from itself. A message's time is that of its arrival. Beside the reasons of `Pushed`, messages
    to the path that have other values are dropped as `unreadable`; other messages and paths are ignored.

    Args:
        address: where it listens.
        modality: the bundle's name for it.

    Raises:
        UserError: at construction, an address of another form.
    """

    def __init__(self, address: str, modality: str) -> None:
        super().__init__(modality)
        found = _ADDRESS.fullmatch(address)
        if found is None or not 0 < int(found[2]) < 65_536:
            raise UserError(f"{modality} {without_password(address)}: give osc://HOST:PORT/PATH")
        self.source, self._path = address, found[3]
        self._where = found[1].strip("[]") or "127.0.0.1", int(found[2])
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"enrapt osc {modality}", daemon=True)

    def _open(self) -> None:
        super()._open()
        try:
            family, kind, protocol, _, at = socket.getaddrinfo(*self._where, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(family, kind, protocol)
            self._socket.settimeout(_LOOK)
            self._socket.bind(at)
        except OSError as error:
            raise UserError(f"{self.source}: cannot be received at ({error.strerror or error})") from None
        self._thread.start()

    def close(self) -> None:
        super().close()
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()
        if hasattr(self, "_socket"):
            self._socket.close()

    def why_missing(self, kind: str, recent: Counts, span: int) -> str:
        if kind == "nothing":
            return f"nothing is sent to {self.source}; start what sends it"
        return super().why_missing(kind, recent, span)

    def _run(self) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    datagram = self._socket.recv(_DATAGRAM)
                except TimeoutError:
                    continue
                for values in messages(datagram, self._path):
                    try:
                        self.push(values)
                    except UserError:
                        self._inlet.drop("unreadable")
        except BaseException as error:  # the session continues without it
            self._inlet.fail(error)


def messages(datagram: bytes, path: str) -> Iterator[list[Any]]:
    """The values of each message to a path; nothing of what is not OSC."""
    try:
        packet = OscPacket(datagram)
    except Exception:  # anyone may send anything: several kinds of error, also of too deep bundles
        return
    for timed in packet.messages:
        if timed.message.address == path:
            yield list(timed.message.params)
