"""Messages of an Arrow IPC stream to rows. A right checksum proves nothing: all is validated before use."""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, Generic

import numpy as np

from ..streams.samples import SECOND
from .arrow import pa
from .tables import MAX_TIME, Row, Table

_LIMITS: Final = {b"ns": MAX_TIME, b"s": MAX_TIME / SECOND}  # by unit
_AT_ONCE: Final = 4096  # rows that are Python objects at the same time


class Decoder(Generic[Row]):
    """Reads the rows of one stream, which begins with the message `begin`.

    Columns are found by name: those that the table does not have are ignored, and nullable ones that the
    stream does not have are null. Units and names of features follow from the names of the feature schemas.

    Raises:
        ValueError: the stream is not of this table.
    """

    def __init__(self, begin: bytes, table: Table[Row]) -> None:
        self._table = table
        try:
            self._schema = pa.ipc.read_schema(pa.py_buffer(begin))
            metadata, names = self._schema.metadata or {}, self._schema.names
        except (pa.ArrowException, OSError) as error:
            raise ValueError(str(error)) from None
        if metadata.get(b"schemas") != table.schema.metadata[b"schemas"]:
            raise ValueError("other modalities or feature schemas")
        for field in table.schema:
            if names.count(field.name) != 1:
                if field.name in names or not field.nullable:
                    raise ValueError(f"not one column {field.name}")
            elif self._schema.field(field.name).type != field.type:
                raise ValueError(f"{field.name} is of another type")
        for field in self._schema:
            if not (_is_plain(field.type) or _is_vector(field.type)):
                raise ValueError(f"{field.name} is of the type {field.type}")

    def rows(self, message: bytes) -> Iterator[Row]:
        """The rows of a message that is a batch.

        Raises:
            ValueError: it is not, or holds what a session's batch does not; no row has been given then.
        """
        try:
            batch = self._batch(message)
            for field in self._table.schema:
                if field.name in self._schema.names:
                    _check(field, batch.column(field.name))
        except (pa.ArrowException, OSError) as error:
            raise ValueError(str(error)) from None
        for first in range(0, batch.num_rows, _AT_ONCE):
            part = batch.slice(first, _AT_ONCE)
            cells = [
                _cells(part.column(name)) if name in self._schema.names else [None] * part.num_rows
                for name in self._table.schema.names
            ]
            yield from map(self._table.read, zip(*cells, strict=True))

    def _batch(self, message: bytes) -> Any:
        found = pa.ipc.read_message(pa.py_buffer(message))
        if found.type != "record batch":
            raise ValueError(f"a {found.type} instead of a batch")
        if _is_compressed(found.metadata.to_pybytes()):
            raise ValueError("a compressed batch")  # whose size nothing bounds
        batch = pa.ipc.read_record_batch(found, self._schema)
        batch.validate(full=True)
        return batch


def _is_plain(kind: Any) -> bool:
    return bool(pa.types.is_primitive(kind) or pa.types.is_string(kind))


def _is_vector(kind: Any) -> bool:
    return bool(
        pa.types.is_fixed_size_list(kind) and kind.list_size > 0 and pa.types.is_primitive(kind.value_type)
    )


def _is_compressed(message: bytes) -> bool:
    """Whether the metadata of a batch, whose flatbuffer Arrow has verified, declare compressed buffers."""
    batch = _field(message, struct.unpack_from("<I", message)[0], 2)  # Message.header
    return batch != 0 and _field(message, batch, 3) != 0  # RecordBatch.compression


def _field(data: bytes, table: int, index: int) -> int:
    """Where the table that is a field of a flatbuffer's table begins; 0 if there is none.

    Raises:
        ValueError: it is not in the data.
    """
    try:
        vtable = table - struct.unpack_from("<i", data, table)[0]
        if 4 + 2 * index >= struct.unpack_from("<H", data, vtable)[0]:
            return 0
        offset = struct.unpack_from("<H", data, vtable + 4 + 2 * index)[0]
        return table + offset + struct.unpack_from("<I", data, table + offset)[0] if offset else 0
    except struct.error:
        raise ValueError("metadata that point outside themselves") from None


def _check(field: Any, column: Any) -> None:
    """ValueError unless the column's values are those that the table allows."""
    if column.null_count and not field.nullable:
        raise ValueError(f"{field.name} is missing")
    if _is_vector(field.type) and not np.isfinite(_vectors(column)[_is_valid(column)]).all():
        raise ValueError(f"{field.name} is not finite")
    if limit := _LIMITS.get((field.metadata or {}).get(b"unit", b"")):
        times = column.drop_null().to_numpy()
        if times.size and not -limit <= times.min() <= times.max() <= limit:  # nor NaN
            raise ValueError(f"{field.name} is out of range")


def _cells(column: Any) -> Sequence[Any]:
    if not _is_vector(column.type):
        cells: list[Any] = column.to_pylist()
        return cells
    vectors = _vectors(column).copy()  # Arrow's are read-only
    return [v if valid else None for v, valid in zip(vectors, _is_valid(column).tolist(), strict=True)]


def _vectors(column: Any) -> Any:
    """float32 `[rows, size]`, also of the rows that are null."""
    size = column.type.list_size
    return column.values.slice(column.offset * size, len(column) * size).to_numpy().reshape(-1, size)


def _is_valid(column: Any) -> Any:
    """bool `[rows]`"""
    return column.is_valid().to_numpy(zero_copy_only=False)
