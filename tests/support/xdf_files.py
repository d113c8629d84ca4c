"""XDF files, written after the specification of the format."""

import gzip
import struct
from dataclasses import dataclass, replace

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
    offsets: whether its clock offsets are recorded.
    """

    name: str
    times: np.ndarray
    values: object
    rate: float = 0.0
    format: str = "float32"
    ahead: float = 0.0
    offsets: bool = True

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
        rows, first = b"", max(begin - 1, 0)
        times = self.times[first:end].tolist()
        for k in range(begin, end):
            stamped = (
                k == begin
                or not self.rate
                or not abs((times[k - first] - times[k - 1 - first]) * self.rate - 1) < 1e-6
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


def encoded(streams, ended=True, date=None):
    """A file's chunks, which come as LabRecorder writes them, second by second; times may be any.

    Args:
        date: when the recording began, for the file's header.
    """
    when = "" if date is None else f"<datetime>{date}</datetime>"
    chunks = [b"XDF:" + chunk(1, f"<info><version>1.0</version>{when}</info>".encode())]
    chunks += [chunk(2, struct.pack("<I", n) + s.header()) for n, s in enumerate(streams, 1)]
    firsts = [s.times[0] - s.ahead for s in streams if len(s.times) and np.isfinite(s.times[0])]
    begin = min(firsts, default=0.0)
    recorded = [_recorded(s.times, begin + s.ahead) for s in streams]
    for second in range(int(max(at[-1] for at in recorded if len(at)) + 1)):
        chunks.append(chunk(5, BOUNDARY))
        for n, (s, at) in enumerate(zip(streams, recorded, strict=True), 1):
            a, b = np.searchsorted(at, [second, second + 1])
            if a < b:
                chunks.append(chunk(3, struct.pack("<I", n) + s.samples(a, b)))
            if second % 5 == 0 and s.offsets:
                offset = struct.pack("<dd", begin + second + s.ahead, -s.ahead)
                chunks.append(chunk(4, struct.pack("<I", n) + offset))
    footer = b"<info><first_timestamp>0</first_timestamp></info>"
    return chunks + [chunk(6, struct.pack("<I", n) + footer) for n in range(1, len(streams) + 1)] * ended


def _recorded(times, begin):
    """When samples with these times were recorded, s: time went on, by at most 15 s from each to the
    next, whatever they say."""
    with np.errstate(all="ignore"):
        steps = np.diff(times, prepend=begin)
    return np.cumsum(np.clip(np.nan_to_num(steps), 0, 15))


def write(path, *streams, ended=True, date=None):
    """Gzipped where the name ends in `.xdfz` or `.gz`."""
    data = b"".join(encoded(streams, ended, date))
    path.write_bytes(gzip.compress(data) if path.suffix in (".xdfz", ".gz") else data)
    return path


def empty(name="tracker", channels=FACE.dim, rate=30):
    """A stream without a sample: of a program that was started twice."""
    return Stream(name, np.empty(0), np.empty((0, channels), np.float32), rate, offsets=False)


def joined(*streams):
    """One after the other as one stream, whose times start again."""
    times, values = (np.concatenate([getattr(s, name) for s in streams]) for name in ("times", "values"))
    return replace(streams[0], times=times, values=values)


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
