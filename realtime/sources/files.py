"""The source of a path."""

from pathlib import Path
from typing import Any

from ...contracts.errors import UserError
from .source import Source


def open_source(path: Path, **options: Any) -> Source:
    """A recording, a recorded session's folder or an XDF file, by its content.

    Args:
        options: for `MediaSource` (`start`, `end`, `realtime`, `face_model`), `SessionSource` (`reassemble`)
            or `XdfSource` (`streams`).

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

    _check(path, "a recording", options, {"start", "end", "realtime", "face_model"})
    return MediaSource(path, **options)


def _check(path: Path, kind: str, options: dict[str, Any], possible: set[str]) -> None:
    if unknown := sorted(options.keys() - possible):
        raise UserError(f"{path}: {kind} cannot be replayed with {', '.join(unknown)}")
