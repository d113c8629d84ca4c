"""The raters' consensus as labels of its own, for other tools: `SESSION/labels/made/DIMENSION.consensus.csv`.

The same format as the raters' labels, with a column `spread`: the weighted standard deviation of the ratings
around it, empty where fewer than two rated. It is made, not rated: in that folder nothing counts it as a
rater.
"""

import os
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..contracts.errors import UserError
from . import labels
from .consensus import Consensus, weighted
from .ratings import Array, Intervals, Label, Trace, Whole
from .summary import Agreement

MADE: Final = "made"  # folder in that of the labels
RATER: Final = "consensus"


def path_of(session: Path, dimension: str) -> Path:
    """Where the consensus on a dimension is."""
    return session / labels.FOLDER / MADE / f"{dimension}.{RATER}.csv"


def of_session(session: Path) -> list[Label]:
    """Those that have been made of a session.

    Raises:
        UserError: one of them is not right.
    """
    return [labels.read(path) for path in sorted((session / labels.FOLDER / MADE).glob(f"*.{RATER}.csv"))]


def write_consensus(found: Agreement, *, overwrite: bool = False) -> list[Path]:
    """Write the consensus on one dimension beside each session that is rated; give the files.

    Raises:
        UserError: there is such a file already, unless `overwrite`; it cannot be written.
    """
    made = []
    for number, one in enumerate(found.sessions):
        own = [label for label in one.labels if label.dimension == found.dimension.name]
        path = path_of(one.session.folder, found.dimension.name)
        if not overwrite and os.path.lexists(path):
            raise UserError(f"{path}: exists and is kept; --overwrite replaces it")
        made.append((path, *_made(found, number, own)))
    for path, label, spread in made:
        labels.write(label, path, overwrite=overwrite, spread=spread)
    return [path for path, _, _ in made]


def _made(found: Agreement, number: int, own: list[Label]) -> tuple[Label, Array]:
    name, consensus = found.dimension.name, found.consensus
    values, spread = consensus.values[number], consensus.spread[number]
    if found.dimension.kind == "session":
        return Whole(RATER, name, values[:1], np.array([np.nan])), spread[:1]
    if found.dimension.kind == "interval":
        return _intervals(consensus, name, [label for label in own if isinstance(label, Intervals)])
    # A row at each change, the first and the last.
    same = _unchanged(values) & _unchanged(spread)
    keep = np.concatenate([[True], ~same])
    keep[-1] = True
    return Trace(RATER, name, found.times[number][keep], values[keep]), spread[keep]


def _unchanged(values: Array) -> NDArray[np.bool_]:
    """Whether each is as the one before, `[N - 1]`."""
    unchanged: NDArray[np.bool_] = (values[1:] == values[:-1]) | (
        np.isnan(values[1:]) & np.isnan(values[:-1])
    )
    return unchanged


def _intervals(consensus: Consensus, name: str, own: list[Intervals]) -> tuple[Intervals, Array]:
    """A value for each stretch between two borders of anybody's intervals in which somebody rated."""
    borders = np.unique(np.concatenate([border for label in own for border in (label.start, label.end)]))
    start, end = borders[:-1], borders[1:]
    rows = np.full((len(consensus.raters), len(start)), np.nan)
    for label in own:
        rows[consensus.raters.index(label.rater)] = label.at((start + end) / 2)
    values, spread = weighted(rows, consensus.weights)
    rated = ~np.isnan(values)
    unknown = np.full(int(rated.sum()), np.nan)
    return Intervals(RATER, name, start[rated], end[rated], values[rated], unknown), spread[rated]
