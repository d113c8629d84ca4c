"""A camera, for hours: it may vanish and come back.

OpenCV runs in a process of its own (`camera_process`); the newest picture is kept. JPEGs stay as they came
until somebody looks at them, for decoding costs more than all the rest.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ..streams.counts import Counts
from ..streams.samples import SECOND
from .camera_diagnosis import camera_of, why_not
from .camera_process import HEADER
from .process import DeviceProcess, DeviceState
from .recording import decoded_jpeg

OPENING: Final = 8.0  # s; the process starts, and OpenCV gives an address 5 s
FROZEN: Final = 0.7  # s without a new picture: the camera is lost

_RATE_OVER: Final = 60  # pictures


@dataclass(frozen=True, slots=True)
class Picture:
    """What a camera gave.

    Attributes:
        originating_time: ns on the session's clock; when the light reached the sensor.
        data: a JPEG, or uint8 `[height, width, 3]`, RGB.
    """

    originating_time: int
    data: bytes | NDArray[np.uint8]

    @property
    def image(self) -> NDArray[np.uint8] | None:
        """uint8 `[height, width, 3]`, RGB; None where it cannot be decoded. Decodes at each call."""
        return decoded_jpeg(self.data) if isinstance(self.data, bytes) else self.data


class Camera:
    """Pictures from a device or an address, as a context manager; its process has ended once it is left.

    A picture is *repeated*, and dropped, if its bytes are those of the one before and no time stamp of the
    source says otherwise. A driver that hands out the same buffer again does not advance its stamp; a sensor
    with its shutter closed does, and may well give the same black twice. MJPEG over HTTP has no stamps: there
    a picture that stays the same for 0.7 s counts as lost, for nobody can tell it from a camera that hangs.

    The originating time is the driver's time stamp where it is one of the monotonic clock (V4L2), else the
    moment the picture arrived. It always increases.

    Args:
        source: a device's index, in digits too, its path, or the address of a stream (RTSP, MJPEG over HTTP).
        clock: the session's clock, ns.
        size: width and height, pixels; devices take it as a wish, addresses give what they give.
        rate: frames/s, likewise.
        keep: called with every new picture, taken or not, from a thread of the camera's.

    Attributes:
        counts: pictures; captured = used (taken) + dropped by reason + waiting, at any time. Dropped:
            `superseded` (a newer one came before it was taken), `repeated` (it was the one before once more),
            `broken` (not to be decoded), `after_end` (the last one, not taken before the end).
        state: whether new pictures come.

    Raises:
        UserError: at construction, the source is no camera; on entering, it does not open, and why.
    """

    def __init__(
        self,
        source: int | str,
        clock: Callable[[], int],
        size: tuple[int, int] = (640, 480),
        rate: float = 30,
        keep: Callable[[Picture], None] | None = None,
    ) -> None:
        self._source = camera_of(source)
        self._clock = clock
        self._keep = keep
        self._shift = 0  # ns; from `monotonic_ns` to the session's clock
        self.counts = Counts()
        self.state = DeviceState("lost", 0)
        self._changed = threading.Condition()  # guards what follows, the counts and the state
        self._newest: Picture | None = None  # until it is taken
        self._size = (0, 0)  # of the first one of this opening
        self._told: dict[str, Any] = {}  # by the process
        self._arrivals: deque[int] = deque(maxlen=_RATE_OVER)  # monotonic ns
        self._data = b""  # of the last new one, to know it again
        self._last = -1  # ns; its originating time
        self._stamp = -1  # the source's, of this opening
        asked = {"source": self._source, "size": size, "rate": rate}
        self._process = DeviceProcess("camera", "camera_process", asked, OPENING, self._read, self._lose)

    def __enter__(self) -> Self:
        self._shift = self._clock() - time.monotonic_ns()
        self.state = DeviceState("lost", self._clock())
        try:
            if refused := self._process.start():
                raise UserError(why_not(self._source, refused))
        except BaseException:  # Ctrl-C while it opens
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()
        with self._changed:
            if self._newest is not None:
                self._newest = None
                self.counts.dropped["after_end"] += 1
            self._changed.notify_all()

    @property
    def restarts(self) -> int:
        """How often it was opened anew, or tried to be."""
        return self._process.restarts

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of what it gives, pixels."""
        return self._size

    @property
    def given(self) -> str:
        """What it really gives, for people: `640×480 at 30 frames/s, MJPG`.

        The rate is that of the last 60 pictures; a camera in the dark gives fewer than its driver promises.
        """
        with self._changed:
            arrivals = self._arrivals
            rate = self._told.get("rate")
            if len(arrivals) == _RATE_OVER:
                rate = (len(arrivals) - 1) * SECOND / (arrivals[-1] - arrivals[0])
            size = "×".join(map(str, self._size)) + (f" at {rate:.3g} frames/s" if rate else "")
            return ", ".join(filter(None, (size, self._told.get("codec"))))

    def take(self, timeout: float) -> Picture | None:
        """The newest picture that was not taken before; None if there is none within `timeout` seconds, or
        after the end."""
        stopped = self._process.stopped
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or stopped.is_set(), timeout)
            if self._newest is None or stopped.is_set():
                return None
            picture, self._newest = self._newest, None
            self.counts.used += 1
            return picture

    def _lose(self) -> None:
        with self._changed:
            if self.state.name == "open":
                self.state = DeviceState("lost", self._last)

    def _read(self, told: dict[str, Any], pipe: IO[bytes]) -> str:
        with self._changed:
            self._told = told
            self._size = (0, 0)
            self._stamp = -1
            self._arrivals.clear()
        self._process.patience(FROZEN)
        while len(head := pipe.read(HEADER.size)) == HEADER.size:
            moment, stamp, width, height, length = HEADER.unpack(head)
            data = pipe.read(length)
            if len(data) < length:
                break
            self._give(moment, stamp, (width, height), data)
        return "dark"

    def _give(self, moment: int, stamp: int, size: tuple[int, int], data: bytes) -> None:
        with self._changed:
            self.counts.captured += 1
            if self._size == (0, 0) and data:
                self._size = size if any(size) else _size(data)
            if not data or self._size == (0, 0):
                self.counts.dropped["broken"] += 1
                return
            self._arrivals.append(time.monotonic_ns())
            same = stamp <= self._stamp and data == self._data
            self._stamp = max(stamp, self._stamp)
            if same:
                self.counts.dropped["repeated"] += 1
                return
            self._process.patience(FROZEN)
            self._last = max(moment + self._shift, self._last + 1)
            self._data = data
            if self._newest is not None:
                self.counts.dropped["superseded"] += 1
            shape = size[1], size[0], 3
            pixels = np.frombuffer(data, np.uint8).reshape(shape) if any(size) else data
            picture = self._newest = Picture(self._last, pixels)
            if self.state.name == "lost":
                self.state = DeviceState("open", self._last)
            self._process.opened()
            self._changed.notify_all()
        if self._keep is not None:
            self._keep(picture)


def _size(jpeg: bytes) -> tuple[int, int]:
    """Width and height; (0, 0) where it cannot be decoded."""
    image = decoded_jpeg(jpeg)
    return (0, 0) if image is None else (image.shape[1], image.shape[0])
