"""From sensors to estimates. `Run` runs any source; `LiveSession` is its short form for devices."""

import importlib
from typing import TYPE_CHECKING, Any, Final

from .. import contracts as contracts  # switches ONNX Runtime's telemetry off

if TYPE_CHECKING:
    from .group import Group as Group
    from .run import Run as Run
    from .session import LiveSession as LiveSession
    from .sources.camera_face import CameraFace as CameraFace
    from .sources.limits import Limits as Limits
    from .sources.live import LiveSource as LiveSource
    from .sources.lsl import LslStream as LslStream
    from .sources.media import MediaSource as MediaSource
    from .sources.microphone import MicrophoneAudio as MicrophoneAudio
    from .sources.pushed import Pushed as Pushed
    from .sources.session import SessionSource as SessionSource
    from .sources.xdf import XdfSource as XdfSource

# Imported when asked for: they bring in NumPy, ONNX Runtime, and what devices and files need.
_MODULES: Final = {
    "Group": "group",
    "Run": "run",
    "LiveSession": "session",
    "LiveSource": "sources.live",
    "CameraFace": "sources.camera_face",
    "MicrophoneAudio": "sources.microphone",
    "LslStream": "sources.lsl",
    "Pushed": "sources.pushed",
    "Limits": "sources.limits",
    "MediaSource": "sources.media",
    "SessionSource": "sources.session",
    "XdfSource": "sources.xdf",
}

__all__ = [*_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __package__), name)
