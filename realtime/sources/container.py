"""Media files by FFmpeg's libraries: opening one, its streams, and where they end."""

from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Stream

from ...contracts.errors import UserError
from ..streams.samples import SECOND


def open_container(path: Path) -> InputContainer:
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
        container = av.open(f"file:{path}", metadata_errors="replace")  # a name with a colon is no protocol
    except (av.error.FFmpegError, OSError) as error:
        reason = f"not a recording, or its beginning is damaged ({error.strerror})"
        raise UserError(f"{path}: {reason}; see whether a player opens it") from error
    if container.format.name == "tty":  # FFmpeg renders any text as a terminal
        container.close()
        raise UserError(f"{path}: this is text, not a recording; give another file")
    return container


def duration_of(stream: Stream) -> int | None:
    """ns, as the stream declares it."""
    return None if stream.duration is None else to_ns(stream.duration, stream.time_base)


def end_of(container: InputContainer, stream: Stream) -> int | None:
    """Where a stream ends, as declared or estimated; ns on the file's own axis."""
    if (duration := duration_of(stream)) is not None:
        return to_ns(stream.start_time or 0, stream.time_base) + duration
    if container.duration is not None:
        return to_ns((container.start_time or 0) + container.duration, Fraction(1, av.time_base))
    return None


def to_ns(pts: int, time_base: Fraction | None) -> int:
    assert time_base is not None  # every stream that can be decoded has one
    return pts * SECOND * time_base.numerator // time_base.denominator
