"""XDF files, written after the specification of the format."""

import math
import struct
from dataclasses import dataclass, field

import numpy as np

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.sources.xdf_chunks import BOUNDARY

TYPES = {"float32": "<f4", "double64": "<f8", "int16": "<i2"}


@dataclass
class Stream:
    """Attributes:
    times: s, by the stream's own clock.
    values: `[n, channels]`, or labels.
    ahead: s by which that clock is ahead of the recorder's.
    """

    name: str
    times: np.ndarray
    values: object
    rate: float = 0.0
    format: str = "float32"
    ahead: float = 0.0
    encoded: list[bytes] = field(default_factory=list)

    @property
    def channels(self):
        return 1 if self.format == "string" else np.shape(self.values)[1]

    def header(self):
        what = {
            "name": self.name, "type": "T", "channel_count": self.channels,
            "nominal_srate": self.rate, "channel_format": self.format, "created_at": 1.5,
        }  # fmt: skip
        return f"<info>{''.join(f'<{k}>{v}</{k}>' for k, v in what.items())}<desc/></info>".encode()

    def samples(self, begin, end):
        """The content of a chunk of them: of regular streams only the first sample has a stamp."""
        rows = b""
        for k in range(begin, end):
            stamped = (
                k == begin
                or not self.rate
                or abs(np.diff(self.times[k - 1 : k + 1])[0] * self.rate - 1) > 1e-6
            )
            rows += b"\10" + struct.pack("<d", self.times[k]) if stamped else b"\0"
            if self.format == "string":
                text = self.values[k].encode()
                rows += length(len(text)) + text
            else:
                rows += np.asarray(self.values[k], TYPES[self.format]).tobytes()
        return length(end - begin) + rows


def length(n):
    return b"\1" + bytes([n]) if n < 256 else b"\4" + struct.pack("<I", n)


def chunk(tag, content):
    return length(len(content) + 2) + struct.pack("<H", tag) + content


def encoded(streams, ended=True):
    """A file's chunks."""
    chunks = [b"XDF:" + chunk(1, b"<info><version>1.0</version></info>")]
    chunks += [chunk(2, struct.pack("<I", n) + s.header()) for n, s in enumerate(streams, 1)]
    begin = min(s.times[0] - s.ahead for s in streams)
    end = max(s.times[-1] - s.ahead for s in streams)
    for second in range(math.ceil(end - begin + 1e-9)):
        chunks.append(chunk(5, BOUNDARY))
        for n, s in enumerate(streams, 1):
            at = s.times - s.ahead - begin
            a, b = np.searchsorted(at, [second, second + 1])
            if a < b:
                chunks.append(chunk(3, struct.pack("<I", n) + s.samples(a, b)))
            if second % 5 == 0:
                offset = struct.pack("<dd", begin + second + s.ahead, -s.ahead)
                chunks.append(chunk(4, struct.pack("<I", n) + offset))
    footer = b"<info><first_timestamp>0</first_timestamp></info>"
    return chunks + [chunk(6, struct.pack("<I", n) + footer) for n in range(1, len(streams) + 1)] * ended


def write(path, *streams, ended=True):
    path.write_bytes(b"".join(encoded(streams, ended)))
    return path


def vectors(n, dim, seed=0):
    return np.random.default_rng(seed).normal(0, 1, (n, dim)).astype(np.float32)


def face(seconds=4.0, rate=30, name="tracker", begin=100.0, **more):
    n = round(seconds * rate)
    return Stream(name, begin + np.arange(n) / rate, vectors(n, FACE.dim), rate, **more)


def audio(seconds=4.0, rate=25, name="opensmile", begin=100.02, **more):
    n = round(seconds * rate)
    return Stream(name, begin + np.arange(n) / rate, vectors(n, AUDIO.dim, 1), rate, **more)


def tone(seconds=6.0, rate=44_100, fast=1.0, name="microphone", hole=None):
    """500 Hz by the recorder's clock, in the second half of every second; the device's crystal is fast."""
    t = np.arange(round(seconds * rate * fast)) / (rate * fast)
    if hole is not None:
        t = t[(t < hole[0]) | (t >= hole[1])]
    sound = 0.5 * np.sin(2 * np.pi * 500 * t) * (t % 1 >= 0.5)
    values = np.stack((sound, sound), axis=1) * 32767
    return Stream(name, 100 + t, values.round().astype(np.int16), rate, "int16")
