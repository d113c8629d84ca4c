"""Write recordings with known content, and read them."""

import itertools
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import SECOND, Frame, Sound

MS = SECOND // 1000

# Picture k has the brightness 2 k mod 256, which identifies it; sound is a sine with phase 0 at time 0, so
# that each sample identifies its time.


def create(path: Path, options: dict[str, str] | None = None) -> Any:  # PyAV's types lack the names of codecs
    return av.open(str(path), "w", options=options or {})


def write(
    path: Path,
    *,
    pictures: Sequence[float] = (),  # s
    codec: str = "ffv1",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (32, 24),
    matrix: Sequence[int] | None = None,
    sound: tuple[float, float] | None = None,  # s, from and to
    sound_codec: str = "pcm_s16le",
    rate: int = 48_000,
    layout: str = "mono",
    missing: tuple[float, float] = (0.0, 0.0),  # s; packets of sound in it are left out
    gop: int = 12,
    options: dict[str, str] | None = None,
) -> Path:
    with create(path, options) as container:
        packets: list[Any] = []
        if pictures:
            video = container.add_stream(codec, rate=25)
            video.width, video.height = size
            video.pix_fmt = pixels
            base = Fraction(1, 25 if codec in ("mpeg2video", "mpeg4") else 12_000)
            video.time_base = video.codec_context.time_base = base
            video.gop_size = gop
            if matrix is not None:
                video.set_display_matrix(matrix)
            for k, at in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture(k, size)).reformat(format=pixels, threads=1)
                frame.pts, frame.time_base = round(at / base), base
                packets += video.encode(frame)
            packets += video.encode(None)
        if sound is not None:
            audio = container.add_stream(sound_codec, rate=rate)
            audio.layout = layout
            channels = len(audio.layout.channels)
            first, last = (round(t * rate) for t in sound)
            for i in range(first, last, 1024):
                n = min(1024, last - i)
                values = tone(np.arange(i, i + n) / rate)
                if sound_codec.startswith("pcm_s16"):
                    data = np.repeat(np.rint(values * 32768).astype(np.int16), channels)[None]
                    block = av.AudioFrame.from_ndarray(data, "s16", layout)
                else:
                    data = np.repeat(values[None], channels, axis=0)
                    block = av.AudioFrame.from_ndarray(data, "fltp", layout)
                block.sample_rate, block.pts, block.time_base = rate, i, Fraction(1, rate)
                if not missing[0] <= i / rate < missing[1]:
                    packets += audio.encode(block)
            packets += audio.encode(None)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            container.mux(packet)
    return path


def picture(k: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.full((size[1], size[0], 3), 2 * k % 256, np.uint8)


def tone(at: NDArray[np.float64]) -> NDArray[np.float32]:
    wave: NDArray[np.float32] = (0.5 * np.sin(2 * np.pi * 100 * at)).astype(np.float32)
    return wave


def read(recording: Recording) -> tuple[list[Frame], list[Sound]]:
    frames: list[Frame] = []
    sounds: list[Sound] = []
    for item in recording:
        if isinstance(item, Frame):
            frames.append(item)
        else:
            sounds.append(item)
    return frames, sounds


def times(frames: list[Frame]) -> list[int]:
    return [frame.originating_time for frame in frames]


def joined(sounds: list[Sound]) -> tuple[float, NDArray[np.float32]]:
    """Start in seconds and samples of sound without a gap."""
    for a, b in itertools.pairwise(sounds):
        assert abs(b.originating_time - a.originating_time - a.samples.size * SECOND // RATE) <= 1
    return sounds[0].originating_time / SECOND, np.concatenate([sound.samples for sound in sounds])


def every(period: float, n: int, start: float = 0.0) -> list[float]:
    return [start + k * period for k in range(n)]


# Pictures


def content(item: Frame | Sound) -> NDArray[np.uint8] | NDArray[np.float32]:
    return item.image if isinstance(item, Frame) else item.samples
