"""The source of a path."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from ...contracts.errors import UserError
from ..features.face import FOLLOW_LARGEST, FaceOptions
from .source import Source

_MEDIA: Final = {
    *(
        "start",
        "end",
        "realtime",
        "max_gap",
        "limits",
        "strict",
        "video_track",
        "audio_track",
        "audio_channel",
        "partner_channel",
    )
}


def open_source(path: Path, *, faces: FaceOptions = FOLLOW_LARGEST, **options: Any) -> Source:
    """A recording, a recorded session's folder or an XDF file, by its content.

    Args:
        faces: see `MediaSource`.
        options: arguments of `MediaSource`, `SessionSource` or `XdfSource`.

    Raises:
        UserError: it cannot be read, or its kind of source has no such option.
    """
    from .xdf_file import is_xdf

    opened: Callable[..., Source]
    if path.is_dir():
        from .session import SessionSource as opened  # which needs pyarrow

        kind, possible = "a recorded session", {"reassemble", "max_gap"}
    elif is_xdf(path):
        from .xdf import XdfSource as opened

        kind, possible = "an XDF file", {"streams", "max_gap"}
    else:
        from .media import MediaSource

        opened = partial(MediaSource, faces=faces)
        kind, possible = "a recording", _MEDIA
    if unknown := sorted(options.keys() - possible):
        names = {"limits": "limits (--max-pixels and the like)"}
        named = ", ".join(names.get(name, name.replace("_", "-")) for name in unknown)
        raise UserError(f"{path}: {kind} is replayed without {named}: leave that out")
    source = opened(path, **options)
    source.path = path
    return source
