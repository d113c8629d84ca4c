"""The tables of a session: rows to messages of an Arrow IPC stream; `decoder` reads them back."""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import numpy as np

from ...contracts.schemas import Schema, schema_of
from ...contracts.schemas import schema as known_schema
from ..engine.columns import BOX, columns, estimate_reader
from ..engine.estimate import Estimate
from ..streams.samples import SECOND, Control, Observation, Sample, View
from .arrow import estimate_field, pa
from .messages import UNCHECKED, sealed

RESERVED: Final = ("observations", "estimates", "marks")  # tables that are not a modality's
MAX_DIM: Final = 65_536  # numbers in a vector; more in a session.json is damage
MAX_DIMS: Final = 4 * MAX_DIM  # in all vectors together
MAX_MODALITIES: Final = 256
MAX_TIME: Final = 2**61  # ns; 73 years, so that differences and offsets of times are integers of 64 bits

Row = TypeVar("Row")
Cells = Sequence[Any]  # a row by column; a vector is written as its bytes and read as float32 [dim]


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """The format of one file."""

    name: str  # of the file, without `.arrows`
    schema: Any  # Arrow's; with units, modalities and feature schemas as metadata
    write: Callable[[Row], Cells]
    read: Callable[[Cells], Row]
    time: Callable[[Row], int]  # of a row, ns; the reader reports from when on rows are lost


def samples_table(modality: str, schema: Schema) -> Table[tuple[Sample, int]]:
    """Samples of one modality, each with its arrival time, ns."""

    def write(row: tuple[Sample, int]) -> Cells:
        sample, arrived = row
        values = _bytes(modality, sample.values, schema)
        return sample.originating_time, arrived, sample.sequence, values, *_of_view(sample.view)

    def read(cells: Cells) -> tuple[Sample, int]:
        originating_time, arrived, sequence, values, *view = cells
        return Sample(modality, originating_time, values, sequence, _view(view)), arrived

    fields = [_integer("originating_time", "ns"), _integer("arrived", "ns"), _integer("sequence", "1")]
    fields += [_vector("values", schema), *_view_fields()]
    return Table(modality, _schema(fields, {modality: schema}), write, read, lambda row: row[1])


def observations_table(schemas: Mapping[str, Schema]) -> Table[Observation]:
    """The model's input at each tick."""
    modalities = tuple(schemas)

    def write(row: Observation) -> Cells:
        _check_modalities(modalities, row.values, row.age)
        cells: list[Any] = [row.tick, row.time]
        for modality, schema in schemas.items():
            cells += _bytes(modality, row.values[modality], schema), row.age[modality]
        return [*cells, *_of_view(row.view)]

    def read(cells: Cells) -> Observation:
        tick, time, *rest = cells
        rest, view = rest[: 2 * len(modalities)], rest[2 * len(modalities) :]
        values, age = (dict(zip(modalities, rest[i::2], strict=True)) for i in range(2))
        return Observation(tick, time, values, age, view=_view(view))

    fields = [_integer("tick", "1"), _integer("time", "ns")]
    for modality, schema in schemas.items():
        fields += _vector(modality, schema), _integer(f"{modality}_age", "ns", nullable=True)
    fields += _view_fields()
    return Table("observations", _schema(fields, schemas), write, read, lambda row: row.time)


def estimates_table(schemas: Mapping[str, Schema]) -> Table[Estimate]:
    """Estimates, by the columns of `engine.columns`; without timing the latencies are null.

    The wall-clock time follows from `session.json`, and marks have a table of their own.
    """
    modalities = tuple(schemas)
    row_columns = columns(modalities, stamped=False)
    names = [column.name for column in row_columns]
    estimate = estimate_reader(modalities)

    def write(row: Estimate) -> Cells:
        _check_modalities(modalities, row.present, row.age_ms, row.surprise)
        return [column.get(row) for column in row_columns]

    return Table(
        "estimates",
        _schema([estimate_field(column) for column in row_columns], schemas),
        write,
        lambda cells: estimate(dict(zip(names, cells, strict=True))),
        lambda row: round(row.t * SECOND),
    )


def marks_table() -> Table[tuple[int, str]]:
    """Marks: time, ns, and label; `kind` is empty, or the name of a `Control`.

    Sessions of before have no `kind`: there the label decides.
    """
    controls = {control.name.lower(): control for control in Control}
    before: dict[str, Control] = {control.value: control for control in Control}

    def write(row: tuple[int, str]) -> Cells:
        time, label = row
        kind = label.name.lower() if isinstance(label, Control) else ""
        # What UTF-8 cannot encode, half of a surrogate pair, becomes a question mark.
        return time, label.encode(errors="replace").decode(), kind

    def read(cells: Cells) -> tuple[int, str]:
        time, label, kind = cells
        control = before.get(label) if kind is None else controls.get(kind)
        return time, control or label

    fields = [_integer("time", "ns"), pa.field("label", pa.string(), nullable=False)]
    fields.append(pa.field("kind", pa.string()))
    return Table("marks", _schema(fields, {}), write, read, lambda row: row[0])


class Tables:
    """The tables of a session.

    Args:
        names: the feature schema of each modality; None, or a name that is not known: a plain vector.
        dims: the numbers in a vector of each modality; it may be missing where the schema is known.

    Raises:
        UserError: an unknown feature schema without `dims`, or a known one of other dims.
        ValueError: a modality's name cannot be that of a file or column; its dims are out of range.
    """

    def __init__(self, names: Mapping[str, str | None], dims: Mapping[str, int]) -> None:
        for modality, name in names.items():
            if not re.fullmatch(r"\w[\w.-]{0,59}", modality) or modality in RESERVED:
                raise ValueError(f"{modality!r} cannot be the name of a modality")
            if name is None and modality not in dims:
                raise ValueError(f"{modality!r} has no schema and no dims")
            if not 0 < dims.get(modality, 1) <= MAX_DIM:
                raise ValueError(f"{modality!r} is a vector of {dims[modality]} numbers")
        if len(names) > MAX_MODALITIES or sum(dims.values()) > MAX_DIMS:
            raise ValueError(f"{len(names)} modalities of {sum(dims.values())} numbers")
        self.schemas = schemas = {
            modality: schema_of(name, dims[modality]) if modality in dims else known_schema(name or "")
            for modality, name in names.items()
        }
        self.samples = {modality: samples_table(modality, s) for modality, s in schemas.items()}
        self.observations = observations_table(schemas)
        self.estimates = estimates_table(schemas)
        self.marks = marks_table()
        if len(set(columns := self.observations.schema.names)) < len(columns):
            raise ValueError(f"two columns of the same name in {columns}")

    def __iter__(self) -> Iterator[Table[Any]]:
        yield from self.samples.values()
        yield from (self.observations, self.estimates, self.marks)


class Encoder:
    """Encodes one stream, message by message; `begin` is the first of them."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        metadata = schema.metadata | {b"check": UNCHECKED}
        self.begin = sealed(schema.with_metadata(metadata).serialize().to_pybytes())
        self._sink = io.BytesIO()
        self._stream = pa.ipc.new_stream(self._sink, schema)
        self.batch([])  # Arrow puts the schema before the first

    def batch(self, rows: Sequence[Cells]) -> bytes:
        """The message of some rows."""
        cells = zip(*rows, strict=True) if rows else [()] * len(self._schema)
        arrays = [_array(field.type, column) for field, column in zip(self._schema, cells, strict=True)]
        batch = pa.record_batch(arrays, schema=self._schema)
        self._stream.write_batch(batch, custom_metadata={b"check": UNCHECKED})
        message = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return sealed(message)


def _array(kind: Any, cells: Sequence[Any]) -> Any:
    if not pa.types.is_fixed_size_list(kind):
        return pa.array(cells, kind)
    nothing = bytes(4 * kind.list_size)
    flat = pa.py_buffer(b"".join(nothing if cell is None else cell for cell in cells))
    values = pa.Array.from_buffers(pa.float32(), len(cells) * kind.list_size, [None, flat])
    valid = np.packbits(np.array([cell is not None for cell in cells], bool), bitorder="little")
    return pa.Array.from_buffers(kind, len(cells), [pa.py_buffer(valid)], children=[values])


def _bytes(modality: str, values: Any, schema: Schema) -> bytes | None:
    if values is None:
        return None
    if values.dtype != np.float32 or values.shape != (schema.dim,):
        given = f"{values.dtype}{list(values.shape)}"
        expected = f"float32[{schema.dim}]" + (f" as {schema.name} requires" if schema.name else "")
        raise ValueError(f"{modality} is {given}, not {expected}")
    return bytes(values.tobytes())


def _check_modalities(expected: tuple[str, ...], *given: Mapping[str, Any]) -> None:
    """The order counts, too: it is that of the JSON that is read back."""
    for each in given:
        if tuple(each) != expected:
            raise ValueError(f"modalities are {tuple(each)}, not {expected} as the session's schemas require")


def _schema(fields: list[Any], schemas: Mapping[str, Schema]) -> Any:
    names = {modality: schema.name for modality, schema in schemas.items()}
    return pa.schema(fields, {"schemas": json.dumps(names)})


def _integer(name: str, unit: str, *, nullable: bool = False) -> Any:
    return pa.field(name, pa.int64(), nullable, {"unit": unit})


# Who was in the picture; sessions of before have none of these columns.
_VIEW: Final = (
    "view_faces",
    "view_person",
    *(f"view_{side}" for side in BOX),
    "view_quality",
    "view_problem",
)


def _view_fields() -> list[Any]:
    faces, person, *shares, problem = _VIEW
    fields = [_integer(name, "1", nullable=True) for name in (faces, person)]
    fields += [pa.field(name, pa.float64(), metadata={"unit": "0..1"}) for name in shares]
    return [*fields, pa.field(problem, pa.string())]


def _of_view(view: View | None) -> Cells:
    if view is None:
        return [None] * len(_VIEW)
    return view.faces, view.person, *(view.box or [None] * len(BOX)), view.quality, view.problem


def _view(cells: Cells) -> View | None:
    faces, person, *box, quality, problem = cells
    whole = not any(share is None for share in box)
    return None if faces is None else View(faces, person, tuple(box) if whole else None, quality, problem)


def _vector(name: str, schema: Schema) -> Any:
    features, units = json.dumps(schema.features), json.dumps(schema.units)
    metadata = {"schema": schema.name, "features": features, "units": units}
    return pa.field(name, pa.list_(pa.float32(), schema.dim), True, metadata)
