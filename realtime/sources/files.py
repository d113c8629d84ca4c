"""The source of a path."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...contracts.errors import UserError
from ..features.face_model import find_face_model
from .source import Source


def open_source(
    path: Path, *, face_model: Path | Callable[[], Path] = find_face_model, **options: Any
) -> Source:
    """A recording, a recorded session's folder or an XDF file, by its content.

    Args:
        face_model: see `MediaSource`.
        options: for `MediaSource` (`start`, `end`, `realtime`), `SessionSource` (`reassemble`) or `XdfSource`
            (`streams`).

    Raises:
        UserError: it cannot be read, or its kind of source has no such option.
    """
    from .xdf_file import is_xdf

    if path.is_dir():
        from .session import SessionSource  # which needs pyarrow

        _check(path, "a recorded session", options, {"reassemble"})
        return SessionSource(path, **options)
    if is_xdf(path):
        from .xdf import XdfSource

        _check(path, "an XDF file", options, {"streams"})
        return XdfSource(path, **options)
    from .media import MediaSource

    _check(path, "a recording", options, {"start", "end", "realtime"})
    return MediaSource(path, face_model=face_model, **options)


def _check(path: Path, kind: str, options: dict[str, Any], possible: set[str]) -> None:
    if unknown := sorted(options.keys() - possible):
        raise UserError(f"{path}: {kind} is replayed without {', '.join(unknown)}: leave that out")
