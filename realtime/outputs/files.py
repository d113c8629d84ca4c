"""Files: JSON Lines and CSV.

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
from typing import BinaryIO, Final

import msgspec

from ...contracts.errors import UserError
from ..engine.estimate import Estimate, Latency
from ..streams.samples import Observation
from .output import Opening


class FileOutput:
    """Estimates, line by line, into a stream or into a file that gets its name at the end.

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

    def write(self, estimate: Estimate, observation: Observation) -> None:
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

    def mark(self, t: float, label: str) -> None:
        """These files have estimates only; a recorded session keeps marks."""

    def close(self, whole: bool) -> None:
        """Give the file its name: it is on the disk then. After a failure what was written stays in
        `FILE.part`; nothing written leaves nothing.

        Raises:
            UserError: that failed.
        """
        if self._stream.closed:
            return
        if not whole:
            self._abandon()
            return
        with self._errors():
            if self._path is not None:
                os.fsync(self._stream.fileno())
            self._stream.close()
            if self._path is not None:
                _part(self._path).replace(self._path)

    def _abandon(self) -> None:
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
            self._abandon()
            raise UserError(f"{self._address}: cannot be written ({error.strerror})") from None


def file_opening(address: str, scheme: str, target: str) -> Opening:
    """A file, or standard output for `-`, in the format `jsonl` or `csv`."""
    return Opening(address, lambda: _open(address, scheme, target), again=False)


def _open(address: str, scheme: str, target: str) -> FileOutput:
    encode = _FORMATS[scheme]()
    path = Path(target)
    try:
        if target == "-":
            sys.stdout.flush()
            return FileOutput(address, os.fdopen(os.dup(sys.stdout.fileno()), "wb"), encode, None)
        if path.exists() and not path.is_file() and not path.is_dir():  # a pipe or a device has no other name
            return FileOutput(address, path.open("wb"), encode, None)
        path = path.resolve()  # the file that a link names, not the link, is replaced
        if path.is_dir():
            raise UserError(f"{address}: is a folder; name a file in it")
        return FileOutput(address, _part(path).open("wb"), encode, path)
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
