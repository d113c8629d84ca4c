"""A camera, for hours: it may vanish and come back.

OpenCV runs in a process of its own (`camera_process`). One thread reads pictures from it, keeps the newest,
and starts the process anew where no new one comes; another one ends the process when it has hung for too
long, for reading from a pipe has no time-out.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Final, Literal, Self

import numpy as np

from ..contracts.errors import UserError
from .camera_process import HEADER
from .camera_trouble import camera_of, why_not
from .counts import Counts
from .samples import SECOND, Frame

OPENING: Final = 8.0  # s; the process starts, and OpenCV gives an address 5 s
FROZEN: Final = 0.7  # s without a new picture: the camera is lost
BACK_OFF: Final = (0.2, 2.0)  # s between two starts of the process: at first, doubled up to

_WATCH: Final = 0.05  # s; how often the process is looked at
_LEAVING: Final = 2.0  # s; for each of two threads
_RATE_OVER: Final = 60  # pictures


@dataclass(frozen=True, slots=True)
class CameraState:
    """Attributes:
    name: `open` while new pictures come, `lost` while none do.
    since: ns on the session's clock; originating time of the first or the last of them.
    """

    name: Literal["open", "lost"]
    since: int


@dataclass(slots=True)
class CameraCounts(Counts):
    """Pictures. Dropped: `superseded` (a newer one came before it was taken), `repeated` (it was the one
    before once more), `broken` (not to be decoded), `after_end` (the last one, not taken before the end).

    Attributes:
        restarts: how often the camera was opened anew, or tried to be.
    """

    restarts: int = 0


class Camera:
    """Pictures from a device or an address, as a context manager; threads and process have ended once it is
    left.

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

    Attributes:
        counts: captured = used (taken) + dropped by reason + waiting, at any time.
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
    ) -> None:
        self._source = camera_of(source)
        self._clock = clock
        self._asked = json.dumps({"source": self._source, "size": size, "rate": rate}).encode() + b"\n"
        self._shift = 0  # ns; from `monotonic_ns` to the session's clock
        self.counts = CameraCounts()
        self.state = CameraState("lost", 0)
        self._changed = threading.Condition()  # guards what follows, the counts and the state
        self._newest: Frame | None = None  # until it is taken
        self._size = (0, 0)
        self._told: dict[str, Any] = {}  # by the process
        self._arrivals: deque[int] = deque(maxlen=_RATE_OVER)  # monotonic ns
        self._picture = bytearray()  # the last new one, to know it again
        self._last = -1  # ns; its originating time
        self._stamp = -1  # the source's, of this opening
        self._process: subprocess.Popen[bytes] | None = None
        self._deadline = 0.0  # monotonic s; when the process counts as hanging
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"enrapt camera {what}", daemon=True)
            for what, target in {"reader": self._run, "watch": self._watch}.items()
        ]
        self._settled = threading.Event()  # opened, or refused
        self._refused: str | None = None

    def __enter__(self) -> Self:
        self._shift = self._clock() - time.monotonic_ns()
        self.state = CameraState("lost", self._clock())
        for thread in self._threads:
            thread.start()
        try:
            self._settled.wait()
            if self._refused is not None:
                raise UserError(why_not(self._source, self._refused))
        except BaseException:  # Ctrl-C while it opens
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._end_process()
        for thread in self._threads:
            thread.join(_LEAVING)  # a process may hang in its driver, where even SIGKILL does not reach it
        with self._changed:
            if self._newest is not None:
                self._newest = None
                self.counts.dropped["after_end"] += 1
            self._changed.notify_all()

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

    def take(self, timeout: float) -> Frame | None:
        """The newest picture that was not taken before; None if there is none within `timeout` seconds, or
        after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._stop.is_set(), timeout)
            if self._newest is None or self._stop.is_set():
                return None
            frame, self._newest = self._newest, None
            self.counts.used += 1
            return frame

    def _run(self) -> None:
        pause, longest = BACK_OFF
        while not self._stop.is_set():
            began = time.monotonic()
            refusal = self._session()
            if not self._settled.is_set():
                self._refused = refusal
                self._settled.set()
                return
            with self._changed:
                if self.state.name == "open":
                    self.state = CameraState("lost", self._last)
            if time.monotonic() - began > longest:
                pause = BACK_OFF[0]
            if self._stop.wait(max(0.0, began + pause - time.monotonic())):
                return
            pause = min(2 * pause, longest)
            with self._changed:
                self.counts.restarts += 1

    def _session(self) -> str:
        """One life of the process; how it ended, see `why_not`."""
        pipe = subprocess.PIPE
        command = [sys.executable, "-P", "-m", "enrapt.realtime.camera_process"]
        self._deadline = time.monotonic() + OPENING
        try:
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, pipesize=1 << 20
            )
        except OSError as error:
            return f"cannot start a process: {error}"
        with process:
            self._process = process
            if self._stop.is_set():  # it was set before there was a process to end
                process.kill()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                os.write(
                    process.stdin.fileno(), self._asked
                )  # unbuffered: nothing is left to fail at closing
                return self._read(process.stdout)
            except (BrokenPipeError, ValueError):  # it ended at once; something else than it wrote the line
                return "silent"
            finally:
                process.kill()

    def _read(self, pipe: IO[bytes]) -> str:
        line = pipe.readline()
        if not line.endswith(b"\n"):
            return "silent"
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            return str(told["error"])
        with self._changed:
            self._told = told
            self._stamp = -1
            self._arrivals.clear()
        self._deadline = time.monotonic() + FROZEN
        while len(head := pipe.read(HEADER.size)) == HEADER.size:
            moment, stamp, width, height = HEADER.unpack(head)
            data = bytearray(3 * width * height)
            if pipe.readinto(data) < len(data):  # type: ignore[attr-defined]  # IO[bytes] does not know it
                break
            self._give(moment, stamp, (width, height), data)
        return "dark"

    def _give(self, moment: int, stamp: int, size: tuple[int, int], data: bytearray) -> None:
        with self._changed:
            self.counts.captured += 1
            if not data:
                self.counts.dropped["broken"] += 1
                return
            self._arrivals.append(time.monotonic_ns())
            same = stamp <= self._stamp and data == self._picture
            self._stamp = max(stamp, self._stamp)
            if same:
                self.counts.dropped["repeated"] += 1
                return
            self._deadline = time.monotonic() + FROZEN
            self._last = max(moment + self._shift, self._last + 1)
            self._picture, self._size = data, size
            if self._newest is not None:
                self.counts.dropped["superseded"] += 1
            image = np.frombuffer(data, np.uint8).reshape(size[1], size[0], 3)
            image.flags.writeable = False  # the next one is compared with it
            self._newest = Frame(self._last, image)
            if self.state.name == "lost":
                self.state = CameraState("open", self._last)
            self._settled.set()
            self._changed.notify_all()

    def _watch(self) -> None:
        woke = time.monotonic()
        while not self._stop.wait(_WATCH):
            before, woke = woke, time.monotonic()
            if woke - before > 3 * _WATCH:
                continue  # the whole program stood still, which says nothing of the camera
            if woke > self._deadline:
                self._end_process()

    def _end_process(self) -> None:
        if (process := self._process) is not None:
            process.kill()
