"""Apache Parquet: the columns of a CSV, with types, and units in the schema.

The end of such a file says where everything is. A run that was killed leaves a `FILE.part` that nobody reads:
where that matters, write JSON Lines as well, or record the session.
"""

from pathlib import Path
from typing import Any, BinaryIO, Final

from ...contracts.errors import UserError
from ..engine.estimate import Engagement, Estimate
from ..streams.samples import Observation
from .files import FileOutput, _part, _row
from .output import Opening

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    raise UserError("parquet: needs pyarrow: pip install 'enrapt[record]'") from None

_GROUP: Final = 6000  # rows; four minutes, of some hundred KB
_UNITS: Final = {"ms": "ms", "nats": "nats", "s": "s"}  # by the last word of a column's name
_NOTHING: Final = Estimate(0, 0.0, Engagement(0.0, 0.0, 0.0, 0.0), {}, {}, {})


class ParquetOutput(FileOutput):
    """Estimates, row group by row group, into a file that gets its name at the end. See `FileOutput`."""

    def __init__(self, address: str, stream: BinaryIO, path: Path) -> None:
        super().__init__(address, stream, lambda _: b"", path)
        self._rows: list[dict[str, Any]] = []
        self._writer: Any = None

    def write(self, estimate: Estimate, observation: Observation) -> None:
        """Take one estimate; every four minutes of them are written.

        Raises:
            UserError: the disk is full, or the file has become unwritable.
        """
        self._begin(estimate)
        row: dict[str, Any] = dict(_row(estimate))
        self._rows.append(row | {f"{m}_present": here for m, here in estimate.present.items()})
        self._lines += 1
        if len(self._rows) == _GROUP:
            self._flush()

    def close(self, whole: bool) -> None:
        if self._stream.closed:
            return
        if whole or self._rows or self._writer is not None:  # what is left as `FILE.part` can be read, too
            self._begin(_NOTHING)
            self._flush()
            with self._errors():
                self._writer.close()
        super().close(whole)

    def _begin(self, estimate: Estimate) -> None:
        if self._writer is None:
            schema = pa.schema([_field(name) for name in _row(estimate)])
            with self._errors():
                self._writer = pq.ParquetWriter(self._stream, schema)

    def _flush(self) -> None:
        with self._errors():
            self._writer.write_table(pa.Table.from_pylist(self._rows, self._writer.schema))
        self._rows = []


def _field(name: str) -> Any:
    if name == "tick":
        return pa.field(name, pa.int64(), nullable=False, metadata={"unit": "1"})
    if name.endswith("_present"):
        return pa.field(name, pa.bool_(), nullable=False)
    engagement = name.startswith("engagement_")
    unit = "0..1" if engagement else _UNITS[name.rpartition("_")[2]]
    return pa.field(name, pa.float64(), nullable=not engagement and name != "t_s", metadata={"unit": unit})


def parquet_opening(address: str, target: str) -> Opening:
    """A Parquet file."""
    return Opening(address, lambda: _open(address, Path(target)), again=False)


def _open(address: str, path: Path) -> ParquetOutput:
    path = path.resolve()  # the file that a link names, not the link, is replaced
    if path.is_dir():
        raise UserError(f"{address}: is a folder; name a file in it")
    if (path.exists() and not path.is_file()) or path.name == "-":
        raise UserError(f"{address}: is no file; Parquet cannot be written to a stream")
    try:
        return ParquetOutput(address, _part(path).open("wb"), path)
    except OSError as error:
        raise UserError(
            f"{address}: cannot be written ({error.strerror}); name a file in a folder that you may write to"
        ) from None
