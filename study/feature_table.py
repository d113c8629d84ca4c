"""Features of sessions as a table for other programs, CSV or Parquet: a row for each tick or sample."""

import datetime
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..contracts.errors import UserError, one_line
from ..contracts.files import atomic_file
from ..contracts.schemas import Schema
from ..realtime.engine.columns import joined
from ..realtime.engine.estimate import Estimate
from ..realtime.store.arrow import pa, parquet
from ..realtime.store.group import Member, is_group, read_group
from ..realtime.store.private import make_private
from ..realtime.store.reader import SessionReader
from ..realtime.streams import wall_clock
from ..realtime.streams.samples import SECOND, View
from ..realtime.streams.wall_clock import parsed
from .study import StudySession

FORMATS: Final = (".csv", ".parquet")

_ROWS: Final = 5000  # in a batch: some minutes
_ENGAGEMENT: Final = ("mean", "std", "low", "high")


@dataclass(frozen=True, slots=True)
class _Row:
    """A tick or a sample; `number` counts them."""

    time: int  # ns
    number: int
    values: Mapping[str, NDArray[np.float32] | None]
    view: View | None
    estimate: Estimate | None = None
    marks: str = ""  # since the tick before


@dataclass(frozen=True, slots=True)
class _Opened:
    session: StudySession
    reader: SessionReader
    started: datetime.datetime | None  # of 0 s; None if nobody knows
    group: str  # the folder of several people that it is in, by name; empty for none
    member: Member | None  # of that group


def write_table(
    sessions: Sequence[StudySession],
    path: Path,
    *,
    samples: str | None = None,
    study: bool = True,
    overwrite: bool = False,
) -> tuple[int, list[str]]:
    """Write the features of sessions to a private file; give the number of rows, and what is lost of them.

    Args:
        samples: a modality: a row for each of its samples, instead of one for each tick.
        study: whether rows name their session and its person.

    Raises:
        UserError: a session cannot be read, or has features of another schema than another session; none has
            the modality; there is no row; such a file exists, or it cannot be written.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: name a file that ends in {' or '.join(FORMATS)}")
    if not overwrite and os.path.lexists(path):
        raise UserError(f"{path}: exists and is kept; --overwrite replaces it")
    opened = [_open(session) for session in sessions]
    schemas = _schemas(opened)
    if samples is not None:
        if samples not in schemas:
            raise UserError(f"no session has samples of {one_line(samples)}, only {', '.join(schemas)}")
        schemas = {samples: schemas[samples]}
    groups = any(one.member for one in opened)
    estimates = samples is None and any(next(one.reader.estimates(), None) for one in opened)
    table = _Table(schemas, "tick" if samples is None else "sequence", study, groups, estimates, path.suffix)
    count, lines = 0, []
    with atomic_file(path) as stream:
        make_private(Path(stream.name))
        with table.writer(stream) as writer:
            for one in opened:
                lines += [f"{one.session.name}: {line}" for line in one.reader.lost]
                rows = _ticks(one.reader) if samples is None else _samples(one.reader, samples)
                while chunk := list(islice(rows, _ROWS)):
                    writer.write(table.batch(one, chunk))
                    count += len(chunk)
        if not count:
            what = "tick" if samples is None else f"sample of {one_line(samples)}"
            raise UserError(f"{', '.join(one.name for one in sessions[:5])}: no {what} in it")
        if not overwrite and os.path.lexists(path):
            raise UserError(f"{path}: exists and is kept; --overwrite replaces it")
    return count, lines


def _open(session: StudySession) -> _Opened:
    reader = SessionReader(session.folder)
    folder, member = session.folder.parent, None
    began = reader.began
    if is_group(folder):
        group = read_group(folder)
        member = next((one for one in group.people if one.person == session.folder.name), None)
        if member is not None:  # one clock for all of them
            began = wall_clock.at(parsed(group.started), member.offset)
    return _Opened(session, reader, began, folder.name if member else "", member)


def _schemas(opened: Sequence[_Opened]) -> dict[str, tuple[Schema, tuple[str, ...]]]:
    """By modality, the schema and the names of its features, over all sessions."""
    found: dict[str, tuple[Schema, tuple[str, ...]]] = {}
    of: dict[str, str] = {}
    for one in opened:
        for modality, schema in one.reader.schemas.items():
            mine = schema, _names(one.reader, modality, schema)
            other, names = found.setdefault(modality, mine)
            if (other.name, names) != (schema.name, mine[1]):
                raise UserError(
                    f"{one.session.name}: {modality} has other features than in {of[modality]} "
                    f"({schema.name or 'no schema'}, {schema.dim} numbers, and {other.name or 'no schema'}, "
                    f"{other.dim}); write them one by one"
                )
            of.setdefault(modality, one.session.name)
    return found


def _names(reader: SessionReader, modality: str, schema: Schema) -> tuple[str, ...]:
    """Of features: the schema's; of a plain vector those that were imported with it."""
    features = reader.description.get("features")
    given = features.get(modality) if isinstance(features, dict) else None
    if not schema.name and isinstance(given, list) and len({str(name) for name in given}) == schema.dim:
        return tuple(str(name) for name in given)
    return schema.features


def _ticks(reader: SessionReader) -> Iterator[_Row]:
    estimates, marks = reader.estimates(), sorted(reader.marks(), reverse=True)
    estimate = next(estimates, None)
    for observation in reader.observations():
        while estimate is not None and estimate.tick < observation.tick:  # rows between are lost
            estimate = next(estimates, None)
        mine = None
        if estimate is not None and estimate.tick == observation.tick:
            mine, estimate = estimate, next(estimates, None)
        labels = []
        while marks and marks[-1][0] <= observation.time:
            labels.append(marks.pop()[1])
        text = joined(labels)
        yield _Row(observation.time, observation.tick, observation.values, observation.view, mine, text)


def _samples(reader: SessionReader, modality: str) -> Iterator[_Row]:
    """In the order of their times."""
    if modality not in reader.schemas:
        return
    found = [sample for sample, _ in reader.samples(modality)]
    found.sort(key=lambda sample: (sample.originating_time, sample.sequence))
    for sample in found:
        yield _Row(sample.originating_time, sample.sequence, {modality: sample.values}, sample.view)


class _Table:
    """The columns of a file, and rows in them."""

    def __init__(
        self,
        schemas: Mapping[str, tuple[Schema, tuple[str, ...]]],
        number: str,
        study: bool,
        groups: bool,
        estimates: bool,
        suffix: str,
    ) -> None:
        self._schemas, self._study, self._estimates, self._suffix = schemas, study, estimates, suffix
        self._groups = groups
        fields = [pa.field(name, pa.string()) for name in ("session", "person") if study]
        fields += [pa.field(number, pa.int64()), _field("time", pa.float64(), "s")]
        if groups:
            fields += [pa.field("group", pa.string()), _field("group_time", pa.float64(), "s")]
        clock = pa.string() if suffix == ".csv" else pa.timestamp("us", "UTC")
        fields.append(pa.field("wall_clock", clock))
        for modality, (schema, names) in schemas.items():
            for name, unit in zip(names, schema.units, strict=True):
                fields.append(_field(f"{modality}.{name}", pa.float32(), unit, schema.name))
        fields += [_field(name, pa.int64(), "1") for name in ("faces", "face_id")]
        fields.append(_field("face_quality", pa.float64(), "0..1"))
        if estimates:
            fields += [_field(f"engagement_{name}", pa.float64(), "0..1") for name in _ENGAGEMENT]
        if number == "tick":
            fields.append(pa.field("marks", pa.string()))
        self._schema = pa.schema(fields)

    def writer(self, stream: Any) -> Any:
        if self._suffix == ".parquet":
            return parquet().ParquetWriter(stream, self._schema)
        import pyarrow.csv

        return pyarrow.csv.CSVWriter(stream, self._schema)

    def batch(self, one: _Opened, rows: Sequence[_Row]) -> Any:
        columns: list[Any] = []
        if self._study:
            columns += [[one.session.name] * len(rows), [one.session.person] * len(rows)]
        columns += [[row.number for row in rows], [row.time / SECOND for row in rows]]
        if self._groups:
            common = None if one.member is None else one.member.common
            columns.append([one.group or None] * len(rows))
            columns.append([None if common is None else common(row.time / SECOND) for row in rows])
        times = [wall_clock.at(one.started, row.time / SECOND) for row in rows]
        as_text = self._suffix == ".csv"
        columns.append([wall_clock.iso(t) if t is not None and as_text else t for t in times])
        for modality, (_, names) in self._schemas.items():
            vectors = [row.values.get(modality) for row in rows]
            missing = np.array([vector is None for vector in vectors])
            nothing = np.zeros(len(names), np.float32)
            values = np.array([nothing if vector is None else vector for vector in vectors])
            columns += [pa.array(column, mask=missing) for column in np.ascontiguousarray(values.T)]
        views = [row.view for row in rows]
        for name in ("faces", "person", "quality"):
            columns.append([None if view is None else getattr(view, name) for view in views])
        if self._estimates:
            engagement = [None if row.estimate is None else row.estimate.engagement for row in rows]
            for name in _ENGAGEMENT:
                columns.append([None if each is None else getattr(each, name) for each in engagement])
        if "marks" in self._schema.names:
            columns.append([row.marks or None for row in rows])
        arrays = [
            column if isinstance(column, pa.Array) else pa.array(column, field.type)
            for field, column in zip(self._schema, columns, strict=True)
        ]
        return pa.record_batch(arrays, schema=self._schema)


def _field(name: str, kind: Any, unit: str, schema: str = "") -> Any:
    metadata = {"unit": unit} | ({"schema": schema} if schema else {})
    return pa.field(name, kind, metadata=metadata)
