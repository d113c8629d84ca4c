"""Files and folders for their owner alone: faces and voices are personal data."""

import contextlib
import os
from pathlib import Path


def private(path: str, flags: int) -> int:
    """An opener, for `open` and `FileIO`, of new files that nobody else may read: mode 600."""
    return os.open(path, flags, 0o600)


def make_private(path: Path) -> None:
    """Give a file mode 600, a folder 700; not where the file system has none, or it is another user's."""
    with contextlib.suppress(OSError):
        path.chmod(0o700 if path.is_dir() else 0o600)
