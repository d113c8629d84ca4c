"""Opens files that others wrote: regular ones only, because reading a FIFO or a device may never end."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from .errors import UserError


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, or a link to one, to read.

    Raises:
        UserError: it is something else, which is not opened.
        OSError: it cannot be opened.
    """
    if stat.S_ISREG(path.stat().st_mode):
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):  # it may have been replaced meanwhile
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
    raise UserError(f"{path}: not a regular file")
