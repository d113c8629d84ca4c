"""Pictures of a camera, as its process sends them: decoded from the pipe, checked and timed."""

from collections import deque
from dataclasses import dataclass
from typing import IO, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..streams.samples import SECOND
from .camera_process import HEADER
from .decoded import decode_jpeg

_RATE_OVER: Final = 60  # pictures
_RECENT: Final = 30  # intervals between new pictures


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it came from the camera.

    Attributes:
        originating_time: ns on the session's clock; when the light reached the sensor.
        data: a JPEG, or uint8 `[height, width, 3]`, RGB.
    """

    originating_time: int
    data: bytes | NDArray[np.uint8]

    @property
    def image(self) -> NDArray[np.uint8] | None:
        """uint8 `[height, width, 3]`, RGB; None where it cannot be decoded. Decodes at each call."""
        return decode_jpeg(self.data) if isinstance(self.data, bytes) else self.data


class Received(NamedTuple):
    """One message of the camera's process.

    Attributes:
        picture: None where it cannot be used.
        problem: why not, `broken` or `repeated`.
        superseded: pictures that the process dropped since the last message.
        waiting: newer pictures that wait in the process.
    """

    picture: Picture | None
    problem: str | None
    superseded: int
    waiting: int


class Camera:
    """Reads what the camera's process sends; pure, of one camera through all its restarts.

    A picture is `repeated` if its bytes equal those of the one before and no time stamp of the source says
    otherwise. A driver that returns the same buffer again does not advance its stamp; a sensor with its
    shutter closed does, and may well return the same black twice. MJPEG over HTTP has no stamps: there a
    picture that stays the same counts as repeated, since nothing distinguishes it from a camera that hangs.

    The originating time is the driver's time stamp where it is one of the monotonic clock (V4L2) and later
    than the one before, else the moment the picture arrived. It always increases.

    Attributes:
        size: width and height in pixels of the first picture since the last restart; (0, 0) before.
        intervals: ns; the last ones between new pictures, since the last restart.
    """

    def __init__(self) -> None:
        self.size = (0, 0)
        self.shift = 0  # ns; from `monotonic_ns` to the session's clock
        self._properties: dict[str, Any] = {}
        self._captured = 0
        self._arrivals: deque[tuple[int, int]] = deque(maxlen=_RATE_OVER)  # monotonic ns, pictures until then
        self.intervals: deque[int] = deque(maxlen=_RECENT)
        self._new: tuple[int, int] | None = None  # monotonic ns of the last new picture, pictures until then
        self._data = b""  # of the last new picture
        self._last = -1  # ns; its originating time
        self._stamp = -1  # the source's, of the picture before, since the last restart

    def restart(self, properties: dict[str, Any]) -> None:
        """Another process begins with these properties."""
        self._properties = properties
        self.size = (0, 0)
        self._stamp = -1
        self._arrivals.clear()
        self.intervals.clear()
        self._new = None

    @property
    def format(self) -> str:
        """`640×480 at 30 frames/s, MJPG`; the rate is that of at least the last 60 pictures, as a camera in
        the dark gives fewer than its driver says."""
        rate = self._properties.get("rate")
        if arrivals := list(self._arrivals):
            (begin, first), (end, last) = arrivals[0], arrivals[-1]
            if last - first >= _RATE_OVER - 1:
                rate = (last - first) * SECOND / max(end - begin, 1)
        size = "×".join(map(str, self.size)) + (f" at {rate:.3g} frames/s" if rate else "")
        return ", ".join(filter(None, (size, self._properties.get("codec"))))

    def read(self, pipe: IO[bytes]) -> Received | None:
        """The next message; None at the end of the pipe, where a message that was cut is lost."""
        head = pipe.read(HEADER.size)
        if len(head) < HEADER.size:
            return None
        moment, stamp, width, height, length, superseded, waiting = HEADER.unpack(head)
        data = pipe.read(length)
        if len(data) < length:
            return None
        self._captured += 1 + superseded
        picture, problem = self._checked(moment, stamp, (width, height), data)
        return Received(picture, problem, superseded, waiting)

    def _checked(
        self, moment: int, stamp: int, size: tuple[int, int], data: bytes
    ) -> tuple[Picture | None, str | None]:
        if self.size == (0, 0) and data:
            self.size = size if any(size) else _jpeg_size(data)
        if not data or self.size == (0, 0):
            return None, "broken"
        self._arrivals.append((moment, self._captured))
        same = stamp <= self._stamp and data == self._data
        self._stamp = stamp
        if same:
            return None, "repeated"
        if self._new is not None:
            n = self._captured - self._new[1]
            self.intervals.extend([(moment - self._new[0]) // n] * min(n, _RECENT))
        self._new = moment, self._captured
        self._last = max(moment + self.shift, self._last + 1)
        self._data = data
        pixels = np.frombuffer(data, np.uint8).reshape(size[1], size[0], 3) if any(size) else data
        return Picture(self._last, pixels), None


def _jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """Width and height; (0, 0) where it cannot be decoded."""
    image = decode_jpeg(jpeg)
    return (0, 0) if image is None else (image.shape[1], image.shape[0])
