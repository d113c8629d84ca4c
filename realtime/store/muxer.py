"""Writes pictures and sound to a Matroska file, so that a killed process loses little.

By default FFmpeg's muxer waits: for the other stream, to sort the two by time, and for a cluster to fill.
Here both waits are limited to a quarter of a second, so a stream that stops does not hold back the other.
"""

import contextlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from ..features.resampling import RATE
from ..streams import wall_clock
from .messages import write_whole
from .private import private

_HOLD: Final = 250  # ms; that one stream waits for the other, and the length of a cluster
_MUXER: Final = {
    "flush_packets": "1",
    "cluster_time_limit": str(_HOLD),
    "max_interleave_delta": str(_HOLD * 1000),  # µs
    "fflags": "bitexact",
    "write_crc32": "0",
}
_DURATION: Final = b"\x44\x89\x88"  # the element's id, and that eight bytes follow
# A tag. A file that has it and no duration was not ended; many of other programs never have a duration.
RECORDER: Final = ("RECORDER", "enrapt")
_BUFFER: Final = 4 * 2**20  # bytes; larger than a cluster, which is then one call of `write`
_TICK: Final = Fraction(1, 1000)  # s
_QUALITY: Final = {"qmin": "2", "qmax": "2", "huffman": "default"}  # FFmpeg's MJPEG gives no better usually


@dataclass(frozen=True, slots=True)
class Item:
    """A picture (a JPEG or RGB uint8 `[height, width, 3]`), or a block of sound (little-endian float32)."""

    stream: str  # `pictures` or `sound`
    time: int  # ms
    data: bytes | NDArray[np.uint8]
    size: tuple[int, int] = (0, 0)  # width and height of a picture

    @property
    def nbytes(self) -> int:
        return self.data.nbytes if isinstance(self.data, np.ndarray) else len(self.data)


class MediaFile:
    """The muxer's file, unbuffered. A write that fails is taken back completely.

    After that `error` further writes are ignored: a muxer writes when it is closed, and must be closed.
    """

    def __init__(self, path: Path) -> None:
        self._file = io.FileIO(path, "x+", opener=private)
        self._end = 0
        self.error: OSError | None = None
        self.seek, self.tell, self.close = self._file.seek, self._file.tell, self._file.close

    def write(self, data: bytes) -> int:
        if self.error is not None:
            return len(data)
        try:
            write_whole(self._file, data, self._end)
        except OSError as error:
            self.error = error
            raise
        self._end = max(self._end, self.tell())
        return len(data)

    def start_at(self, start: int) -> None:
        """Correct the duration in the header to count from `start`, ms.

        FFmpeg writes the time of the end there, but reads it as the duration (RFC 9559, 5.1.2.10). With
        "bitexact" nothing random is before it, and no checksum covers it.
        """
        self.seek(0)
        head = self._file.read(4096)
        at = head.find(_DURATION) + len(_DURATION)
        if self.error is None and at >= len(_DURATION):
            (end,) = struct.unpack_from(">d", head, at)
            self.seek(at)
            self.write(struct.pack(">d", end - start))


class Muxer:
    """The container in a file; see `muxing`."""

    def __init__(self, container: OutputContainer, size: tuple[int, int] | None, sound: bool) -> None:
        self._container = container
        container.metadata.update([RECORDER])
        self._encoder: VideoCodecContext | None = None
        self.start: int | None = None  # ms; the earliest time written
        if size is not None:
            container.add_mux_stream("mjpeg", width=size[0], height=size[1])
        if sound:
            container.add_stream("pcm_f32le", rate=RATE, layout="mono")
        container.start_encoding()

    def write(self, item: Item) -> None:
        data = self._jpeg(item.data, item.time) if isinstance(item.data, np.ndarray) else item.data
        packet: Packet[Any] = Packet(data)
        if item.stream == "pictures":
            packet.stream = self._container.streams.video[0]
        else:
            packet.stream = self._container.streams.audio[0]
            packet.duration = packet.size // 4 * 1000 // RATE
        packet.pts = packet.dts = item.time
        packet.time_base = _TICK
        packet.is_keyframe = True
        self._container.mux(packet)
        self.start = item.time if self.start is None else min(self.start, item.time)

    def _jpeg(self, image: NDArray[np.uint8], time: int) -> bytes:
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


@contextlib.contextmanager
def muxing(
    file: MediaFile, size: tuple[int, int] | None, sound: bool, created: datetime | None = None
) -> Iterator[Muxer]:
    """A muxer into a file, which is ended, with its index, when the context is left.

    The header declares the `size` of pictures (None: no such stream), a stream of sound if `sound`, and when
    the earliest of them was `created`.
    """
    with av.open(file, "w", format="matroska", options=_MUXER, buffer_size=_BUFFER) as container:
        if created is not None:
            container.metadata["creation_time"] = wall_clock.iso(created)
        muxer = Muxer(container, size, sound)
        yield muxer
    if muxer.start is not None:
        file.start_at(muxer.start)


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """Width and height; zeros if it is not a JPEG that can be decoded.

    The end is not checked: a picture that is cut can be shown in part. A replay would end at a picture of
    which FFmpeg can decode nothing, and it refuses one with less than two bits a block.

    Source: ITU-T T.81, B.2: markers up to the scan; the size is in the frame header.
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
