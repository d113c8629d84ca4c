"""An XDF file: what is in it, and its streams as pyxdf reads them.

Source: the XDF 1.0 specification, github.com/sccn/xdf/wiki/Specifications.
"""

import io
import itertools
import logging
import mmap
import struct
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any, Final

from ...contracts.errors import UserError
from .stream_kind import Shape

MAGIC: Final = b"XDF:"
BOUNDARY: Final = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")  # after it a chunk begins
GAP: Final = 0.25  # s between two samples of sound, of which some are missing

_STREAM_HEADER, _STREAM_FOOTER = 2, 6


def is_xdf(path: Path) -> bool:
    """Whether the file begins as XDF does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """What the header of a stream says."""

    number: int
    name: str
    shape: Shape

    def __str__(self) -> str:
        return f"{self.name} ({self.shape})"


@dataclass(frozen=True, slots=True)
class XdfContents:
    """What an XDF file holds.

    Attributes:
        spans: of whole chunks, where some of the file cannot be read; else empty.
        streams: their headers.
        problems: what is lost, a line each.
    """

    spans: list[tuple[int, int]]
    streams: list[StreamHeader]
    problems: list[str]


def read_contents(path: Path) -> XdfContents:
    """Look through the file's chunks.

    Raises:
        UserError: it cannot be read, is not XDF, or the header of a stream is damaged.
    """
    streams, ended, spans = [], set(), [(0, len(MAGIC))]
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise UserError(f"{path}: not an XDF file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                size = len(data)
                for begin, content, end in _chunks(data):
                    spans.append((begin, end))
                    tag, number = struct.unpack_from("<HI", data, content) if end - content > 6 else (0, 0)
                    if tag == _STREAM_HEADER:
                        streams.append(_header(number, data[content + 6 : end]))
                    elif tag == _STREAM_FOOTER:
                        ended.add(number)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ElementTree.ParseError, ValueError):
        raise UserError(f"{path}: damaged: the header of a stream cannot be read") from None
    problems = []
    if unread := size - sum(end - begin for begin, end in spans):
        after = next((a for (_, a), (b, _) in itertools.pairwise(spans) if a < b), spans[-1][1])
        problems.append(f"{unread} bytes, from {after} on, cannot be read; what they held is lost")
    elif open_ := [stream.name for stream in streams if stream.number not in ended]:
        problems.append(f"cut off: the recording of {', '.join(open_)} was not ended")
    return XdfContents(spans if unread else [], streams, problems)


def _chunks(data: mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """Begin, begin of the content and end of each whole chunk. What is none ends at the next boundary."""
    at = len(MAGIC)
    while at < len(data):
        width = data[at]
        content = at + 1 + width
        end = content + int.from_bytes(data[at + 1 : content], "little")
        if width in (1, 4, 8) and content + 2 <= end <= len(data):
            yield at, content, end
            at = end
        elif (found := data.find(BOUNDARY, at)) >= 0:
            at = found + len(BOUNDARY)
        else:
            return


def _header(number: int, header: bytes) -> StreamHeader:
    info = ElementTree.fromstring(header.decode("utf-8", "replace"))
    channels, rate = int(info.findtext("channel_count", "")), float(info.findtext("nominal_srate", ""))
    shape = Shape(channels, rate, info.findtext("channel_format") == "string")
    return StreamHeader(number, info.findtext("name") or "", shape)


def load_streams(
    path: Path, contents: XdfContents, sound: Sequence[int], others: Sequence[int]
) -> dict[int, Any]:
    """Streams by number, as pyxdf reads them; adds to `contents.problems`.

    Clocks are synchronised. Stamps of `sound` are made regular (dejittered); those of `others` are taken as
    they are, as in a live run: a tracker that skips pictures is regular in name only.

    Raises:
        UserError: pyxdf is missing, or cannot read the file.
    """
    try:
        import pyxdf
    except ImportError:
        raise UserError(f"{path}: needs pyxdf: pip install 'enrapt[lsl]'") from None
    complaints = BufferingHandler(sys.maxsize)
    complaints.setLevel(logging.ERROR)
    logger = logging.getLogger("pyxdf")
    logger.addHandler(complaints)
    breaks = {"jitter_break_threshold_seconds": GAP, "jitter_break_threshold_samples": 1}
    data = {}
    try:
        for numbers, dejitter in (sound, True), (others, False):
            if numbers:
                file = _readable(path, contents.spans)
                streams, _ = pyxdf.load_xdf(
                    file, numbers, synchronize_clocks=True, dejitter_timestamps=dejitter, **breaks
                )
                data.update({stream["info"]["stream_id"]: stream for stream in streams})
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # whatever it meets in bytes that are not as they should be
        raise UserError(f"{path}: damaged: pyxdf cannot read it ({error})") from None
    finally:
        logger.removeHandler(complaints)
    if complaints.buffer and not contents.problems:
        contents.problems.append("damaged; what cannot be read is left out")
    return data


def _readable(path: Path, spans: list[tuple[int, int]]) -> Any:
    """What pyxdf is to read: of a chunk that is cut it would make up numbers, or fail."""
    if not spans:
        return path
    data = path.read_bytes()
    return io.BytesIO(b"".join(data[begin:end] for begin, end in spans))
