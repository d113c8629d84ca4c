"""What the files of a session hold: rows to messages of an Arrow IPC stream, and back."""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import msgspec
import numpy as np

from ...contracts.errors import UserError
from ...contracts.schemas import Schema
from ...contracts.schemas import schema as schema_named
from ..engine.estimate import Engagement, Estimate, Latency
from ..streams.samples import SECOND, Observation, Sample
from .messages import UNCHECKED, sealed

try:
    import pyarrow as pa
except ImportError:
    raise UserError("a recorded session needs pyarrow: pip install 'enrapt[record]'") from None

_ENGAGEMENT: Final = ("mean", "std", "low", "high")
_LATENCY: Final = ("face", "step", "total", "tick")

Row = TypeVar("Row")
Cells = Sequence[Any]  # a row's columns; a vector is float32 `[dim]`, going in its bytes


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """The rows of one file.

    Attributes:
        name: of the file, without `.arrows`.
        schema: Arrow's; its fields say their units, its metadata the modalities and their feature schemas.
        flat: a row to its cells.
        whole: the cells back to the row.
        time: of a row, ns; by it the reader says since when rows are lost.
    """

    name: str
    schema: Any
    flat: Callable[[Row], Cells]
    whole: Callable[[Cells], Row]
    time: Callable[[Row], int]


def samples_table(modality: str, schema: Schema) -> Table[tuple[Sample, int]]:
    """Samples of one source, each with the time at which it arrived, ns."""

    def flat(row: tuple[Sample, int]) -> Cells:
        sample, arrived = row
        return sample.originating_time, arrived, sample.sequence, _bytes(modality, sample.values, schema)

    def whole(cells: Cells) -> tuple[Sample, int]:
        originating_time, arrived, sequence, values = cells
        return Sample(modality, originating_time, values, sequence), arrived

    fields = [_integer("originating_time", "ns"), _integer("arrived", "ns"), _integer("sequence", "1")]
    fields.append(_vector("values", schema))
    return Table(modality, _schema(fields, {modality: schema}), flat, whole, lambda row: row[1])


def observations_table(schemas: Mapping[str, Schema]) -> Table[Observation]:
    """What the model was shown at each tick."""
    modalities = tuple(schemas)

    def flat(row: Observation) -> Cells:
        _check_modalities(modalities, row.values, row.age)
        cells: list[Any] = [row.tick, row.time]
        for modality, schema in schemas.items():
            cells += _bytes(modality, row.values[modality], schema), row.age[modality]
        return cells

    def whole(cells: Cells) -> Observation:
        tick, time, *rest = cells
        values, age = (dict(zip(modalities, rest[i::2], strict=True)) for i in range(2))
        return Observation(tick, time, values, age)

    fields = [_integer("tick", "1"), _integer("time", "ns")]
    for modality, schema in schemas.items():
        fields += _vector(modality, schema), _integer(f"{modality}_age", "ns", nullable=True)
    return Table("observations", _schema(fields, schemas), flat, whole, lambda row: row.time)


def estimates_table(schemas: Mapping[str, Schema]) -> Table[Estimate]:
    """Estimates; columns are named as in CSV.

    No `latency_step_ms` says that no latency was wanted. `wait_order` names the modalities whose waits there
    are, in the order in which the estimate has them.
    """
    modalities = tuple(schemas)

    def flat(row: Estimate) -> Cells:
        _check_modalities(modalities, row.present, row.age_ms, row.surprise)
        cells: list[Any] = [row.tick, row.t, *msgspec.structs.astuple(row.engagement)]
        for modality in modalities:
            cells += row.present[modality], row.age_ms[modality], row.surprise[modality]
        latency = row.latency_ms
        if not isinstance(latency, Latency):
            return cells + [None] * (len(_LATENCY) + len(modalities) + 1)
        if unknown := latency.waits.keys() - modalities:
            raise ValueError(f"a wait for {min(unknown)!r}, which is none of {modalities}")
        cells += [getattr(latency, stage) for stage in _LATENCY]
        cells += [latency.waits.get(modality) for modality in modalities]
        return [*cells, " ".join(latency.waits)]

    def whole(cells: Cells) -> Estimate:
        cell = iter(cells)
        tick, t, *engagement = islice(cell, 2 + len(_ENGAGEMENT))
        each = list(islice(cell, 3 * len(modalities)))
        present, age_ms, surprise = (dict(zip(modalities, each[i::3], strict=True)) for i in range(3))
        face, step, total, since_tick, *waits, order = cell
        latency: Latency | msgspec.UnsetType = msgspec.UNSET
        if step is not None:
            told = dict(zip(modalities, waits, strict=True))
            latency = Latency(face, step, total, since_tick, {name: told[name] for name in order.split()})
        return Estimate(tick, t, Engagement(*engagement), present, age_ms, surprise, latency)

    fields = [_integer("tick", "1"), _real("t_s", "s", nullable=False)]
    fields += [_real(f"engagement_{name}", "0..1", nullable=False) for name in _ENGAGEMENT]
    for modality in modalities:
        fields += [
            pa.field(f"{modality}_present", pa.bool_(), nullable=False),
            _real(f"{modality}_age_ms", "ms"),
            _real(f"{modality}_surprise_nats", "nats"),
        ]
    fields += [_real(f"latency_{stage}_ms", "ms") for stage in _LATENCY]
    fields += [_real(f"wait_{modality}_ms", "ms") for modality in modalities]
    fields.append(pa.field("wait_order", pa.string()))
    return Table("estimates", _schema(fields, schemas), flat, whole, lambda row: round(row.t * SECOND))


def marks_table() -> Table[tuple[int, str]]:
    """What a person noted, with its time, ns."""
    fields = [_integer("time", "ns"), pa.field("label", pa.string(), nullable=False)]
    return Table(
        "marks",
        _schema(fields, {}),
        # What cannot be written as UTF-8, a half of a surrogate pair, is a question mark.
        lambda row: (row[0], row[1].encode(errors="replace").decode()),
        lambda cells: (cells[0], cells[1]),
        lambda row: row[0],
    )


class Tables:
    """Those of a session whose modalities have these schemas."""

    def __init__(self, names: Mapping[str, str]) -> None:
        schemas = {modality: schema_named(name) for modality, name in names.items()}
        self.samples = {modality: samples_table(modality, s) for modality, s in schemas.items()}
        self.observations = observations_table(schemas)
        self.estimates = estimates_table(schemas)
        self.marks = marks_table()
        if impossible := [m for m in schemas if not m.isidentifier() or m in {t.name for t in self._others}]:
            raise ValueError(f"{impossible[0]!r} is no name of a modality")

    @property
    def _others(self) -> tuple[Table[Any], ...]:
        return self.observations, self.estimates, self.marks

    def __iter__(self) -> Iterator[Table[Any]]:
        yield from self.samples.values()
        yield from self._others


class Encoder:
    """Writes one stream, message by message; `begin` is the first of them."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        metadata = schema.metadata | {b"check": UNCHECKED}
        self.begin = sealed(schema.with_metadata(metadata).serialize().to_pybytes())
        self._sink = io.BytesIO()
        self._stream = pa.ipc.new_stream(self._sink, schema)
        self.batch([])  # Arrow puts the schema before the first

    def batch(self, rows: Sequence[Cells]) -> bytes:
        """The message of some rows."""
        columns = zip(*rows, strict=True) if rows else [()] * len(self._schema)
        arrays = [_array(field.type, cells) for field, cells in zip(self._schema, columns, strict=True)]
        batch = pa.record_batch(arrays, schema=self._schema)
        self._stream.write_batch(batch, custom_metadata={b"check": UNCHECKED})
        message = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return sealed(message)


def is_of(message: bytes, schema: Any) -> bool:
    """Whether a stream's first message says what a table of that Arrow schema would.

    Units and names of features may be told in other words; that they mean the same is what the names of the
    feature schemas, in the metadata, say.
    """
    found = pa.ipc.read_schema(pa.py_buffer(message))
    told = (found.metadata or {}).get(b"schemas")
    return bool(found.equals(schema) and told == schema.metadata[b"schemas"])


def rows(message: bytes, table: Table[Row]) -> Iterator[Row]:
    """The rows of a message that is a batch."""
    batch = pa.ipc.read_record_batch(pa.py_buffer(message), table.schema)
    return map(table.whole, zip(*map(_cells, batch.columns), strict=True))


def _array(kind: Any, cells: Sequence[Any]) -> Any:
    if not pa.types.is_fixed_size_list(kind):
        return pa.array(cells, kind)
    nothing = bytes(4 * kind.list_size)
    flat = pa.py_buffer(b"".join(nothing if cell is None else cell for cell in cells))
    values = pa.Array.from_buffers(pa.float32(), len(cells) * kind.list_size, [None, flat])
    valid = np.packbits(np.array([cell is not None for cell in cells], bool), bitorder="little")
    return pa.Array.from_buffers(kind, len(cells), [pa.py_buffer(valid)], children=[values])


def _cells(column: Any) -> Sequence[Any]:
    if not pa.types.is_fixed_size_list(column.type):
        cells: list[Any] = column.to_pylist()
        return cells
    # A copy: what Arrow gives is read-only.
    vectors = column.values.to_numpy().reshape(-1, column.type.list_size).copy()
    return [v if valid else None for v, valid in zip(vectors, column.is_valid().to_pylist(), strict=True)]


def _bytes(modality: str, values: Any, schema: Schema) -> bytes | None:
    if values is None:
        return None
    if values.dtype != np.float32 or values.shape != (schema.dim,):
        told = f"{values.dtype}{list(values.shape)}"
        raise ValueError(f"{modality} is {told}, not float32[{schema.dim}] as {schema.name} says")
    data: bytes = values.tobytes()
    return data


def _check_modalities(expected: tuple[str, ...], *given: Mapping[str, Any]) -> None:
    """In the same order, too: what is read is to have the same JSON."""
    for each in given:
        if tuple(each) != expected:
            raise ValueError(f"modalities are {tuple(each)}, not {expected} as the session's schemas say")


def _schema(fields: list[Any], schemas: Mapping[str, Schema]) -> Any:
    told = {modality: schema.name for modality, schema in schemas.items()}
    return pa.schema(fields, {"schemas": json.dumps(told)})


def _integer(name: str, unit: str, *, nullable: bool = False) -> Any:
    return pa.field(name, pa.int64(), nullable, {"unit": unit})


def _real(name: str, unit: str, *, nullable: bool = True) -> Any:
    return pa.field(name, pa.float64(), nullable, {"unit": unit})


def _vector(name: str, schema: Schema) -> Any:
    told = {"schema": schema.name, "features": json.dumps(schema.features), "units": json.dumps(schema.units)}
    return pa.field(name, pa.list_(pa.float32(), schema.dim), True, told)
