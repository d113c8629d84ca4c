"""The pictures and the sound of a live session, for those who asked for them: one Matroska file.

It is a recording like any other: players show it, `Recording` reads it.

A thread of the writer's own does the work, for whoever brings a picture has the next one to read. FFmpeg's
muxer would rather wait: for the other stream, to sort the two, and for a cluster to fill. It is told not to
wait for long, so that little is lost with the process, and nothing is held back for a lost device.
"""

import contextlib
import io
import math
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ..features.resampling import RATE
from ..streams.counts import Counts
from ..streams.samples import SECOND, Sound

MS: Final = SECOND // 1000  # ns; FFmpeg writes Matroska in milliseconds and no finer
# Bytes that wait for the disk: of pictures 40 s of a 640×480 MJPEG camera, or 1.7 s where they are RGB; 10 s
# of sound. Each has its own, lest pictures crowd the sound out.
ROOM: Final = {"pictures": 48 * 2**20, "sound": 10 * 4 * RATE}

_FIRST: Final = 0.5  # s; that the header, which says the pictures' size, waits for one
# Pixels; what it says where none came. Each picture carries its own, but one that is less than 3/4 as high as
# the header says is to FFmpeg's decoder one of two fields.
_SIZE: Final = (16, 16)
_HOLD: Final = 250  # ms; that one stream waits for the other, and that a cluster lasts
_PAUSE: Final = 0.05  # s; between two looks at what waits
_MUXER: Final = {
    "flush_packets": "1",
    "cluster_time_limit": str(_HOLD),
    "max_interleave_delta": str(_HOLD * 1000),  # µs
    "fflags": "bitexact",
    "write_crc32": "0",
}
_DURATION: Final = b"\x44\x89\x88"  # of eight bytes
_BUFFER: Final = 4 * 2**20  # bytes; larger than a cluster, which is then one call of `write`
_LEAVING: Final = 10.0  # s; for a disk that hangs
_TICK: Final = Fraction(1, 1000)  # s
_QUALITY: Final = {"qmin": "2", "qmax": "2", "huffman": "default"}  # as good as FFmpeg's MJPEG usually gets


class _File:
    """What the muxer writes to, unbuffered; of a piece that could not be written nothing is left.

    After an error it swallows everything: a muxer must be ended, and wants to write then.
    """

    def __init__(self, path: Path) -> None:
        self._file = io.FileIO(path, "x+", opener=_private)
        self._end = 0
        self.error: OSError | None = None
        self.seek, self.tell, self.close = self._file.seek, self._file.tell, self._file.close

    def write(self, data: bytes) -> int:
        if self.error is not None:
            return len(data)
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file.fileno(), left) :]
        except OSError as error:
            self.error = error
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._end = max(self._end, self.tell())
        return len(data)

    def start_at(self, start: int) -> None:
        """Let the header say how long the recording is from `start` (ms) on.

        FFmpeg writes the time at which it ends, and takes that for the length when it reads. The muxer has
        told the end, with nothing random before it and no checksum over it.

        Source: RFC 9559, 5.1.2.10, Duration.
        """
        self.seek(0)
        head = self._file.read(4096)
        at = head.find(_DURATION) + len(_DURATION)
        if self.error is None and at >= len(_DURATION):
            (end,) = struct.unpack_from(">d", head, at)
            self.seek(at)
            self.write(struct.pack(">d", end - start))


@dataclass(frozen=True, slots=True)
class _Item:
    """A picture or a stretch of sound that waits; `time` in ms, `size` of a picture in pixels."""

    stream: str
    time: int
    data: bytes | NDArray[np.uint8]
    size: tuple[int, int] = (0, 0)

    @property
    def nbytes(self) -> int:
        return self.data.nbytes if isinstance(self.data, np.ndarray) else len(self.data)


class MediaWriter:
    """Keeps pictures and sound as they come. A context manager; the calls come from any threads.

    Pictures that are JPEG already stay as they are, byte by byte; others become MJPEG (4:4:4, quantiser 2).
    Their size may change on the way: each carries its own, and the header says that of the first, or 16×16
    where none came within half a second of the first sound. Sound is kept as float32 PCM, the very numbers.
    Times are the originating times, rounded to the millisecond; they increase, and a gap is a gap in them.
    Only the file's owner may read it.

    `picture` and `sound` never wait for the disk, nor raise what is wrong with it. The file grows by whole
    clusters: a killed process loses at most the last second of each stream, and the rest can be read. (Then
    it has no index and does not say how long it is, so that a replay says at its end that it breaks off.)
    Where nothing came, no file is left.

    After an error of writing, which `check` or `close` raises once, nothing more is kept: all that was
    written before stays readable, and further calls only count.

    Args:
        path: the file, `media.mkv`; it must not be there.
        pictures, sound: whether there may be any. The streams are declared in the header; one that stays
            empty does no harm.

    Attributes:
        counts: of `pictures`, and of stretches of `sound`, captured = used (written) + dropped by reason +
            waiting; waiting is 0 after `close`. Dropped: `full` (the disk was too slow), `broken` (no JPEG
            that can be decoded), `backward` (not later, in milliseconds, than the one before),
            `negative` (before the clock's 0), `failed` (writing had ended), `after_end`. When writing fails,
            up to a second of what counts as used is lost, too.

    Raises:
        UserError: the file is there already, or cannot be written.
        ValueError: from `picture` and `sound`, what they are given is not as they say.
    """

    def __init__(self, path: Path, *, pictures: bool = True, sound: bool = True) -> None:
        self._path = path
        declared = {"pictures": pictures, "sound": sound}
        self.counts = {name: Counts() for name, there in declared.items() if there}
        self._lock = threading.Lock()  # guards what follows, and the counts
        self._ended = threading.Condition(self._lock)
        self._waiting: deque[_Item] = deque()
        self._bytes = dict.fromkeys(self.counts, 0)
        self._last = dict.fromkeys(self.counts, -1)  # ms
        self._ending = False
        self._failed: str | None = None
        self._told = False
        self._encoder: VideoCodecContext | None = None
        try:
            self._file = _File(path)
        except FileExistsError:
            raise UserError(f"{path}: is there already; give a new name") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); give another place") from None
        self._thread = threading.Thread(target=self._run, name="enrapt media", daemon=True)
        self._thread.start()

    def picture(self, time: int, picture: bytes | NDArray[np.uint8]) -> None:
        """Keep a picture.

        Args:
            time: ns; its originating time.
            picture: a JPEG as the camera gave it, or RGB uint8 `[height, width, 3]`; not to be changed any
                more.
        """
        if not isinstance(picture, np.ndarray):
            size = _size(picture)
            self._offer(_Item("pictures", _ms(time), picture, size), broken=not all(size))
        elif picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3 and picture.size:
            height, width, _ = picture.shape
            self._offer(_Item("pictures", _ms(time), picture, (width, height)))
        else:
            raise ValueError(f"a picture of {picture.dtype} {picture.shape}; give uint8 [height, width, 3]")

    def sound(self, sound: Sound) -> None:
        """Keep a stretch of sound."""
        samples = sound.samples
        if samples.dtype != np.float32 or samples.ndim != 1 or not samples.size:
            raise ValueError(f"sound of {samples.dtype} {samples.shape}; give float32 [n]")
        self._offer(_Item("sound", _ms(sound.originating_time), samples.astype("<f4").tobytes()))

    def check(self) -> None:
        """Raise the error of writing, if there was one and it was not raised before."""
        with self._lock:
            if self._failed is None or self._told:
                return
            self._told = True
        raise UserError(
            f"{self._path}: cannot be written any more ({self._failed}); "
            "pictures and sound up to here are kept, none after it"
        )

    def close(self) -> None:
        """Write what waits, and end the file; a second time does nothing.

        Raises:
            UserError: as `check`; also, writing what waits took more than 10 s, and it was given up.
        """
        self._end()
        self.check()

    def _end(self) -> None:
        with self._lock:
            self._ending = True
            self._ended.notify_all()
        self._thread.join(_LEAVING)
        if self._thread.is_alive():
            self._fail("the disk hangs", "full")

    def _offer(self, item: _Item, broken: bool = False) -> None:
        with self._lock:
            counts = self.counts[item.stream]
            last = self._last[item.stream]
            if item.stream == "sound" and item.time == last >= 0:
                # A stretch of less than a millisecond; times that are not told apart confuse FFmpeg.
                item = replace(item, time=last + 1)
            if self._failed is not None:
                counts.drop("failed")
            elif self._ending:
                counts.drop("after_end")
            elif broken:
                counts.drop("broken")
            elif item.time < 0:
                counts.drop("negative")
            elif item.time <= last:
                counts.drop("backward")
            elif self._bytes[item.stream] + item.nbytes > ROOM[item.stream]:
                counts.drop("full")
            else:
                counts.captured += 1
                self._last[item.stream] = item.time
                self._bytes[item.stream] += item.nbytes
                self._waiting.append(item)

    def _run(self) -> None:
        # Nothing that goes wrong here may end the session, nor go unnoticed.
        try:
            start = self._write()
            if start is not None:
                self._file.start_at(start)
        except Exception as error:
            cause = self._file.error  # PyAV says no more than that there was one
            self._fail(str(error if cause is None else cause.strerror), "failed")
        finally:
            self._file.close()
            if not any(counts.used for counts in self.counts.values()):
                self._path.unlink(missing_ok=True)

    def _write(self) -> int | None:
        """The earliest time that was written, ms."""
        start = None
        with av.open(self._file, "w", format="matroska", options=_MUXER, buffer_size=_BUFFER) as container:
            self._begin(container)
            while (item := self._next()) is not None:
                container.mux(self._packet(item, container))
                start = item.time if start is None else min(start, item.time)
                with self._lock:
                    if self._failed is None:
                        self.counts[item.stream].used += 1
        return start

    def _begin(self, container: OutputContainer) -> None:
        if "pictures" in self.counts:
            with self._lock:
                self._await(lambda: self._waiting)
                self._await(self._first_size, _FIRST)
                width, height = self._first_size() or _SIZE
            container.add_mux_stream("mjpeg", width=width, height=height)
        if "sound" in self.counts:
            container.add_stream("pcm_f32le", rate=RATE, layout="mono")
        container.start_encoding()

    def _first_size(self) -> tuple[int, int] | None:
        return next((item.size for item in self._waiting if item.stream == "pictures"), None)

    def _await(self, what: Callable[[], object], seconds: float = math.inf) -> None:
        """Until then, or the end. To be woken by each of a hundred stretches of sound a second costs more."""
        give_up = time.monotonic() + seconds
        while not what() and not self._ending and time.monotonic() < give_up:
            self._ended.wait(_PAUSE)

    def _next(self) -> _Item | None:
        with self._lock:
            self._await(lambda: self._waiting)
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._bytes[item.stream] -= item.nbytes
            return item

    def _packet(self, item: _Item, container: OutputContainer) -> "Packet[Any]":
        if isinstance(item.data, np.ndarray):
            packet = Packet(self._encoded(item.data, item.time))
        else:
            packet = Packet(item.data)
        if item.stream == "pictures":
            packet.stream = container.streams.video[0]
        else:
            packet.stream = container.streams.audio[0]
            packet.duration = packet.size // 4 * 1000 // RATE
        packet.pts = packet.dts = item.time
        packet.time_base = _TICK
        packet.is_keyframe = True
        return packet

    def _encoded(self, image: NDArray[np.uint8], time: int) -> bytes:
        height, width, _ = image.shape
        if self._encoder is None or (self._encoder.width, self._encoder.height) != (width, height):
            self._encoder = VideoCodecContext.create("mjpeg", "w")
            self._encoder.width, self._encoder.height = width, height
            self._encoder.pix_fmt = "yuvj444p"
            self._encoder.time_base = _TICK
            self._encoder.thread_count = 1
            self._encoder.options = _QUALITY
        frame = VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuvj444p", threads=1)
        frame.pts, frame.time_base = time, _TICK
        [packet] = self._encoder.encode(frame)
        return bytes(packet)

    def _fail(self, why: str, reason: str) -> None:
        with self._lock:
            if self._failed is None:
                self._failed = why
            for name, counts in self.counts.items():
                counts.dropped[reason] += counts.waiting
                self._bytes[name] = 0
            self._waiting.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if kind is None:  # else another error is on its way
            self.check()


def _private(path: str, flags: int) -> int:
    """Faces and voices: for the owner alone."""
    return os.open(path, flags, 0o600)


def _ms(time: int) -> int:
    return (time + MS // 2) // MS


def _size(jpeg: bytes) -> tuple[int, int]:
    """Width and height; zeros unless it may well be decoded.

    Its end is not looked at: of a picture that came in part, part can be seen. A replay ends where FFmpeg can
    make nothing at all of one, and it refuses a picture of less than two bits a block.

    Source: ITU-T T.81, B.2: markers up to the scan, the size is in the frame header.
    """
    size = (0, 0)
    at = 2
    while jpeg[:2] == b"\xff\xd8" and at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xDA:
            width, height = size
            return size if -(-width // 8) * -(-height // 8) <= 4 * len(jpeg) else (0, 0)
        if 0xC0 <= marker <= 0xC2:
            size = int.from_bytes(jpeg[at + 7 : at + 9]), int.from_bytes(jpeg[at + 5 : at + 7])
        at += 1 if marker == 0xFF else 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return (0, 0)
