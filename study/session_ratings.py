"""Ratings of whole sessions from a table: a row for each session and rater.

Columns by name: `session` (its name, as `enrapt study status` shows it), `value` (a number, or the name of a
level), and where they are there `rater` and `confidence`; or those that a mapping names (`readers.mapping`).
"""

import math
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ..contracts.errors import UserError, one_line
from . import labels
from .check import misfits
from .ratings import Whole
from .readers.eaf import number
from .readers.mapping import read_session_mapping
from .readers.table import Table
from .study import Dimension, Study

Row = Mapping[str, str]  # a cell by what it is: session, value, rater, confidence, dimension


def import_ratings(
    path: Path,
    study: Study,
    dimension: Dimension,
    *,
    rater: str | None = None,
    column: str | None = None,
    mapping: Path | None = None,
    tier: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the labels of a table beside its sessions: all of them, or none; give the files.

    Args:
        rater: whose all of them are; None: the table says it.
        column: the values; None: `value`, or as the mapping says.
        mapping: a file that says which column is what; None: their names do.
        tier: which rows are taken, where the mapping names a column `dimension`; None: those of the
            dimension's name.

    Raises:
        UserError: the table cannot be read, or a row cannot be; a session is not in the study, or there twice
            for one rater; labels exist; they cannot be written.
    """
    table, columns = _table(path, mapping, column)
    if tier is not None and "dimension" not in columns:
        raise UserError(f"--tier {one_line(tier)[:60]}: is for a --mapping that names a column dimension")
    if rater is not None:
        columns.pop("rater", None)
    elif "rater" not in columns:
        raise UserError(f"{path}: has no column rater; give --rater NAME")
    folders = {unicodedata.normalize("NFC", each.name): each.folder for each in study.sessions}
    found: dict[Path, Whole] = {}
    spelt: dict[str, str] = {}  # each rater by the name without capitals
    for line, row in _rows(table, columns, tier or dimension.name):
        try:
            label = _label(row, dimension, rater)
            if (folder := folders.get(unicodedata.normalize("NFC", row["session"]))) is None:
                raise UserError(f"the study has no session {one_line(row['session'])[:60]}")
            place = labels.path_of(folder, label.dimension, label.rater)
            if place in found:
                raise UserError(f"{row['session']} is there twice for {label.rater}")
            if (other := spelt.setdefault(label.rater.casefold(), label.rater)) != label.rater:
                raise UserError(f"the rater {label.rater} is {other} in an earlier row; give one of them")
            labels.check_spelling(place.parent, label.rater)
            if place.exists() and not overwrite:
                raise UserError(f"{place}: exists and is kept; --overwrite replaces it")
        except UserError as error:
            raise UserError(f"{path}: row {line}: {error}") from None
        found[place] = label
    if not found:
        raise UserError(f"{path}: no row in it")
    _write(found)
    return list(found)


def _table(path: Path, mapping: Path | None, column: str | None) -> tuple[Table, dict[str, str]]:
    """The table, and the names of its columns by what they are."""
    if mapping is None:
        table = Table(path)
        columns = {"session": "session", "value": column or "value"}
        return table, columns | {name: name for name in table.names if name in ("rater", "confidence")}
    given = read_session_mapping(mapping)
    if column is not None:
        raise UserError(f"--column {one_line(column)[:60]}: {mapping} says which column has the values")
    names = {what: getattr(given, what) for what in ("session", "value", "rater", "confidence", "dimension")}
    return Table(path, given.separator), {what: name for what, name in names.items() if name is not None}


def _rows(table: Table, columns: Mapping[str, str], wanted: str) -> Iterator[tuple[int, Row]]:
    """Each row of that dimension, with the number of its line."""
    seen: dict[str, None] = {}
    for line, cells in table.texts(list(columns.values())):
        row = dict(zip(columns, cells, strict=True))
        seen.setdefault(row.get("dimension", wanted))
        if row.get("dimension", wanted) == wanted:
            yield line, row
    if seen and wanted not in seen:
        have = one_line(", ".join(list(seen)[:20]))
        raise UserError(
            f"{table.path}: no row of {one_line(wanted)[:60]!r}; it has {have}; choose with --tier"
        )


def _label(row: Row, dimension: Dimension, rater: str | None) -> Whole:
    level = dimension.value_of(row["value"])
    value = number(row["value"]) if level is None else level
    if math.isnan(value):
        raise UserError(f"{one_line(row['value'])[:60]!r} is no number, and no level of {dimension.name}")
    sure = number(row.get("confidence", ""))
    if math.isnan(sure) and row.get("confidence"):
        raise UserError(f"the confidence {one_line(row['confidence'])[:60]!r} is no number")
    label = Whole(rater or row["rater"], dimension.name, np.array([value]), np.array([sure]))
    for wrong in misfits(label, {dimension.name: dimension}, None):
        raise UserError(wrong)
    return label


def _write(found: Mapping[Path, Whole]) -> None:
    """All files, or none: each under another name first, which takes no more of the disk than its own."""
    made: dict[Path, Path] = {}
    try:
        for place, label in found.items():
            made[place] = place.with_name(f".{place.name}.new")  # which nothing reads as labels
            try:
                labels.write(label, made[place], overwrite=True)
            except UserError as error:
                raise UserError(str(error).replace(str(made[place]), str(place))) from None
        for place in list(made):
            made[place].replace(place)
            del made[place]
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be written ({error.strerror})") from None
    finally:
        for path in made.values():
            path.unlink(missing_ok=True)
