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
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from ..contracts.errors import UserError, one_line
from ..contracts.files import atomic_file
from ..realtime.store.folder import JSON
from ..realtime.store.private import make_private
from ..realtime.store.reader import SessionReader
from ..realtime.streams import wall_clock
from .ratings import Array, Intervals, Label, Trace, Whole, check_names
from .readers.contents import content_of

FOLDER: Final = "labels"
MAX_BYTES: Final = 2**26  # of a file; a day at 25 Hz has 2²¹ rows

_TRACE: Final = "time,value"
_INTERVALS: Final = "start,end,value,confidence"
_WHOLE: Final = "value,confidence"
_CLOCK: Final = ",wall_clock"
_SPREAD: Final = ",spread"


def path_of(session: Path, dimension: str, rater: str) -> Path:
    """The file of a rater's labels of a session.

    Raises:
        UserError: a name that cannot be.
    """
    check_names(rater, dimension)
    return session / FOLDER / f"{dimension}.{rater}.csv"


def paths(session: Path) -> list[Path]:
    """The files of labels of a session, by name; whether they are right, `read` says."""
    try:
        return sorted(
            p for p in (session / FOLDER).iterdir() if p.suffix.lower() == ".csv" and p.name[0] != "."
        )
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{session / FOLDER}: cannot be read ({error.strerror})") from None


def check_spelling(folder: Path, rater: str) -> None:
    """Refuse a rater who differs from another by capitals only: some file systems have one file for both.

    Raises:
        UserError: it is so.
    """
    for path in paths(folder.parent) if folder.name == FOLDER else sorted(folder.glob("*.csv")):
        other = path.stem.partition(".")[2]
        if other != rater and other.casefold() == rater.casefold():
            raise UserError(f"{path}: is of rater {other}; give that name, or another than {rater}")


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
        check_names(rater, dimension)
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
