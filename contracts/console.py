"""Console output that never fails a run: a terminal may be closed, or the disk of a log full."""

import contextlib
import io
import os
import sys
from typing import Any, TextIO


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
    print(text, file=Lenient(sys.stderr if stream is None else stream), flush=True)


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
