"""Files that appear under their name only when they are complete."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import UserError


@contextlib.contextmanager
def atomic_file(path: Path, part: Path | None = None) -> Iterator[BinaryIO]:
    """A binary file to write to, `FILE.part` until the context ends without an exception, then `FILE`.

    Nothing is left after an exception. The content is on the disk before the name is.

    Args:
        part: the name until then, in the same folder, instead of `FILE.part`.

    Raises:
        UserError: it cannot be written.
    """
    part = part or path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or the name could reach the disk before the content
        part.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise UserError(f"{path}: cannot be written ({error.strerror}); give another path") from None
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file; see `atomic_file`. Processes may write the same file at the same time."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    with atomic_file(path, part) as file:
        file.write(content)
