"""An estimate as a row of named columns: the one definition for CSV, Parquet, sessions, LSL and OSC."""

import datetime
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import msgspec

from .estimate import Engagement, Estimate, Latency

Cell = int | float | bool | str | datetime.datetime | None
Kind = type[int] | type[float] | type[bool] | type[str] | type[datetime.datetime]

_FIELDS: Final = Engagement.__struct_fields__
BOX: Final = ("left", "top", "width", "height")


@dataclass(frozen=True, slots=True)
class Column:
    """One value of an estimate.

    Attributes:
        name: `tick`, `engagement_mean`, `face_age_ms`, …
        unit: of the value; "1" for a count.
        kind: int, float, bool, str or datetime.
        nullable: whether there may be no value (None).
        get: the value of an estimate.
    """

    name: str
    unit: str
    kind: Kind
    nullable: bool
    get: Callable[[Estimate], Cell]

    def parse(self, cell: Any) -> Any:
        """The value of a cell of a file: a number, text as in CSV, or None.

        Raises:
            ValueError, TypeError: it is not of this column's kind.
        """
        if self.nullable and (cell is None or cell == ""):
            return None
        if self.kind is bool:
            return bool(int(cell))
        if self.kind is str:
            return str(cell)
        if self.kind is datetime.datetime:
            return cell if isinstance(cell, self.kind) else self.kind.fromisoformat(cell)
        value = int(cell) if self.kind is int else float(cell)
        if math.isfinite(value):
            return value
        if self.nullable:
            return None
        raise ValueError(f"{self.name} is {value}")


def columns(modalities: Iterable[str], *, timing: bool = True, stamped: bool = True) -> list[Column]:
    """All columns of estimates with these modalities, in order.

    Args:
        timing: with those of latencies.
        stamped: with the wall-clock time and marks, which estimates for outputs have.
    """
    modalities = list(modalities)
    row = [Column("tick", "1", int, False, attrgetter("tick")), _real("t_s", "s", attrgetter("t"), False)]
    if stamped:
        row.append(Column("wall_clock", "", datetime.datetime, True, lambda e: e.wall_clock or None))
        row.append(Column("marks", "", str, True, lambda e: joined(e.marks or ()) or None))
    row += [*signals(modalities), Column("face_problem", "", str, True, attrgetter("face_problem"))]
    if timing:
        for stage in ("step", "total", "tick"):
            row.append(_real(f"latency_{stage}_ms", "ms", _latency(attrgetter(stage))))
        for modality in modalities:
            row += [
                _real(f"{modality}_extract_ms", "ms", _latency(_by_modality("extract", modality))),
                _real(f"{modality}_wait_ms", "ms", _latency(_by_modality("waits", modality))),
            ]
    return row


def joined(marks: Iterable[str]) -> str:
    """The labels of one tick as a cell."""
    return "; ".join(marks)


def signals(modalities: Iterable[str]) -> list[Column]:
    """The numbers without time and latency: the channels of a stream that has its own time stamps."""
    row = [_real(f"engagement_{name}", "0..1", attrgetter(f"engagement.{name}"), False) for name in _FIELDS]
    for modality in modalities:
        row += [
            Column(f"{modality}_present", "0 or 1", bool, False, _by_modality("present", modality)),
            _real(f"{modality}_age_ms", "ms", _by_modality("age_ms", modality)),
            _real(f"{modality}_surprise_nats", "nats", _by_modality("surprise", modality)),
        ]
    row += [Column(name, "1", int, True, attrgetter(name)) for name in ("faces", "person")]
    row += [_real(f"face_{side}", "0..1", _side(i)) for i, side in enumerate(BOX)]
    row.append(_real("face_quality", "0..1", attrgetter("face_quality")))
    return row


def numbers(row: Sequence[Column], estimate: Estimate) -> list[float]:
    """The values as floats; NaN where there is none."""
    cells: Iterable[Any] = (column.get(estimate) for column in row)
    return [math.nan if cell is None else float(cell) for cell in cells]


def modalities_of(names: Iterable[str]) -> list[str]:
    """The modalities that a file with columns of these names has, in order."""
    return [name.removesuffix("_present") for name in names if name.endswith("_present")]


def estimate_reader(modalities: Iterable[str]) -> Callable[[Mapping[str, Any]], Estimate]:
    """A function from a row, a mapping from column names to cells, to its estimate: the inverse of `columns`.

    It ignores unknown columns, and nullable ones may be missing. Without `latency_step_ms` the estimate has
    no latencies. It raises:
        KeyError: a column that is not nullable is missing.
        ValueError, TypeError: a cell is not of its column's kind.
    """
    modalities = list(modalities)
    row_columns = columns(modalities)

    def read(row: Mapping[str, Any]) -> Estimate:
        cells = {
            column.name: column.parse(row.get(column.name) if column.nullable else row[column.name])
            for column in row_columns
        }

        def each(suffix: str) -> dict[str, Any]:
            return {modality: cells[f"{modality}_{suffix}"] for modality in modalities}

        def given(suffix: str) -> dict[str, float]:
            return {modality: ms for modality, ms in each(suffix).items() if ms is not None}

        latency: Latency | msgspec.UnsetType = msgspec.UNSET
        if (step := cells["latency_step_ms"]) is not None:
            total, tick = cells["latency_total_ms"], cells["latency_tick_ms"]
            latency = Latency(step, total, tick, given("extract_ms"), given("wait_ms"))
        return Estimate(
            tick=cells["tick"],
            t=cells["t_s"],
            engagement=Engagement(*(cells[f"engagement_{name}"] for name in _FIELDS)),
            present=each("present"),
            age_ms=each("age_ms"),
            surprise=each("surprise_nats"),
            faces=cells["faces"],
            person=cells["person"],
            box=None if None in (box := tuple(cells[f"face_{side}"] for side in BOX)) else box,
            face_quality=cells["face_quality"],
            face_problem=cells["face_problem"],
            wall_clock=cells["wall_clock"] or msgspec.UNSET,
            marks=(cells["marks"],) if cells["marks"] else msgspec.UNSET,
            latency_ms=latency,
        )

    return read


def _real(name: str, unit: str, get: Callable[[Estimate], Cell], nullable: bool = True) -> Column:
    return Column(name, unit, float, nullable, get)


def _by_modality(field: str, modality: str) -> Callable[[Any], Cell]:
    return lambda owner: getattr(owner, field).get(modality)


def _side(i: int) -> Callable[[Estimate], Cell]:
    return lambda estimate: None if estimate.box is None else estimate.box[i]


def _latency(get: Callable[[Latency], Cell]) -> Callable[[Estimate], Cell]:
    return lambda estimate: get(estimate.latency_ms) if isinstance(estimate.latency_ms, Latency) else None
