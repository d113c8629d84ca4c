"""Where estimates go, named by address: `jsonl:FILE`, `csv:FILE`, and `-` for standard output.

A file is written line by line beside its place, as `FILE.part`, and gets its name when the run is over: under
its own name there is never half of one.
"""

import contextlib
import csv
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import msgspec

from ..contracts.errors import UserError
from .estimate import Estimate, Latency


class Output:
    """Estimates, line by line, into a stream or into a file that gets its name at the end.

    A context manager. Leaving it closes the output, also on the ways out that a person takes
    (`KeyboardInterrupt`, `UserError`, `BrokenPipeError`): what is there is whole lines. If there is none, or
    after any other exception, the file does not get its name.

    Args:
        address: for messages.
        stream: where the lines go.
        encode: an estimate to its line.
        path: the name that the stream's file gets; None where the stream is written in place.
    """

    def __init__(
        self, address: str, stream: BinaryIO, encode: Callable[[Estimate], bytes], path: Path | None
    ) -> None:
        self._address = address
        self._stream = stream
        self._encode = encode
        self._path = path
        self._lines = 0

    def write(self, estimate: Estimate) -> None:
        """Write one estimate and flush it.

        Raises:
            UserError: the disk is full, or the file has become unwritable.
            BrokenPipeError: whoever read the stream has gone.
        """
        line = self._encode(estimate)
        with self._errors():
            self._stream.write(line)
            self._stream.flush()
        self._lines += 1

    def close(self) -> None:
        """Give the file its name; it is on the disk then.

        Raises:
            UserError: that failed.
        """
        if self._stream.closed:
            return
        with self._errors():
            if self._path is not None:
                os.fsync(self._stream.fileno())
            self._stream.close()
            if self._path is not None:
                _part(self._path).replace(self._path)

    def abandon(self) -> None:
        """Leave what was written in `FILE.part`; nothing written leaves nothing."""
        if self._stream.closed:
            return
        with contextlib.suppress(OSError):  # a full disk, once more
            self._stream.close()
        if self._path is not None and not self._lines:
            _part(self._path).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            self.abandon()
            raise UserError(f"{self._address}: cannot be written ({error.strerror})") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = kind is not None and issubclass(kind, (KeyboardInterrupt, UserError, BrokenPipeError))
        if kind is None or (stopped and self._lines):
            self.close()
        else:
            self.abandon()


def open_output(address: str) -> Output:
    """The output of that address, ready to be written.

    Args:
        address: `jsonl:FILE`, `csv:FILE`; FILE `-`, or `-` alone for JSON Lines, is standard output.

    Raises:
        UserError: no such kind of output, or the file cannot be written.
    """
    scheme, _, target = ("jsonl:-" if address == "-" else address).partition(":")
    if scheme not in _FORMATS or not target:
        raise UserError(f"unknown output {address!r}: give jsonl:FILE, csv:FILE, or - for standard output")
    encode = _FORMATS[scheme]()
    path = Path(target)
    try:
        if target == "-":
            sys.stdout.flush()
            return Output(address, os.fdopen(os.dup(sys.stdout.fileno()), "wb"), encode, None)
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe or a device has no other name
            return Output(address, path.open("wb"), encode, None)
        path = path.resolve()  # the file that a link names, not the link, is replaced
        if path.is_dir():
            raise UserError(f"{address}: is a folder; name a file in it")
        return Output(address, _part(path).open("wb"), encode, path)
    except OSError as error:
        raise UserError(
            f"{address}: cannot be written ({error.strerror}); name a file in a folder that you may write to"
        ) from None


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _json_line(estimate: Estimate) -> bytes:
    return msgspec.json.encode(estimate) + b"\n"


class _Csv:
    """One row a tick, units in the columns' names; empty where there is no value. Presence is 0 or 1."""

    def __init__(self) -> None:
        self._columns: list[str] | None = None

    def __call__(self, estimate: Estimate) -> bytes:
        row = _row(estimate)
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        if self._columns is None:
            self._columns = list(row)
            lines.writerow(self._columns)
        lines.writerow(row.values())
        return text.getvalue().encode()


def _row(estimate: Estimate) -> dict[str, float | int | None]:
    row: dict[str, float | int | None] = {"tick": estimate.tick, "t_s": estimate.t}
    row |= {f"engagement_{name}": x for name, x in msgspec.structs.asdict(estimate.engagement).items()}
    for modality, present in estimate.present.items():
        row[f"{modality}_present"] = int(present)
        row[f"{modality}_age_ms"] = estimate.age_ms[modality]
        row[f"{modality}_surprise_nats"] = estimate.surprise[modality]
    if isinstance(estimate.latency_ms, Latency):
        latency = estimate.latency_ms
        row |= {f"latency_{stage}_ms": getattr(latency, stage) for stage in ("face", "step", "total")}
        if latency.tick is not None:
            row["latency_tick_ms"] = latency.tick
            row |= {f"wait_{modality}_ms": latency.waits.get(modality) for modality in estimate.present}
    return row


# A CSV begins with a header, so each output has an encoder of its own.
_FORMATS: Final[dict[str, Callable[[], Callable[[Estimate], bytes]]]] = {
    "jsonl": lambda: _json_line,
    "csv": _Csv,
}
