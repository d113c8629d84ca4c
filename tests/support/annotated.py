"""A film whose pictures show their number, and `enrapt annotate` in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BITS = 10
BLOCK = 32  # pixels
RATE = 25

# The number in the picture that is on the screen.
NUMBER = """(video => {
    const canvas = window.seen ??= new OffscreenCanvas(BITS, 1);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(video, 0, 0, BITS, 1);
    const { data } = context.getImageData(0, 0, BITS, 1);
    let number = 0;
    for (let bit = 0; bit < BITS; bit++) if (data[4 * bit] > 127) number += 1 << bit;
    return number;
})""".replace("BITS", str(BITS))


def film(path: Path, seconds: float, *, codec: str = "mjpeg", sound: bool = True, start: float = 0.0) -> Path:
    """Write a film of 25 pictures a second and a tone."""
    container: Any = av.open(str(path), "w")
    with container:
        video = container.add_stream(codec, rate=RATE)
        video.width, video.height = BITS * BLOCK, 6 * BLOCK
        video.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = (
            container.add_stream("pcm_s16le" if codec == "mjpeg" else "aac", rate=16_000) if sound else None
        )
        if audio is not None:
            audio.layout = "mono"
        for k in range(round(seconds * RATE)):
            bits = np.array([255 * (k >> bit & 1) for bit in range(BITS)], np.uint8)
            image = np.repeat(np.repeat(bits, BLOCK)[None, :, None], 6 * BLOCK, 0).repeat(3, 2)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24").reformat(
                format=video.pix_fmt
            )
            frame.pts, frame.time_base = round((start + k / RATE) * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
            if audio is not None:
                n = 16_000 // RATE
                at = np.arange(k * n, (k + 1) * n) / 16_000
                data = (8000 * np.sin(2 * np.pi * 200 * at)).astype(np.int16)[None]
                block = av.AudioFrame.from_ndarray(data, "s16", "mono")
                block.sample_rate, block.time_base = 16_000, Fraction(1, 16_000)
                block.pts = round(start * 16_000) + k * n
                container.mux(audio.encode(block))
        for stream in (video, audio):
            if stream is not None:
                container.mux(stream.encode(None))
    return path


class Served:
    """`enrapt annotate`, on a port that stays the same."""

    def __init__(self, *arguments: str, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/"
        self.said = ""
        command = [sys.executable, "-m", "enrapt.cli.main", "annotate", *arguments, "--port", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        deadline = time.monotonic() + 60
        while self.address not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def end(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            os.kill(self.process.pid, number)
        status = self.process.wait(20)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextmanager
def served(*arguments: str, port: int) -> Iterator[Served]:
    one = Served(*arguments, port=port)
    try:
        yield one
    finally:
        if one.process.returncode is None:
            one.end(signal.SIGKILL)
