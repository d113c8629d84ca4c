"""Open Sound Control, over UDP: a message of numbers a tick, to one receiver.

Source: M. Wright, "Open Sound Control 1.0 specification", 2002.
"""

import re
import socket
from typing import Final

import msgspec

from ...contracts.addresses import without_password
from ...contracts.errors import UserError
from ..engine.columns import Column, numbers, signals
from ..engine.estimate import Estimate
from ..streams import wall_clock
from ..streams.samples import Observation
from .addresses import url
from .output import Destination

try:
    from pythonosc.osc_message_builder import OscMessageBuilder
except ImportError:
    raise UserError("osc: needs python-osc: pip install 'enrapt[osc]'") from None

_PATH: Final = re.compile(r"(?:(?![#*,?\[\]{}])[!-~])+")  # OSC uses the others in patterns


class OscOutput:
    """Sends `signals` to `/PATH` as floats, NaN where there is no value; to `/PATH/mark` time and label.

    Before each estimate its time and its wall-clock time, ISO 8601, go to `/PATH/time`.

    With UDP there is no acknowledgement: a message that no one receives is lost without an error.

    Raises:
        OSError: at construction, the host has no address.
    """

    def __init__(self, host: str, port: int, path: str) -> None:
        family, kind, protocol, _, to = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self._to, self._path = to, path
        self._socket = socket.socket(family, kind, protocol)
        self._columns: list[Column] = []

    def write(self, estimate: Estimate, observation: Observation) -> None:
        self._columns = self._columns or signals(estimate.present)
        when = estimate.wall_clock
        time = OscMessageBuilder(f"{self._path}/time")
        time.add_arg(estimate.t, "f")
        time.add_arg("" if when is msgspec.UNSET else wall_clock.iso(when), "s")
        self._send(time)
        message = OscMessageBuilder(self._path)
        for number in numbers(self._columns, estimate):
            message.add_arg(number, "f")
        self._send(message)

    def mark(self, t: float, label: str) -> None:
        message = OscMessageBuilder(f"{self._path}/mark")
        message.add_arg(t, "f")
        message.add_arg(label.encode(errors="replace").decode().replace("\0", ""), "s")
        self._send(message)

    def close(self, complete: bool) -> None:
        self._socket.close()

    def _send(self, message: OscMessageBuilder) -> None:
        self._socket.sendto(message.build().dgram, self._to)


def osc_destination(address: str) -> Destination:
    """The output of `osc://HOST:PORT/PATH`."""
    try:
        parts = url(address)
        if not parts.port or not _PATH.fullmatch(parts.path) or parts.options or parts.user is not None:
            raise ValueError(address)
    except ValueError:
        raise UserError(
            f"{without_password(address)}: give osc://HOST:PORT/PATH, such as osc://127.0.0.1:9000/engagement"
        ) from None
    host, port, path = parts.host, parts.port, f"/{parts.path}"
    return Destination(address, lambda: OscOutput(host, port, path), reopen=True)
