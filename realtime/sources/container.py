"""Media files by FFmpeg's libraries: opening one, its streams, and where they end."""

import datetime
import mmap
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.stream import Stream

from ...contracts.errors import UserError
from ..streams.samples import SECOND
from ..streams.wall_clock import parsed
from .limits import LIMITS, Limits

# Recordings. FFmpeg's other formats list files or addresses, are devices, or read whatever they are given.
_FORMATS: Final = (
    "mov,matroska,avi,flv,mpegts,mpeg,asf,mxf,nut,ogg,rm,wtv,dv,amr,caf,gif,apng,mpjpeg,"
    "h261,h263,h264,hevc,vvc,m4v,mjpeg,jpeg_pipe,mpegvideo,vc1,ivf,obu,av1,yuv4mpegpipe,"
    "wav,w64,aiff,au,voc,mp3,aac,ac3,eac3,dts,flac,tta,wv,ape,loas,"
    "tty"  # any text, to say so
)
_LOOK: Final = 60_000_000  # µs; so late a track may begin where no header lists the tracks, as in FLV
# Of formats whose files FFmpeg reads up to the end of the first, or second, where several were joined: bytes
# at the beginning of each, and where they are.
_HEADERS: Final = {
    "matroska,webm": (0, b"\x1aE\xdf\xa3"),
    "mov,mp4,m4a,3gp,3g2,mj2": (4, b"ftyp"),
    "flv": (0, b"FLV\x01"),
    "avi": (8, b"AVI "),
    "wav": (8, b"WAVE"),
}
# In the headers of these, FFmpeg's own among them, most programs write where the file ends, on its own axis.
_ENDS: Final = {"matroska,webm"}


_CREATED: Final = ("com.apple.quicktime.creationdate", "creation_time")
_EARLIEST: Final = datetime.datetime(1990, 1, 1, tzinfo=datetime.UTC)  # clocks that were never set are before


def created(metadata: Mapping[str, str]) -> datetime.datetime | None:
    """When a file says that its recording began, with a time zone; None if it does not."""
    found = (parsed(metadata[key]) for key in _CREATED if key in metadata)
    return next((time for time in found if time is not None and time >= _EARLIEST), None)


def open_container(path: Path, begin: int = 0, limits: Limits = LIMITS) -> InputContainer:
    """Open a file, or the part of it from byte `begin` on; it is looked at up to `limits.max_probe`.

    Raises:
        UserError: it cannot be read.
    """
    try:
        empty = path.stat().st_size == 0
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check its name") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror}); check name and permissions") from error
    if not path.is_file():
        raise UserError(f"{path}: not a file; give a recording")
    if empty:
        raise UserError(f"{path}: the file is empty; copy it again, or give another")
    try:
        # A name with a colon is no protocol.
        name = f"subfile,,start,{begin},end,0,,:{path}" if begin else f"file:{path}"
        options = {
            "analyzeduration": str(_LOOK),
            "probesize": str(max(limits.max_probe, 32)),  # FFmpeg's least
            "format_whitelist": _FORMATS,
            "protocol_whitelist": "file,subfile",
            "max_pixels": str(limits.coded_pixels),  # of what it decodes to look at
        }
        container = av.open(name, options=options, metadata_errors="replace")
    except av.error.ArgumentError as error:
        reason = "this is a list of files, a picture or subtitles, not a recording"
        raise UserError(f"{path}: {reason}; give another file") from error
    except (av.error.FFmpegError, OSError) as error:
        reason = f"not a recording, or its beginning is damaged ({error.strerror})"
        raise UserError(f"{path}: {reason}; see whether a player opens it") from error
    if container.format.name == "tty":  # FFmpeg renders any text as a terminal
        container.close()
        raise UserError(f"{path}: this is text, not a recording; give another file")
    return container


def beyond_limits(kind: str, path: Path, limits: Limits) -> str:
    """What to add to a message that a track was not recognised: the limits that may be why."""
    further = path.stat().st_size > limits.max_probe
    where = f" up to byte {limits.max_probe}; a larger --max-probe looks further" if further else ""
    if kind != "video":
        return where
    return f"{where}; or its pictures have more than {limits.max_pixels} pixels, which --max-pixels allows"


def next_part(path: Path, container: InputContainer, after: int) -> int | None:
    """Where in the file, at `after` bytes or later, another of the same format begins; None for nowhere."""
    if (header := _HEADERS.get(container.format.name)) is None or after >= path.stat().st_size:
        return None
    offset, magic = header
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = data.find(magic, after + offset)
        return None if found < 0 else found - offset


def duration_of(stream: Stream) -> int | None:
    """ns, as the stream declares it."""
    return None if stream.duration is None else to_ns(stream.duration, stream.time_base)


def end_of(container: InputContainer, stream: Stream) -> int | None:
    """Where a stream ends, as declared or estimated; ns on the file's own axis."""
    if (duration := duration_of(stream)) is not None:
        return to_ns(stream.start_time or 0, stream.time_base) + duration
    if container.duration is not None:
        start = container.start_time or 0
        if container.format.name in _ENDS and container.duration > start:  # else it can only be a length
            start = 0
        return to_ns(start + container.duration, Fraction(1, av.time_base))
    return None


def to_ns(pts: int, time_base: Fraction | None) -> int:
    assert time_base is not None  # every stream that can be decoded has one
    return pts * SECOND * time_base.numerator // time_base.denominator
