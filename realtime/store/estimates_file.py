"""Reads estimates back from the files that outputs write: JSON Lines, CSV, Parquet."""

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from ...contracts.errors import UserError, one_line
from ...contracts.regular import open_regular
from ..engine.columns import columns, estimate_reader, modalities_of
from ..engine.estimate import Estimate

MAX_TICKS: Final = 500_000  # more than five hours at 25 ticks/s; that many take half a gigabyte
MAX_MODALITIES: Final = 32  # in a file of estimates

_TOO_LONG: Final = f"more than {MAX_TICKS:,} ticks"
_MAX_LINE: Final = 2**16  # bytes; a line of two modalities has 300
_MAX_TEXTS: Final = 2**12  # bytes of the different texts of a column, in a batch
_MAX_MARKS: Final = 2**20  # likewise of marks
_MAX_SECONDS: Final = 1e9


def read_estimates(path: Path) -> list[Estimate]:
    """All estimates of a file; columns are found by name, see `estimate_reader`.

    Raises:
        UserError: it cannot be read, or is none of these formats; it has no estimate; one is not plausible.
    """
    try:
        with open_regular(path) as file:
            start = file.read(4)
            file.seek(0)
            if start == b"PAR1":
                estimates = _of_rows(_parquet_rows(file, path))
            elif start.startswith(b"{"):
                estimates = (msgspec.json.decode(line, type=Estimate) for line in _lines(file))
            else:
                text = io.TextIOWrapper(io.BufferedReader(_Lines(file)), newline="", encoding="utf-8")
                estimates = _of_rows(csv.DictReader(text, restkey=""))
            return plausible(estimates, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or one_line(error)})") from None
    # msgspec's errors are ValueErrors. Arrow raises most of these, NotImplementedError for a Parquet feature
    # that it cannot read. A csv.Error is none of them.
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, NotImplementedError, csv.Error):
        raise UserError(
            f"{path}: not estimates, or damaged; give a file of --to jsonl:, csv: or parquet:, or a session"
        ) from None


def plausible(estimates: Iterable[Estimate], source: Path) -> list[Estimate]:
    """The estimates as a list, if they can be those of one run.

    Raises:
        UserError: there is none, or there are too many; modalities change; a number cannot be right.
    """
    found = list(islice(estimates, MAX_TICKS + 1))
    if not found:
        raise UserError(f"{source}: has no estimate in it")
    if len(found) > MAX_TICKS:
        raise UserError(f"{source}: {_TOO_LONG}")
    modalities = found[0].present.keys()
    if len(modalities) > MAX_MODALITIES:
        raise UserError(f"{source}: {len(modalities)} modalities, more than {MAX_MODALITIES}")
    before = -math.inf
    for number, estimate in enumerate(found, 1):
        if wrong := _wrong(estimate, before):
            raise UserError(f"{source}: estimate {number}: {wrong}")
        if not modalities == estimate.present.keys() == estimate.age_ms.keys() == estimate.surprise.keys():
            raise UserError(f"{source}: estimate {number}: has other modalities than the first")
        before = estimate.t
    return found


def _wrong(estimate: Estimate, before: float) -> str:
    """What cannot be right in an estimate after one at `before`, s."""
    if not abs(estimate.t) <= _MAX_SECONDS:
        return "its time is out of range"
    if estimate.t < before:
        return "its time is before that of the one above it"
    if not all(0 <= x <= 1 for x in msgspec.structs.astuple(estimate.engagement)):
        return "engagement is not within 0 and 1"
    return ""


class _Lines(io.RawIOBase):
    """A file, of which no line is longer than a limit: a reader of lines has no limit of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self._lines, self._left = _lines(file), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._left or next(self._lines, b"")
        n = min(len(data), len(buffer))
        buffer[:n], self._left = data[:n], data[n:]
        return n


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_MAX_LINE + 1):
        if len(line) > _MAX_LINE:
            raise ValueError("a line is too long")
        yield line


def _parquet_rows(file: BinaryIO, path: Path) -> Iterator[Mapping[str, Any]]:
    from .arrow import pa, parquet

    limits = {"thrift_string_size_limit": 2**24, "thrift_container_size_limit": 2**20}
    found = parquet().ParquetFile(file, **limits)
    schema, rows = found.schema_arrow, found.metadata.num_rows
    wanted = [c for c in columns(modalities_of(schema.names)[: MAX_MODALITIES + 1]) if c.name in schema.names]
    for column in wanted:
        kind = schema.field(column.name).type
        if not (pa.types.is_string(kind) if column.kind is str else pa.types.is_primitive(kind)):
            raise ValueError("a column is of another kind")
    names = [column.name for column in wanted]
    if texts := [column.name for column in wanted if column.kind is str]:  # the same few in all rows
        found = parquet().ParquetFile(file, read_dictionary=texts, **limits)
    if rows > MAX_TICKS:
        raise UserError(f"{path}: {_TOO_LONG}")
    for batch in found.iter_batches(4096, columns=names, use_threads=False):
        batch.validate(full=True)
        if any(
            batch[name].dictionary.nbytes > (_MAX_MARKS if name == "marks" else _MAX_TEXTS) for name in texts
        ):
            raise ValueError("a text is too long")
        yield from batch.to_pylist()


def _of_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[Estimate]:
    read = None
    for row in rows:
        if read is None:
            modalities = modalities_of(row)
            if len(modalities) > MAX_MODALITIES:
                raise ValueError("too many modalities")
            read = estimate_reader(modalities)
        yield read(row)
