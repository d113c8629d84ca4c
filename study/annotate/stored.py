"""The labels of a rater while they are being made: each edit is on the disk before it is confirmed."""

import os
import shutil
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Final

from ...contracts.errors import UserError
from ...realtime.store.private import make_private
from .. import labels
from ..study import Dimension
from .segments import Segment, between, check, label_of, lost, rated, replaced, segments_of

EARLIER: Final = "earlier"  # folder beside the labels; nothing reads its files as labels

_Stamp = tuple[int, int, int] | None


class StoredLabels:
    """The file of one rater and dimension.

    An edit gives all values of a stretch of time, so that the same one twice does what it does once: a client
    that does not know whether it arrived sends it again. The file is replaced as a whole, and its content is
    on the disk before its name is. Before an edit changes ratings that are not of the same stroke, the file
    as it was is kept as `earlier/DIMENSION.RATER.N.csv`.

    Args:
        folder: of the labels.
        limit: s; the recording ends there.

    Attributes:
        path: of the file, which is made with the first edit.
        segments: what is stored.
        kept: files that were kept.

    Raises:
        UserError: the labels that are there cannot be read, or are of the other kind.
    """

    def __init__(self, folder: Path, rater: str, dimension: Dimension, limit: float) -> None:
        self.path = folder / labels.path_of(Path(), dimension.name, rater).name
        self.dimension, self.segments, self.kept = dimension, list[Segment](), list[Path]()
        self._rater, self._limit = rater, limit
        self._stamp = _stamp(self.path)
        self._of_stroke: tuple[str | None, list[tuple[float, float]]] = (None, [])
        self._backed_up: _Stamp = None
        if self._stamp is not None:
            label = labels.read(self.path)
            if label.kind != dimension.kind:
                raise UserError(
                    f"{self.path}: is of kind {label.kind}; {dimension.name} is of kind {dimension.kind}"
                )
            self.segments = segments_of(label)

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
        if _stamp(self.path) != self._stamp:
            raise UserError(f"{self.path}: another program has changed it; start enrapt annotate again")
        own = self._of_stroke[1] if self._of_stroke[0] == stroke else []
        if any(not _within(span, own) for span in lost(old, new)):
            self._keep()
        segments = replaced(self.segments, start, end, new)
        label = label_of(segments, self.dimension.kind, self._rater, self.dimension.name)
        labels.write(label, self.path, overwrite=True)
        self._stamp, self.segments = _stamp(self.path), segments
        self._of_stroke = stroke, _union([*own, (start, end)])

    def _keep(self) -> None:
        """Keep the file as it is, once; it is replaced by a new one, never written into."""
        if self._stamp is None or self._backed_up == self._stamp:
            return
        folder = self.path.parent / EARLIER
        try:
            if not folder.is_dir():
                folder.mkdir()
                make_private(folder)
            for number in count(1):
                kept = folder / f"{self.path.stem}.{number}.csv"
                if not os.path.lexists(kept):
                    break
            try:
                os.link(self.path, kept)
            except OSError:  # a file system without links
                part = kept.with_suffix(".part")
                shutil.copyfile(self.path, part)
                make_private(part)
                part.replace(kept)
        except OSError as error:
            raise UserError(f"{folder}: the labels so far cannot be kept ({error.strerror})") from None
        self._backed_up = self._stamp
        self.kept.append(kept)


def _stamp(path: Path) -> _Stamp:
    """Another one after each change; None without a file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    return found.st_ino, found.st_size, found.st_mtime_ns


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
