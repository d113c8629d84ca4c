"""Labels: what a rater says of a session, in a CSV file beside it.

`SESSION/labels/DIMENSION.RATER.csv`. Both names are of letters (a to z), digits, `_` and `-`. Times are
seconds on the session's axis, as `t` of its estimates. Values are in the unit of the dimension. The first
line decides which kind it is:

`time,value` — a trace
    A value holds until the next row's time; an empty value: not rated from there on. The last row ends the
    trace: its value counts at its own time only.
`start,end,value,confidence` — intervals
    Each value holds from `start` until `end`. Confidence may be empty; its scale is the rater's.
`value,confidence` — the whole session
    One row: a value for all of it.

A last column `wall_clock` says when the first time of a row was, ISO 8601, where the session knows it. It is
for other programs: nothing reads it here, nor a column `spread`, which a consensus has.
"""

import contextlib
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..contracts.errors import UserError, one_line
from ..contracts.files import atomic_file
from ..realtime.store.folder import JSON
from ..realtime.store.private import make_private
from ..realtime.store.reader import SessionReader
from ..realtime.streams import wall_clock
from .readers.contents import content_of

FOLDER: Final = "labels"
MAX_BYTES: Final = 2**26  # of a file; a day at 25 Hz has 2²¹ rows
LARGEST: Final = 1e9  # of a time in seconds, and of a value

Array = NDArray[np.float64]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
_TRACE: Final = "time,value"
_INTERVALS: Final = "start,end,value,confidence"
_WHOLE: Final = "value,confidence"
_CLOCK: Final = ",wall_clock"
_SPREAD: Final = ",spread"


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A value that changes over time.

    Attributes:
        times: float64 `[n]`, seconds, increasing.
        values: float64 `[n]`, NaN: not rated from there on.

    Raises:
        UserError: a name, a time or a value cannot be.
    """

    kind: ClassVar[str] = "trace"
    rater: str
    dimension: str
    times: Array
    values: Array

    def __post_init__(self) -> None:
        _check_names(self.rater, self.dimension)
        for name in ("times", "values"):
            object.__setattr__(self, name, _array(getattr(self, name)))
        if self.times.shape != self.values.shape:
            raise ValueError(f"{len(self.times)} times and {len(self.values)} values")
        _check_range("time", self.times)
        _check_range("value", self.values[~np.isnan(self.values)])
        if (back := np.flatnonzero(np.diff(self.times) <= 0)).size:
            raise UserError(f"row {back[0] + 2}: its time, {self.times[back[0] + 1]:g} s, is not later than "
                            "the one before")  # fmt: skip

    @property
    def rated(self) -> float:
        """Seconds that are rated."""
        return float(np.diff(self.times)[~np.isnan(self.values[:-1])].sum())

    @property
    def span(self) -> tuple[float, float] | None:
        """First and last time of a value, seconds; None without any."""
        there = np.flatnonzero(~np.isnan(self.values))
        if not there.size:
            return None
        return float(self.times[there[0]]), float(self.times[min(there[-1] + 1, len(self.times) - 1)])

    def at(self, times: ArrayLike) -> Array:
        """The value at each time, NaN where it is not rated."""
        asked = _array(times)
        if not len(self.times):
            return np.full(asked.shape, np.nan)
        row = np.searchsorted(self.times, asked, "right") - 1
        inside = (row >= 0) & (asked <= self.times[-1])
        return np.where(inside, self.values[np.maximum(row, 0)], np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Values of stretches of time, sorted by start.

    Attributes:
        start, end: float64 `[n]`, seconds. The end is later than the start; they do not overlap.
        value: float64 `[n]`, finite.
        confidence: float64 `[n]`, NaN where not given.

    Raises:
        UserError: as `Trace`; two intervals overlap.
    """

    kind: ClassVar[str] = "interval"
    rater: str
    dimension: str
    start: Array
    end: Array
    value: Array
    confidence: Array

    def __post_init__(self) -> None:
        _check_names(self.rater, self.dimension)
        names = ("start", "end", "value", "confidence")
        arrays = [_array(getattr(self, name)) for name in names]
        if len({array.shape for array in arrays}) > 1:
            raise ValueError(f"arrays of {[len(array) for array in arrays]} intervals")
        for name, array in zip(names[:3], arrays, strict=False):
            _check_range(name, array)
        _check_range("confidence", arrays[3][~np.isnan(arrays[3])])
        order = np.argsort(arrays[0], kind="stable")
        for name, array in zip(names, arrays, strict=True):
            object.__setattr__(self, name, array[order])
        if (empty := np.flatnonzero(self.end <= self.start)).size:
            raise UserError(f"the interval at {self.start[empty[0]]:g} s ends at {self.end[empty[0]]:g} s")
        if (over := np.flatnonzero(self.start[1:] < self.end[:-1])).size:
            at = over[0]
            raise UserError(
                f"the interval of {self.start[at]:g} to {self.end[at]:g} s overlaps the next, "
                f"from {self.start[at + 1]:g} s on"
            )

    @property
    def rated(self) -> float:
        """Seconds that are rated."""
        return float((self.end - self.start).sum())

    @property
    def span(self) -> tuple[float, float] | None:
        """Start of the first and end of the last interval, seconds; None without any."""
        return (float(self.start[0]), float(self.end[-1])) if len(self.start) else None

    def at(self, times: ArrayLike) -> Array:
        """The value at each time, NaN where it is not rated."""
        asked = _array(times)
        if not len(self.start):
            return np.full(asked.shape, np.nan)
        row = np.searchsorted(self.start, asked, "right") - 1
        inside = (row >= 0) & (asked < self.end[np.maximum(row, 0)])
        return np.where(inside, self.value[np.maximum(row, 0)], np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """One value for a whole session.

    Attributes:
        value, confidence: float64 `[1]`; the latter NaN where not given.

    Raises:
        UserError: a name or a value cannot be.
    """

    kind: ClassVar[str] = "session"
    rater: str
    dimension: str
    value: Array
    confidence: Array

    def __post_init__(self) -> None:
        _check_names(self.rater, self.dimension)
        for name in ("value", "confidence"):
            object.__setattr__(self, name, np.atleast_1d(_array(getattr(self, name))))
        if self.value.shape != (1,) or self.confidence.shape != (1,):
            raise UserError(f"{len(self.value)} values; a whole session has one")
        _check_range("value", self.value)
        _check_range("confidence", self.confidence[~np.isnan(self.confidence)])

    @property
    def rated(self) -> float:
        """Seconds that are rated: all that there are."""
        return math.inf

    @property
    def span(self) -> None:
        """It holds at any time."""
        return None

    def at(self, times: ArrayLike) -> Array:
        """The value at each time: always the same."""
        return np.full(_array(times).shape, self.value[0])


Label = Trace | Intervals | Whole


def path_of(session: Path, dimension: str, rater: str) -> Path:
    """The file of a rater's labels of a session.

    Raises:
        UserError: a name that cannot be.
    """
    _check_names(rater, dimension)
    return session / FOLDER / f"{dimension}.{rater}.csv"


def paths(session: Path) -> list[Path]:
    """The files of labels of a session, by name; whether they are right, `read` says."""
    try:
        return sorted(p for p in (session / FOLDER).iterdir() if p.suffix == ".csv" and p.name[0] != ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{session / FOLDER}: cannot be read ({error.strerror})") from None


def of_session(session: Path) -> list[Label]:
    """All labels of a session.

    Raises:
        UserError: one of them is not right.
    """
    return [read(path) for path in paths(session)]


def read(path: Path) -> Label:
    """The labels of one file.

    Raises:
        UserError: it cannot be read, or is not as this module's docstring says.
    """
    dimension, _, rater = path.stem.partition(".")
    try:
        _check_names(rater, dimension)
        lines = content_of(path, MAX_BYTES).decode("utf-8-sig").splitlines()
        header = lines[0].replace(" ", "") if lines else ""
        more = 0  # columns that are not read
        for unread in (_CLOCK, _SPREAD):
            more += header.endswith(unread)
            header = header.removesuffix(unread)
        if header == _TRACE:
            return Trace(rater, dimension, *_columns(lines[1:], 2, empty=(1,), more=more))
        if header == _INTERVALS:
            return Intervals(rater, dimension, *_columns(lines[1:], 4, empty=(3,), more=more))
        if header == _WHOLE:
            return Whole(rater, dimension, *_columns(lines[1:], 2, empty=(1,), more=more))
        found = one_line(header) or "nothing"
        raise UserError(f"the first line is {found}; expected {_TRACE}, {_INTERVALS} or {_WHOLE}")
    except UserError as error:
        raise UserError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text of UTF-8") from None


def write(label: Label, path: Path, *, overwrite: bool = False, spread: Array | None = None) -> None:
    """Write labels to a file of mode 600, whose folder is made with mode 700; all of it or nothing.

    Args:
        spread: of each row, for a column of that name.

    Raises:
        UserError: there is such a file, unless `overwrite`; it cannot be written.
    """
    try:
        for folder in reversed([each for each in list(path.parents)[:2] if not each.is_dir()]):
            folder.mkdir(parents=True)
            make_private(folder)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be made ({error.strerror})") from None
    with atomic_file(path) as stream:
        make_private(Path(stream.name))  # before there is anything in it
        stream.write("".join(f"{line}\n" for line in _lines(label, _began(path), spread)).encode())
        if not overwrite and os.path.lexists(path):
            raise UserError(f"{path}: exists and is kept; --overwrite replaces it")


def _began(path: Path) -> datetime | None:
    """The wall-clock time of 0 s of the session whose labels lie there; None if nobody knows."""
    for folder in list(path.parents)[:2]:  # also of those that are made of raters'
        if folder.name == FOLDER and (folder.parent / JSON).is_file():
            with contextlib.suppress(UserError):
                return SessionReader(folder.parent).began
    return None


def _lines(label: Label, began: datetime | None, spread: Array | None) -> Iterator[str]:
    if isinstance(label, Trace):
        columns: list[Array] = [label.times, label.values]
        header = _TRACE
    elif isinstance(label, Whole):
        columns, began = [label.value, label.confidence], None
        header = _WHOLE
    else:
        columns = [label.start, label.end, label.value, label.confidence]
        header = _INTERVALS
    if spread is not None:
        columns, header = [*columns, spread], header + _SPREAD
    yield header if began is None else header + _CLOCK
    for row in zip(*(column.tolist() for column in columns), strict=True):
        time = wall_clock.at(began, row[0])
        line = ",".join("" if math.isnan(x) else repr(x) for x in row)
        yield line if began is None else f"{line},{'' if time is None else wall_clock.iso(time)}"


def _columns(lines: Iterable[str], width: int, empty: tuple[int, ...], more: int) -> list[Array]:
    """Columns of numbers; those of `empty` may have empty cells, which become NaN.

    Args:
        more: columns after them, which are not read.
    """
    rows = []
    for number, line in enumerate(lines, 2):
        if not line.strip():
            continue
        cells = line.split(",")
        try:
            if len(cells) != width + more:
                raise ValueError
            del cells[width:]
            row = [math.nan if not c.strip() and k in empty else float(c) for k, c in enumerate(cells)]
            if any(not math.isfinite(x) and cells[k].strip() for k, x in enumerate(row)):
                raise ValueError
        except ValueError:
            expected = f"expected {width} numbers with commas between them"
            raise UserError(f"line {number}: {one_line(line)[:60]!r}: {expected}") from None
        rows.append(row)
    return list(np.array(rows, float).reshape(-1, width).T)


def _check_names(rater: str, dimension: str) -> None:
    for what, name in (("dimension", dimension), ("rater", rater)):
        if not _NAME.fullmatch(name):
            raise UserError(
                f"{one_line(name)[:60]!r} cannot be the name of a {what}: "
                "give letters (a to z), digits, _ and -, at most 60"
            )


def _check_range(what: str, values: Array) -> None:
    if not np.isfinite(values).all() or np.abs(values).max(initial=0) > LARGEST:
        raise UserError(f"a {what} is not finite, or beyond ±{LARGEST:g}")


def _array(values: ArrayLike) -> Array:
    return np.asarray(values, np.float64).copy()
