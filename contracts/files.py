"""Under its own name a file is whole, or it is not there."""

from pathlib import Path

from .errors import UserError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place, as `FILE.part`, and give it its name.

    Raises:
        UserError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); give another file") from None
