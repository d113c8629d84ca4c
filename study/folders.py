"""Where the sessions of a study lie, and what is one."""

import contextlib
from pathlib import Path
from typing import Final

from ..contracts.errors import UserError, one_line
from ..realtime.store.folder import JSON

SESSIONS: Final = "sessions"  # folder of a study
ARROWS: Final = ".arrows"  # ending of a session's tables


def is_session(folder: Path) -> bool:
    """Whether a folder has the file that every session has."""
    return (folder / JSON).is_file()


def has_tables(folder: Path) -> bool:
    """Whether a folder has tables of a session, whose `session.json` may be lost."""
    with contextlib.suppress(OSError):
        return any(path.suffix == ARROWS for path in folder.iterdir())
    return False


def session_folder(study: Path, name: str) -> Path:
    """The folder of the session of that name, which may not be there.

    Raises:
        UserError: a session of that name would not be one of the study's.
    """
    parts = Path(name).parts
    hidden = any(part[0] == "." or not part.isprintable() for part in parts)
    if not parts or hidden or Path(name).is_absolute() or Path(name).drive:
        raise UserError(
            f"{one_line(name)[:60]!r} cannot be a session's name: give one such as anna/1, within the study"
        )
    folder = study / SESSIONS
    for part in parts[:-1]:
        folder /= part
        if is_session(folder):
            raise UserError(f"{folder}: is a session, which has no others in it; give another name")
    return folder / parts[-1]
