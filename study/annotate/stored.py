"""The labels of a rater while they are being made: each edit is on the disk before it is confirmed."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..ratings import Whole
from ..study import Dimension
from .label_file import LabelFile
from .segments import Segment, between, check, check_value, label_of, lost, rated, replaced, segments_of


class StoredLabels:
    """The ratings over time of one rater and dimension.

    An edit gives all values of a stretch of time, so that the same one twice does what it does once: a client
    that does not know whether it arrived sends it again. The file is replaced as a whole, and its content is
    on the disk before its name is. Before an edit changes ratings that are not of the same stroke, the file
    as it was is kept as `earlier/DIMENSION.RATER.N.csv`.

    Args:
        folder: of the labels.
        limit: s; the recording ends there.

    Attributes:
        segments: what is stored.

    Raises:
        UserError: the labels that are there cannot be read, or are of the other kind.
    """

    def __init__(self, folder: Path, rater: str, dimension: Dimension, limit: float) -> None:
        self.dimension, self._rater, self._limit = dimension, rater, limit
        self._file = LabelFile(folder, rater, dimension)
        label = self._file.label
        self.segments = list[Segment]() if label is None else segments_of(label)
        self._of_stroke: tuple[str | None, list[tuple[float, float]]] = (None, [])

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def kept(self) -> list[Path]:
        """Files that were kept."""
        return self._file.kept

    @property
    def rated(self) -> float:
        """Seconds that have a value."""
        return rated(self.segments)

    def edit(self, start: float, end: float, new: Sequence[Segment], stroke: str) -> None:
        """Store these ratings as all that there are from `start` to `end`, seconds.

        Args:
            stroke: edits that continue one another have the same.

        Raises:
            UserError: they cannot be; another program has changed the file; it cannot be written. Nothing has
                changed then.
        """
        check(new, start, end, self.dimension, self._limit)
        old = between(self.segments, start, end)
        if old == list(new):
            return
        own = self._of_stroke[1] if self._of_stroke[0] == stroke else []
        segments = replaced(self.segments, start, end, new)
        label = label_of(segments, self.dimension.kind, self._rater, self.dimension.name)
        self._file.replace(label, keep=any(not _within(span, own) for span in lost(old, new)))
        self.segments = segments
        self._of_stroke = stroke, _union([*own, (start, end)])


class StoredWhole:
    """The rating of a whole session by one rater in one dimension.

    Storing it twice is storing it once, as with `StoredLabels`. Before another value of another stroke takes
    its place, or none, the file as it was is kept.

    Args:
        folder: of the labels.

    Attributes:
        value: what is stored; None: nothing.

    Raises:
        UserError: the label that is there cannot be read, or is of another kind.
    """

    def __init__(self, folder: Path, rater: str, dimension: Dimension) -> None:
        self.dimension, self._rater = dimension, rater
        self._file = LabelFile(folder, rater, dimension)
        label = self._file.label
        self.value = float(label.value[0]) if isinstance(label, Whole) else None
        self._stroke: str | None = None

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def kept(self) -> list[Path]:
        """Files that were kept."""
        return self._file.kept

    def rate(self, value: float | None, stroke: str) -> None:
        """Store this value; None removes the one that is there.

        Args:
            stroke: changes that continue one another, as of a slider, have the same.

        Raises:
            UserError: as `StoredLabels.edit`.
        """
        if value == self.value:
            return
        label = None
        if value is not None:
            check_value(value, self.dimension)
            rating = np.clip([value], self.dimension.low, self.dimension.high)
            label = Whole(self._rater, self.dimension.name, rating, np.array([math.nan]))
        self._file.replace(label, keep=stroke != self._stroke)
        self.value, self._stroke = value, stroke


def _within(span: tuple[float, float], spans: Sequence[tuple[float, float]]) -> bool:
    return any(start <= span[0] and span[1] <= end for start, end in spans)


def _union(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    result: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result
