"""Files that have their name only when they are complete."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from .errors import UserError


class PartFile:
    """A file that is `FILE.part`, or `part`, while it is written, and `FILE` after `commit`.

    As a context manager it gives the stream, and commits, or discards after an exception. An object whose
    life is longer than a block calls the methods. What another file of that name held stays until `commit`.

    Attributes:
        stream: to write to.

    Raises:
        OSError: from all methods but `discard` and `abandon`.
    """

    def __init__(self, path: Path, part: Path | None = None) -> None:
        self._path, self._part = path, part or path.with_name(f"{path.name}.part")
        self.stream: BinaryIO = self._part.open("wb")

    def commit(self) -> None:
        """Complete the file. Its content is on the disk before its name is."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()
        self._part.replace(self._path)

    def abandon(self) -> None:
        """Leave what was written as `FILE.part`."""
        with contextlib.suppress(OSError):  # closing flushes, which a full disk refuses again
            self.stream.close()

    def discard(self) -> None:
        """Leave nothing."""
        self.abandon()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> BinaryIO:
        return self.stream

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.discard()  # nothing, after `commit`


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write to, which gets its name when the context ends without an exception.

    Nothing is left after an exception. The content is on the disk before the name is. Several processes may
    write the same file at the same time: the last to end wins.

    Raises:
        UserError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        with PartFile(path, part) as stream:
            yield stream
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); give another path") from None


def write_atomically(path: Path, content: bytes) -> None:
    """Write a complete file; see `atomic_file`."""
    with atomic_file(path) as stream:
        stream.write(content)
