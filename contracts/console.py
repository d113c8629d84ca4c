"""Console output that never fails a run: a terminal may be closed, or the disk of a log full. A terminal's
control sequences, which names of files and other text from outside may hold, are not shown."""

import contextlib
import io
import os
import sys
from typing import Any, TextIO


class Plain(io.TextIOBase):
    """Writes to a stream as `printable` text.

    Attributes:
        styled: the stream, for whoever writes styles and movements of the cursor itself.
    """

    def __init__(self, stream: TextIO) -> None:
        self.styled = stream

    def write(self, text: str) -> int:
        self.styled.write(printable(text))
        return len(text)

    def flush(self) -> None:
        self.styled.flush()

    def isatty(self) -> bool:
        return self.styled.isatty()

    def fileno(self) -> int:
        return self.styled.fileno()

    def __getattr__(self, name: str) -> Any:  # `encoding` and others
        return getattr(self.__dict__.get("styled"), name)


def for_styles(stream: TextIO) -> TextIO:
    """The stream below a `Plain` one; any other as it is."""
    below: TextIO = getattr(stream, "styled", stream)
    return below


def printable(text: str) -> str:
    """Text without a terminal's control sequences: control characters become spaces, but for ends of lines
    and tabs; of a name of a file, a byte that is no text becomes its code."""
    if all(part.isprintable() for part in text.split("\n")):
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _shown(c) for c in text)


def _shown(character: str) -> str:
    return f"\\x{ord(character) - 0xDC00:02x}" if "\udc80" <= character <= "\udcff" else " "


class Lenient(io.TextIOBase):
    """Writes to a stream, None if there is none; what cannot be written is dropped."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if self._stream is not None:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                self.write(text.encode("ascii", "backslashreplace").decode())
            except (OSError, ValueError):  # ValueError: it is closed
                discard(self._stream)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                discard(self._stream)

    def isatty(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation("no stream")
        return self._stream.fileno()

    def __getattr__(self, name: str) -> Any:  # `encoding` and others
        return getattr(self.__dict__.get("_stream"), name)


def say(text: str, stream: TextIO | None = None) -> None:
    """Print on a stream, by default standard error."""
    print(printable(text), file=Lenient(sys.stderr if stream is None else stream), flush=True)


def discard(stream: TextIO) -> None:
    """Drop what a stream has and cannot write, so that its next flush does not fail."""
    with contextlib.suppress(OSError, ValueError):
        descriptor = stream.fileno()
        kept, nowhere = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, descriptor)
            stream.flush()
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)
            os.close(nowhere)


def reserve_standard_descriptors() -> None:
    """Open those of 0, 1 and 2 that are closed: else the next file would get what is meant for people."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free
