"""Files of estimates: JSON Lines and CSV here, Parquet in `parquet`.

A file is `FILE.part` while the run lasts and gets its name when the run ends, so `FILE` is always complete.
Files that exist, and those of other runs, are kept; see `contracts.owned`.
"""

import contextlib
import csv
import errno
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import msgspec

from ...contracts.errors import UserError
from ...contracts.owned import OwnedFile
from ..engine.columns import Cell, Column, columns
from ..engine.estimate import Estimate
from ..streams.samples import Observation
from ..streams.wall_clock import iso
from .output import Destination, Opening, OutputFailure

_READER: Final = 2.0  # s that a pipe waits for its first reader


class Format(Protocol):
    """Encodes the estimates of one file, in order."""

    def row(self, estimate: Estimate) -> bytes:
        """What is to be written after this estimate; it may be nothing yet."""

    def end(self) -> bytes:
        """What is to be written at the end."""
        return b""


class FileOutput:
    """Writes and flushes each estimate: to a file that gets its name at the end, or to a stream.

    After a failure what was written stays, readable, as `FILE.part`; without an estimate nothing stays.
    """

    def __init__(self, address: str, target: OwnedFile | BinaryIO, encoding: Format) -> None:
        self._address, self._format = address, encoding
        self._part = target if isinstance(target, OwnedFile) else None
        self._stream = target.stream if isinstance(target, OwnedFile) else target
        self._rows = 0

    def write(self, estimate: Estimate, observation: Observation) -> None:
        """See `Output`. BrokenPipeError is raised as it is: the reader of the stream has gone."""
        self._rows += 1
        with self._errors():
            self._put(self._format.row(estimate))

    def mark(self, t: float, label: str) -> None:
        """Ignored: the next estimate has it."""

    def close(self, complete: bool) -> None:
        if self._stream.closed:
            return
        with self._errors():
            if complete or self._rows:
                self._put(self._format.end())
            if not complete:
                self._abandon()
            elif self._part is None:
                self._stream.close()
            else:
                self._part.commit()

    def _put(self, data: bytes) -> None:
        if data:
            self._stream.write(data)
            self._stream.flush()

    def _abandon(self) -> None:
        if self._part is None:
            with contextlib.suppress(OSError):  # closing flushes, which may fail again
                self._stream.close()
        elif self._rows:
            self._part.abandon()
        else:
            self._part.discard()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            self._abandon()
            raise OutputFailure(f"{self._address}: cannot be written ({error.strerror})") from None


def file_destination(address: str, scheme: str, path: str, opening: Opening) -> Destination:
    """A file, or standard output for `-`, in the format `jsonl` or `csv`."""

    if Path(path).is_fifo():
        pipe = NamedPipe(address, _FORMATS[scheme], Path(path))
        return Destination(address, pipe.open, reopen=True, path=Path(path))

    def open_it() -> FileOutput:
        encoding = _FORMATS[scheme]()
        if path == "-":
            if sys.stdout is None:
                raise UserError(f"{address}: standard output is closed")
            sys.stdout.flush()
            return FileOutput(address, os.fdopen(os.dup(sys.stdout.fileno()), "wb"), encoding)
        return open_file(address, encoding, Path(path), opening, lines=True)

    return Destination(address, open_it, reopen=False, path=Path(path))


class NamedPipe:
    """A pipe whose reader may not be there yet, may leave, and may come back."""

    def __init__(self, address: str, encoding: Callable[[], Format], path: Path) -> None:
        self._address, self._format, self._path = address, encoding, path
        self._patience = _READER  # s

    def open(self) -> FileOutput:
        """Open it; the first call waits a while for a reader. Raises OSError if there is none."""
        deadline = time.monotonic() + self._patience
        self._patience = 0.0
        while True:
            try:
                descriptor = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                if time.monotonic() >= deadline:
                    raise OSError("no program reads it") from None
                time.sleep(0.01)
            else:
                os.set_blocking(descriptor, True)
                return FileOutput(self._address, os.fdopen(descriptor, "wb"), self._format())


def is_stream(path: Path) -> bool:
    """Whether it is a pipe or a device."""
    return path.exists() and not path.is_file() and not path.is_dir()


def open_file(address: str, encoding: Format, path: Path, opening: Opening, lines: bool) -> FileOutput:
    """A file, or a stream; if `path` is a link to a file, that file is meant. `lines`: see `OwnedFile`."""
    if path.is_dir():
        raise UserError(f"{address}: is a folder; name a file in it")
    try:
        if is_stream(path):
            return FileOutput(address, path.open("wb"), encoding)
        owned = OwnedFile(path.resolve(), overwrite=opening.overwrite, lines=lines, warn=opening.warn)
        return FileOutput(address, owned, encoding)
    except OSError as error:
        raise UserError(
            f"{address}: cannot be written ({error.strerror}); name a file in a folder that you may write to"
        ) from None


class _JsonLines(Format):
    def row(self, estimate: Estimate) -> bytes:
        return msgspec.json.encode(estimate) + b"\n"


class _Csv(Format):
    """A header and one row per tick, see `engine.columns`. Cells without a value are empty, bools 0 or 1."""

    def __init__(self) -> None:
        self._columns: list[Column] = []

    def row(self, estimate: Estimate) -> bytes:
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        if not self._columns:
            self._columns = columns(estimate.present, timing=estimate.latency_ms is not msgspec.UNSET)
            lines.writerow([column.name for column in self._columns])
        cells = (column.get(estimate) for column in self._columns)
        lines.writerow([_text(cell) for cell in cells])
        return text.getvalue().encode(errors="replace")


def _text(cell: Cell) -> Cell:
    if isinstance(cell, bool):
        return int(cell)
    return iso(cell) if isinstance(cell, datetime) else cell


_FORMATS: Final[dict[str, Callable[[], Format]]] = {"jsonl": _JsonLines, "csv": _Csv}
