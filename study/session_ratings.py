"""Ratings of whole sessions from a table: a row for each session and rater.

Columns by name: `session` (its name, as `enrapt study status` shows it), `value` (a number, or the name of a
level), and where they are there `rater` and `confidence`.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..contracts.errors import UserError, one_line
from . import labels
from .check import misfits
from .ratings import Whole
from .readers.eaf import number
from .readers.table import Table
from .study import Dimension, Study


def import_ratings(
    path: Path,
    study: Study,
    dimension: Dimension,
    *,
    rater: str | None = None,
    column: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write the labels of a table beside its sessions: all of them, or none; give the files.

    Args:
        rater: whose all of them are; None: the table says it.
        column: the values; None: `value`.

    Raises:
        UserError: the table cannot be read, or a row cannot be; a session is not in the study, or there twice
            for one rater; labels exist.
    """
    table = Table(path)
    value = column or "value"
    names = ["session", value, *(n for n in ("rater", "confidence") if n in table.names)]
    if rater is None and "rater" not in names:
        raise UserError(f"{path}: has no column rater; give --rater NAME")
    folders = {session.name: session.folder for session in study.sessions}
    found: dict[Path, Whole] = {}
    for line, cells in table.texts(names):
        row = dict(zip(names, cells, strict=True))
        try:
            label = _label(row, value, dimension, rater)
            if (folder := folders.get(row["session"])) is None:
                raise UserError(f"the study has no session {one_line(row['session'])[:60]}")
            place = labels.path_of(folder, label.dimension, label.rater)
            if place in found:
                raise UserError(f"{row['session']} is there twice for {label.rater}")
            if place.exists() and not overwrite:
                raise UserError(f"{place}: exists and is kept; --overwrite replaces it")
        except UserError as error:
            raise UserError(f"{path}: row {line}: {error}") from None
        found[place] = label
    if not found:
        raise UserError(f"{path}: no row in it")
    for place, label in found.items():
        labels.write(label, place, overwrite=overwrite)
    return list(found)


def _label(row: Mapping[str, str], column: str, dimension: Dimension, rater: str | None) -> Whole:
    level = dimension.value_of(row[column])
    value = number(row[column]) if level is None else level
    if math.isnan(value):
        raise UserError(f"{one_line(row[column])[:60]!r} is no number, and no level of {dimension.name}")
    confidence = np.array([number(row.get("confidence", ""))])
    label = Whole(rater or row["rater"], dimension.name, np.array([value]), confidence)
    for wrong in misfits(label, {dimension.name: dimension}, None):
        raise UserError(wrong)
    return label
