"""Apache Parquet: the columns of CSV, with types, and units in the schema.

The index of a Parquet file is at its end: what a killed run leaves, `FILE_recovered`, nothing can read. Where
that matters, write JSON Lines too, or record the session.
"""

import io
from pathlib import Path
from typing import Any, Final

import msgspec

from ...contracts.errors import UserError
from ..engine.columns import Column, columns
from ..engine.estimate import Estimate
from ..store.arrow import estimate_field, pa, parquet
from .files import FileOutput, Format, is_stream, open_file
from .output import Destination, Opening

_GROUP: Final = 6000  # rows in a row group: four minutes, some hundred KB


class _Sink(io.BytesIO):
    """Collects what Arrow writes, to be taken in pieces; positions are those in the whole file."""

    _taken = 0

    def tell(self) -> int:
        return self._taken + super().tell()

    def take(self) -> bytes:
        data = self.getvalue()
        self._taken += len(data)
        self.seek(0)
        self.truncate()
        return data


class _Parquet(Format):
    """Encodes row group by row group."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._columns: list[Column] = []
        self._rows: list[list[Any]] = []
        self._writer: Any = None

    def row(self, estimate: Estimate) -> bytes:
        if not self._columns:
            self._begin(columns(estimate.present, timing=estimate.latency_ms is not msgspec.UNSET))
        self._rows.append([column.get(estimate) for column in self._columns])
        if len(self._rows) == _GROUP:
            self._write_group()
        return self._sink.take()

    def end(self) -> bytes:
        if not self._columns:
            self._begin(columns((), timing=False))
        self._write_group()
        self._writer.close()
        return self._sink.take()

    def _begin(self, row_columns: list[Column]) -> None:
        self._columns = row_columns
        schema = pa.schema([estimate_field(column) for column in row_columns])
        self._writer = parquet().ParquetWriter(self._sink, schema)

    def _write_group(self) -> None:
        schema = self._writer.schema
        cells = zip(*self._rows, strict=True) if self._rows else [()] * len(schema)
        arrays = [pa.array(column, field.type) for field, column in zip(schema, cells, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        self._rows = []


def parquet_destination(address: str, path: str, opening: Opening) -> Destination:
    """A Parquet file."""

    def open_parquet() -> FileOutput:
        if Path(path).name == "-" or is_stream(Path(path)):
            raise UserError(f"{address}: is not a file; Parquet cannot be written to a stream")
        return open_file(address, _Parquet(), Path(path), opening, lines=False)

    return Destination(address, open_parquet, reopen=False, path=Path(path))
