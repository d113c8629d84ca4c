"""Recordings that are hard to read, as devices, programs and accidents leave them; one call makes one."""

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from .recordings import create, every, write

Image = NDArray[np.uint8]  # [height, width, 3], RGB

# Times


def restamped(source: Path, target: Path, stamp: Callable[[int, float], float], kind: str = "audio") -> Path:
    """Copies packets; the n-th of each stream of that kind (`audio`, `video`), at t s, gets `stamp(n, t)`.

    Stamps that do not increase are raised by as little as the container can say.
    """
    with av.open(str(source)) as container, create(target) as written:
        streams = {s.index: written.add_stream_from_template(s) for s in container.streams}
        count, last = dict.fromkeys(streams, 0), dict.fromkeys(streams, -1)
        for packet in container.demux():
            if packet.dts is None:  # the end
                continue
            index, base = packet.stream.index, packet.time_base
            if packet.stream.type == kind:
                at = float(packet.pts * base)
                # A millisecond is Matroska's step: what increases by less does not increase there.
                dts = packet.dts + round((stamp(count[index], at) - at) / base)
                dts = max(dts, last[index] + max(1, round(Fraction(1, 1000) / base)))
                packet.pts, packet.dts = packet.pts + dts - packet.dts, dts
                last[index] = dts
            count[index] += 1
            packet.stream = streams[index]
            written.mux(packet)
    return target


def jittered(path: Path, sigma: float = 0.02, seed: int = 1, **what: Any) -> Path:
    """Sound whose packets have times that deviate with that standard deviation, s. `what`: see `write`."""
    rng = random.Random(seed)
    return _with_stamps(path, lambda _, t: max(0.0, t + rng.gauss(0, sigma)), what)


def bursty(path: Path, at_once: int = 4, **what: Any) -> Path:
    """Sound whose packets have the times at which they came, so many at once."""
    came = 0.0

    def stamp(n: int, t: float) -> float:
        nonlocal came
        came = t if n % at_once == 0 else came
        return came

    return _with_stamps(path, stamp, what)


def far_first_picture(path: Path, away: float = 3 * 86_400.0, **what: Any) -> Path:
    """The first picture has time 0, all else comes `away` s later."""
    what = {"codec": "mpeg4", "pictures": every(0.04, 75), "gop": 12} | what
    return _with_stamps(path, lambda n, t: t if n == 0 else t + away, what, "video")


def _with_stamps(
    path: Path, stamp: Callable[[int, float], float], what: dict[str, Any], kind: str = "audio"
) -> Path:
    if kind == "audio":
        what = {"sound": (0, 12), "sound_codec": "aac", "rate": 44_100} | what
    even = write(path.with_name(f"even_{path.name}"), **what)
    restamped(even, path, stamp, kind)
    even.unlink()
    return path


def joined(path: Path, parts: Sequence[Path] = (), **what: Any) -> Path:
    """Recordings joined byte by byte; without `parts`, one that is made of `what` (see `write`), twice."""
    if not parts:
        parts = [write(path.with_name(f"part_{path.name}"), **what)] * 2
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


# Damage


def damaged_packet(path: Path, n: int, kind: str = "audio", seed: int = 1) -> float:
    """Overwrites the n-th packet of the first stream of that kind in place; returns its time, s.

    The container must store packets in one piece, as all but MPEG-TS and Ogg do.
    """
    with av.open(str(path)) as container:
        packets = container.demux(next(s for s in container.streams if s.type == kind))
        packet = next(packet for k, packet in enumerate(packets) if k == n)
        content, start = bytes(packet), max(packet.pos or 0, 0)
        assert packet.pts is not None
        at = float(packet.pts * packet.time_base)
    data = bytearray(path.read_bytes())
    start = data.index(content, start)
    data[start : start + len(content)] = random.Random(seed).randbytes(len(content))
    path.write_bytes(data)
    return at


# Pictures


def anamorphic(
    path: Path,
    shown: Image,
    ratio: Fraction = Fraction(4, 3),
    *,
    pictures: int = 25,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    matrix: Sequence[int] | None = None,
    full_range: bool = False,
) -> Path:
    """A still picture, stored in pixels of that width to height; ratio 1: the same with square pixels.

    Args:
        codec: libx264 and mpeg4 say the ratio themselves. Where they do not, as qtrle (rgb24), of the formats
            that are written here only MP4 and MOV do.
        shown: as it is to be seen, before `matrix`, the display matrix, turns it.
        full_range: luma from 0 to 255, not 16 to 235.
    """
    height, width = shown.shape[:2]
    stored = cv2.resize(shown, (round(width / ratio / 2) * 2, height), interpolation=cv2.INTER_AREA)
    with create(path) as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = stored.shape[1], height, pixels
        video.options = {"crf": "2"}
        video.codec_context.sample_aspect_ratio = ratio
        video.codec_context.color_range = 2 if full_range else 1
        if matrix is not None:
            video.set_display_matrix(matrix)
        for k in range(pictures):
            frame = av.VideoFrame.from_ndarray(stored).reformat(
                format=pixels, dst_color_range=2 if full_range else 1, threads=1
            )
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return path


def jpegs(n: int = 25, size: tuple[int, int] = (160, 120)) -> list[bytes]:
    """Pictures of noise, with a bright bar that moves."""
    result = []
    for k in range(n):
        image = np.random.default_rng(k).integers(0, 128, (size[1], size[0], 3), np.uint8)
        image[:, k % size[0] : k % size[0] + 16] = 255
        result.append(cv2.imencode(".jpg", image)[1].tobytes())
    return result


def with_exif(jpeg: bytes) -> bytes:
    """A JPEG with an EXIF block that says orientation 1, upright."""
    tiff = b"II*\0" + bytes.fromhex("08000000 0100 1201 0300 01000000 01000000 00000000")
    block = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + jpeg[2:]


def jpeg_video(path: Path, pictures: Sequence[bytes], rate: int = 25) -> Path:
    """JPEGs as they are, as a stream of a container, such as AVI."""
    with av.open(io.BytesIO(pictures[0]), format="jpeg_pipe") as first, create(path) as container:
        video = container.add_stream_from_template(first.streams.video[0])
        video.time_base = Fraction(1, rate)
        for k, data in enumerate(pictures):
            packet = av.Packet(data)
            packet.pts = packet.dts = k
            packet.duration, packet.time_base, packet.stream = 1, Fraction(1, rate), video
            packet.is_keyframe = True
            container.mux(packet)
    return path


def exif_avi(path: Path, n: int = 25) -> Path:
    return jpeg_video(path, [with_exif(jpeg) for jpeg in jpegs(n)])


def truncated_jpeg_avi(path: Path, n: int = 25, each: int = 3) -> Path:
    """Each third picture, from picture 2 on, is cut in half."""
    cut = [jpeg[: len(jpeg) // 2] if k % each == each - 1 else jpeg for k, jpeg in enumerate(jpegs(n))]
    return jpeg_video(path, cut)


# Tracks


@dataclass(frozen=True)
class Track:
    """A track of one content throughout.

    Attributes:
        content: of `audio`: Hz of a sine, 0 for silence; of `video`: brightness, 0 to 255.
        seconds: 0 for a track without samples.
    """

    kind: str
    content: int
    title: str = ""
    default: bool = False
    seconds: float = 2.0


def multi_track(path: Path, tracks: Sequence[Track]) -> Path:
    """A Matroska file with those tracks, in that order; only those marked default are so."""
    with create(path, {"default_mode": "passthrough"}) as container:
        streams = [_add(container, track) for track in tracks]
        packets = [p for pair in zip(streams, tracks, strict=True) for p in _encoded(*pair)]
        container.start_encoding()
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            container.mux(packet)
    return path


def _add(container: Any, track: Track) -> Any:
    if track.kind == "audio":
        stream = container.add_stream("pcm_s16le", rate=16_000)
        stream.layout = "mono"
    else:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
    stream.metadata["title"] = track.title
    stream.disposition = Disposition.default if track.default else Disposition(0)
    return stream


def _encoded(stream: Any, track: Track) -> list[Any]:
    packets = []
    if track.kind == "audio":
        wave = 0.5 * np.sin(2 * np.pi * track.content * np.arange(round(track.seconds * 16_000)) / 16_000)
        samples = np.rint(wave * 32767).astype(np.int16)
        for i in range(0, samples.size, 1024):
            block = av.AudioFrame.from_ndarray(samples[None, i : i + 1024], "s16", "mono")
            block.sample_rate, block.pts, block.time_base = 16_000, i, Fraction(1, 16_000)
            packets += stream.encode(block)
    else:
        for k in range(round(track.seconds * 25)):
            picture = np.full((24, 32, 3), track.content, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture).reformat(format="yuv420p", threads=1)
            frame.pts, frame.time_base = k, Fraction(1, 25)
            packets += stream.encode(frame)
    return packets + list(stream.encode(None)) if packets else []
