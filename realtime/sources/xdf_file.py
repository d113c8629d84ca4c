"""An XDF file, also gzipped: what is in it, and its streams as pyxdf reads them."""

import contextlib
import datetime
import gzip
import logging
import mmap
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from ...contracts.errors import UserError, one_line
from ...contracts.regular import open_regular
from ..streams.wall_clock import parsed
from .xdf_chunks import MAGIC, StreamRead, XdfStream, stretches

MAX_UNPACKED: Final = 2**32  # bytes of a gzipped file, in a temporary file
LATEST: Final = 6 * 3600.0  # s; after the first stream of a recording another one may begin

_GZIP: Final = b"\x1f\x8b"
_PIECE: Final = 1 << 20  # bytes unpacked at once
_GZIP_DAMAGED: Final = (EOFError, zlib.error, gzip.BadGzipFile)


def is_xdf(path: Path) -> bool:
    """Whether the file, unpacked if it is gzipped, begins as XDF does."""
    if not path.is_file():  # a pipe or a device, which may never answer
        return False
    try:
        with open_regular(path) as file:
            if (begin := file.read(len(MAGIC)))[:2] != _GZIP:
                return begin == MAGIC
            file.seek(0)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return unpacked.read(len(MAGIC)) == MAGIC
    except (OSError, UserError, *_GZIP_DAMAGED):
        return False


@dataclass(slots=True)
class XdfContents:
    """What an XDF file holds.

    Attributes:
        spans: of what can be read, begin and end in bytes.
        whole: whether that is all of the file.
        streams: in the order of the file.
        notes: what is damaged, with readable data after it, a line each.
        problems: what is lost at the end, a line each.
        created: when the recording began, by the file's header, to about a second; after `load_streams`.
    """

    spans: list[tuple[int, int]]
    whole: bool
    streams: list[XdfStream]
    notes: list[str]
    problems: list[str]
    created: datetime.datetime | None = None

    def begin(self, zero: float) -> float:
        """About when the recording began, s by its clock: the first time of its streams with clock offsets.

        It is `zero` where that is later, or so long before that it must be a wrong time.
        """
        firsts = [stream.span[0] for stream in self.streams if stream.span is not None and stream.offsets]
        return min((first for first in firsts if zero - LATEST < first), default=zero)


def read_contents(path: Path) -> XdfContents:
    """Look through the file's chunks: what streams there are, how long, and what cannot be read.

    Raises:
        UserError: it cannot be read, or is not XDF.
    """
    reads: dict[int, StreamRead] = {}
    ended: set[int] = set()
    spans, holes = [(0, len(MAGIC))], list[tuple[int, int]]()
    try:
        with _opened(path) as (file, problems), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            size = len(data)
            for begin, end, useful in stretches(data, reads, ended):
                if useful is None:
                    _add(holes, begin, end)
                elif useful:
                    _add(spans, begin, end)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    streams = [read.described() for read in reads.values()]
    lines = [f"{b - a} bytes, from {a} on, cannot be read; what they held is lost" for a, b in holes]
    cut = bool(holes) and holes[-1][1] == size
    notes, lost = (lines[:-1], lines[-1:]) if cut else (lines, [])
    open_ = [stream.name for stream in streams if stream.number not in ended]
    if open_ and not lost and not problems:
        lost = [f"cut off: the recording of {', '.join(open_)} was not ended"]
    return XdfContents(spans, spans == [(0, size)], streams, notes, problems + lost)


def _add(spans: list[tuple[int, int]], begin: int, end: int) -> None:
    """Append a span, as one with the last if it follows that."""
    if spans and spans[-1][1] == begin:
        spans[-1] = spans[-1][0], end
    else:
        spans.append((begin, end))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, list[str]]]:
    """The file, unpacked if it is gzipped, at its begin, and what of it could not be unpacked.

    Raises:
        UserError: it is not XDF, not a regular file, or too large when it is unpacked.
    """
    with contextlib.ExitStack() as stack:
        file: BinaryIO = stack.enter_context(open_regular(path))
        problems = []
        if file.read(len(_GZIP)) == _GZIP:
            file.seek(0)
            packed = stack.enter_context(gzip.GzipFile(fileobj=file))
            file = stack.enter_context(_temporary())
            try:
                while piece := packed.read1(_PIECE):
                    if file.write(piece) and file.tell() > MAX_UNPACKED:
                        raise UserError(
                            f"{path}: more than {MAX_UNPACKED >> 30} GiB when unpacked; unpack it"
                        )
            except _GZIP_DAMAGED:
                problems.append(f"gzip data are damaged or cut off after {file.tell()} bytes of XDF")
        file.seek(0)
        if file.read(len(MAGIC)) != MAGIC:
            raise UserError(f"{path}: not an XDF file")
        file.seek(0)
        yield file, problems


@contextlib.contextmanager
def _temporary() -> Iterator[BinaryIO]:
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "unpacked.xdf").open("w+b") as file:
        yield file


def load_streams(path: Path, contents: XdfContents, numbers: Sequence[int]) -> dict[int, Any]:
    """Streams by number, as pyxdf reads them, with synchronised clocks; adds to `contents.notes`.

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
    try:
        with _opened(path) as (file, _), _readable(file, contents) as readable, np.errstate(all="ignore"):
            streams, header = pyxdf.load_xdf(
                readable, list(numbers), synchronize_clocks=True, dejitter_timestamps=False
            )
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # whatever it meets in bytes that are not as they should be
        raise UserError(f"{path}: damaged: pyxdf cannot read it ({one_line(error)})") from None
    finally:
        logger.removeHandler(complaints)
    contents.created = _created(header)
    if complaints.buffer and not contents.notes:
        contents.notes.append("damaged; what cannot be read is left out")
    return {stream["info"]["stream_id"]: stream for stream in streams}


def _created(header: Any) -> datetime.datetime | None:
    with contextlib.suppress(KeyError, IndexError, TypeError):
        return parsed(str(header["info"]["datetime"][0]))
    return None


@contextlib.contextmanager
def _readable(file: BinaryIO, contents: XdfContents) -> Iterator[BinaryIO]:
    """What pyxdf is to read: of a chunk that is damaged it would make up numbers, or fail."""
    if contents.whole:
        yield file
        return
    with _temporary() as readable:
        for begin, end in contents.spans:
            file.seek(begin)
            readable.write(file.read(end - begin))
        readable.seek(0)
        yield readable
