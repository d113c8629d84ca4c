"""The file of one rater and dimension while it is edited: it is kept before it loses anything."""

import os
import shutil
from itertools import count
from pathlib import Path
from typing import Final

from ...contracts.errors import UserError
from ...realtime.store.private import make_private
from .. import labels
from ..ratings import Label
from ..study import Dimension

EARLIER: Final = "earlier"  # folder beside the labels; nothing reads its files as labels

_Stamp = tuple[int, int, int] | None


class LabelFile:
    """One file, which is made with the first label.

    Args:
        folder: of the labels.

    Attributes:
        label: what it had when it was opened; None without a file.
        kept: what was kept of it as `earlier/DIMENSION.RATER.N.csv`.

    Raises:
        UserError: it cannot be read, or is of another kind than the dimension.
    """

    def __init__(self, folder: Path, rater: str, dimension: Dimension) -> None:
        self.path = folder / labels.path_of(Path(), dimension.name, rater).name
        self.label: Label | None = None
        self.kept: list[Path] = []
        self._stamp = _stamp(self.path)
        self._backed_up: _Stamp = None
        if self._stamp is not None:
            self.label = labels.read(self.path)
            if self.label.kind != dimension.kind:
                raise UserError(
                    f"{self.path}: is of kind {self.label.kind}; {dimension.name} is of kind {dimension.kind}"
                )

    def replace(self, label: Label | None, *, keep: bool) -> None:
        """Its new content; None: none, and the file goes.

        Args:
            keep: whether something is lost with the old one, which is kept then.

        Raises:
            UserError: another program has changed it; it cannot be written. Nothing has changed then.
        """
        if _stamp(self.path) != self._stamp:
            raise UserError(f"{self.path}: another program has changed it; start enrapt annotate again")
        if keep:
            self._keep()
        if label is not None:
            labels.write(label, self.path, overwrite=True)
        elif self._stamp is not None:
            try:
                self.path.unlink()
            except OSError as error:
                raise UserError(f"{self.path}: cannot be removed ({error.strerror})") from None
        self._stamp = _stamp(self.path)

    def _keep(self) -> None:
        """Keep it as it is, once; it is replaced by a new one, never written into."""
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
