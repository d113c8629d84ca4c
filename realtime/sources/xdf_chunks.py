"""The chunks of an XDF file: which are whole, and the streams that they tell of.

Source: the XDF 1.0 specification, github.com/sccn/xdf/wiki/Specifications.
"""

import contextlib
import math
import mmap
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ...contracts.errors import one_line
from .stream_kind import Shape

MAGIC: Final = b"XDF:"
BOUNDARY: Final = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")  # after it a chunk begins

_FILE_HEADER, _STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _BOUNDARY, _STREAM_FOOTER = range(1, 7)
_WIDTHS: Final = (1, 4, 8)  # bytes of a length
_BYTES: Final = {"int8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "double64": 8, "string": 0}


@dataclass(slots=True)
class XdfStream:
    """A stream of an XDF file.

    Attributes:
        number: of the stream in the file.
        samples: how many there are.
        span: s; its first and last time, by the recorder's clock if clock offsets were measured; None without
            samples. Nearly: for display.
        offsets: clock offsets that were measured.
    """

    number: int
    name: str
    shape: Shape
    samples: int = 0
    span: tuple[float, float] | None = None
    offsets: int = 0

    def __str__(self) -> str:
        return f"{self.name} ({self.shape})"


@dataclass(slots=True)
class StreamRead:
    """A stream while its chunks are looked through.

    Attributes:
        size: bytes of a sample's values; None for strings.
        last: s; the time of its last sample.
        offsets: s; clock offsets.
        times: of each chunk, the first and last time, and how many offsets came before it.
    """

    stream: XdfStream
    size: int | None
    last: float = 0.0
    offsets: list[float] = field(default_factory=list)
    times: list[tuple[float, float, int]] = field(default_factory=list)

    def described(self) -> XdfStream:
        stream, offsets = self.stream, self.offsets or [0.0]
        stream.offsets = len(self.offsets)
        shifted = [(a + offsets[max(k - 1, 0)], b + offsets[max(k - 1, 0)]) for a, b, k in self.times]
        finite = [(a, b) for a, b in shifted if math.isfinite(a) and math.isfinite(b)]
        if finite:
            stream.span = min(a for a, _ in finite), max(b for _, b in finite)
        return stream


def stretches(
    data: mmap.mmap, reads: dict[int, StreamRead], ended: set[int]
) -> Iterator[tuple[int, int, bool | None]]:
    """Look through a file.

    Args:
        reads, ended: filled with the streams by number, and the numbers of those whose recording was ended.

    Yields:
        Begin and end of each chunk, and whether there is something in it to read; None where it is damaged.
        Damage that hides where the next chunk begins extends to the next boundary.
    """
    at = len(MAGIC)
    while at < len(data):
        width = data[at]
        content = at + 1 + width
        end = content + int.from_bytes(data[at + 1 : content], "little")
        useful = None
        if whole := width in _WIDTHS and content <= end <= len(data):
            with contextlib.suppress(ElementTree.ParseError, LookupError, ValueError, struct.error):
                useful = _look_at(data, content, end, reads, ended)
        if useful is None and not (whole and (end == len(data) or data[end] in _WIDTHS)):
            found = data.find(BOUNDARY, at)
            end = len(data) if found < 0 else found + len(BOUNDARY)
        yield at, end, useful
        at = end


def _look_at(data: mmap.mmap, at: int, end: int, reads: dict[int, StreamRead], ended: set[int]) -> bool:
    """Take note of a chunk's content; False if pyxdf would stumble over it, although it is only empty.

    Raises:
        ParseError, LookupError, ValueError, struct.error: it is damaged, and pyxdf would fail, or make up
            numbers.
    """
    if at == end:
        return False
    (tag,) = struct.unpack_from("<H", data, at)
    at += 2
    if tag == _FILE_HEADER:
        ElementTree.fromstring(data[at:end])
    elif tag == _BOUNDARY and data[at:end] != BOUNDARY:
        raise ValueError("not a boundary")
    if tag not in (_STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _STREAM_FOOTER):
        return True
    (number,) = struct.unpack_from("<I", data, at)
    at += 4
    if tag == _STREAM_HEADER:
        if number in reads:
            raise ValueError("a second header")
        reads[number] = _header(number, data[at:end])
    elif tag == _SAMPLES:
        if at == end:
            return False
        _samples(data, at, end, reads[number])
    elif tag == _CLOCK_OFFSET:
        time, offset = struct.unpack("<dd", data[at:end])
        if not (abs(time) < 1e12 and abs(offset) < 1e12):
            raise ValueError("not a clock offset")
        reads[number].offsets.append(offset)
    elif tag == _STREAM_FOOTER:
        ended.add(number)
        int(ElementTree.fromstring(data[at:end]).findtext("sample_count") or 0)
    return True


def _header(number: int, header: bytes) -> StreamRead:
    info = ElementTree.fromstring(header.decode("utf-8", "replace"))
    name, channels = one_line(info.findtext("name", "")), int(info.findtext("channel_count", ""))
    rate, kind = float(info.findtext("nominal_srate", "")), info.findtext("channel_format", "")
    if info.tag != "info" or not name or channels < 0 or not 0 <= rate < math.inf:
        raise ValueError("not a stream's header")
    size = channels * _BYTES[kind]
    stream = XdfStream(number, name, Shape(channels, rate, kind == "string"))
    return StreamRead(stream, None if kind == "string" else size)


def _samples(data: mmap.mmap, at: int, end: int, read: StreamRead) -> None:
    """Count the samples of a chunk, and take their times.

    Raises:
        LookupError, ValueError, struct.error: they do not fill it.
    """
    n, at = _length(data, at, end)
    shape, size, first = read.stream.shape, read.size, read.last
    period = 1 / shape.rate if shape.rate else 0.0
    if size is not None and _only_first_stamped(data, at, end, n, size):
        (first,) = struct.unpack_from("<d", data, at + 1)  # only the first has a stamp, as in most chunks
        read.last = first + (n - 1) * period
    else:
        for k in range(n):
            if data[at]:
                (read.last,) = struct.unpack_from("<d", data, at + 1)
                at += 9
            else:
                read.last, at = read.last + period, at + 1
            if size is not None:
                at += size
            else:
                for _ in range(shape.channels):
                    length, at = _length(data, at, end)
                    at += length
            if at > end:
                raise ValueError("fewer samples than it says")
            first = first if k else read.last
        if at != end:
            raise ValueError("more than its samples")
    if n:
        read.stream.samples += n
        read.times.append((first, read.last, len(read.offsets)))


def _only_first_stamped(data: mmap.mmap, at: int, end: int, n: int, size: int) -> bool:
    whole = n > 0 and end - at == n * (1 + size) + 8
    return whole and data[at] > 0 and not any(data[at + 9 + size : end : 1 + size])


def _length(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """A length, and where it ends."""
    width = data[at] if at < end else 0
    if width not in _WIDTHS:
        raise ValueError("not a length")
    return int.from_bytes(data[at + 1 : at + 1 + width], "little"), at + 1 + width
